// Several texts side by side, token by token, all coloured on one scale of surprisal.
// A click on a token asks for its candidates, one on a lane's pencil for its settings.
const HIGH_BITS = 8
const BY = { s: "chosen by the strategy", d: "a draft that was accepted", u: "taken by you", p: "given" }
const SVG = "http://www.w3.org/2000/svg"
const PENCIL = "M3 17.2V21h3.8L17.8 9.9l-3.7-3.7L3 17.2zM20.7 7a1 1 0 0 0 0-1.4l-2.3-2.3a1 1 0 0 0-1.4 0l-1.8 1.8 3.7 3.7L20.7 7z"

function sized(parent, count, make) {
  while (parent.children.length > count) parent.lastChild.remove()
  while (parent.children.length < count) parent.append(make())
  return [...parent.children]
}

function pencil() {
  const button = element("button", "pencil")
  button.type = "button"
  const icon = document.createElementNS(SVG, "svg")
  icon.setAttribute("viewBox", "0 0 24 24")
  icon.setAttribute("aria-hidden", "true")
  const path = document.createElementNS(SVG, "path")
  path.setAttribute("d", PENCIL)
  icon.append(path)
  button.append(icon)
  return button
}

function emptyLane() {
  const lane = element("section", "lane")
  const head = element("header", "head")
  head.append(element("h3", "label"), pencil())
  lane.append(head, element("p", "note"), element("div", "texts"), element("p", "status"))
  return lane
}

function emptyText() {
  const block = element("div", "block")
  const strip = element("div", "strip")
  strip.tabIndex = 0
  strip.setAttribute("role", "group")
  strip.append(element("span", "prompt"))
  block.append(element("p", "sample"), strip)
  block.tokens = [] // one entry a token: its span, its rejected drafts, how it looks
  return block
}

function forget(block, length) {
  while (block.tokens.length > length) {
    const { span, ghost } = block.tokens.pop()
    span.remove()
    ghost?.remove()
  }
}

function fill(block, text, data, stops, pickedIndex) {
  const [name, strip] = block.children
  name.textContent = text.name
  name.hidden = !text.name
  const prompt = strip.firstChild
  if (prompt.textContent !== data.prompt) prompt.textContent = data.prompt
  forget(block, text.texts.length)
  const fresh = document.createDocumentFragment()
  text.texts.forEach((piece, i) => {
    const share = Math.min(1, text.bits[i] / HIGH_BITS)
    const color = share > 0.02 ? ramp(stops, share) : null
    const kind = text.by[i] === "d" ? "token draft" : "token"
    const rejected = text.ghosts[i]
    const look = `${kind}|${color}|${piece}|${rejected ?? ""}|${i === pickedIndex}`
    const known = block.tokens[i]
    if (known?.look === look) return // what looks as before is left alone
    const entry = known ?? (block.tokens[i] = { span: element("span", ""), ghost: null })
    entry.look = look
    if (rejected && !entry.ghost) {
      entry.ghost = element("s", "ghost")
      if (known) strip.insertBefore(entry.ghost, entry.span)
      else fresh.append(entry.ghost)
    }
    if (!rejected && entry.ghost) entry.ghost = void entry.ghost.remove()
    if (entry.ghost) entry.ghost.textContent = rejected.join("")
    if (!known) fresh.append(entry.span)
    entry.span.className = i === pickedIndex ? `${kind} picked` : kind
    entry.span.textContent = piece
    entry.span.style.backgroundColor = color ? `rgb(${color})` : ""
    entry.span.style.color = color ? (luminance(color) > 0.55 ? "#111820" : "#f4f7fa") : ""
  })
  strip.append(fresh)
}

function tipOf(text, data, i) {
  const piece = text.texts[i]
  const lines = [
    `${data.names[piece] ?? piece}   token ${i + 1}, ${BY[text.by[i]]}`,
    `probability ${(100 * 2 ** -text.bits[i]).toFixed(2)} %, rank ${text.ranks[i]}`,
    `surprisal ${text.bits[i].toFixed(2)} bits`,
  ]
  if (text.ghosts[i]) lines.push(`rejected draft: ${text.ghosts[i].map((t) => data.names[t] ?? t).join("")}`)
  return lines.join("\n")
}

