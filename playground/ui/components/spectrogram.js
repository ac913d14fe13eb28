// The picture of a mel spectrogram with axes: frequencies beside it, time below.
function show(image, bytes) {
  const link = `data:image/png;base64,${bytes}`
  if (image.getAttribute("src") !== link) image.src = link
}

export default function (component) {
  const { data, parentElement } = component
  const host = parentElement.querySelector(".host")
  const picture = host.querySelector(".picture")
  const hertz = host.querySelector(".hertz"), seconds = host.querySelector(".seconds")
  say(host.querySelector(".title"), data.title ?? "")
  say(host.querySelector(".low"), data.low)
  say(host.querySelector(".high"), data.high)
  host.querySelector(".ramp").style.background = `linear-gradient(90deg, ${data.stops})`
  picture.style.height = `${data.height}px`
  picture.alt = data.alt
  host.querySelector(".plot").hidden = !data.png // a waveform alone, which still grows
  if (data.png) show(picture, data.png)
  const wave = host.querySelector(".wave")
  const drawn = data.waves[isDark(host) ? "dark" : "light"]
  wave.hidden = !drawn
  wave.alt = data.png ? "" : data.alt // beside a picture it has the same numbers, and no words
  if (drawn) show(wave, drawn)
  host.querySelector(".legend").hidden = !data.legend

  const label = (text, className = "") => {
    const made = element("span", className)
    made.textContent = text
    return made
  }
  const draw = () => {
    const left = picture.offsetLeft, top = picture.offsetTop
    const wide = picture.clientWidth, high = data.height
    hertz.replaceChildren()
    let last = Infinity // words need room above each other
    for (const [share, text] of data.hertz) {
      const y = top + high * (1 - share)
      if (last - y < 13) continue
      last = y
      const made = label(text)
      made.style.top = `${y}px`
      hertz.append(made)
    }
    seconds.replaceChildren()
    if (!data.seconds || wide < 40) return
    const { ticks, unit } = timeTicks(0, data.seconds, Math.max(2, wide / 70))
    for (const [at, text] of ticks) {
      const made = label(text)
      made.style.left = `${left + (wide * at) / data.seconds}px`
      seconds.append(made)
    }
    seconds.append(label(`time (${unit})`, "unit"))
    host.dataset.ticks = ticks.length // told when they are drawn
  }
  if (!data.png) return
  draw()
  return watchWidth(host, draw)
}
