// The tree of a search: one column a position, one box a hypothesis, joined to the one it goes on
// from. Live ones stand on top, those given up are grey below; the way to the result is thick.
const SVG = "http://www.w3.org/2000/svg"
const ROW = 25, BOX = 19, GAP = 26, TOP = 22, LETTER = 7.4, MOST = 11
const FATES = { l: "live", f: "finished", p: "pruned" }

function drawn(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  if (text !== undefined) made.textContent = text
  return made
}

const short = (text) => (text.length > MOST ? `${text.slice(0, MOST - 1)}…` : text)
const figure = (value) => (value === null ? "−∞" : value.toFixed(3))

function place(columns) {
  let x = 8
  return columns.map((column) => {
    const longest = Math.max(1, ...column.map(([, text]) => short(text).length + 1))
    const width = Math.max(24, longest * LETTER + 8)
    const left = x
    x += width + GAP
    return { left, width }
  })
}

export default function (component) {
  const { data, parentElement } = component
  const scroll = parentElement.querySelector(".scroll")
  const svg = parentElement.querySelector("svg")
  const tip = parentElement.querySelector(".tip")
  parentElement.querySelector(".title").textContent = data.title
  parentElement.querySelector(".facts").textContent = data.facts
  const follows = scroll.scrollLeft + scroll.clientWidth > scroll.scrollWidth - 60
  const places = place(data.columns)
  const rows = Math.max(1, ...data.columns.map((column) => column.length))
  const last = places.at(-1)
  const width = last ? last.left + last.width + 10 : 10
  const height = TOP + rows * ROW + 6
  svg.setAttribute("width", width)
  svg.setAttribute("height", height)
  svg.setAttribute("aria-label", data.alt)
  const middle = (row) => TOP + row * ROW + BOX / 2

  const edges = drawn("g", { class: "edges" })
  const boxes = drawn("g", { class: "boxes" })
  const nodes = []
  data.columns.forEach((column, t) => {
    const { left, width: wide } = places[t]
    boxes.append(drawn("text", { x: left + wide / 2, y: 12, class: "position" }, data.first + t))
    column.forEach(([parent, text, logprob, score, fate, group, isBest], row) => {
      const kind = `${FATES[fate]}${isBest ? " best" : ""}`
      if (parent >= 0 && t > 0) {
        const from = places[t - 1].left + places[t - 1].width
        const y0 = middle(parent), y1 = middle(row), half = GAP / 2
        edges.append(drawn("path", {
          class: kind, d: `M${from} ${y0}C${from + half} ${y0} ${left - half} ${y1} ${left} ${y1}`,
        }))
      }
      const box = drawn("g", { class: `box ${kind}` })
      box.append(drawn("rect", { x: left, y: TOP + row * ROW, width: wide, height: BOX, rx: 4 }))
      const says = short(text) + (fate === "f" ? "✓" : "")
      box.append(drawn("text", { x: left + wide / 2, y: middle(row) + 4.5 }, says))
      boxes.append(box)
      const lines = [
        `${text}   position ${data.first + t}, ${FATES[fate]}${isBest ? ", on the way to the result" : ""}`,
        `sum of log p ${figure(logprob)}`,
        `${data.score} ${figure(score)}`,
      ]
      if (data.groups) lines.push(`${data.groups} ${group + (data.groups === "group" ? 1 : 0)}`)
      nodes.push({ box, t, row, says: lines.join("\n") })
    })
  })
  svg.replaceChildren(edges, boxes)
  if (follows) scroll.scrollLeft = scroll.scrollWidth

  let near = -1
  const show = (i) => {
    nodes[near]?.box.classList.remove("near")
    near = i
    tip.hidden = i < 0
    if (i < 0) return
    nodes[i].box.classList.add("near")
    tip.textContent = nodes[i].says
    const box = nodes[i].box.getBoundingClientRect()
    tip.style.left = Math.max(4, Math.min(box.left, window.innerWidth - tip.offsetWidth - 8)) + "px"
    const below = box.bottom + 6
    tip.style.top = (below + tip.offsetHeight < window.innerHeight ? below : box.top - tip.offsetHeight - 6) + "px"
  }
  show(-1)
  svg.onmousemove = (event) => {
    const box = event.target.closest?.(".box")
    const i = box ? nodes.findIndex((node) => node.box === box) : -1
    if (i !== near) show(i)
  }
  svg.onmouseleave = () => show(-1)
  scroll.onblur = () => show(-1)
  scroll.onkeydown = (event) => {
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key]
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    const now = nodes[near] ?? { t: data.columns.length - 1 - way[0], row: 0 }
    const t = now.t + way[0]
    const row = Math.min(now.row + way[1], (data.columns[t]?.length ?? 0) - 1)
    const i = nodes.findIndex((node) => node.t === t && node.row === row)
    if (i < 0) return
    const { left, width: wide } = places[t]
    if (left < scroll.scrollLeft) scroll.scrollLeft = left - 20
    if (left + wide > scroll.scrollLeft + scroll.clientWidth) scroll.scrollLeft = left + wide - scroll.clientWidth + 20
    show(i)
  }
}
