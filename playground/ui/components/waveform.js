// A sound as amplitude over time: an envelope from afar, single samples from near. What part is
// shown is kept here over reruns; while the sound grows and its end is shown, the view follows.
const PLOT = 190, STRIP = 14, GAP = 5, AXIS = 36, TOP = 6, BAR = 5 // pixels, from above
const INK = { light: "#0072b2", dark: "#56b4e9" }
const GIVEN = "#8a94a3", MARK = "0 158 115", READ = "#cc79a7"
const STRONGEST = 0.42 // how much of the ground a mark covers at most: the waveform stays readable
const NEAREST = 16 // samples shown at least
const STEMS = 4, DOTS = 7 // pixels a sample needs for a stem, for a dot
const LOUDER = [1, 4, 16, 64] // how often the amplitude is magnified

const kept = new WeakMap() // canvas -> what it shows

function take(state, data) {
  const grown = data.count - (state.data?.count ?? data.count)
  const before = state.data
  state.data = data
  state.levels = unpack(data.levels)
  state.colours = data.colours ? unpack(data.colours.values) : null
  state.marks = data.marks ? unpack(data.marks.values) : null
  if (state.mu !== data.mu) {
    state.mu = data.mu
    state.table = Float32Array.from({ length: data.mu + 1 }, (_, level) => amplitudeOf(level, data.mu))
  }
  const asked = JSON.stringify(data.window)
  if (asked !== state.asked) {
    state.asked = asked
    state.view = data.window ? [...data.window] : null
  } else if (state.view) {
    const [from, to] = state.view
    if (before && grown && to >= before.count) state.view = [from + grown, to + grown]
    const [first, behind] = state.view
    if (before?.cursor !== data.cursor && !(data.cursor >= first && data.cursor < behind)) {
      const span = behind - first // the chosen sample comes into view
      state.view = [data.cursor - span * 0.8, data.cursor + span * 0.2]
    }
  }
  state.view = inside(state.view, data.count)
  if (state.focus > data.count) state.focus = -1
}

// A view with at least a few samples, none of them outside the sound; null is all of it.
function inside(view, count) {
  if (!view) return null
  const all = count + 1 // one more: what comes next
  const span = Math.max(Math.min(NEAREST, all), view[1] - view[0])
  if (span >= all) return null
  const from = Math.max(0, Math.min(all - span, view[0]))
  return [from, from + span]
}

function shownOf(state) {
  return state.view ?? [0, Math.max(NEAREST, state.data.count + 1)]
}

function planOf(state, wide) {
  const [from, to] = shownOf(state)
  const left = LEFT, right = wide - RIGHT
  const each = (right - left) / (to - from)
  return {
    from, to, left, right, each, base: TOP + PLOT,
    x: (sample) => left + (sample - from) * each,
    y: (amplitude) => TOP + (PLOT / 2) * (1 - Math.max(-1, Math.min(1, amplitude * LOUDER[state.louder]))),
    first: Math.max(0, Math.floor(from)), last: Math.min(state.data.count, Math.ceil(to)), // behind it
  }
}

function drawGrid(pen, state, plan, color) {
  const most = 1 / LOUDER[state.louder]
  pen.textAlign = "right"
  pen.textBaseline = "middle"
  for (const share of [-1, -0.5, 0, 0.5, 1]) {
    const y = Math.round(plan.y(share * most))
    pen.fillStyle = color
    pen.globalAlpha = share ? 0.1 : 0.3
    pen.fillRect(plan.left, y, plan.right - plan.left, 1)
    pen.globalAlpha = 0.8
    const says = minus(trimmed(share * most, 4))
    pen.fillText(says, plan.left - 5, Math.max(TOP + 5, Math.min(plan.base - 5, y)))
  }
  pen.globalAlpha = 1
}

// The strongest byte of each column of pixels, or of each sample where those are wider.
function columns(bytes, plan, combine) {
  const found = []
  const count = Math.min(bytes.length, plan.last)
  if (plan.each >= 1) {
    const dense = window.devicePixelRatio || 1
    const point = (sample) => Math.round(plan.x(sample) * dense) / dense // no seams between them
    for (let i = plan.first; i < count; i++) {
      const value = combine(bytes, i, i + 1)
      if (value !== null) found.push([point(i), point(i + 1) - point(i), value])
    }
    return found
  }
  for (let px = Math.floor(plan.left); px < plan.right; px++) {
    const a = Math.max(0, Math.floor(plan.from + (px - plan.left) / plan.each))
    const b = Math.min(count, Math.ceil(plan.from + (px + 1 - plan.left) / plan.each))
    if (a >= b) continue
    const value = combine(bytes, a, b)
    if (value !== null) found.push([px, 1, value])
  }
  return found
}

function strongest(bytes, a, b) {
  let most = 0
  for (let i = a; i < b; i++) if (bytes[i] > most) most = bytes[i]
  return most || null
}

