"""The Compare page while it runs: how soon tokens are there, and how soon Stop stops.

There is no peer for this; the other side of a row is the limit that a page should keep.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from urllib.parse import quote

from bench.decode import Options
from bench.measure import Row
from bench.page import FLAGS, serving
from playground.decoding.presets import PRESETS
from playground.decoding.spec import specs_to_text

LANES = ("pure sampling", "temperature 0.7", "top-k 20", "nucleus 0.9", "min-p 0.1", "typical 0.9",
         "mirostat", "repetition penalty")  # fmt: skip
FIRST_MS, STOP_MS = 1000.0, 500.0

# Clicks a button and waits for a frame in which something is so; returns milliseconds.
WATCH = """
(() => {
  const tokens = () => {
    let count = 0
    for (const element of document.querySelectorAll(".st-key-lanes_view *")) {
      count += element.shadowRoot?.querySelectorAll(".token").length ?? 0
    }
    return count + document.querySelectorAll(".st-key-lanes_view .token").length
  }
  const button = (key) => [...document.querySelectorAll(`.st-key-${key} button`)]
    .find((b) => b.offsetParent)
  window.__until = (key, so) => new Promise((done) => {
    const before = tokens(), start = performance.now()
    button(key).click()
    const look = () => {
      const now = performance.now()
      if (so === "tokens" ? tokens() > 0 && tokens() !== before : button("run")) done(now - start)
      else if (now - start > 20000) done(null)
      else requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
  })
  window.__ready = () => Boolean(button("run")) && tokens() === 0
})()
"""


def compare_page(options: Options) -> Iterator[Row]:
    """Eight lanes of 200 tokens: from Run to the first tokens, and from Stop to a page at rest."""
    from playwright.sync_api import sync_playwright

    length = 2000 if options.is_quick else 200  # a test must not find them at their end
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("No Chromium found. Install it: apt-get install chromium")
    lanes = quote(specs_to_text([PRESETS[name] for name in LANES]))
    link = f"Compare?model=kjv-char-transformer&judge=none&slide=true&length={length}&lanes={lanes}"
    first, stop = [], []
    with serving([]) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for _ in range(1 if options.is_quick else 7):
            tab = browser.new_page(viewport={"width": 1400, "height": 1000})
            tab.add_init_script(WATCH)
            tab.goto(f"{address}/{link}")
            tab.wait_for_function("window.__ready()", timeout=60_000)
            tab.wait_for_timeout(1500)
            first.append(tab.evaluate("window.__until('run', 'tokens')"))
            tab.wait_for_timeout(300)
            stop.append(tab.evaluate("window.__until('stop', 'rest')"))
            tab.close()
        browser.close()
    said = {"threads": f"{os.cpu_count()}", "device": options.device, "unit": "ms"}
    for what, found, limit in (("first tokens", first, FIRST_MS), ("Stop", stop, STOP_MS)):
        if None in found:
            raise RuntimeError(f"{what} did not come within 20 seconds.")
        middle = statistics.median(found)
        low, _, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
        yield Row(
            "compare", f"page, {len(LANES)} lanes x {length}: {what}",
            ours=middle, peer="the limit", theirs=limit, ratio=limit / middle,
            spread=(high - low) / middle, runs=len(found), **said,
        )  # fmt: skip
