// What every component with time across shares: ticks of whole milliseconds, and words for them.
const LEFT = 40, RIGHT = 10 // pixels beside a plot: the axis of amplitude, half a figure

// The 1, 2 or 5 with zeros that divides `span` into at most `most` parts.
function niceStep(span, most) {
  const rough = span / Math.max(1, most)
  const power = 10 ** Math.floor(Math.log10(rough))
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * (1 - 1e-9))
}

function trimmed(number, digits) {
  return String(Number(number.toFixed(digits)))
}

function minus(text) {
  return text.replace("-", "\u2212")
}

// Places on the axis of time: seconds, and words in s from a second on, in ms below.
function timeTicks(from, to, most) {
  const step = niceStep(to - from, most)
  const inSeconds = to >= 1 && step >= 0.01
  const ticks = []
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + 1e-9 * step; i++) {
    const at = i * step
    ticks.push([at, minus(inSeconds ? trimmed(at, 3) : trimmed(1000 * at, 3))])
  }
  return { ticks, unit: inSeconds ? "s" : "ms" }
}

function timeWords(seconds) {
  return seconds >= 1 ? `${seconds.toFixed(4)} s` : `${trimmed(1000 * seconds, 3)} ms`
}

function roundly(seconds) {
  const says = (number) => String(Number(number.toPrecision(3)))
  return seconds >= 1 ? `${says(seconds)} s` : `${says(1000 * seconds)} ms`
}

// Draw the axis below a plot: `x(seconds)`, its ends in pixels, and the seconds at them.
function drawTimeAxis(pen, { x, left, right, top, from, to }, color) {
  const { ticks, unit } = timeTicks(from, to, Math.max(2, (right - left) / 70))
  pen.textBaseline = "middle"
  pen.textAlign = "center"
  for (const [at, says] of ticks) {
    pen.fillStyle = color
    pen.globalAlpha = 0.4
    pen.fillRect(Math.round(x(at)), top, 1, 4)
    pen.globalAlpha = 0.8
    const half = pen.measureText(says).width / 2
    pen.fillText(says, Math.min(right + RIGHT - half, Math.max(half, x(at))), top + 12)
  }
  pen.fillText(`time (${unit})`, (left + right) / 2, top + 26)
  pen.globalAlpha = 1
}

// The level of a mu-law code as an amplitude in [-1, 1], see sound_pictures.amplitudes.
function amplitudeOf(level, mu) {
  const squashed = (2 * level) / mu - 1
  return (Math.sign(squashed) * Math.expm1(Math.abs(squashed) * Math.log1p(mu))) / mu
}

// Redraw when the room changes; return what ends it.
function watchWidth(host, redraw) {
  let room = host.clientWidth
  const watch = new ResizeObserver(() => {
    if (host.clientWidth === room) return
    room = host.clientWidth
    redraw()
  })
  watch.observe(host)
  return () => watch.disconnect()
}
