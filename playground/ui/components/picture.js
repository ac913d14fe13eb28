// One picture that grows: pixels, what is known of them, a heat map over them, and rings around
// the pixel that comes next and the one that is looked at. Redrawn in place, a millisecond or two.
const HEATS = { // dim to glowing: lightness rises with strength, so the hue need not be seen
  surprisal: [[96, 30, 0], [224, 112, 0], [255, 226, 138]],
  entropy: [[0, 42, 100], [36, 134, 214], [196, 236, 255]],
  look: [[0, 62, 44], [14, 164, 116], [190, 255, 222]],
}
const DIM = 0.42 // of a picture's brightness below a heat map
const OPAQUE = 0.93
const COLOR_NAMES = ["red", "green", "blue"]

const kept = new WeakMap() // canvas -> what it is drawn from

function heatOf(kind, strength) {
  return [...ramp(HEATS[kind] ?? HEATS.surprisal, strength), OPAQUE * strength ** 0.6]
}

function tables(kind) {
  return Array.from({ length: 256 }, (_, s) => heatOf(kind, s / 255))
}

// Below a heat map only light and dark are left of a picture: the colour belongs to the map.
function fillDimmed(small, bytes, known, colors) {
  fillSmall(small, (out, i, to) => {
    if (!known[i]) return
    const from = i * colors
    const grey = colors === 3
      ? 0.299 * bytes[from] + 0.587 * bytes[from + 1] + 0.114 * bytes[from + 2]
      : bytes[from]
    out[to] = out[to + 1] = out[to + 2] = grey * DIM
    out[to + 3] = known[i] === LATER ? FAINT : 255
  })
}

function take(state, data) {
  state.data = data
  state.bytes = unpack(data.pixels)
  state.known = unpack(data.known)
  state.small = smallCanvas(state.small, data.width, data.height)
  const fill = data.overlay ? fillDimmed : fillPicture
  fill(state.small, state.bytes, state.known, data.colors)
  if (data.overlay) {
    const strengths = unpack(data.overlay.values)
    if (state.kind !== data.overlay.kind) state.table = tables(data.overlay.kind)
    state.kind = data.overlay.kind
    state.heat = smallCanvas(state.heat, data.width, data.height)
    fillSmall(state.heat, (out, i, to) => {
      const [r, g, b, a] = state.table[strengths[i]]
      out[to] = r
      out[to + 1] = g
      out[to + 2] = b
      out[to + 3] = 255 * a
    })
  }
  state.field = data.field ? unpack(data.field) : null
  const count = data.width * data.height
  if (state.near >= count) state.near = -1
  if (state.focus >= count) state.focus = -1
}

function draw(canvas, state, room) {
  const { data, known } = state
  const { width, height } = data
  if (!room) return
  const cell = (state.cell = cellOf(room, width, data.scale))
  const wide = width * cell, high = height * cell
  const pen = penOf(canvas, wide, high)
  pen.drawImage(state.small, 0, 0, wide, high)
  known.forEach((how, i) => { // some colours of a pixel: half of it
    if (how !== 2) return
    const x = (i % width) * cell, y = Math.floor(i / width) * cell
    pen.save()
    pen.globalCompositeOperation = "destination-out"
    pen.beginPath()
    pen.moveTo(x + cell, y)
    pen.lineTo(x + cell, y + cell)
    pen.lineTo(x, y + cell)
    pen.fill()
    pen.restore()
  })
  if (data.overlay) pen.drawImage(state.heat, 0, 0, wide, high)
  if (state.field) {
    const inside = (i) => state.field[i]
    if (!data.overlay) {
      pen.fillStyle = "rgb(86 180 233 / 30%)"
      for (let i = 0; i < width * height; i++) {
        if (state.field[i]) pen.fillRect((i % width) * cell, Math.floor(i / width) * cell, cell, cell)
      }
    }
    strokeCased(pen, borderOf(inside, width, height, cell), "#56b4e9", "rgb(8 20 34 / 75%)", 2)
  }
  if (Number.isInteger(data.cursor)) strokeCased(pen, ringOf(data.cursor, width, cell), CURSOR, "#fff", 2)
  if (Number.isInteger(data.chosen)) {
    const apart = data.chosen === data.cursor ? 3 : 0
    strokeCased(pen, ringOf(data.chosen, width, cell, apart), "#fff", "#111820", 2)
  }
  const near = state.focus >= 0 ? state.focus : state.near
  if (near >= 0) {
    pen.setLineDash(state.focus >= 0 ? [3, 2] : [])
    strokeCased(pen, ringOf(near, width, cell), "#fff", "rgb(17 24 32 / 85%)", 1)
    pen.setLineDash([])
  }
}

function number(values, i) {
  const value = values[i]
  if (value === null || value === undefined) return null
  return values.every((v) => v === null || Number.isInteger(v)) ? String(value) : value.toFixed(2)
}

