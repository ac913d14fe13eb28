"""The bench of clicks runs, and its figures are of a page that really changed."""

import json
import subprocess
import sys

import pytest

from tests.helpers import ROOT

pytestmark = pytest.mark.browser


def test_clicks_are_measured_from_the_click_to_the_drawn_chart(browser):
    assert browser.version  # a missing browser is told by the fixture
    command = [sys.executable, "-m", "bench", "page", "--quick", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr
    whole, _, server, browser_part = [json.loads(line) for line in run.stdout.splitlines()]
    assert whole["row"].endswith("p50")
    assert 0 < server["ours"] < whole["ours"] < 10_000
    assert 0 < browser_part["ours"] < whole["ours"]
