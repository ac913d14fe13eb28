"""The Train page as a visitor meets it: started, watched, left, found again, stopped, looked at."""

import time

import pytest

from playground.running import trainings
from tests.browser.conftest import Visitor, serving
from tests.helpers import ROOT

TEXT = ROOT / "tests" / "data" / "king_james_tail.txt"


@pytest.fixture
def house(tmp_path):
    """Return a script that draws the page over another folder of runs, and that folder."""
    script = tmp_path / "house.py"
    script.write_text(
        "import runpy\nfrom pathlib import Path\nfrom playground import registry\n"
        f"registry.ROOT = Path({str(tmp_path)!r})\n"
        f"runpy.run_path({str(ROOT / 'pages' / '7_Train.py')!r}, run_name='__main__')\n"
    )
    yield script, tmp_path / "runs"
    for training in trainings.trainings(tmp_path / "runs"):
        trainings.stop(training)


def test_a_training_outlives_tab_and_server_and_is_stopped_and_looked_at(browser, house, tmp_path):
    script, runs = house
    with serving(script, tmp_path / "log") as address:
        context = browser.new_context()
        visitor = Visitor(context, address)
        page = visitor.page
        page.goto(f"{address}/?family=neural-ngram&corpus=a+text+of+my+own&minutes=100")
        visitor.ready()
        page.locator("input[type=file]").set_input_files(TEXT)
        page.get_by_text("king_james_tail.txt").first.wait_for()
        name = page.get_by_role("textbox", name="Name of the run")
        name.fill("mine")
        name.press("Enter")
        visitor.ready()
        visitor.press("Start training")
        visitor.wait_text("What it writes")  # by itself, nobody clicks
        page.get_by_test_id("stVegaLiteChart").nth(3).wait_for()  # all four curves
        context.close()
    assert trainings.read(runs / "mine").state == "running"

    with serving(script, tmp_path / "log2") as address:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        visitor = Visitor(context, address)
        page = visitor.page
        page.goto(address)
        visitor.wait_text("What it writes")
        visitor.press("Stop and save")
        visitor.wait_text("Somebody else started this")  # a tab does not know the one before
        visitor.press("Stop it all the same")
        page.get_by_role("button", name="Resume").wait_for()  # by itself again
        page.get_by_text("What can come next").wait_for()
        slider = page.get_by_role("slider", name="After so many optimizer steps")
        slider.focus()
        page.keyboard.press("Home")
        page.get_by_text("What can come next, after 0 steps").wait_for()
        page.get_by_test_id("stVegaLiteChart").nth(5).wait_for()
        visitor.ready()
        context.close()
    deadline = time.monotonic() + 30
    while trainings.read(runs / "mine").state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert trainings.read(runs / "mine").state == "stopped"
