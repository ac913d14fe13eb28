// The layers of a WaveNet as its paper draws them: a row a layer, the input below, and a line for
// every sample that a node reads. One path a row: a receptive field has thousands of lines.
const SPACE = "http://www.w3.org/2000/svg"
const ROW = 52, LEAST_ROW = 16, TALL = 320, TOP = 26, AXIS = 34, NAMES = 84 // pixels
const COVERED = 0.3 // of a row that its lines may darken

function shape(tag, attributes, text) {
  const made = document.createElementNS(SPACE, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  if (text !== undefined) made.textContent = text
  return made
}

function draw(host, data) {
  const wide = host.clientWidth
  if (wide < 80) return
  const depth = data.rows.length - 1
  const row = Math.max(LEAST_ROW, Math.min(ROW, TALL / depth))
  const left = NAMES, right = wide - RIGHT - 6
  const field = Math.max(2, data.rows.at(-1).at(-1) + 1)
  const each = (right - left) / (field - 1)
  const x = (offset) => right - offset * each
  const y = (r) => TOP + r * row
  const n = (value) => Number(value.toFixed(1))
  const high = TOP + depth * row + AXIS
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${high}`, height: high, role: "img", "aria-label": data.alt })
  const size = Math.max(1, Math.min(7, each * 0.7))
  const first = data.cursor - 1 // the sample of the nodes furthest right
  for (let r = 0; r < depth; r++) {
    let path = "", length = 0
    for (const offset of data.rows[r]) {
      for (let tap = 0; tap < data.kernel_size; tap++) {
        path += `M${n(x(offset))} ${n(y(r))}L${n(x(offset + tap * data.dilations[r]))} ${n(y(r + 1))}`
        length += Math.hypot(tap * data.dilations[r] * each, row)
      }
    }
    const area = row * Math.max(row, data.rows[r + 1].at(-1) * each)
    svg.append(shape("path", {
      class: "edges", d: path, opacity: Math.max(0.03, Math.min(0.75, (COVERED * area) / length)),
    }))
  }
  data.rows.forEach((offsets, r) => {
    const dots = (which, kind) => {
      const chosen = offsets.filter(which)
      if (!chosen.length) return
      const path = chosen.map((o) => `M${n(x(o))} ${n(y(r))}h0`).join("")
      svg.append(shape("path", {
        class: `nodes ${kind} ${r === depth ? "input" : ""}`, d: path, "stroke-width": size,
        "data-row": r, "data-nodes": chosen.length,
      }))
    }
    dots((o) => first - o >= 0, "")
    dots((o) => first - o < 0, "before") // before the sound begins
    const number = data.top - r
    const name = r === depth ? (number === 0 ? "input" : `layer ${number}`) : `layer ${number}`
    const label = shape("text", { x: 0, y: y(r) + 4 }, name)
    svg.append(label)
    if (r < depth) {
      const says = `${data.dilations[r]}`
      svg.append(shape("text", { x: NAMES - 14, y: y(r) + row / 2 + 4, "text-anchor": "end" }, says))
    }
  })
  svg.append(shape("text", { x: NAMES - 14, y: 10, "text-anchor": "end" }, "dilation"))
  svg.append(shape("circle", { class: "top", cx: x(0), cy: y(0), r: 5 }))
  const { ticks, unit } = timeTicks(-(field - 1) / data.sample_rate, 0, Math.max(2, (right - left) / 80))
  for (const [at, says] of ticks) {
    const place = x(-at * data.sample_rate)
    svg.append(shape("line", { class: "tick", x1: place, x2: place, y1: y(depth) + 6, y2: y(depth) + 11 }))
    svg.append(shape("text", { x: place, y: y(depth) + 22, "text-anchor": "middle" }, says))
  }
  svg.append(shape("text", { x: 0, y: y(depth) + 22 }, `time (${unit})`))
  host.querySelector(".drawing").replaceChildren(svg)
  svg.dataset.rows = data.rows.length // told when they are drawn
  return { x, each, left, right, first }
}

export default function (component) {
  const { data, parentElement } = component
  const host = parentElement.querySelector(".host")
  say(host.querySelector(".title"), data.title ?? "")
  host.style.setProperty("--ink", isDark(host) ? "#56b4e9" : "#0072b2")
  const tip = host.querySelector(".tip")
  const drawing = host.querySelector(".drawing")
  let plan = draw(host, data)
  drawing.onpointermove = (event) => {
    if (!plan || event.pointerType === "touch") return
    const box = drawing.getBoundingClientRect()
    const offset = Math.round((plan.right - (event.clientX - box.left)) / plan.each)
    tip.hidden = offset < 0 || event.clientX - box.left < plan.left
    if (tip.hidden) return
    const sample = plan.first - offset
    const past = `${offset + 1} sample${offset ? "s" : ""}, ${timeWords((offset + 1) / data.sample_rate)} before`
    say(tip, `${past}\n${sample < 0 ? "before the sound begins" : `sample ${sample.toLocaleString("en")}`}`)
    placeTip(tip, event.clientX, event.clientY)
  }
  drawing.onpointerleave = () => (tip.hidden = true)
  return watchWidth(host, () => (plan = draw(host, data)))
}
