// Tokens as text, coloured by one number each; hovering tells all numbers, a click goes there.
const LIGHT = [[255, 255, 255], [214, 230, 244], [150, 194, 226], [74, 146, 200], [8, 81, 156]]
const DARK = [[16, 21, 28], [20, 52, 84], [24, 90, 140], [62, 142, 196], [150, 206, 246]]

function ramp(stops, share) {
  const place = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1)
  const low = Math.floor(place)
  return stops[low].map((c, i) => Math.round(c + (stops[low + 1][i] - c) * (place - low)))
}

function luminance([r, g, b]) {
  return (0.299 * r + 0.587 * g + 0.114 * b) / 255
}

function isDark(element) {
  const parts = getComputedStyle(element).backgroundColor.match(/[\d.]+/g) || [255, 255, 255]
  return luminance(parts.map(Number)) < 0.5
}

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

  strip.replaceChildren()
  strip.tabIndex = 0
  strip.setAttribute("role", "group")
  strip.setAttribute("aria-label", "The text so far, one token a box. Arrow keys read, Enter goes there.")
  const spans = data.texts.map((text, i) => {
    const span = document.createElement("span")
    const kinds = ["token", data.kinds[i]]
    if (i + 1 >= data.cursor) kinds.push("later")
    if (i + 1 < data.first) kinds.push("outside")
    span.className = kinds.filter(Boolean).join(" ")
    span.textContent = text
    const share = data.shares[i]
    if (share !== null && share > 0.02) {
      const color = ramp(stops, share)
      span.style.backgroundColor = `rgb(${color})`
      span.style.color = luminance(color) > 0.55 ? "#111820" : "#f4f7fa"
    }
    return span
  })
  const caret = document.createElement("span")
  caret.className = "caret"
  spans.forEach((span, i) => {
    if (i + 1 === data.cursor) strip.append(caret)
    strip.append(span)
  })
  if (data.cursor > spans.length) strip.append(caret)

  let near = -1
  const show = (i) => {
    if (near >= 0) spans[near]?.classList.remove("near")
    near = i
    tip.hidden = i < 0
    if (i < 0) return
    spans[i].classList.add("near")
    tip.textContent = data.tips[i]
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
  return () => strip.replaceChildren()
}
