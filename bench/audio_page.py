"""The Audio page while it plays: how much sound a second of watching brings, and when it is heard.

There is no peer for either; the other side of a row is what the page must reach.
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

GROWTH = 0.1  # seconds of sound a second of watching, at least
HEARD_MS = 1000.0  # from Pause to a sound that can be played, at most
SECONDS = 4  # of watching
RATE = 8000

# Presses Play, watches the waveform grow, presses Pause, waits until all of it can be played.
WATCH = """
(() => {
  const known = () => {
    for (const element of document.querySelectorAll(".st-key-waveform *")) {
      const canvas = element.shadowRoot?.querySelector("canvas[data-samples]")
      if (canvas) return Number(canvas.dataset.samples)
    }
    return NaN
  }
  const button = () => [...document.querySelectorAll(".st-key-play button")]
    .find((b) => b.offsetParent)
  const until = (is) => new Promise((done) => {
    const look = () => (is() ? done(performance.now()) : requestAnimationFrame(look))
    look()
  })
  window.__ready = () => known() === 0 && Boolean(button())
  window.__watch = async (ms) => {
    button().click()
    const start = await until(() => known() > 0), before = known()
    await until(() => performance.now() - start > ms)
    const end = performance.now(), after = known()
    button().click()
    const pressed = performance.now()
    const heard = await until(() => [...document.querySelectorAll("audio")].some((sound) =>
      sound.readyState >= 2 && button().innerText.includes("Play") &&
      Math.abs(sound.duration - known() / RATE) < 0.001))
    return {growth: (after - before) / (end - start), heard: heard - pressed}
  }
})()
""".replace("RATE", str(RATE))


def audio_page(options: Options) -> Iterator[Row]:
    """Every shipped model of sound at the default pace."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("No Chromium found. Install it: apt-get install chromium")
    names = list(available("audio"))[: 1 if options.is_quick else None]
    with serving([]) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name in names:
            found = []
            for _ in range(1 if options.is_quick else 5):
                tab = browser.new_page(viewport={"width": 1400, "height": 1000})
                tab.add_init_script(WATCH)
                tab.goto(f"{address}/Audio?model={name}")
                tab.wait_for_function("window.__ready()", timeout=60_000)
                tab.wait_for_timeout(1500)
                found.append(tab.evaluate(f"window.__watch({1000 * SECONDS})"))
                tab.close()
            growth = [1000 * one["growth"] / RATE for one in found]
            heard = [one["heard"] for one in found]
            yield row(f"{name}: sound while playing", "s/s", growth, GROWTH, options, False)
            yield row(f"{name}: heard after Pause", "ms", heard, HEARD_MS, options, True)
        browser.close()


def row(
    what: str, unit: str, found: list[float], limit: float, options: Options, less_is_better: bool
) -> Row:
    """Return a Row of figures beside what they must reach."""
    middle = statistics.median(found)
    low, _, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    ratio = limit / middle if less_is_better else middle / limit
    return Row(
        "page", what, unit, ours=middle, peer="the target", theirs=limit, ratio=ratio,
        spread=(high - low) / middle, runs=len(found), threads=f"1 of {os.cpu_count()}",
        device=options.device,
    )  # fmt: skip
