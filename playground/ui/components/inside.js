// What the components of "Look inside" share: numbers as colours, words, and a grid's keys.
const BOTH_LIGHT = [[178, 74, 0], [255, 255, 255], [8, 81, 156]] // below zero, zero, above
const BOTH_DARK = [[240, 140, 70], [16, 21, 28], [120, 190, 245]]

function tableOf(dark, both) {
  const stops = both ? (dark ? BOTH_DARK : BOTH_LIGHT) : dark ? DARK : LIGHT
  return Array.from({ length: 256 }, (_, i) => ramp(stops, i / 255))
}

function inkOn(color) {
  return luminance(color) > 0.55 ? "#111820" : "#f4f7fa"
}

function percent(p) {
  if (p === 0) return "0"
  if (p < 0.0005) return "< 0.1 %"
  return `${(100 * p).toFixed(1)} %`
}

function sayTitles(host, data) {
  say(host.querySelector(".title"), data.title ?? "")
  say(host.querySelector(".facts"), data.facts ?? "")
  const legend = host.querySelector(".legend")
  if (!legend) return
  say(legend.querySelector(".low"), data.low ?? "")
  say(legend.querySelector(".high"), data.high ?? "")
  const stops = tableOf(isDark(host), data.both)
  const shown = [0, 0.25, 0.5, 0.75, 1].map((share) => `rgb(${stops[Math.round(255 * share)]})`)
  legend.querySelector(".ramp").style.background = `linear-gradient(90deg, ${shown})`
}

// Where an arrow key leads in a grid, as [row, column]; null for other keys.
function stepIn(event, row, column, rows, columns) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null
  const [down, right] = {
    ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1],
    Home: [0, -columns], End: [0, columns], PageUp: [-rows, 0], PageDown: [rows, 0],
  }[event.key] ?? [0, 0]
  if (!down && !right) return null
  event.preventDefault()
  const clamp = (value, count) => Math.max(0, Math.min(count - 1, value))
  return [clamp(row + down, rows), clamp(column + right, columns)]
}
