// A distribution over levels that have an order (brightness, loudness), before and after every
// processor: one small chart a stage. The whole height of a column takes its level.
const COLORS = { taken: "#d55e00", kept: "#0072b2", removed: "#8a94a3" }
const TOP = 16, PLOT = 118, SWATCH = 10, CHOICE = 12, RUNS = 10, TICKS = 14 // pixels, from above
const BASE = TOP + PLOT
const BELOW = BASE + 3 + SWATCH
const ROOMY = 16, SAYS = 40 // pixels a column needs for a short figure, for a whole one

const kept = new WeakMap() // charts -> the level pointed at, and what watches the width

function emptyStage() {
  const stage = element("div", "stage")
  const head = element("div", "head")
  head.append(element("span", "name"), element("span", "most"))
  stage.append(head, element("canvas", ""))
  return stage
}

function percent(p) {
  if (p === 0) return "0 %"
  if (p > 0.9995 && p < 1) return "> 99.9 %"
  return p >= 0.001 ? `${(100 * p).toFixed(1)} %` : "< 0.1 %"
}

// What a stage removed and those before it did not; a probability that is only small stays.
function removedBy(data, stage) {
  if (data.removed) return new Set(data.removed[stage])
  if (!stage) return new Set()
  const before = data.probs[stage - 1]
  return new Set(data.probs[stage].flatMap((p, i) => (p === 0 && before[i] > 0 ? [i] : [])))
}

function tickLevels(count, wide) {
  const most = Math.max(2, wide / 44)
  let step = 1
  while (count / step > most) step *= 2
  const levels = []
  for (let level = 0; level < count; level += step) levels.push(level)
  if (count - 1 - levels.at(-1) < 0.6 * step && levels.length > 1) levels.pop()
  if (levels.at(-1) !== count - 1) levels.push(count - 1)
  return levels
}

function cross(pen, x, y, size) {
  pen.beginPath()
  pen.moveTo(x - size, y - size)
  pen.lineTo(x + size, y + size)
  pen.moveTo(x + size, y - size)
  pen.lineTo(x - size, y + size)
  pen.stroke()
}

// A column from one point of the screen to another, so that no seams show between neighbours.
function onPoints(x, level) {
  const dense = window.devicePixelRatio || 1
  const [from, to] = [x(level), x(level + 1)].map((at) => Math.round(at * dense) / dense)
  return [from, Math.max(1 / dense, to - from)]
}

function drawBars(pen, { data, stage, removed, x, column }) {
  const probs = data.probs[stage]
  const most = Math.max(1e-12, ...probs)
  const gap = column > 12 ? column * 0.14 : column > 3 ? 0.5 : 0
  for (let level = 0; level < probs.length; level++) {
    const gone = removed.has(level)
    const p = gone ? data.probs[Math.max(0, stage - 1)][level] : probs[level]
    if (!p) continue
    const high = Math.max(1, PLOT * Math.min(1, p / most))
    const [left, wide] = gap ? [x(level) + gap, Math.max(0.8, column - 2 * gap)] : onPoints(x, level)
    if (gone && column > 6) {
      pen.fillStyle = "rgb(138 148 163 / 12%)"
      pen.fillRect(left, BASE - high, wide, high)
      pen.strokeStyle = COLORS.removed
      pen.lineWidth = 1
      pen.setLineDash([3, 2])
      pen.strokeRect(left + 0.5, BASE - high + 0.5, wide - 1, high - 0.5)
      pen.setLineDash([])
    } else {
      const isTaken = level === data.taken && !gone
      pen.fillStyle = gone ? "rgb(138 148 163 / 45%)" : isTaken ? COLORS.taken : COLORS.kept
      const least = isTaken ? Math.max(wide, 2) : wide
      pen.fillRect(left + (wide - least) / 2, BASE - high, least, high)
    }
  }
}