function mean(bytes, a, b) {
  let sum = 0, count = 0
  for (let i = a; i < b; i++) {
    if (bytes[i] === 255) continue
    sum += bytes[i]
    count++
  }
  return count ? sum / count : null
}

function drawMarks(pen, state, plan) {
  if (!state.marks) return
  for (const [x, wide, value] of columns(state.marks, plan, strongest)) {
    pen.fillStyle = `rgb(${MARK} / ${((STRONGEST * value) / 255).toFixed(3)})`
    pen.fillRect(x, TOP, wide, PLOT)
  }
}

function drawEnvelope(pen, state, plan, ink) {
  const { levels, table, data } = state
  for (let px = Math.floor(plan.left); px < plan.right; px++) {
    const a = Math.max(0, Math.floor(plan.from + (px - plan.left) / plan.each))
    const b = Math.min(data.count, Math.ceil(plan.from + (px + 1 - plan.left) / plan.each) + 1)
    if (a >= b) break
    let low = 255, high = 0 // levels rise with the amplitude
    for (let i = a; i < b; i++) {
      if (levels[i] < low) low = levels[i]
      if (levels[i] > high) high = levels[i]
    }
    const top = plan.y(table[high])
    pen.fillStyle = a < data.kept ? GIVEN : ink
    pen.fillRect(px, top - 0.6, 1, Math.max(1.2, plan.y(table[low]) - top + 1.2))
  }
}

function drawSamples(pen, state, plan, ink) {
  const { levels, table, data } = state
  const zero = plan.y(0)
  const middle = (i) => plan.x(i) + plan.each / 2
  pen.lineWidth = 1.4
  for (let i = plan.first; i < plan.last; i++) {
    const x = middle(i), y = plan.y(table[levels[i]])
    const color = i < data.kept ? GIVEN : ink
    pen.strokeStyle = pen.fillStyle = color
    pen.beginPath()
    if (plan.each >= STEMS) {
      pen.moveTo(x, zero)
      pen.lineTo(x, y)
    } else if (i > plan.first) {
      pen.moveTo(middle(i - 1), plan.y(table[levels[i - 1]]))
      pen.lineTo(x, y)
    }
    pen.stroke()
    if (plan.each < DOTS) continue
    pen.beginPath()
    pen.arc(x, y, Math.min(4, plan.each / 4), 0, 7)
    pen.fill()
  }
}

function drawStrip(pen, state, plan, stops) {
  if (!state.colours) return
  for (const [x, wide, value] of columns(state.colours, plan, mean)) {
    pen.fillStyle = `rgb(${ramp(stops, value / 254)})`
    pen.fillRect(x, plan.base + GAP, wide, STRIP)
  }
}

function drawReads(pen, state, plan) {
  pen.fillStyle = READ
  for (const i of state.data.reads) {
    if (i < plan.first || i >= plan.last) continue
    pen.fillRect(plan.x(i) + plan.each / 2 - 0.75, plan.base - 9, 1.5, 9)
  }
}

// The thin bar above: which part of the whole is shown.
function drawPart(pen, state, plan, color) {
  if (!state.view) return
  const wide = plan.right - plan.left, all = state.data.count + 1
  pen.fillStyle = color
  pen.globalAlpha = 0.15
  pen.fillRect(plan.left, 0, wide, BAR - 2)
  pen.globalAlpha = 0.6
  pen.fillRect(plan.left + (plan.from / all) * wide, 0, Math.max(4, ((plan.to - plan.from) / all) * wide), BAR - 2)
  pen.globalAlpha = 1
}

function drawLine(pen, plan, sample, color, wide, dash = []) {
  if (sample < plan.from - 1 || sample >= plan.to) return
  const x = plan.x(sample) + plan.each / 2
  pen.strokeStyle = color
  pen.lineWidth = wide
  pen.setLineDash(dash)
  pen.beginPath()
  pen.moveTo(x, TOP)
  pen.lineTo(x, plan.base)
  pen.stroke()
  pen.setLineDash([])
}

