// The likeliest tokens as rows of bars, one column a stage; a click or Enter takes a token.
// Rows stay in the page and change in place: a step redraws in a few milliseconds.
const KINDS = { taken: "the choice", kept: "possible", removed: "removed", rest: "all others" }

function sized(parent, count, make) {
  while (parent.children.length > count) parent.lastChild.remove()
  while (parent.children.length < count) parent.append(make())
  return [...parent.children]
}

function element(tag, className) {
  const made = document.createElement(tag)
  made.className = className
  return made
}

function emptyCell() {
  const cell = element("span", "cell")
  cell.append(element("i", "bar"), element("b", "figure"))
  return cell
}

function emptyRow() {
  const row = element("button", "row")
  row.type = "button"
  row.append(element("span", "name"))
  return row
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const chart = parentElement.querySelector(".chart")
  const heads = parentElement.querySelector(".heads")
  const tip = parentElement.querySelector(".tip")
  parentElement.querySelector(".title").textContent = data.title
  parentElement.querySelector(".facts").textContent = data.facts
  parentElement.querySelector(".host").style.setProperty("--stages", data.stages.length)
  parentElement.querySelector(".host").style.setProperty("--name", `calc(${data.widest}ch + 0.6rem)`)
  chart.setAttribute("aria-label", data.alt)

  sized(heads, data.stages.length, () => element("span", "head")).forEach((head, stage) => {
    head.textContent = data.stages[stage].replace("=", "\n")
  })

  const rows = sized(chart, data.rows.length, emptyRow)
  rows.forEach((row, i) => {
    const { name, sid, cells } = data.rows[i]
    const [label, ...drawn] = sized(row, cells.length + 1, emptyCell)
    label.textContent = name
    row.dataset.sid = sid
    row.disabled = !sid
    row.tabIndex = i ? -1 : 0
    row.setAttribute("aria-label", sid ? `Take ${name}: ${cells[0][2]}` : `${name}: ${cells[0][2]}`)
    cells.forEach(([width, kind, says], stage) => {
      const [bar, figure] = drawn[stage].children
      bar.className = `bar ${kind}`
      bar.style.width = `${100 * width}%`
      figure.textContent = says
    })
  })

  const show = (i) => {
    tip.hidden = i < 0
    if (i < 0) return
    const { name, cells } = data.rows[i]
    const lines = cells.map(([, kind, , p], stage) =>
      `${data.stages[stage]}: ${kind === "removed" ? "removed" : `${(100 * p).toFixed(4)} %`}`)
    tip.textContent = [`${name}   ${KINDS[cells.at(-1)[1]]}`, ...lines].join("\n")
    const box = rows[i].getBoundingClientRect()
    tip.style.left = Math.max(4, Math.min(box.left + 60, window.innerWidth - tip.offsetWidth - 8)) + "px"
    const below = box.bottom + 4
    tip.style.top = (below + tip.offsetHeight < window.innerHeight ? below : box.top - tip.offsetHeight - 4) + "px"
  }
  const rowOf = (event) => rows.indexOf(event.target.closest?.(".row"))
  if (!tip.hidden) tip.hidden = true // what it told of has changed
  chart.onmousemove = (event) => show(rowOf(event))
  chart.onmouseleave = () => show(-1)
  chart.onclick = (event) => {
    const row = rows[rowOf(event)]
    if (row?.dataset.sid) setTriggerValue("take", { sid: row.dataset.sid })
  }
  chart.onkeydown = (event) => {
    const to = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return
    const i = rowOf(event) + to
    if (rows[i] && !rows[i].disabled) rows[i].focus()
    event.preventDefault()
  }
}