// Above each bar its share, where there is room; ✕ where the stage removed it.
function drawFigures(pen, { data, stage, removed, x, column }, color) {
  const probs = data.probs[stage]
  const most = Math.max(1e-12, ...probs)
  pen.textAlign = "center"
  pen.textBaseline = "bottom"
  probs.forEach((p, level) => {
    const gone = removed.has(level)
    const shown = gone ? data.probs[Math.max(0, stage - 1)][level] : p
    const high = PLOT * Math.min(1, shown / most)
    const middle = x(level) + column / 2
    pen.globalAlpha = 0.85
    pen.fillStyle = color
    if (gone) {
      pen.strokeStyle = color
      pen.lineWidth = 1.3
      cross(pen, middle, BASE - high - 8, 3.2)
    } else if (p > 0) {
      const says = column >= SAYS ? percent(p) : p >= 0.005 ? String(Math.round(100 * p)) : ""
      pen.fillText(says, middle, BASE - high - 2)
    }
  })
  pen.globalAlpha = 1
}

// Below narrow bars: every run of removed levels as a line with a cross.
function drawRuns(pen, { data, removed, x, column }, color) {
  const y = BELOW + CHOICE + RUNS / 2
  pen.strokeStyle = color
  pen.globalAlpha = 0.7
  for (let level = 0; level < data.probs[0].length; level++) {
    if (!removed.has(level)) continue
    const from = level
    while (removed.has(level + 1)) level++
    const left = x(from), right = x(level) + column
    pen.lineWidth = 1
    pen.setLineDash([3, 2])
    pen.beginPath()
    pen.moveTo(left, y)
    pen.lineTo(right, y)
    pen.stroke()
    pen.setLineDash([])
    if (right - left < 7) continue
    pen.lineWidth = 1.3
    cross(pen, (left + right) / 2, y, 3)
  }
  pen.globalAlpha = 1
}

function drawAxis(pen, { data, x, column, high }, wide, color) {
  const count = data.probs[0].length
  data.swatches.forEach((swatch, level) => {
    pen.fillStyle = swatch
    const [left, across] = onPoints(x, level)
    pen.fillRect(left, BASE + 3, across, SWATCH)
  })
  pen.strokeStyle = color
  pen.globalAlpha = 0.25
  pen.lineWidth = 1
  pen.strokeRect(0.5, BASE + 2.5, wide - 1, SWATCH + 1)
  pen.globalAlpha = 0.85
  pen.fillStyle = color
  pen.textBaseline = "middle"
  const each = column >= ROOMY ? Array.from({ length: count }, (_, i) => i) : tickLevels(count, wide)
  for (const [level, says] of data.ticks ?? each.map((level) => [level, String(level)])) {
    const middle = x(level) + column / 2
    const wideText = pen.measureText(says).width / 2
    const at = Math.max(wideText, Math.min(wide - wideText, middle))
    pen.fillText(says, at, high - TICKS / 2)
  }
  pen.globalAlpha = 1
}

function drawTaken(pen, { data, x, column }, wide) {
  if (data.taken === null || data.taken === undefined) return
  const middle = Math.max(5, Math.min(wide - 5, x(data.taken) + column / 2)), y = BELOW + 3
  pen.fillStyle = COLORS.taken
  pen.beginPath()
  pen.moveTo(middle, y)
  pen.lineTo(middle + 5, y + 8)
  pen.lineTo(middle - 5, y + 8)
  pen.fill()
}

function drawStage(canvas, data, stage, near) {
  const wide = canvas.parentElement.clientWidth
  if (!wide) return
  const column = wide / data.probs[0].length
  const high = BELOW + CHOICE + (column < ROOMY ? RUNS : 0) + TICKS
  const pen = penOf(canvas, wide, high)
  canvas.parentElement.querySelector(".most").hidden = column >= SAYS // each bar says its own
  const style = getComputedStyle(canvas)
  const removed = removedBy(data, stage)
  const plan = { data, stage, removed, x: (level) => level * column, column, high }
  pen.font = `11px ${style.fontFamily}`
  pen.textAlign = "center"
  if (near >= 0) {
    pen.fillStyle = style.color
    pen.globalAlpha = 0.12
    const least = Math.max(column, 3)
    pen.fillRect(plan.x(near) + (column - least) / 2, 0, least, high)
    pen.globalAlpha = 1
  }
  drawBars(pen, plan)
  if (column >= ROOMY) drawFigures(pen, plan, style.color)
  else drawRuns(pen, plan, style.color)
  drawAxis(pen, plan, wide, style.color)
  drawTaken(pen, plan, wide)
}