function wordsOf(state, i) {
  const { data, bytes, known } = state
  const lines = [`row ${Math.floor(i / data.width) + 1}, column ${(i % data.width) + 1}`]
  const values = [...bytes.subarray(i * data.colors, (i + 1) * data.colors)]
  const shown = data.colors === 3
    ? values.map((v, c) => `${COLOR_NAMES[c]} ${v}`).join(", ")
    : `brightness ${values[0]}`
  lines.push(["not decided yet", shown, `partly decided: ${shown}`, `${shown}, decided later`][known[i]])
  for (const [name, figures] of Object.entries(data.figures ?? {})) {
    const says = figures && number(figures, i)
    if (says) lines.push(`${name} ${says}`)
  }
  return lines.join("\n")
}

function drawLegend(host, data, known) {
  const part = (name) => host.querySelector(`.legend .${name}`)
  part("heat").hidden = !data.overlay
  if (data.overlay) {
    say(part("heat-title"), data.overlay.title)
    say(part("low"), data.overlay.low)
    say(part("high"), data.overlay.high)
    const ground = 60 * DIM
    const stops = [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1].map((s) => {
      const [r, g, b, a] = heatOf(data.overlay.kind, s)
      return `rgb(${[r, g, b].map((c) => Math.round(c * a + ground * (1 - a)))})`
    })
    part("ramp").style.background = `linear-gradient(90deg, ${stops})`
  }
  part("has-cursor").hidden = !Number.isInteger(data.cursor)
  part("has-chosen").hidden = !Number.isInteger(data.chosen)
  part("has-field").hidden = !data.field
  part("has-later").hidden = !known.includes(LATER)
  part("has-undecided").hidden = known.every((how) => how === 1 || how === LATER)
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const canvas = host.querySelector("canvas")
  const tip = host.querySelector(".tip")
  const spoken = host.querySelector(".spoken")
  if (!kept.has(canvas)) kept.set(canvas, { near: -1, focus: -1 })
  const state = kept.get(canvas)
  const { width, height } = data
  say(host.querySelector(".title"), data.title ?? "")
  say(host.querySelector(".facts"), data.facts ?? "")
  canvas.setAttribute("aria-label", `${data.alt} Arrow keys read it${data.still ? "" : ", Enter shows a pixel"}.`)
  canvas.classList.toggle("still", Boolean(data.still)) // a picture to look at, not to click
  take(state, data)
  drawLegend(host, data, state.known)
  const redraw = () => draw(canvas, state, host.clientWidth - 2)

  const tell = (pixel) => {
    tip.hidden = pixel < 0
    if (pixel < 0) return
    say(tip, wordsOf(state, pixel))
    const box = canvas.getBoundingClientRect()
    const x = box.left + ((pixel % width) + 1) * state.cell
    placeTip(tip, x, box.top + (Math.floor(pixel / width) + 1) * state.cell)
  }
  const point = (near, focus) => {
    if (near === state.near && focus === state.focus) return
    state.near = near
    state.focus = focus
    redraw()
    tell(focus >= 0 ? focus : near)
    if (focus >= 0) say(spoken, wordsOf(state, focus))
  }
  const at = (event) => {
    const x = Math.floor(event.offsetX / state.cell), y = Math.floor(event.offsetY / state.cell)
    return x >= 0 && y >= 0 && x < width && y < height ? y * width + x : -1
  }
  canvas.onpointermove = (event) => event.pointerType !== "touch" && point(at(event), -1)
  canvas.onpointerleave = () => point(-1, state.focus)
  canvas.onblur = () => point(-1, -1)
  const go = (pixel) => !data.still && pixel >= 0 && setTriggerValue("go", { pixel })
  canvas.onclick = (event) => go(at(event))
  canvas.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const start = [state.focus, data.chosen ?? -1, data.cursor ?? -1].find((i) => i >= 0) ?? 0
    const x = start % width, y = Math.floor(start / width)
    const [toX, toY] = {
      ArrowLeft: [x - 1, y], ArrowRight: [x + 1, y], ArrowUp: [x, y - 1], ArrowDown: [x, y + 1],
      Home: [0, y], End: [width - 1, y],
    }[event.key] ?? []
    if (toX !== undefined) {
      const inside = toX >= 0 && toY >= 0 && toX < width && toY < height
      point(-1, inside ? toY * width + toX : start)
    } else if (event.key === "Enter") go(start)
    else if (event.key === "Escape") point(-1, -1)
    else return
    event.preventDefault()
  }

  redraw()
  if (!tip.hidden) tell(state.focus >= 0 ? state.focus : state.near)
  canvas.dataset.known = state.known.reduce((sum, how) => sum + (how === 1), 0) // told when drawn
  let room = host.clientWidth
  state.watch?.disconnect()
  state.watch = new ResizeObserver(() => {
    if (host.clientWidth === room) return
    room = host.clientWidth
    redraw()
  })
  state.watch.observe(host)
  return () => state.watch.disconnect()
}
