// A text as a tokenizer cuts it: one box a token, with its id; hovering or arrow keys tell more.
// Four colours take turns, so that a border is seen where the letters do not show one.
const HUES = 4

function element(name, kind, text) {
  const made = document.createElement(name)
  if (kind) made.className = kind
  if (text !== undefined) made.textContent = text
  return made
}

export default function (component) {
  const { data, parentElement } = component
  const host = parentElement.querySelector(".pieces")
  const tip = parentElement.querySelector(".tip")
  parentElement.querySelector(".title").textContent = data.title
  parentElement.querySelector(".more").textContent = data.more
  for (const kind of ["part", "special", "differs"]) {
    const has = data.kinds.some((kinds) => kinds.includes(kind[0]))
    parentElement.querySelector(`.has-${kind}`).hidden = !has
  }
  host.tabIndex = 0
  host.setAttribute("role", "group")
  host.setAttribute("aria-label", data.alt)
  const boxes = []
  const fresh = document.createDocumentFragment()
  data.texts.forEach((text, i) => {
    const kinds = data.kinds[i]
    const box = element("span", `piece h${i % HUES}`)
    if (kinds.includes("p")) box.classList.add("part")
    if (kinds.includes("s")) box.classList.add("special")
    if (kinds.includes("d")) box.classList.add("differs")
    box.append(element("span", "text", text))
    if (data.ids) box.append(element("span", "id", String(data.tokens[i])))
    boxes.push(box)
    fresh.append(box)
    if (kinds.includes("n")) fresh.append(element("span", "line"))
  })
  host.replaceChildren(fresh)

  let near = -1
  const show = (i) => {
    if (near >= 0) boxes[near]?.classList.remove("near")
    near = i
    tip.hidden = i < 0
    if (i < 0) return
    boxes[i].classList.add("near")
    boxes[i].scrollIntoView({ block: "nearest" })
    tip.textContent = `${data.texts[i]}   token ${data.tokens[i]}\n${data.tips[i]}`
    const box = boxes[i].getBoundingClientRect()
    tip.style.left = Math.max(4, Math.min(box.left, window.innerWidth - tip.offsetWidth - 8)) + "px"
    const above = box.top - tip.offsetHeight - 6
    tip.style.top = (above > 4 ? above : box.bottom + 6) + "px"
  }
  const boxOf = (target) => boxes.indexOf(target.closest?.(".piece"))
  host.onmousemove = (event) => {
    const i = boxOf(event.target)
    if (i !== near) show(i)
  }
  host.onmouseleave = () => show(-1)
  host.onblur = () => show(-1)
  host.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === "ArrowRight") show(Math.min(boxes.length - 1, near + 1))
    else if (event.key === "ArrowLeft") show(Math.max(0, near - 1))
    else if (event.key === "Escape") show(-1)
    else return
    event.preventDefault()
  }
}
