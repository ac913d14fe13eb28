"""A real server and the system's own Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.helpers import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
APP = '[data-testid="stApp"]'


@pytest.fixture(scope="session")
def browser():
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        message = (
            "No Chromium found. Install Debian's or Ubuntu's package: apt-get install chromium"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def serving(script: str | Path, log: Path) -> Iterator[str]:
    """Serve a script in a process of its own; yield its address, and find no traceback after."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    address = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.25)
        yield address
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Serve the app as the README says; yield its address."""
    with serving("app.py", tmp_path_factory.mktemp("server") / "log") as address:
        yield address


class Visitor:
    """One browser context on the Text page, with words for what a person does."""

    def __init__(self, context: BrowserContext, server: str):
        self.server = server
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on(
            "dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss())
        )

    def open(self, query: str = "") -> "Visitor":
        self.page.goto(f"{self.server}/Text?{query}")
        self.ready()
        return self

    def ready(self) -> None:
        self.page.wait_for_selector(f'{APP}[data-test-connection-state="CONNECTED"]')
        self.page.wait_for_selector(f'{APP}[data-test-script-state="notRunning"]')
        assert self.page.get_by_test_id("stException").count() == 0

    def tokens(self) -> list[str]:
        return self.page.locator(".st-key-strip .token").all_text_contents()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click()

    def wait_tokens(self, count: int) -> list[str]:
        deadline = time.monotonic() + 30
        while len(tokens := self.tokens()) != count:
            assert time.monotonic() < deadline, f"{len(tokens)} tokens, wanted {count}"
            time.sleep(0.03)
        return tokens

    def text(self) -> str:
        return self.page.locator("body").inner_text()

    def wait_text(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()


@pytest.fixture
def visitor(browser: Browser, server: str):
    """Return a function that makes visitors; their contexts end with the test."""
    contexts = []

    def make(**options) -> Visitor:
        options.setdefault("viewport", {"width": 1400, "height": 1000})
        context = browser.new_context(accept_downloads=True, **options)
        contexts.append(context)
        return Visitor(context, server)

    yield make
    for context in contexts:
        context.close()
