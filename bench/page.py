"""From a click on Step to the redrawn page, in a real browser, and where the time goes.

Peer: the same app with Streamlit's own defaults for what `.streamlit/config.toml` sets, which
collects all garbage after every rerun. Both servers run side by side and take turns.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from bench.decode import Options
from bench.measure import Row, paired
from playground.registry import MODELS

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = ["--runner.postScriptGC", "true", "--server.fileWatcherType", "auto"]
PEER = "the same page with Streamlit's default settings"
PROMPT = "In the beginning "
LONG_MODEL, LONG_PROMPT = "kjv-char-ngram", "And it came to pass in the " * 37  # 1,000 tokens
SETTINGS = {"temperature": 0.8, "top_k": 20}
PAUSE_S = 0.25  # between clicks, as a person makes; back-to-back clicks would meet a warm path
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]

# Marks when the click leaves the browser, and the first frame that shows one more token in the
# text, other candidates, and one more token in the timeline.
WATCH = """
(() => {
  const marks = (window.__marks = {})
  const send = WebSocket.prototype.send
  WebSocket.prototype.send = function (data) {
    if (marks.clicked && !marks.sent) marks.sent = performance.now()
    return send.call(this, data)
  }
  const found = (key, inside) => {
    for (const element of document.querySelectorAll(`.st-key-${key} *`)) {
      const all = element.shadowRoot?.querySelectorAll(inside)
      if (all?.length) return [...all]
    }
    return []
  }
  const drawn = () => ({
    text: found("strip", ".token").length,
    chart: found("candidates", ".row").map((row) => row.outerHTML).join(""),
    timeline: Number(found("timeline", "canvas")[0]?.dataset.tokens),
  })
  window.__drawn = () => Boolean(drawn().chart && drawn().timeline)
  window.__step = () => new Promise((done) => {
    const before = drawn()
    const button = [...document.querySelectorAll(".st-key-step button")].find((b) => b.offsetParent)
    Object.assign(marks, { clicked: performance.now(), sent: 0 })
    button.click()
    const look = () => {
      const { text, chart, timeline } = drawn()
      const isNext = text === before.text + 1 && timeline === before.timeline + 1
      if (isNext && chart && chart !== before.chart) {
        const total = performance.now() - marks.clicked
        const sent = marks.sent - marks.clicked
        marks.clicked = 0
        requestAnimationFrame(() => done({ total, sent }))
      } else if (performance.now() - marks.clicked > 10000) done(null)
      else requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
  })
})()
"""


@contextmanager
def serving(flags: list[str]) -> Iterator[tuple[str, int]]:
    """Serve the app; yield its address, and the process that serves it."""
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
        yield address, process.pid
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(20)


@contextmanager
def only(running: int, servers: Iterable[tuple[str, int]]) -> Iterator[None]:
    """Halt all servers but one: the peer's file watcher alone keeps half a core busy."""
    others = [pid for _, pid in servers if pid != running]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


class Frames:
    """When the browser's network sent and received, whatever its main thread was busy with."""

    def __init__(self, page):
        self.sent: list[float] = []  # seconds of one clock
        self.received: list[float] = []
        session = page.context.new_cdp_session(page)
        for name, times in (("Sent", self.sent), ("Received", self.received)):
            event = f"Network.webSocketFrame{name}"
            session.on(event, lambda frame, times=times: times.append(frame["timestamp"]))
        session.send("Network.enable")

    def clear(self) -> None:
        self.sent.clear()
        self.received.clear()

    def server_ms(self, click: dict) -> float:
        """Return the milliseconds from the message of a click to its last answer in time."""
        start = self.sent[0]
        end = start + (click["total"] - click["sent"]) / 1000
        return 1000 * (max(t for t in self.received if t <= end) - start)


def clicks(page, frames: Frames, number: int) -> list[dict]:
    """Step `number` times; return the milliseconds of each, in all and at the server."""
    found = []
    for _ in range(number):
        frames.clear()
        click = page.evaluate("window.__step()")
        if click is None:
            raise RuntimeError("The page did not redraw within 10 seconds of a click on Step.")
        found.append(click | {"server": frames.server_ms(click)})
        page.wait_for_timeout(1000 * PAUSE_S)
    return found


def page(options: Options) -> Iterator[Row]:
    """Click to redrawn page for every shipped text model, and for a long text of one of them."""
    from playwright.sync_api import sync_playwright

    names = sorted(card.name for card in MODELS if card.modality == "text")
    cases = [(name, PROMPT) for name in names]
    cases = cases[:1] if options.is_quick else [*cases, (LONG_MODEL, LONG_PROMPT)]
    turns, each = (1, 3) if options.is_quick else (3, 8)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("No Chromium found. Install it: apt-get install chromium")
    with serving([]) as ours, serving(DEFAULTS) as theirs, sync_playwright() as playwright:
        servers = {"ours": ours, "theirs": theirs}
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name, prompt in cases:
            pages = {}
            for side, (address, _) in servers.items():
                tab = browser.new_page(viewport={"width": 1400, "height": 1000})
                tab.add_init_script(WATCH)
                frames = Frames(tab)
                given = urlencode({"model": name, "prompt": prompt, **SETTINGS})
                tab.goto(f"{address}/Text?{given}")
                tab.wait_for_function("window.__drawn()", timeout=60_000)
                tab.wait_for_timeout(1500)
                clicks(tab, frames, 2)
                pages[side] = tab, frames
            found: dict[str, list[dict]] = {"ours": [], "theirs": []}
            for turn in range(turns):
                for side in list(pages)[:: 1 if turn % 2 else -1]:
                    pages[side][0].bring_to_front()
                    with only(servers[side][1], servers.values()):
                        clicks(*pages[side], 1)  # the first after a rest is no ordinary one
                        found[side] += clicks(*pages[side], each)
            for tab, _ in pages.values():
                tab.close()
            long = f" of {len(prompt):,} characters" if len(prompt) > 100 else ""
            yield from rows(name + long, found, options)
        browser.close()


def rows(name: str, found: dict[str, list[dict]], options: Options) -> Iterator[Row]:
    """Return the rows of one model."""
    totals = [[click["total"] for click in found[side]] for side in ("ours", "theirs")]
    uppers = [statistics.quantiles(side, n=4)[2] for side in totals]
    figures = paired(*totals, less_is_better=True)
    said = {"peer": PEER, "threads": f"1 of {os.cpu_count()}", "device": options.device}
    yield Row("page", f"{name} p50", "ms", **figures, **said)
    quartile = figures | {"ours": uppers[0], "theirs": uppers[1], "ratio": uppers[1] / uppers[0]}
    yield Row("page", f"{name} p75", "ms", **quartile, **said)
    parts = {
        "network and server": lambda click: click["server"],
        "browser": lambda click: click["total"] - click["server"],
    }
    for part, of in parts.items():
        sides = [[of(click) for click in found[side]] for side in ("ours", "theirs")]
        yield Row("page", f"{name}, {part}", "ms", **paired(*sides, less_is_better=True), **said)
