// A matrix as colours: where each token looks, or what each unit holds over time. Rows down.
const AXIS = 18 // pixels for the names of the axes
const kept = new WeakMap() // canvas -> what it is drawn from

function draw(canvas, state, room) {
  const { data, near } = state
  if (room < 60) return
  const side = AXIS
  const across = Math.min(room - side - 2, data.square ? 460 : room - side - 2)
  const down = data.square ? across : Math.max(data.rows, Math.min(360, Math.max(120, 6 * data.rows)))
  const pen = penOf(canvas, across + side + 2, down + AXIS + 2)
  Object.assign(state, { left: side, top: AXIS, cellX: across / data.columns, cellY: down / data.rows })
  const style = getComputedStyle(canvas)
  pen.drawImage(state.small, side, AXIS, across, down)
  pen.strokeStyle = style.color
  pen.globalAlpha = 0.3
  pen.strokeRect(side - 0.5, AXIS - 0.5, across + 1, down + 1)
  pen.globalAlpha = 0.8
  pen.fillStyle = style.color
  pen.font = `11px ${style.fontFamily}`
  pen.textBaseline = "middle"
  pen.fillText(data.x, side, AXIS / 2)
  pen.save()
  pen.translate(AXIS / 2 - 1, AXIS + down)
  pen.rotate(-Math.PI / 2)
  pen.fillText(data.y, 0, 0)
  pen.restore()
  pen.globalAlpha = 1
  const ring = (row, column, color) => {
    if (row < 0 && column < 0) return
    const path = new Path2D()
    const x = side + Math.max(0, column) * state.cellX, y = AXIS + Math.max(0, row) * state.cellY
    path.rect(column < 0 ? side : x, row < 0 ? AXIS : y, column < 0 ? across : Math.max(3, state.cellX), row < 0 ? down : Math.max(3, state.cellY))
    strokeCased(pen, path, color, "rgb(17 24 32 / 60%)", 1)
  }
  if (Number.isInteger(data.row)) ring(data.row, -1, CURSOR)
  if (near) ring(near[0], near[1], "#fff")
}

// A share with the two digits that 255 steps of a logarithmic scale can tell.
function twoDigits(share) {
  return `${Number((100 * share).toPrecision(2))} %`
}

function wordsOf(state, [row, column]) {
  const { data, bytes } = state
  const byte = bytes[row * data.columns + column]
  const value = data.log ? data.min * (data.max / data.min) ** (byte / 255) : data.min + ((data.max - data.min) * byte) / 255
  const at = data.column_names[column]
  if (data.square) {
    const from = data.column_names[row]
    if (column > row) return `${from} cannot look at ${at}: it comes later`
    return `${from} looks at ${at}: ${byte ? `about ${twoDigits(value)}` : data.low}`
  }
  return `${data.row_names?.[row] ?? `${data.row_word} ${row + 1}`} after ${at}: ${value.toFixed(2)}`
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const canvas = host.querySelector("canvas")
  const tip = host.querySelector(".tip")
  sayTitles(host, data)
  say(host.querySelector(".hint"), data.hint ?? "")
  if (!kept.has(canvas)) kept.set(canvas, {})
  const state = kept.get(canvas)
  state.data = data
  state.bytes = unpack(data.values)
  state.near = null
  state.small = smallCanvas(state.small, data.columns, data.rows)
  const colors = tableOf(isDark(host), data.both)
  fillSmall(state.small, (out, i, to) => {
    const [r, g, b] = colors[state.bytes[i]]
    out.set([r, g, b, 255], to)
  })
  canvas.tabIndex = 0
  canvas.setAttribute("role", "application")
  canvas.setAttribute("aria-label", data.alt)
  const redraw = () => draw(canvas, state, host.clientWidth)

  const point = (near, speak = false) => {
    state.near = near
    redraw()
    tip.hidden = !near
    if (!near) return
    const words = wordsOf(state, near)
    say(tip, words)
    if (speak) say(host.querySelector(".spoken"), words)
    const box = canvas.getBoundingClientRect()
    placeTip(tip, box.left + state.left + near[1] * state.cellX, box.top + state.top + near[0] * state.cellY)
  }
  const at = (event) => {
    const row = Math.floor((event.offsetY - state.top) / state.cellY)
    const column = Math.floor((event.offsetX - state.left) / state.cellX)
    return row >= 0 && row < data.rows && column >= 0 && column < data.columns ? [row, column] : null
  }
  const go = (near) => near && setTriggerValue("cell", { row: near[0], column: near[1] })
  canvas.onpointermove = (event) => event.pointerType !== "touch" && point(at(event))
  canvas.onpointerleave = () => point(null)
  canvas.onblur = () => point(null)
  canvas.onclick = (event) => {
    point(at(event))
    go(at(event))
  }
  canvas.onkeydown = (event) => {
    const [row, column] = state.near ?? [data.row ?? data.rows - 1, data.columns - 1]
    const to = stepIn(event, row, column, data.rows, data.columns)
    if (to) point(state.near ? to : [row, column], true)
    else if (event.key === "Enter") go([row, column])
    else if (event.key === "Escape") point(null)
  }
  redraw()
  if (!tip.hidden) point(null)
  return watchWidth(host, redraw)
}
