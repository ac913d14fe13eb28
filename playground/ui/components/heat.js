// Distributions over the levels of a sound, one a column: amplitude up (mu-law), time across.
const PLOT = 256, TOP = 6, AXIS = 36 // pixels
const kept = new WeakMap() // canvas -> what it is drawn from

function take(state, data, dark) {
  state.data = data
  state.values = unpack(data.values)
  state.small = smallCanvas(state.small, Math.max(1, data.count), data.levels)
  const stops = dark ? DARK : LIGHT
  const table = Array.from({ length: 256 }, (_, s) => ramp(stops, s / 255))
  fillSmall(state.small, (out, i, to) => {
    const column = i % data.count, level = data.levels - 1 - Math.floor(i / data.count)
    const [r, g, b] = table[state.values[column * data.levels + level]]
    out[to] = r
    out[to + 1] = g
    out[to + 2] = b
    out[to + 3] = 255
  })
}

function draw(canvas, state, wide) {
  if (wide < 80) return
  const { data, near } = state
  const pen = penOf(canvas, wide, TOP + PLOT + AXIS)
  const style = getComputedStyle(canvas)
  const left = LEFT, right = wide - RIGHT
  const each = (state.each = (right - left) / Math.max(1, data.count))
  const y = (level) => TOP + PLOT * (1 - (level + 0.5) / data.levels)
  if (data.count) pen.drawImage(state.small, left, TOP, right - left, PLOT)
  pen.strokeStyle = style.color
  pen.globalAlpha = 0.25
  pen.strokeRect(left - 0.5, TOP - 0.5, right - left + 1, PLOT + 1)
  pen.globalAlpha = 1
  const size = Math.max(1.2, Math.min(3.5, each / 2.5))
  data.taken.forEach((level, i) => {
    if (level === null) return
    pen.beginPath()
    pen.arc(left + (i + 0.5) * each, y(level), size, 0, 7)
    pen.fillStyle = CURSOR
    pen.fill()
  })
  const ring = (column, color, casing) => {
    if (column < 0 || column >= data.count) return
    const path = new Path2D()
    const least = Math.max(each, 5)
    path.rect(left + (column + 0.5) * each - least / 2, TOP, least, PLOT)
    strokeCased(pen, path, color, casing, 1)
  }
  if (Number.isInteger(data.cursor)) ring(data.cursor - data.first, CURSOR, "rgb(255 255 255 / 70%)")
  if (near >= 0) ring(near, "#fff", "rgb(17 24 32 / 85%)")
  pen.font = `11px ${style.fontFamily}`
  pen.textAlign = "right"
  pen.textBaseline = "middle"
  for (const [level, says] of data.ticks) {
    pen.fillStyle = style.color
    pen.globalAlpha = 0.4
    pen.fillRect(left - 4, Math.round(y(level)), 4, 1)
    pen.globalAlpha = 0.8
    pen.fillText(says, left - 6, Math.max(TOP + 5, Math.min(TOP + PLOT - 5, y(level))))
  }
  pen.globalAlpha = 1
  drawTimeAxis(pen, {
    x: (seconds) => left + (seconds * data.sample_rate - data.first) * each, left, right,
    top: TOP + PLOT, from: data.first / data.sample_rate, to: (data.first + data.count) / data.sample_rate,
  }, style.color)
  canvas.dataset.columns = data.count // told when they are drawn
}

function percent(p) {
  return p >= 0.1 ? `${Math.round(100 * p)} %` : `${Number((100 * p).toPrecision(2))} %`
}

function wordsOf(state, column, level) {
  const { data } = state
  const i = data.first + column
  const says = (l) => {
    const byte = state.values[column * data.levels + l]
    const p = byte ? `about ${percent(data.least ** (1 - byte / 255))}` : `${percent(data.least)} or less`
    return `level ${l}, amplitude ${minus(amplitudeOf(l, data.levels - 1).toFixed(4))}: ${p}`
  }
  const lines = [`sample ${i.toLocaleString("en")}, ${timeWords(i / data.sample_rate)}`]
  if (level >= 0) lines.push(says(level))
  if (data.taken[column] !== null) lines.push(`taken: ${says(data.taken[column])}`)
  return lines.join("\n")
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const canvas = host.querySelector("canvas")
  const tip = host.querySelector(".tip")
  if (!kept.has(canvas)) kept.set(canvas, { near: -1, level: -1, keyed: false })
  const state = kept.get(canvas)
  if (state.near >= data.count) state.near = -1
  const dark = isDark(host)
  say(host.querySelector(".title"), data.title ?? "")
  say(host.querySelector(".facts"), data.facts ?? "")
  say(host.querySelector(".legend .low"), `${percent(data.least)} or less`)
  say(host.querySelector(".legend .high"), "100 %")
  host.querySelector(".ramp").style.background =
    `linear-gradient(90deg, ${(dark ? DARK : LIGHT).map((s) => `rgb(${s})`)})`
  canvas.setAttribute("aria-label", `${data.alt} Left and right read it, Enter chooses a sample.`)
  take(state, data, dark)
  const redraw = () => draw(canvas, state, host.clientWidth)

  const point = (near, level = -1) => {
    const changed = near !== state.near
    state.near = near
    state.level = level
    if (changed) redraw()
    tip.hidden = near < 0
    if (near < 0) return
    const words = wordsOf(state, near, level)
    say(tip, words)
    const box = canvas.getBoundingClientRect()
    placeTip(tip, box.left + LEFT + (near + 1) * state.each, box.bottom - AXIS / 2)
    if (state.keyed) say(host.querySelector(".spoken"), words)
  }
  const at = (event) => {
    const column = Math.floor((event.offsetX - LEFT) / state.each)
    const level = data.levels - 1 - Math.floor(((event.offsetY - TOP) * data.levels) / PLOT)
    return column >= 0 && column < data.count
      ? [column, level >= 0 && level < data.levels ? level : -1]
      : [-1, -1]
  }
  const go = (column) => column >= 0 && setTriggerValue("go", { sample: data.first + column })
  canvas.onpointermove = (event) => {
    if (event.pointerType === "touch") return
    state.keyed = false
    point(...at(event))
  }
  canvas.onpointerleave = () => !state.keyed && point(-1)
  canvas.onblur = () => point(-1)
  canvas.onclick = (event) => go(at(event)[0])
  canvas.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const chosen = Number.isInteger(data.cursor) ? data.cursor - data.first : data.count - 1
    const start = state.near >= 0 ? state.near : Math.max(0, Math.min(data.count - 1, chosen))
    const to = { ArrowLeft: start - 1, ArrowRight: start + 1, Home: 0, End: data.count - 1 }[event.key]
    if (to !== undefined) {
      state.keyed = true
      point(Math.max(0, Math.min(data.count - 1, to)))
    } else if (event.key === "Enter") go(start)
    else if (event.key === "Escape") point(-1)
    else return
    event.preventDefault()
  }
  redraw()
  if (!tip.hidden) point(state.near, state.level)
  return watchWidth(host, redraw)
}