function draw(canvas, state, wide) {
  if (wide < 80) return
  const { data } = state
  const strip = state.colours ? GAP + STRIP : 0
  const pen = penOf(canvas, wide, TOP + PLOT + strip + AXIS)
  const style = getComputedStyle(canvas)
  const dark = isDark(canvas.closest(".host"))
  const ink = dark ? INK.dark : INK.light
  const plan = (state.plan = planOf(state, wide))
  pen.font = `11px ${style.fontFamily}`
  drawPart(pen, state, plan, style.color)
  pen.save()
  pen.beginPath()
  pen.rect(plan.left, 0, plan.right - plan.left, plan.base + strip + 1)
  pen.clip()
  drawMarks(pen, state, plan)
  if (plan.each >= 1) drawSamples(pen, state, plan, ink)
  else drawEnvelope(pen, state, plan, ink)
  drawStrip(pen, state, plan, dark ? DARK : LIGHT)
  drawReads(pen, state, plan)
  drawLine(pen, plan, data.cursor, CURSOR, 2)
  const near = state.focus >= 0 ? state.focus : state.near
  if (near >= 0 && near !== data.cursor) drawLine(pen, plan, near, style.color, 1, state.focus >= 0 ? [4, 3] : [])
  pen.restore()
  drawGrid(pen, state, plan, style.color)
  drawTimeAxis(pen, {
    x: (seconds) => plan.x(seconds * data.sample_rate), left: plan.left, right: plan.right,
    top: plan.base + strip, from: plan.from / data.sample_rate, to: plan.to / data.sample_rate,
  }, style.color)
  canvas.dataset.samples = data.count // told when they are drawn
  canvas.dataset.from = plan.from
  canvas.dataset.to = plan.to
}

function wordsOf(state, i) {
  const { data, levels } = state
  const lines = [`sample ${i.toLocaleString("en")}, ${timeWords(i / data.sample_rate)}`]
  if (i >= data.count) return [...lines, "comes next"].join("\n")
  lines.push(`level ${levels[i]}, amplitude ${minus(state.table[levels[i]].toFixed(4))}`)
  const strength = state.colours?.[i]
  if (strength !== undefined && strength !== 255) {
    const value = ((strength / 254) * data.colours.most).toFixed(1)
    lines.push(`${data.colours.title} ${value} ${data.colours.unit}${strength === 254 ? " or more" : ""}`.trim())
  }
  const mark = state.marks?.[i]
  if (mark !== undefined) lines.push(`${data.marks.title} ${(100 * (mark / 255) ** 2).toFixed(1)} % of the strongest`)
  if (i < data.kept) lines.push("given by you")
  if (state.data.reads.includes(i)) lines.push("read by the model")
  return lines.join("\n")
}

