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
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    whole, _, server, browser_part, row, growth, heard = rows
    assert whole["row"].endswith("p50")
    assert 0 < server["ours"] < whole["ours"] < 10_000
    assert 0 < browser_part["ours"] < whole["ours"]
    assert row["row"].endswith("a row while playing")
    assert 0 < row["ours"] < 10_000
    assert growth["row"].endswith("sound while playing")
    assert 0 < growth["ours"] < 10
    assert heard["row"].endswith("heard after Pause")
    assert 0 < heard["ours"] < 20_000


def test_the_bench_of_the_compare_page_waits_for_tokens_and_for_rest(browser):
    assert browser.version
    code = (
        "from bench.compare_page import compare_page; from bench.decode import Options; "
        "[print(r.ours) for r in compare_page(Options(is_quick=True))]"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                         timeout=200)  # fmt: skip
    assert run.returncode == 0, run.stderr
    first, stop = map(float, run.stdout.split())
    assert 0 < first < 20_000
    assert 0 < stop < 20_000
