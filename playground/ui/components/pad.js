// A drawing at the model's own resolution, by mouse, pen, finger or keys. It lives here until
// "Use this drawing" sends it, and outlives every rerun of the page; another start begins anew.
const MOST_SWATCHES = 16
const MOST_UNDO = 30
const PALETTE = [
  "#000000", "#5c5c5c", "#a6a6a6", "#ffffff", "#7a4a21", "#d7261e", "#f07c1b", "#ffcc22",
  "#f6d7b0", "#8bc34a", "#1f8a4c", "#19b5b0", "#5bc0f8", "#1f5fbf", "#7b3fb5", "#ef7fb0",
]

const kept = new WeakMap() // paper -> the drawing, what undo goes back to, tool and colour

function rgbOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16))
}

function hexOf(values) {
  return `#${values.map((v) => v.toString(16).padStart(2, "0")).join("")}`
}

function offered(data) {
  if (data.colors === 3) return PALETTE
  const count = Math.max(2, Math.min(MOST_SWATCHES, data.levels))
  return Array.from({ length: count }, (_, q) => {
    const value = Math.ceil((255 * q) / (count - 1)) // as the tokenizer shows its levels
    return hexOf([value, value, value])
  })
}

function blank(data) {
  const ground = data.colors === 3 ? 255 : 0 // grey models saw light things on black
  return new Uint8Array(data.height * data.width * data.colors).fill(ground)
}

function begin(paper, data) {
  const of = `${data.width}|${data.height}|${data.colors}|${data.start}`
  if (kept.get(paper)?.of === of) return kept.get(paper)
  kept.get(paper)?.watch?.disconnect()
  const bytes = data.start ? unpack(data.start) : blank(data)
  const color = data.colors === 3 ? "#000000" : "#ffffff"
  const state = { of, bytes, undo: [], tool: "brush", size: data.colors === 3 || data.width < 16 ? 1 : 2,
    color, near: -1, last: -1, drawing: false, keyed: false }
  kept.set(paper, state)
  return state
}

// One radio button of a row; the browser moves among them by arrow keys.
function choice(group, value, label, face, checked, pick) {
  const holder = element("label", group)
  const input = element("input", "")
  input.type = "radio"
  input.name = group
  input.value = value
  input.checked = checked
  input.setAttribute("aria-label", label)
  input.onchange = () => pick(value)
  holder.title = label
  holder.append(input, face)
  return holder
}

function faceOf(text) {
  const face = element("span", "face")
  face.textContent = text
  return face
}

function layTools(host, state, data) {
  const row = (name) => host.querySelector(`.row.${name}`)
  const look = `${data.colors}|${data.levels}`
  if (state.look === look) return
  state.look = look
  row("tool-row").replaceChildren(...["brush", "fill"].map((tool) =>
    choice("tool", tool, tool === "brush" ? "Brush" : "Fill an area", faceOf(tool === "brush" ? "Brush" : "Fill"),
      tool === state.tool, (to) => (state.tool = to))))
  row("size-row").replaceChildren(...[1, 2, 3, 4].map((size) => {
    const face = element("span", "face")
    const dot = element("i", "dot")
    dot.style.width = dot.style.height = `${size * 4}px`
    face.append(dot)
    return choice("size", size, `Brush of ${size} by ${size} pixels`, face, size === state.size, (to) => (state.size = to))
  }))
  const swatches = offered(data)
  if (!swatches.includes(state.color)) state.color = swatches.at(-1)
  const own = host.querySelector("input[type=color]")
  host.querySelector(".own").hidden = data.colors !== 3
  const pick = (to) => {
    state.color = to
    own.classList.remove("chosen")
  }
  row("color-row").replaceChildren(...swatches.map((hex) => {
    const face = element("span", "face")
    face.style.background = hex
    face.style.setProperty("--tick", luminance(rgbOf(hex)) > 0.55 ? "#111820" : "#ffffff")
    const label = data.colors === 3 ? `Colour ${hex}` : `Brightness ${rgbOf(hex)[0]}`
    return choice("swatch", hex, label, face, hex === state.color, pick)
  }))
  own.oninput = () => {
    pick(own.value)
    own.classList.add("chosen")
    for (const input of row("color-row").querySelectorAll("input[type=radio]")) input.checked = input.value === own.value
  }
}

function put(state, data, pixel) {
  const values = rgbOf(state.color)
  for (let c = 0; c < data.colors; c++) state.bytes[pixel * data.colors + c] = values[c]
}

// The pixels a brush covers around `pixel`, inside the picture.
function covered(state, data, pixel) {
  const { width, height } = data
  const before = Math.floor((state.size - 1) / 2)
  const x0 = (pixel % width) - before, y0 = Math.floor(pixel / width) - before
  const x = [Math.max(0, x0), Math.min(width, x0 + state.size)]
  const y = [Math.max(0, y0), Math.min(height, y0 + state.size)]
  return { x, y }
}

function dab(state, data, pixel) {
  const { x, y } = covered(state, data, pixel)
  for (let row = y[0]; row < y[1]; row++) {
    for (let column = x[0]; column < x[1]; column++) put(state, data, row * data.width + column)
  }
}

