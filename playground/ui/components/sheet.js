// A contact sheet: small pictures that grow side by side. Pictures stay in the page and change in
// place; one that looks as before is left alone.
const looks = new WeakMap() // button -> how its picture looks
let scratch = null // one small canvas serves all pictures in turn

function emptyPicture() {
  const button = element("button", "picture")
  button.type = "button"
  const canvas = element("canvas", "hatched")
  canvas.setAttribute("aria-hidden", "true")
  button.append(canvas, element("span", "caption"))
  return button
}

function drawOne(canvas, picture, given, data, cell) {
  const { width, height, colors } = data
  scratch = smallCanvas(scratch, width, height)
  fillPicture(scratch, unpack(picture.pixels), unpack(picture.known), colors)
  const pen = penOf(canvas, width * cell, height * cell)
  pen.drawImage(scratch, 0, 0, width * cell, height * cell)
  if (!given) return
  pen.translate(0.5, 0.5) // a line of one pixel covers one, not the halves of two
  strokeCased(pen, borderOf(given, width, height, cell), "#56b4e9", "rgb(8 20 34 / 75%)", 1)
}

// On a phone pictures are drawn up to a quarter smaller if one more then fits beside the others.
function cellInRow(room, data) {
  const around = 18 // padding of a picture and the gap to the next
  const cell = cellOf(room - around, data.width, data.scale)
  if (room > 600) return cell
  const beside = Math.floor(room / (data.width * cell + around))
  const smaller = cellOf(room / (beside + 1) - around, data.width, data.scale)
  return smaller >= 0.75 * data.scale ? smaller : cell
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const grid = host.querySelector(".grid")
  const tip = host.querySelector(".tip")
  say(host.querySelector(".title"), data.title ?? "")
  grid.setAttribute("aria-label", data.title || "Pictures")
  host.querySelector(".legend").hidden = !data.kept
  grid.classList.toggle("still", Boolean(data.still)) // pictures to look at, not to click
  const mask = typeof data.kept === "string" ? unpack(data.kept) : null
  const given = mask ? (i) => mask[i] : data.kept ? (i) => i < data.kept : null
  const buttons = sized(grid, data.pictures.length, emptyPicture)

  const redraw = () => {
    const room = host.clientWidth
    if (room <= 0) return
    const cell = cellInRow(room, data)
    const frame = `${data.width}|${data.height}|${data.colors}|${cell}|${window.devicePixelRatio}|${data.kept}`
    buttons.forEach((button, i) => {
      const picture = data.pictures[i]
      const look = `${frame}|${picture.known}|${picture.pixels}`
      if (looks.get(button) === look) return
      looks.set(button, look)
      drawOne(button.firstChild, picture, given, data, cell)
    })
  }
  buttons.forEach((button, i) => {
    const { caption, tip: words } = data.pictures[i]
    say(button.lastChild, caption ?? "")
    button.lastChild.style.maxWidth = `${Math.max(72, data.width * data.scale)}px`
    button.tabIndex = i === (data.chosen ?? 0) ? 0 : -1
    if (data.still) button.removeAttribute("aria-pressed")
    else button.setAttribute("aria-pressed", i === data.chosen)
    button.setAttribute("aria-disabled", Boolean(data.still))
    button.setAttribute("aria-label", `Picture ${i + 1}. ${caption ?? ""} ${words ?? ""}`.trim())
  })
  redraw()

  const indexOf = (event) => buttons.indexOf(event.target.closest?.(".picture"))
  const show = (i) => {
    const words = data.pictures[i]?.tip
    tip.hidden = !words
    if (!words) return
    say(tip, words)
    const box = buttons[i].getBoundingClientRect()
    placeTip(tip, box.left + 20, box.bottom - 8)
  }
  if (!tip.hidden) tip.hidden = true // what it told of has changed
  grid.onpointermove = (event) => event.pointerType !== "touch" && show(indexOf(event))
  grid.onpointerleave = () => show(-1)
  grid.onclick = (event) => {
    const index = indexOf(event)
    if (index >= 0 && !data.still) setTriggerValue("choose", { index })
  }
  grid.onkeydown = (event) => {
    const to = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return
    buttons[indexOf(event) + to]?.focus()
    event.preventDefault()
  }
  grid.dataset.pictures = data.pictures.length // told when they are drawn
  const watch = new ResizeObserver(redraw)
  watch.observe(host)
  return () => watch.disconnect()
}
