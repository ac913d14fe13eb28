// Layers down, positions across: the token that each layer finds likeliest, coloured by how likely.
const state = new WeakMap() // table -> where the keys are, and what was drawn

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const table = host.querySelector("table")
  const scroll = host.querySelector(".scroll")
  const tip = host.querySelector(".tip")
  sayTitles(host, data)
  const rows = data.layers.length, columns = data.columns.length
  table.setAttribute("aria-label", data.alt)
  if (table.dataset.shape !== `${rows}x${columns}`) {
    table.dataset.shape = `${rows}x${columns}`
    const head = element("thead", ""), body = element("tbody", "")
    const top = element("tr", "")
    for (let c = 0; c <= columns; c++) top.append(Object.assign(element("th", ""), { scope: "col" }))
    head.append(top)
    for (let r = 0; r < rows; r++) {
      const line = element("tr", "")
      line.append(Object.assign(element("th", ""), { scope: "row" }))
      for (let c = 0; c < columns; c++) line.append(element("td", ""))
      body.append(line)
    }
    table.replaceChildren(head, body)
    state.set(table, { at: [0, columns - 1] })
  }
  const mine = state.get(table)
  mine.at[1] = Math.min(mine.at[1], columns - 1)
  const lines = [...table.tBodies[0].rows]
  const heads = [...table.tHead.rows[0].cells]
  say(heads[0], "after")
  data.columns.forEach((name, c) => {
    say(heads[c + 1], name)
    heads[c + 1].className = c === data.chosen ? "chosen" : ""
    heads[c + 1].title = `position ${data.first + c}`
  })
  const colors = tableOf(isDark(host), false)
  lines.forEach((line, r) => {
    say(line.cells[0], data.layers[rows - 1 - r])
    for (let c = 0; c < columns; c++) {
      const layer = rows - 1 - r // the last layer is at the top: what the model says
      const cell = line.cells[c + 1]
      const color = colors[Math.round(255 * data.probs[layer][c])]
      say(cell, data.names[data.top[layer][c]])
      cell.className = data.top[layer][c] === data.top[rows - 1][c] ? "same" : ""
      cell.style.backgroundColor = `rgb(${color})`
      cell.style.color = inkOn(color)
      cell.tabIndex = r === mine.at[0] && c === mine.at[1] ? 0 : -1
      cell.setAttribute("aria-label", wordsOf(layer, c).replaceAll("\n", ", "))
    }
  })

  function wordsOf(layer, c) {
    const words = [
      `${data.layers[layer]}, after ${data.columns[c]}`,
      `says ${data.names[data.top[layer][c]]}: ${percent(data.probs[layer][c])}`,
    ]
    const rank = data.rank[layer][c]
    if (rank > 0) words.push(`${data.followed[c]} ${data.followed_word}: rank ${rank.toLocaleString("en")}, ${percent(data.followed_probs[layer][c])}`)
    return words.join("\n")
  }
  const placeOf = (node) => {
    const cell = node.closest?.("td")
    return cell ? [cell.parentNode.rowIndex - 1, cell.cellIndex - 1] : null
  }
  const show = (place) => {
    tip.hidden = !place
    if (!place) return
    say(tip, wordsOf(rows - 1 - place[0], place[1]))
    const box = lines[place[0]].cells[place[1] + 1].getBoundingClientRect()
    placeTip(tip, box.right - 10, box.bottom - 8)
  }
  const choose = (column) => column >= 0 && setTriggerValue("column", { position: data.first + column })
  if (!tip.hidden) show(null)
  table.onpointermove = (event) => event.pointerType !== "touch" && show(placeOf(event.target))
  table.onpointerleave = () => show(null)
  table.onfocusout = () => show(null)
  table.onclick = (event) => {
    const place = placeOf(event.target)
    const head = event.target.closest?.("thead th")
    if (place) choose(place[1])
    else if (head) choose(head.cellIndex - 1)
  }
  table.onkeydown = (event) => {
    const place = placeOf(event.target)
    if (!place) return
    if (event.key === "Enter") return choose(place[1])
    const to = stepIn(event, ...place, rows, columns)
    if (!to) return
    lines[place[0]].cells[place[1] + 1].tabIndex = -1
    const next = lines[to[0]].cells[to[1] + 1]
    next.tabIndex = 0
    mine.at = to
    next.focus()
    show(to)
  }
  if (mine.first !== data.first) scroll.scrollLeft = scroll.scrollWidth // the newest is at the right
  mine.first = data.first
}