// A fast hand leaves gaps between two events: fill them with a straight line.
function stroke(state, data, from, to) {
  const { width } = data
  const x0 = from % width, y0 = Math.floor(from / width)
  const dx = (to % width) - x0, dy = Math.floor(to / width) - y0
  const steps = Math.max(1, Math.abs(dx), Math.abs(dy))
  for (let s = 0; s <= steps; s++) {
    dab(state, data, Math.round(y0 + (dy * s) / steps) * width + Math.round(x0 + (dx * s) / steps))
  }
}

function fillArea(state, data, pixel) {
  const { width, height, colors } = data
  const valueAt = (i) => state.bytes.subarray(i * colors, (i + 1) * colors).join()
  const old = valueAt(pixel)
  if (old === rgbOf(state.color).slice(0, colors).join()) return
  const open = [pixel]
  while (open.length) {
    const i = open.pop()
    if (valueAt(i) !== old) continue
    put(state, data, i)
    const x = i % width, y = Math.floor(i / width)
    if (x) open.push(i - 1)
    if (x + 1 < width) open.push(i + 1)
    if (y) open.push(i - width)
    if (y + 1 < height) open.push(i + width)
  }
}

function remember(state) {
  state.undo.push(state.bytes.slice())
  if (state.undo.length > MOST_UNDO) state.undo.shift()
}

function draw(paper, state, data, room) {
  if (room <= 0) return
  const { width, height } = data
  const cell = (state.cell = cellOf(room, width, data.scale))
  state.small = smallCanvas(state.small, width, height)
  fillPicture(state.small, state.bytes, null, data.colors)
  const pen = penOf(paper, width * cell, height * cell)
  pen.drawImage(state.small, 0, 0, width * cell, height * cell)
  if (cell >= 7) {
    pen.fillStyle = "rgb(128 140 156 / 22%)"
    for (let x = 1; x < width; x++) pen.fillRect(x * cell - 0.5, 0, 1, height * cell)
    for (let y = 1; y < height; y++) pen.fillRect(0, y * cell - 0.5, width * cell, 1)
  }
  if (state.near < 0) return
  const { x, y } = state.tool === "brush" ? covered(state, data, state.near) : covered({ size: 1 }, data, state.near)
  const ring = new Path2D()
  ring.rect(x[0] * cell, y[0] * cell, (x[1] - x[0]) * cell, (y[1] - y[0]) * cell)
  if (state.keyed) pen.setLineDash([3, 2])
  strokeCased(pen, ring, "#fff", "rgb(17 24 32 / 85%)", 1)
  pen.setLineDash([])
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const paper = host.querySelector(".paper")
  const button = (name) => host.querySelector(`button.${name}`)
  const state = begin(paper, data)
  const { width, height } = data
  layTools(host, state, data)
  const label = `A picture of ${width} by ${height} pixels to draw on. Arrow keys move, the space bar paints.`
  paper.setAttribute("aria-label", label)
  const redraw = () => {
    draw(paper, state, data, host.clientWidth - 2)
    button("undo").disabled = !state.undo.length
    paper.dataset.undo = state.undo.length
  }
  const change = (paint) => {
    remember(state)
    paint()
    redraw()
  }

  const at = (event) => {
    const x = Math.floor(event.offsetX / state.cell), y = Math.floor(event.offsetY / state.cell)
    const clamp = (v, most) => Math.max(0, Math.min(most - 1, v))
    return clamp(y, height) * width + clamp(x, width)
  }
  paper.onpointerdown = (event) => {
    if (event.button) return
    paper.setPointerCapture(event.pointerId)
    state.keyed = false
    state.near = state.last = at(event)
    state.drawing = state.tool === "brush"
    change(() => (state.drawing ? dab : fillArea)(state, data, state.near))
  }
  paper.onpointermove = (event) => {
    if (state.drawing) {
      for (const part of event.getCoalescedEvents?.() ?? [event]) {
        stroke(state, data, state.last, at(part))
        state.last = at(part)
      }
    }
    state.keyed = false
    if (at(event) === state.near && !state.drawing) return
    state.near = event.pointerType === "touch" && !state.drawing ? -1 : at(event)
    redraw()
  }
  paper.onpointerup = paper.onpointercancel = (event) => {
    state.drawing = false
    if (event.pointerType === "touch") state.near = -1
    redraw()
  }
  paper.onpointerleave = paper.onblur = () => {
    if (state.drawing) return
    state.near = -1
    redraw()
  }
  paper.onkeydown = (event) => {
    if (event.altKey) return
    if ((event.ctrlKey || event.metaKey) && event.key === "z") button("undo").click()
    else if (event.ctrlKey || event.metaKey) return
    else {
      const start = state.near >= 0 ? state.near : Math.floor(height / 2) * width + Math.floor(width / 2)
      const x = start % width, y = Math.floor(start / width)
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0]
      const paints = event.key === " " || event.key === "Enter"
      if (!dx && !dy && !paints) return
      state.keyed = true
      const inside = x + dx >= 0 && y + dy >= 0 && x + dx < width && y + dy < height
      state.near = inside ? (y + dy) * width + x + dx : start
      if (paints) change(() => (state.tool === "brush" ? dab : fillArea)(state, data, state.near))
      else redraw()
    }
    event.preventDefault()
  }
  button("undo").onclick = () => {
    if (state.undo.length) state.bytes = state.undo.pop()
    redraw()
  }
  button("clear").onclick = () => change(() => (state.bytes = blank(data)))
  button("use").onclick = () => setTriggerValue("use", { pixels: pack(state.bytes) })

  redraw()
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
