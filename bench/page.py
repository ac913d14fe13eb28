"""From a click on Step to the redrawn page, in a real browser, and where the time goes.

Peer: the same app with Streamlit's own defaults for what `.streamlit/config.toml` sets, which
collects all garbage after every rerun. Both servers run side by side and take turns.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.decode import Options
from bench.measure import Row, paired

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = ["--runner.postScriptGC", "true", "--server.fileWatcherType", "auto"]
PEER = "the same page with Streamlit's default settings"
PAUSE_S = 0.25  # between clicks, as a person makes; back-to-back clicks would meet a warm path
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]

# Marks when the click leaves the browser, when the last answer comes, and the first frame that
# shows one more token and another chart.
WATCH = """
(() => {
  const marks = (window.__marks = {})
  const send = WebSocket.prototype.send
  WebSocket.prototype.send = function (data) {
    if (marks.clicked && !marks.sent) marks.sent = performance.now()
    if (!this.__watched) {
      this.__watched = true
      this.addEventListener("message", () => { marks.received = performance.now() })
    }
    return send.call(this, data)
  }
  const strip = () => {
    for (const element of document.querySelectorAll(".st-key-strip *")) {
      const found = element.shadowRoot?.querySelectorAll(".token")
      if (found?.length) return found.length
    }
    return document.querySelectorAll(".st-key-strip .token").length
  }
  const chart = () => document.querySelector(".st-key-candidates svg.marks")?.outerHTML
  window.__step = () => new Promise((done) => {
    const before = { tokens: strip(), chart: chart() }
    const button = [...document.querySelectorAll(".st-key-step button")].find((b) => b.offsetParent)
    Object.assign(marks, { clicked: performance.now(), sent: 0, received: 0 })
    button.click()
    const look = () => {
      if (strip() === before.tokens + 1 && chart() && chart() !== before.chart) {
        const drawn = performance.now()
        requestAnimationFrame(() => {
          const result = {
            total: drawn - marks.clicked,
            server: Math.min(marks.received, drawn) - marks.sent,
          }
          marks.clicked = 0
          done(result)
        })
      } else if (performance.now() - marks.clicked > 10000) done(null)
      else requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
  })
})()
"""


@contextmanager
def serving(flags: list[str]) -> Iterator[str]:
    """Serve the app; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.address", "127.0.0.1"]
    command += ["--server.port", str(port), *flags]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
                break
            except OSError:
                time.sleep(0.25)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def clicks(page, number: int) -> list[dict]:
    """Step `number` times; return the milliseconds of each, in all and at the server."""
    found = []
    for _ in range(number):
        result = page.evaluate("window.__step()")
        if result is None:
            raise RuntimeError("The page did not redraw within 10 seconds of a click on Step.")
        found.append(result)
        page.wait_for_timeout(1000 * PAUSE_S)
    return found


def page(options: Options) -> Iterator[Row]:
    """Click to redrawn page for every shipped text model: median, upper quartile, server's part."""
    from playwright.sync_api import sync_playwright

    names = sorted(p.parent.name for p in ROOT.glob("checkpoints/*/config.json"))
    names = names[:1] if options.is_quick else names
    turns, each = (1, 3) if options.is_quick else (3, 8)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("No Chromium found. Install it: apt-get install chromium")
    with serving([]) as ours, serving(DEFAULTS) as theirs, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name in names:
            pages = {}
            for side, address in (("ours", ours), ("theirs", theirs)):
                pages[side] = browser.new_page(viewport={"width": 1400, "height": 1000})
                pages[side].add_init_script(WATCH)
                pages[side].goto(f"{address}/Text?model={name}&temperature=0.8&top_k=20")
                pages[side].locator(".st-key-candidates svg.marks").wait_for(timeout=60_000)
                pages[side].wait_for_timeout(1500)
                clicks(pages[side], 2)
            found: dict[str, list[dict]] = {"ours": [], "theirs": []}
            for turn in range(turns):
                for side in list(pages)[:: 1 if turn % 2 else -1]:
                    pages[side].bring_to_front()
                    found[side] += clicks(pages[side], each)
            for tab in pages.values():
                tab.close()
            yield from rows(name, found, options)
        browser.close()


def rows(name: str, found: dict[str, list[dict]], options: Options) -> Iterator[Row]:
    """Return the rows of one model."""
    totals = [[click["total"] for click in found[side]] for side in ("ours", "theirs")]
    servers = [[click["server"] for click in found[side]] for side in ("ours", "theirs")]
    uppers = [statistics.quantiles(side, n=4)[2] for side in totals]
    figures = paired(*totals, less_is_better=True)
    said = {"peer": PEER, "threads": f"1 of {os.cpu_count()}", "device": options.device}
    yield Row("page", f"{name} p50", "ms", **figures, **said)
    quartile = figures | {"ours": uppers[0], "theirs": uppers[1], "ratio": uppers[1] / uppers[0]}
    yield Row("page", f"{name} p75", "ms", **quartile, **said)
    yield Row(
        "page", f"{name}, network and server", "ms", **paired(*servers, less_is_better=True), **said
    )
