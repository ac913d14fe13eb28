// Tokens as text, coloured by one number each; hovering tells all numbers, a click goes there.
const BY = { s: "chosen by the strategy", p: "given in the prompt", u: "taken by you", d: "guessed by the draft" }
const CLASS = { s: "", p: "prompt", u: "user", d: "draft" }

// Where a token stands on the colour scale, 0 to 1.
function shareOf(data, i, strongest) {
  const value = {
    surprisal: () => data.surprisal[i] / 8,
    entropy: () => data.entropy[i] / 6,
    rank: () => Math.log(data.rank[i]) / Math.log(100),
    attention: () => (data.weights?.[i + 1] ?? 0) / strongest,
  }[data.color]()
  return Math.min(1, value)
}

function percent(share, digits) {
  return `${(100 * share).toFixed(digits)} %`
}

function tipOf(data, i) {
  const text = data.texts[i]
  const lines = [
    `${data.names[text] ?? text}   position ${i + 1}, ${BY[data.by[i]]}`,
    `probability ${percent(2 ** -data.surprisal[i], 2)}, rank ${data.rank[i]}`,
    `surprisal ${data.surprisal[i].toFixed(2)} bits, entropy ${data.entropy[i].toFixed(2)} bits`,
  ]
  const weight = data.weights?.[i + 1]
  if (weight !== undefined) lines.push(`attention ${percent(weight, 1)}`)
  const wrong = data.wrong[i + 1]
  if (wrong !== undefined) lines.push(`the draft had guessed ${wrong}`)
  const slid = data.slid[i + 1]
  if (slid) lines.push(`before this, ${slid} old tokens left the window`)
  return lines.join("\n")
}

const shown = new WeakMap() // strip -> its tokens and how they look

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const strip = parentElement.querySelector(".strip")
  const legend = parentElement.querySelector(".legend")
  const tip = parentElement.querySelector(".tip")
  const stops = isDark(strip) ? DARK : LIGHT

  legend.replaceChildren()
  const say = (text, kind) => {
    const part = document.createElement("span")
    part.textContent = text
    if (kind) part.className = kind
    legend.append(part)
    return part
  }
  say(data.title)
  say(data.low)
  const colors = [0, 0.25, 0.5, 0.75, 1].map((s) => `rgb(${ramp(stops, s)})`)
  say("", "ramp").style.background = `linear-gradient(90deg, ${colors})`
  say(data.high)
  say("prompt", "key prompt")
  say("taken by you", "key user")
  if (data.by.includes("d")) say("guessed right by the draft", "key draft")

  strip.tabIndex = 0
  strip.setAttribute("role", "group")
  strip.setAttribute("aria-label", "The text so far, one token a box. Arrow keys read, Enter goes there.")
  if (!shown.has(strip)) shown.set(strip, { spans: [], looks: [], caret: element("span", "caret") })
  const { spans, looks, caret } = shown.get(strip)
  while (spans.length > data.texts.length) spans.pop().remove()
  looks.length = spans.length
  const strongest = data.weights ? Math.max(1e-9, ...data.weights) : 1
  const fresh = document.createDocumentFragment()
  data.texts.forEach((text, i) => {
    const kinds = ["token", CLASS[data.by[i]]]
    if (i + 1 >= data.cursor) kinds.push("later")
    if (i + 1 < data.first) kinds.push("outside")
    const share = shareOf(data, i, strongest)
    const color = share > 0.02 ? ramp(stops, share) : null
    const look = `${kinds.join(" ")}|${color}|${text}`
    if (looks[i] === look) return // what looks as before is left alone
    looks[i] = look
    if (!spans[i]) fresh.append((spans[i] = document.createElement("span")))
    const span = spans[i]
    span.className = kinds.filter(Boolean).join(" ")
    if (span.textContent !== text) span.textContent = text
    span.style.backgroundColor = color ? `rgb(${color})` : ""
    span.style.color = color ? (luminance(color) > 0.55 ? "#111820" : "#f4f7fa") : ""
  })
  strip.append(fresh)
  const after = spans[data.cursor - 1] ?? null
  if (caret.parentNode !== strip || caret.nextSibling !== after) strip.insertBefore(caret, after)

  let near = -1
  const show = (i) => {
    if (near >= 0) spans[near]?.classList.remove("near")
    near = i
    tip.hidden = i < 0
    if (i < 0) return
    spans[i].classList.add("near")
    tip.textContent = tipOf(data, i)
    const box = spans[i].getBoundingClientRect()
    const width = tip.offsetWidth, height = tip.offsetHeight
    tip.style.left = Math.max(4, Math.min(box.left, window.innerWidth - width - 8)) + "px"
    const above = box.top - height - 6
    tip.style.top = (above > 4 ? above : box.bottom + 6) + "px"
  }
  const go = (i) => setTriggerValue("go", { position: i + 1 })
  strip.onmousemove = (event) => show(spans.indexOf(event.target))
  strip.onmouseleave = () => show(-1)
  strip.onblur = () => show(-1)
  strip.onclick = (event) => {
    const i = spans.indexOf(event.target)
    if (i >= 0) go(i)
  }
  strip.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const start = near < 0 ? data.cursor - 1 : near
    if (event.key === "ArrowRight") show(Math.min(spans.length - 1, start + 1))
    else if (event.key === "ArrowLeft") show(Math.max(0, start - 1))
    else if (event.key === "Enter" && near >= 0) go(near)
    else return
    event.preventDefault()
  }
  const behind = caret.offsetTop - strip.clientHeight + 40
  if (behind > strip.scrollTop || caret.offsetTop < strip.scrollTop) strip.scrollTop = Math.max(0, behind)
}
