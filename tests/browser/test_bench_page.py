"""The bench of clicks runs, and its figures are of a page that really changed."""

import json

import pytest

from bench.__main__ import main

pytestmark = pytest.mark.browser


def test_clicks_are_measured_from_the_click_to_the_drawn_chart(browser, capsys):
    browser.version  # noqa: B018  a missing browser is told by the fixture
    assert main(["page", "--quick", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    whole, _, server = rows
    assert whole["row"].endswith("p50")
    assert 0 < server["ours"] < whole["ours"] < 10_000
