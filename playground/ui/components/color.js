// The scale of a number as a colour, light and dark: what texts on every page are coloured by.
const LIGHT = [[255, 255, 255], [214, 230, 244], [150, 194, 226], [74, 146, 200], [8, 81, 156]]
const DARK = [[16, 21, 28], [20, 52, 84], [24, 90, 140], [62, 142, 196], [150, 206, 246]]

function ramp(stops, share) {
  const place = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1)
  const low = Math.floor(place)
  return stops[low].map((c, i) => Math.round(c + (stops[low + 1][i] - c) * (place - low)))
}

function luminance([r, g, b]) {
  return (0.299 * r + 0.587 * g + 0.114 * b) / 255
}

function isDark(element) {
  const parts = getComputedStyle(element).backgroundColor.match(/[\d.]+/g) || [255, 255, 255]
  return luminance(parts.slice(0, 3).map(Number)) < 0.5
}

function element(tag, className) {
  const made = document.createElement(tag)
  made.className = className
  return made
}
