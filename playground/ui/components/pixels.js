// What every component that draws pixels shares: bytes to pictures, outlines, and the tip's place.
// Undecided pixels stay transparent: the hatch behind them is CSS, so it follows the theme.
const CURSOR = "#d55e00"
const LATER = 3 // known: decided behind the pixel that is looked at
const FAINT = 100 // of 255: how strongly such a pixel covers the hatch

function unpack(text) {
  const letters = atob(text)
  const bytes = new Uint8Array(letters.length)
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i)
  return bytes
}

function pack(bytes) {
  let letters = ""
  for (let i = 0; i < bytes.length; i += 8192) {
    letters += String.fromCharCode(...bytes.subarray(i, i + 8192))
  }
  return btoa(letters)
}

// A canvas of one point a pixel, kept by its owner and filled again and again.
function smallCanvas(small, width, height) {
  small = small ?? document.createElement("canvas")
  if (small.width !== width) small.width = width
  if (small.height !== height) small.height = height
  return small
}

// Fill `small` with `write(image data, pixel, its place in the data)`.
function fillSmall(small, write) {
  const pen = small.getContext("2d")
  const image = pen.createImageData(small.width, small.height)
  for (let i = 0; i < small.width * small.height; i++) write(image.data, i, 4 * i)
  pen.putImageData(image, 0, 0)
}

function fillPicture(small, bytes, known, colors) {
  fillSmall(small, (out, i, to) => {
    if (known && !known[i]) return
    const from = i * colors
    out[to] = bytes[from]
    out[to + 1] = bytes[colors === 3 ? from + 1 : from]
    out[to + 2] = bytes[colors === 3 ? from + 2 : from]
    out[to + 3] = known?.[i] === LATER ? FAINT : 255
  })
}

// Screen pixels a picture's pixel gets: at most `scale`, less where there is no room, and whole
// pixels of the device, so that all are of one size.
function cellOf(room, width, scale) {
  const dense = window.devicePixelRatio || 1
  const cell = Math.min(scale, room / width)
  return Math.max(1, Math.floor(cell * dense)) / dense
}

// Give a canvas its size and return a pen that counts in CSS pixels.
function penOf(canvas, wide, high) {
  const dense = window.devicePixelRatio || 1
  const w = Math.round(wide * dense), h = Math.round(high * dense)
  if (canvas.width !== w) canvas.width = w
  if (canvas.height !== h) canvas.height = h
  if (canvas.style.width !== `${wide}px`) canvas.style.width = `${wide}px`
  if (canvas.style.height !== `${high}px`) canvas.style.height = `${high}px`
  const pen = canvas.getContext("2d")
  pen.setTransform(dense, 0, 0, dense, 0, 0)
  pen.clearRect(0, 0, wide, high)
  pen.imageSmoothingEnabled = false
  return pen
}

// The border between the pixels that `inside(i)` holds and the others, as one path.
function borderOf(inside, width, height, cell) {
  const path = new Path2D()
  const line = (x0, y0, x1, y1) => {
    path.moveTo(x0 * cell, y0 * cell)
    path.lineTo(x1 * cell, y1 * cell)
  }
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x
      const here = Boolean(inside(i))
      if (x + 1 < width && here !== Boolean(inside(i + 1))) line(x + 1, y, x + 1, y + 1)
      if (y + 1 < height && here !== Boolean(inside(i + width))) line(x, y + 1, x + 1, y + 1)
    }
  }
  return path
}

// A line that is seen on black, on white and on colours: one colour in a casing of another.
function strokeCased(pen, path, color, casing, wide) {
  pen.lineCap = "square"
  pen.strokeStyle = casing
  pen.lineWidth = wide + 2
  pen.stroke(path)
  pen.strokeStyle = color
  pen.lineWidth = wide
  pen.stroke(path)
}

function ringOf(pixel, width, cell, apart = 0) {
  const least = Math.max(0, (6 - cell) / 2) + apart // the rings of tiny pixels can still be seen
  const path = new Path2D()
  const x = (pixel % width) * cell, y = Math.floor(pixel / width) * cell
  path.rect(x - least, y - least, cell + 2 * least, cell + 2 * least)
  return path
}

// Put the tip beside a point of the window, where there is room for it.
function placeTip(tip, x, y) {
  const wide = tip.offsetWidth, high = tip.offsetHeight
  const left = x + 14 + wide < window.innerWidth - 8 ? x + 14 : x - wide - 14
  const top = y + 14 + high < window.innerHeight - 8 ? y + 14 : y - high - 14
  tip.style.left = `${Math.max(4, left)}px`
  tip.style.top = `${Math.max(4, top)}px`
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text
}

function sized(parent, count, make) {
  while (parent.children.length > count) parent.lastChild.remove()
  while (parent.children.length < count) parent.append(make())
  return [...parent.children]
}
