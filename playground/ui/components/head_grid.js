// One cell a head, layers down and heads across; a cell is one number or a row of them, as colours.
const SIDE = 92, LEAST = 12 // pixels for the names of layers, and for the narrowest box
const shown = new WeakMap() // grid -> the cell that the keys are on

export default function mount(component) {
  const { data, parentElement, setTriggerValue } = component
  const host = parentElement.querySelector(".host")
  const grid = host.querySelector(".grid")
  const tip = host.querySelector(".tip")
  sayTitles(host, data)
  say(host.querySelector(".hint"), data.hint ?? "")
  const { layers, heads, width, tall } = data
  const room = (grid.parentNode.clientWidth - SIDE) / heads - 2
  const wide = Math.max(LEAST, Math.min(data.wide, Math.floor(room)))
  const bytes = unpack(data.values)
  const known = data.known ?? layers * heads
  grid.setAttribute("role", "group")
  grid.setAttribute("aria-label", data.alt)
  grid.style.gridTemplateColumns = `max-content repeat(${heads}, ${wide}px)`
  grid.style.gridTemplateRows = "1.1rem"
  grid.style.gridAutoRows = `${tall}px`
  const shape = `${layers}x${heads}`
  if (grid.dataset.shape !== shape) {
    grid.dataset.shape = shape
    const parts = [element("span", "name side")]
    parts[0].textContent = "layer ↓ head →"
    for (let head = 0; head < heads; head++) {
      const name = element("span", "name")
      name.textContent = head + 1
      parts.push(name)
    }
    for (let layer = 0; layer < layers; layer++) {
      const name = element("span", "name side")
      name.textContent = layer + 1
      parts.push(name)
      for (let head = 0; head < heads; head++) {
        const button = element("button", "")
        button.type = "button"
        parts.push(button)
      }
    }
    grid.replaceChildren(element("canvas", ""), ...parts)
    shown.set(grid, 0)
  }
  const canvas = grid.querySelector("canvas")
  const buttons = [...grid.querySelectorAll("button")]
  const chosen = data.chosen ? data.chosen[0] * heads + data.chosen[1] : -1
  if (chosen >= 0) shown.set(grid, chosen)
  buttons.forEach((button, i) => {
    const name = `Layer ${Math.floor(i / heads) + 1}, head ${(i % heads) + 1}`
    button.setAttribute("aria-pressed", i === chosen)
    button.setAttribute("aria-label", `${name}: ${data.tips[i] ?? "not known yet"}`)
    button.tabIndex = i === shown.get(grid) ? 0 : -1
    button.className = i < known ? "" : "unknown"
  })

  const first = buttons[0], last = buttons.at(-1)
  const left = first.offsetLeft, top = first.offsetTop
  const pen = penOf(canvas, last.offsetLeft + wide - left, last.offsetTop + tall - top)
  canvas.style.left = `${left}px`
  canvas.style.top = `${top}px`
  const colors = tableOf(isDark(host), data.both)
  for (let i = 0; i < Math.min(known, buttons.length); i++) {
    const x = buttons[i].offsetLeft - left, y = buttons[i].offsetTop - top
    for (let c = 0; c < width; c++) {
      pen.fillStyle = `rgb(${colors[bytes[i * width + c]]})`
      pen.fillRect(x + (c * wide) / width, y, wide / width + (c < width - 1 ? 0.5 : 0), tall)
    }
  }

  const show = (i) => {
    tip.hidden = i < 0
    if (i < 0) return
    say(tip, `layer ${Math.floor(i / heads) + 1}, head ${(i % heads) + 1}\n${data.tips[i] ?? "not known yet"}`)
    const box = buttons[i].getBoundingClientRect()
    placeTip(tip, box.right, box.bottom)
  }
  if (!tip.hidden) show(-1)
  grid.onpointermove = (event) => event.pointerType !== "touch" && show(buttons.indexOf(event.target))
  grid.onpointerleave = () => show(-1)
  grid.onclick = (event) => {
    const i = buttons.indexOf(event.target.closest?.("button"))
    if (i >= 0) setTriggerValue("head", { layer: Math.floor(i / heads), head: i % heads })
  }
  grid.onfocusout = () => show(-1)
  grid.onkeydown = (event) => {
    const i = buttons.indexOf(event.target)
    const to = stepIn(event, Math.floor(i / heads), i % heads, layers, heads)
    if (!to) return
    const next = to[0] * heads + to[1]
    buttons[i].tabIndex = -1
    buttons[next].tabIndex = 0
    shown.set(grid, next)
    buttons[next].focus()
    show(next)
  }
  return watchWidth(grid.parentNode, () => mount(component))
}