function wordsOf(data, level) {
  const name = data.names?.[level]
  const lines = [`level ${level}${name ? `   ${name}` : ""}${level === data.taken ? "   the choice" : ""}`]
  let gone = false
  data.stages.forEach((stage, s) => {
    gone = gone || removedBy(data, s).has(level)
    lines.push(`${stage}: ${gone ? "removed" : `${(100 * data.probs[s][level]).toFixed(4)} %`}`)
  })
  return lines.join("\n")
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const charts = host.querySelector(".charts")
  const tip = host.querySelector(".tip")
  if (!kept.has(charts)) kept.set(charts, { near: -1, keyed: false })
  const state = kept.get(charts)
  const count = data.probs[0].length
  if (state.near >= count) state.near = -1
  const canTake = data.position !== null && data.position !== undefined
  say(host.querySelector(".title"), data.title ?? "")
  say(host.querySelector(".facts"), data.facts ?? "")
  charts.style.setProperty("--least", count > 8 ? "15rem" : "9rem") // two beside each other on a phone
  charts.style.setProperty("--most", `${data.stages.length * Math.max(240, 72 * count)}px`)
  charts.classList.toggle("can-take", canTake)
  charts.setAttribute("aria-label", `${data.alt} Left and right move, Enter takes a level.`)
  const stages = sized(charts, data.stages.length, emptyStage)
  stages.forEach((stage, s) => {
    say(stage.querySelector(".name"), data.stages[s].replace("=", " = "))
    say(stage.querySelector(".most"), `highest ${percent(Math.max(...data.probs[s]))}`)
    stage.querySelector("canvas").setAttribute("aria-hidden", "true")
  })
  const canvases = stages.map((stage) => stage.querySelector("canvas"))
  const redraw = () => canvases.forEach((canvas, s) => drawStage(canvas, data, s, state.near))

  const point = (near, stage = 0) => {
    const changed = near !== state.near
    state.near = near
    if (changed) redraw()
    tip.hidden = near < 0
    if (near < 0) return
    const words = wordsOf(data, near)
    say(tip, words)
    const box = canvases[stage].getBoundingClientRect()
    placeTip(tip, box.left + ((near + 1) * box.width) / count, box.top + 4)
    if (state.keyed) say(host.querySelector(".spoken"), words)
  }
  const at = (event) => {
    const stage = canvases.indexOf(event.target)
    if (stage < 0) return [-1, 0]
    const level = Math.floor((event.offsetX / event.target.clientWidth) * count)
    return [Math.max(0, Math.min(count - 1, level)), stage]
  }
  const takeLevel = (level) => canTake && setTriggerValue("take", { sid: `${data.position}:${level}` })
  charts.onpointermove = (event) => {
    if (event.pointerType === "touch") return
    state.keyed = false
    point(...at(event))
  }
  charts.onpointerleave = () => !state.keyed && point(-1)
  charts.onblur = () => point(-1)
  charts.onclick = (event) => {
    const [level] = at(event)
    if (level >= 0) takeLevel(level)
  }
  charts.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const start = state.near >= 0 ? state.near : data.taken ?? 0
    const to = {
      ArrowLeft: start - 1, ArrowRight: start + 1, Home: 0, End: count - 1,
      PageUp: start + 16, PageDown: start - 16,
    }[event.key]
    if (to !== undefined) {
      state.keyed = true
      point(Math.max(0, Math.min(count - 1, to)))
    } else if (event.key === "Enter") takeLevel(start)
    else if (event.key === "Escape") point(-1)
    else return
    event.preventDefault()
  }

  redraw()
  if (!tip.hidden) point(state.near)
  charts.dataset.levels = count // told when they are drawn
  let room = host.clientWidth
  const watch = new ResizeObserver(() => {
    if (host.clientWidth === room) return
    room = host.clientWidth
    redraw()
  })
  watch.observe(host)
  return () => watch.disconnect()
}
