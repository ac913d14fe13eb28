"""The Image page while it plays: how long a row of pixels takes to appear.

There is no peer for this; the other side of a row is the limit that the page should keep.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator

from bench.decode import Options
from bench.measure import Row
from bench.page import FLAGS, serving
from playground.registry import available

ROW_MS = 100.0
SECONDS = 2.5  # of watching; a picture of 28 rows takes 2.8

# Presses Play and notes each frame that shows more pixels than the one before.
WATCH = """
(() => {
  const known = () => {
    for (const element of document.querySelectorAll(".st-key-canvas *")) {
      const canvas = element.shadowRoot?.querySelector("canvas")
      if (canvas) return Number(canvas.dataset.known)
    }
    return NaN
  }
  const button = (key) => [...document.querySelectorAll(`.st-key-${key} button`)]
    .find((b) => b.offsetParent)
  window.__ready = () => known() === 0 && Boolean(button("play"))
  window.__play = (ms) => new Promise((done) => {
    const seen = []
    let before = known()
    button("play").click()
    const start = performance.now()
    const look = () => {
      const now = performance.now()
      if (known() > before) seen.push([now, (before = known())])
      if (now - start < ms) requestAnimationFrame(look)
      else done(seen)
    }
    requestAnimationFrame(look)
  })
})()
"""


def image_page(options: Options) -> Iterator[Row]:
    """Milliseconds a row of every shipped model of 28 rows or more, at the default pace."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("No Chromium found. Install it: apt-get install chromium")
    names = [name for name in available("image") if name.startswith(("fashion", "emoji"))]
    names = names[:1] if options.is_quick else names
    with serving([]) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name in names:
            found = []
            for _ in range(1 if options.is_quick else 5):
                tab = browser.new_page(viewport={"width": 1400, "height": 1000})
                tab.add_init_script(WATCH)
                tab.goto(f"{address}/Image?model={name}")
                tab.wait_for_function("window.__ready()", timeout=60_000)
                tab.wait_for_timeout(1500)
                found.append(per_row(tab.evaluate(f"window.__play({1000 * SECONDS})"), name))
                tab.close()
            middle = statistics.median(found)
            low, _, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
            yield Row(
                "page", f"{name}: a row while playing", "ms", ours=middle, peer="the limit",
                theirs=ROW_MS, ratio=ROW_MS / middle, spread=(high - low) / middle,
                runs=len(found), threads=f"1 of {os.cpu_count()}", device=options.device,
            )  # fmt: skip
        browser.close()


def per_row(seen: list[tuple[float, int]], name: str) -> float:
    """Return the milliseconds a row, from the first frame that grew to the last."""
    width = 28 if name.startswith("fashion") else 32
    if len(seen) < 2 or seen[-1][1] - seen[0][1] < width:
        raise RuntimeError(f"{name} drew less than two rows in {SECONDS} seconds of Play.")
    (start, before), (end, after) = seen[0], seen[-1]
    return (end - start) * width / (after - before)
