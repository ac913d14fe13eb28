// Tokens as text, coloured by what one position took from each; arcs lead to the strongest.
const SVG = "http://www.w3.org/2000/svg"
const kept = new WeakMap() // sheet -> its tokens and arcs

// An arc from one box to another, above both; boxes are [x, y] of the middle of their upper edge.
function arcOf([x0, y0], [x1, y1]) {
  const lift = Math.min(34, 8 + Math.abs(x1 - x0) / 9 + Math.abs(y1 - y0) / 5)
  const top = Math.min(y0, y1) - lift
  return y0 === y1
    ? `M${x0} ${y0}Q${(x0 + x1) / 2} ${top} ${x1} ${y1}`
    : `M${x0} ${y0}C${x0} ${y0 - lift} ${x1} ${y1 - lift} ${x1} ${y1}`
}

function drawArcs(sheet, state) {
  const { data, spans, lines, svg, caret } = state
  const wide = sheet.clientWidth
  svg.setAttribute("width", wide)
  svg.setAttribute("height", Math.max(1, caret.offsetTop + caret.offsetHeight))
  const origin = sheet.getBoundingClientRect()
  const place = (node) => { // a token that ends a line has a box on the next one too
    const box = node.getClientRects()[0] ?? origin
    return [box.left + box.width / 2 - origin.left - sheet.clientLeft,
      box.top - origin.top - sheet.clientTop + sheet.scrollTop + 3]
  }
  const from = [caret.offsetLeft, caret.offsetTop + 3]
  while (lines.length > data.arcs.length) lines.pop().remove()
  data.arcs.forEach((position, i) => {
    if (!lines[i]) svg.append((lines[i] = document.createElementNS(SVG, "path")))
    const share = Math.min(1, data.weights[position] / state.strongest)
    lines[i].setAttribute("d", arcOf(from, place(spans[position])))
    lines[i].setAttribute("stroke-width", (0.8 + 3 * share).toFixed(2))
    lines[i].setAttribute("stroke-opacity", (0.25 + 0.6 * share).toFixed(2))
  })
}

function tipOf(data, i) {
  const text = data.texts[i]
  const weight = data.weights[i]
  const name = data.names[text] ?? text
  const says = data.unit === "percent" ? percent(weight) : weight.toPrecision(3)
  if (data.source) return `${name}   position ${i + 1}\n${data.says} ${says}`
  return i
    ? `${name}   position ${i}\n${data.says} ${says}`
    : `${name}: what every sequence begins with\n${data.says} ${says}`
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const sheet = host.querySelector(".sheet")
  const tip = host.querySelector(".tip")
  sayTitles(host, data)
  if (!kept.has(sheet)) {
    const svg = document.createElementNS(SVG, "svg")
    svg.setAttribute("aria-hidden", "true")
    const caret = element("span", "caret")
    sheet.append(svg, caret)
    kept.set(sheet, { svg, caret, spans: [], lines: [], looks: [], near: -1 })
  }
  const state = kept.get(sheet)
  const { spans, looks, caret } = state
  state.data = data
  state.strongest = data.strongest ?? Math.max(1e-12, ...data.weights)
  caret.style.display = data.source ? "none" : "" // nothing is written there
  sheet.tabIndex = 0
  sheet.setAttribute("role", "application")
  sheet.setAttribute("aria-label", data.alt)
  const colors = tableOf(isDark(host), false)
  while (spans.length > data.texts.length) spans.pop().remove()
  looks.length = spans.length
  data.texts.forEach((text, i) => {
    const share = Math.sqrt(Math.min(1, data.weights[i] / state.strongest)) // small weights stay visible
    const color = share > 0.08 ? colors[Math.round(255 * share)] : null
    const kind = i === 0 && !data.source ? "token start" : i < data.first ? "token outside" : "token"
    const look = `${kind}|${color}|${text}`
    if (looks[i] === look) return
    looks[i] = look
    if (!spans[i]) sheet.insertBefore((spans[i] = document.createElement("span")), caret)
    spans[i].className = kind
    say(spans[i], text)
    spans[i].style.backgroundColor = color ? `rgb(${color})` : ""
    spans[i].style.color = color ? inkOn(color) : ""
  })
  const redraw = () => drawArcs(sheet, state)

  const show = (i, speak = false) => {
    spans[state.near]?.classList.remove("near")
    state.near = i
    tip.hidden = i < 0
    if (i < 0) return
    spans[i].classList.add("near")
    const words = tipOf(data, i)
    say(tip, words)
    if (speak) {
      say(host.querySelector(".spoken"), words)
      spans[i].scrollIntoView({ block: "nearest" })
    }
    const box = spans[i].getBoundingClientRect()
    placeTip(tip, box.left, box.bottom - 10)
  }
  const go = (i) => i > 0 && data.leads && setTriggerValue("go", { position: i + 1 })
  sheet.onpointermove = (event) => event.pointerType !== "touch" && show(spans.indexOf(event.target))
  sheet.onpointerleave = () => show(-1)
  sheet.onblur = () => show(-1)
  sheet.onclick = (event) => go(spans.indexOf(event.target))
  sheet.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const start = state.near < 0 ? spans.length - 1 : state.near
    const to = { ArrowLeft: start - 1, ArrowRight: start + 1, Home: 0, End: spans.length - 1 }[event.key]
    if (to !== undefined) show(Math.max(0, Math.min(spans.length - 1, state.near < 0 ? start : to)), true)
    else if (event.key === "Enter" && state.near > 0) go(state.near)
    else if (event.key === "Escape") show(-1)
    else return
    event.preventDefault()
  }
  if (!tip.hidden) show(-1)
  redraw()
  if (state.shownTo !== data.texts.length) sheet.scrollTop = sheet.scrollHeight
  state.shownTo = data.texts.length
  return watchWidth(sheet, redraw)
}