function drawLegend(host, data) {
  const part = (name) => host.querySelector(`.legend .${name}`)
  part("has-heat").hidden = !data.colours
  if (data.colours) {
    say(part("heat-title"), data.colours.title)
    say(part("low"), "0")
    say(part("high"), `${trimmed(data.colours.most, 2)} ${data.colours.unit} or more`)
    const stops = isDark(host) ? DARK : LIGHT
    part("ramp").style.background = `linear-gradient(90deg, ${stops.map((s) => `rgb(${s})`)})`
  }
  part("has-kept").hidden = !data.kept
  part("has-marks").hidden = !data.marks
  if (data.marks) say(part("marks-title"), data.marks.title)
  part("has-reads").hidden = !data.reads.length
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const canvas = host.querySelector("canvas")
  const tip = host.querySelector(".tip")
  const button = (name) => host.querySelector(`.tools .${name}`)
  if (!kept.has(canvas)) {
    kept.set(canvas, { near: -1, focus: -1, louder: 0, view: null, pointers: new Map() })
  }
  const state = kept.get(canvas)
  say(host.querySelector(".title"), data.title ?? "")
  say(host.querySelector(".facts"), data.facts ?? "")
  canvas.setAttribute("aria-label", `${data.alt} Arrow keys read it, Enter chooses, plus and minus zoom.`)
  take(state, data)
  drawLegend(host, data)

  const redraw = () => {
    draw(canvas, state, host.clientWidth)
    const [from, to] = shownOf(state)
    const span = (to - from) / data.sample_rate
    say(button("shown"), state.view ? `${roundly(span)} of ${roundly(data.count / data.sample_rate)}` : "")
    say(button("louder"), `\u00b1${trimmed(1 / LOUDER[state.louder], 4)}`)
    button("louder").setAttribute("aria-label", `Amplitude up to ${trimmed(1 / LOUDER[state.louder], 4)}; magnify it`)
    button("out").disabled = button("whole").disabled = !state.view
    button("in").disabled = to - from <= NEAREST
  }
  const look = (view) => {
    state.view = inside(view, data.count)
    redraw()
    canvas.dataset.drawn = Number(canvas.dataset.drawn ?? 0) + 1
  }
  // Zoom by a factor around a sample that stays where it is.
  const zoom = (factor, around) => {
    const [from, to] = shownOf(state)
    const span = Math.max(NEAREST, (to - from) * factor)
    if (around >= data.count) around = to // at the end it stays at the end, to follow it
    const share = (around - from) / (to - from)
    look([around - share * span, around + (1 - share) * span])
  }
  const middle = () => {
    const [from, to] = shownOf(state)
    return data.cursor >= from && data.cursor <= to ? data.cursor + 0.5 : (from + to) / 2
  }
  const sampleAt = (x) => state.plan.from + (x - state.plan.left) / state.plan.each
  const at = (event) => {
    const { left, right } = state.plan ?? {}
    if (!state.plan || event.offsetX < left || event.offsetX > right) return -1
    return Math.max(0, Math.min(data.count, Math.floor(sampleAt(event.offsetX))))
  }
  const point = (near, focus) => {
    const changed = near !== state.near || focus !== state.focus
    state.near = near
    state.focus = focus
    if (changed) redraw()
    const shown = focus >= 0 ? focus : near
    tip.hidden = shown < 0
    if (shown < 0) return
    const words = wordsOf(state, shown)
    say(tip, words)
    const box = canvas.getBoundingClientRect()
    placeTip(tip, box.left + state.plan.x(shown + 1), box.bottom - AXIS / 2) // the sound stays seen
    if (focus >= 0) say(host.querySelector(".spoken"), words)
  }
  const go = (sample) => sample >= 0 && setTriggerValue("go", { sample })

  button("in").onclick = () => zoom(0.5, middle())
  button("out").onclick = () => zoom(2, middle())
  button("whole").onclick = () => look(null)
  button("near-cursor").onclick = () => {
    const span = 0.01 * data.sample_rate
    look([data.cursor + 1 - span * 0.8, data.cursor + 1 + span * 0.2])
  }
  button("louder").onclick = () => {
    state.louder = (state.louder + 1) % LOUDER.length
    redraw()
  }
  canvas.onwheel = (event) => {
    const isAcross = Math.abs(event.deltaX) > Math.abs(event.deltaY)
    const isFocused = canvas.getRootNode().activeElement === canvas
    const asked = event.ctrlKey || event.metaKey || isFocused // else the page scrolls
    if (!isAcross && !asked) return
    event.preventDefault()
    if (isAcross) {
      const [from, to] = shownOf(state)
      const by = event.deltaX / state.plan.each
      look([from + by, to + by])
    } else zoom(1.2 ** Math.sign(event.deltaY), Math.max(0, sampleAt(event.offsetX)))
  }

  // One pointer clicks or drags, two pinch.
  const xs = () => [...state.pointers.values()]
  canvas.onpointerdown = (event) => {
    if (event.button) return
    state.pointers.set(event.pointerId, event.offsetX)
    state.moved = state.pointers.size > 1
    state.grabbed = [event.offsetX, shownOf(state)]
    canvas.setPointerCapture(event.pointerId)
  }
  canvas.onpointermove = (event) => {
    if (!state.pointers.has(event.pointerId)) {
      if (event.pointerType !== "touch") point(at(event), -1)
      return
    }
    const before = xs()
    state.pointers.set(event.pointerId, event.offsetX)
    if (state.pointers.size > 1) {
      const apart = ([a, b]) => Math.max(10, Math.abs(a - b))
      const now = xs()
      zoom(apart(before) / apart(now), sampleAt((now[0] + now[1]) / 2))
      return
    }
    const [x, [from, to]] = state.grabbed
    if (!state.moved && Math.abs(event.offsetX - x) < 5) return
    state.moved = true
    canvas.classList.add("dragged")
    tip.hidden = true
    const by = (x - event.offsetX) / state.plan.each
    look(state.view ? [from + by, to + by] : null)
  }
  const released = (event, chooses) => {
    if (!state.pointers.delete(event.pointerId)) return
    canvas.classList.remove("dragged")
    if (state.pointers.size) {
      state.grabbed = [xs()[0], shownOf(state)]
      return
    }
    if (chooses && !state.moved) go(at(event))
  }
  canvas.onpointerup = (event) => released(event, true)
  canvas.onpointercancel = (event) => released(event, false)
  canvas.onpointerleave = () => point(-1, state.focus)
  canvas.onblur = () => point(-1, -1)
  canvas.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const start = state.focus >= 0 ? state.focus : data.cursor
    const far = Math.max(1, Math.round(0.01 * data.sample_rate))
    const to = {
      ArrowLeft: start - 1, ArrowRight: start + 1, PageDown: start + far, PageUp: start - far,
      Home: 0, End: data.count,
    }[event.key]
    if (to !== undefined) {
      const sample = Math.max(0, Math.min(data.count, to))
      const [from, behind] = shownOf(state)
      if (sample < from || sample >= behind) {
        const span = behind - from
        look(sample < from ? [sample, sample + span] : [sample + 1 - span, sample + 1])
      }
      point(-1, sample)
    } else if (event.key === "Enter") go(start)
    else if (event.key === "Escape") point(-1, -1)
    else if (event.key === "+" || event.key === "=") zoom(0.5, start + 0.5)
    else if (event.key === "-") zoom(2, start + 0.5)
    else if (event.key === "0") look(null)
    else return
    event.preventDefault()
  }

  redraw()
  if (!tip.hidden) point(state.near, state.focus)
  return watchWidth(host, redraw)
}
