// One small map a head (rows look at columns), one of them enlarged; bytes 0..255 are weights 0..1.
const LIGHT = [[255, 255, 255], [8, 81, 156]]
const DARK = [[16, 21, 28], [150, 206, 246]]

function unpack(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
}

function draw(canvas, bytes, size, stops) {
  canvas.width = canvas.height = size
  const context = canvas.getContext("2d")
  const image = context.createImageData(size, size)
  for (let i = 0; i < size * size; i++) {
    const share = Math.sqrt(bytes[i] / 255) // small weights stay visible
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = stops[0][c] + (stops[1][c] - stops[0][c]) * share
    }
    image.data[4 * i + 3] = 255
  }
  context.putImageData(image, 0, 0)
}

export default function (component) {
  const { data, parentElement, setStateValue } = component
  const grid = parentElement.querySelector(".grid")
  const large = parentElement.querySelector(".large")
  const shade = getComputedStyle(parentElement.querySelector(".maps")).backgroundColor
  const brightness = (shade.match(/[\d.]+/g) || [255]).slice(0, 3).map(Number)
  const stops = Math.max(...brightness) < 128 ? DARK : LIGHT
  const all = unpack(data.maps)
  const { layers, heads, size, labels } = data
  const part = (layer, head) => all.subarray((layer * heads + head) * size * size, (layer * heads + head + 1) * size * size)

  grid.replaceChildren()
  grid.style.gridTemplateColumns = `auto repeat(${heads}, auto)`
  const name = (text) => {
    const cell = document.createElement("span")
    cell.className = "name"
    cell.textContent = text
    grid.append(cell)
  }
  name("")
  for (let head = 0; head < heads; head++) name(`head ${head + 1}`)
  for (let layer = 0; layer < layers; layer++) {
    name(`layer ${layer + 1}`)
    for (let head = 0; head < heads; head++) {
      const button = document.createElement("button")
      const chosen = layer === data.layer && head === data.head
      button.setAttribute("aria-pressed", chosen)
      button.setAttribute("aria-label", `Enlarge layer ${layer + 1}, head ${head + 1}`)
      button.title = `layer ${layer + 1}, head ${head + 1}`
      const canvas = document.createElement("canvas")
      draw(canvas, part(layer, head), size, stops)
      button.append(canvas)
      button.onclick = () => setStateValue("head", { layer, head })
      grid.append(button)
    }
  }

  large.replaceChildren()
  const bytes = part(data.layer, data.head)
  const title = document.createElement("p")
  title.textContent = `Layer ${data.layer + 1}, head ${data.head + 1}: each row is a token, its columns are what it looks at`
  const canvas = document.createElement("canvas")
  canvas.setAttribute("role", "img")
  canvas.setAttribute("aria-label", title.textContent)
  draw(canvas, bytes, size, stops)
  const hint = document.createElement("p")
  hint.className = "hint"
  hint.textContent = "Point at a cell to read it."
  canvas.onmousemove = (event) => {
    const column = Math.min(size - 1, Math.floor((event.offsetX / canvas.clientWidth) * size))
    const row = Math.min(size - 1, Math.floor((event.offsetY / canvas.clientHeight) * size))
    const weight = (100 * bytes[row * size + column]) / 255
    hint.textContent = column > row
      ? `${labels[row]} cannot look at ${labels[column]}: it comes later`
      : `${labels[row]} looks at ${labels[column]}: ${weight.toFixed(1)} %`
  }
  large.append(title, canvas, hint)
}
