// Surprisal as bars and entropy as a line over the positions of a text, on a canvas: thousands of
// tokens are one drawing. Pointing tells the numbers, a click goes there.
const COLORS = { s: "#0072b2", p: "#8a94a3", u: "#cc79a7", d: "#009e73", here: "#d55e00", line: "#e69f00" }
const BY = { s: "chosen by the strategy", p: "given in the prompt", u: "taken by you", d: "guessed by the draft" }
const HEIGHT = 300
const LEFT = 44, RIGHT = 6, TOP = 8, BOTTOM = 42

function ticks(high, wanted) {
  const rough = high / wanted
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough)
  return Array.from({ length: Math.floor(high / step + 1e-9) + 1 }, (_, i) => i * step)
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const canvas = parentElement.querySelector("canvas")
  const tip = parentElement.querySelector(".tip")
  const count = data.surprisal.length
  parentElement.querySelector(".title").textContent = data.title
  parentElement.querySelector(".facts").textContent = data.facts
  parentElement.querySelector(".drawing").hidden = !count
  parentElement.querySelector(".guessed").hidden = !data.by.includes("d")
  canvas.setAttribute("aria-label", data.alt)
  const high = Math.max(1, ...data.surprisal, ...data.entropy)
  const scale = ticks(high, 5)
  const top = Math.max(high, scale.at(-1))
  let width = 0
  const x = (position) => LEFT + ((position - 0.5) * (width - LEFT - RIGHT)) / count
  const y = (bits) => HEIGHT - BOTTOM - (bits / top) * (HEIGHT - BOTTOM - TOP)

  const draw = (near) => {
    width = canvas.clientWidth
    if (!width || !count) return
    const dense = window.devicePixelRatio || 1
    if (canvas.width !== Math.round(width * dense)) canvas.width = Math.round(width * dense)
    if (canvas.height !== HEIGHT * dense) canvas.height = HEIGHT * dense
    const style = getComputedStyle(canvas)
    const pen = canvas.getContext("2d")
    pen.setTransform(dense, 0, 0, dense, 0, 0)
    pen.clearRect(0, 0, width, HEIGHT)
    pen.font = `12px ${style.fontFamily}`
    pen.textBaseline = "middle"
    pen.textAlign = "right"
    for (const bits of scale) {
      pen.fillStyle = style.color
      pen.globalAlpha = 0.12
      pen.fillRect(LEFT, Math.round(y(bits)), width - LEFT - RIGHT, 1)
      pen.globalAlpha = 0.75
      pen.fillText(String(Number(bits.toPrecision(3))), LEFT - 6, y(bits))
    }
    pen.textAlign = "center"
    const every = ticks(count, Math.min(count, Math.max(2, (width - LEFT) / 45)))
    const stride = Math.max(1, Math.round(every[1] ?? 1))
    for (let p = stride; p <= count; p += stride) pen.fillText(String(p), x(p), HEIGHT - BOTTOM + 12)
    pen.fillText("position (token)", (LEFT + width - RIGHT) / 2, HEIGHT - 8)
    pen.save()
    pen.translate(10, (TOP + HEIGHT - BOTTOM) / 2)
    pen.rotate(-Math.PI / 2)
    pen.fillText("surprisal (bits)", 0, 0)
    pen.restore()
    pen.globalAlpha = 1
    const wide = Math.max(1, x(1.45) - x(0.55))
    for (let i = 0; i < count; i++) {
      const p = i + 1
      pen.fillStyle = p === data.cursor ? COLORS.here : COLORS[data.by[i]]
      const from = y(data.surprisal[i])
      pen.fillRect(x(p) - wide / 2, from, wide, Math.max(1, y(0) - from))
    }
    pen.strokeStyle = COLORS.line
    pen.lineWidth = 1.5
    pen.beginPath()
    for (let i = 0; i < count; i++) {
      pen.lineTo(x(i + 0.5), y(data.entropy[i]))
      pen.lineTo(x(i + 1.5), y(data.entropy[i]))
    }
    pen.stroke()
    if (near) {
      pen.strokeStyle = style.color
      pen.lineWidth = 1
      pen.strokeRect(x(near) - wide / 2 - 1, TOP, wide + 2, HEIGHT - BOTTOM - TOP)
    }
    canvas.dataset.tokens = count // told when it is drawn
  }

  const at = (event) => {
    const p = Math.ceil(((event.offsetX - LEFT) / (width - LEFT - RIGHT)) * count)
    return p >= 1 && p <= count && event.offsetY < HEIGHT - BOTTOM ? p : 0
  }
  let near = 0
  const show = (p) => {
    if (p !== near) draw(p)
    near = p
    canvas.style.cursor = p ? "pointer" : "default"
    tip.hidden = !p
    if (!p) return
    const text = data.texts[p - 1]
    tip.textContent = [
      `${data.names[text] ?? text}   position ${p}`,
      `surprisal ${data.surprisal[p - 1].toFixed(2)} bits`,
      `entropy ${data.entropy[p - 1].toFixed(2)} bits`,
      `rank ${data.rank[p - 1]}`,
      BY[data.by[p - 1]],
    ].join("\n")
    const box = canvas.getBoundingClientRect()
    const right = box.left + x(p) + 12
    const fits = right + tip.offsetWidth < window.innerWidth - 8
    tip.style.left = Math.max(4, fits ? right : box.left + x(p) - tip.offsetWidth - 12) + "px"
    tip.style.top = Math.max(4, box.top + TOP + 10) + "px"
  }
  if (!tip.hidden) tip.hidden = true
  canvas.onmousemove = (event) => show(at(event))
  canvas.onmouseleave = () => show(0)
  canvas.onclick = (event) => at(event) && setTriggerValue("go", { position: at(event) })
  draw(0)
  canvas.__watch?.disconnect()
  canvas.__watch = new ResizeObserver(() => canvas.clientWidth !== width && draw(near))
  canvas.__watch.observe(canvas)
  return () => canvas.__watch.disconnect()
}