function drawLegend(legend, data, stops) {
  legend.replaceChildren()
  const say = (text, kind) => {
    const part = element("span", kind ?? "")
    part.textContent = text
    legend.append(part)
    return part
  }
  say("Colour: surprisal, −log₂ p")
  say("0")
  const colors = [0, 0.25, 0.5, 0.75, 1].map((s) => `rgb(${ramp(stops, s)})`)
  say("", "ramp").style.background = `linear-gradient(90deg, ${colors})`
  say("8 bits or more")
  if (!data.drafts) return
  say("accepted draft", "key draft")
  say("rejected draft", "key ghost")
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const grid = parentElement.querySelector(".grid")
  const tip = parentElement.querySelector(".tip")
  const stops = isDark(host) ? DARK : LIGHT
  drawLegend(parentElement.querySelector(".legend"), data, stops)
  const [number, sample, index] = data.picked ?? [-1, -1, -1]

  grid.dataset.count = data.lanes.length
  const lanes = sized(grid, data.lanes.length, emptyLane)
  const atEnd = (strip) => strip.scrollTop + strip.clientHeight > strip.scrollHeight - 30
  const all = data.running ? [...grid.querySelectorAll(".strip")] : []
  const following = all.filter(atEnd) // measured before and moved after all changes: one layout each
  const strips = [] // every strip with its text, for the pointer and the keys
  lanes.forEach((lane, at) => {
    const told = data.lanes[at]
    const [head, note, texts, status] = lane.children
    head.children[0].textContent = told.label
    head.children[1].setAttribute("aria-label", `Change the lane ${told.label}`)
    head.children[1].title = "Change this lane"
    head.children[1].onclick = () => setTriggerValue("edit", { lane: told.number })
    note.textContent = told.note
    note.title = told.note
    status.textContent = told.status
    lane.classList.toggle("empty", !told.texts.some((text) => text.texts.length))
    const blocks = sized(texts, told.texts.length, emptyText)
    blocks.forEach((block, i) => {
      const text = told.texts[i]
      const own = told.number === number && text.sample === sample ? index : -1
      fill(block, text, data, stops, own)
      const strip = block.children[1]
      strip.setAttribute("aria-label",
        `${told.label}${text.name ? `, ${text.name}` : ""}: ${text.texts.length} tokens. Arrow keys read, Enter shows what else could have come.`)
      strips.push({ strip, block, told, text })
    })
  })

  for (const [strip, end] of following.map((strip) => [strip, strip.scrollHeight])) strip.scrollTop = end
  const hide = () => {
    tip.hidden = true
  }
  const show = ({ block, text }, i) => {
    const span = block.tokens[i]?.span
    tip.hidden = !span
    if (!span) return
    tip.textContent = tipOf(text, data, i)
    const box = span.getClientRects()[0] ?? span.getBoundingClientRect()
    tip.style.left = Math.max(4, Math.min(box.left, window.innerWidth - tip.offsetWidth - 8)) + "px"
    const above = box.top - tip.offsetHeight - 6
    tip.style.top = (above > 4 ? above : box.bottom + 6) + "px"
  }
  hide()
  for (const place of strips) {
    const { strip, block, told, text } = place
    const at = (event) => block.tokens.findIndex((entry) => entry.span === event.target)
    const pick = (i) => setTriggerValue("pick", { lane: told.number, sample: text.sample, index: i })
    let near = told.number === number && text.sample === sample ? index : -1
    const mark = (i) => {
      block.tokens[near]?.span.classList.remove("near")
      near = i
      block.tokens[near]?.span.classList.add("near")
    }
    strip.onmousemove = (event) => (at(event) < 0 ? hide() : show(place, at(event)))
    strip.onmouseleave = hide
    strip.onblur = () => (hide(), mark(-1))
    strip.onclick = (event) => at(event) >= 0 && pick(at(event))
    strip.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const to = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      if (to) {
        mark(Math.max(0, Math.min(block.tokens.length - 1, near + to)))
        block.tokens[near]?.span.scrollIntoView({ block: "nearest" })
        show(place, near)
      } else if (event.key === "Enter" && near >= 0) pick(near)
      else return
      event.preventDefault()
    }
  }
}
