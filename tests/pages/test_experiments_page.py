"""The Experiments page: what it shows of kept results, without them, and made again."""

import os
import signal
import sys
import time

import pytest
from streamlit.testing.v1 import AppTest

from playground.errors import ConfigError
from playground.experiments.results import NAMES, load_result
from playground.ui import experiment_rerun, experiment_views
from playground.ui.charts import render
from playground.ui.experiment_charts import charts
from playground.ui.experiment_rerun import Reruns
from playground.ui.experiment_texts import TEXTS
from tests import made_up_experiments as made_up
from tests.helpers import ROOT

TELL = "import json; print(json.dumps({'done': 1, 'of': 4}), flush=True);"
WAIT = f"{TELL} import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"
LEAVE_CHILD = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', "
    "'import time; time.sleep(60)']); print(child.pid, flush=True); child.wait()"
)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """All results, made up, where the page looks for kept ones."""
    folder = tmp_path / "results"
    folder.mkdir()
    made_up.write_all(folder)
    monkeypatch.setattr(experiment_views, "FOLDER", folder)
    return folder


@pytest.fixture
def server(monkeypatch):
    """What a server makes again, by a command that a test chooses."""
    found = []

    def begin(code: str) -> Reruns:
        here = Reruns(lambda name, folder: [sys.executable, "-c", code])
        monkeypatch.setattr(experiment_views, "reruns", lambda: here)
        found.append(here)
        return here

    yield begin
    for here in found:
        here.close()


def page(name: str = "") -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / "6_Experiments.py", default_timeout=60)
    if name:
        app.query_params["experiment"] = TEXTS[name].title
    return app.run()


def until(condition) -> None:
    """Wait for something that happens soon."""
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_is_told_with_finding_charts_limits_and_command(name, kept):
    app = page(name)
    assert not app.exception
    assert not app.warning
    assert app.subheader[0].value == TEXTS[name].title
    assert len(app.info) == 1
    assert [code.value for code in app.code] == [f"python -m train.experiment {name}"]
    assert len(app.get("vega_lite_chart")) == len(charts(load_result(name, kept)))
    limits = next(m.value for m in app.markdown if m.value.startswith("- "))
    assert limits.count("\n- ") + 1 == len(TEXTS[name].limits)


def test_no_result_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment_views, "FOLDER", tmp_path)
    app = page("scaling")
    assert not app.exception
    assert "has not been made here" in app.warning[0].value
    assert "train" in app.warning[0].value
    assert app.button(key="make").label == "Make it"


def test_a_damaged_result_is_a_message(kept):
    (kept / "helps.json").write_text('{"rows": 1}')
    app = page("helps")
    assert not app.exception
    assert "cannot be read" in app.warning[0].value


def test_a_link_to_no_experiment_is_told(kept):
    app = AppTest.from_file(ROOT / "pages" / "6_Experiments.py", default_timeout=60)
    app.query_params["experiment"] = "Alchemy"
    app.run()
    assert not app.exception
    assert "Alchemy" in app.warning[0].value
    assert app.subheader[0].value == TEXTS[NAMES[0]].title


def test_the_slider_shows_the_matrix_after_so_many_steps(kept):
    app = page("transfer")
    assert "**Bits per character at once**" in [m.value for m in app.markdown]
    app.select_slider[0].set_value(100).run()
    assert not app.exception
    assert any("after 100 steps" in m.value for m in app.markdown)


@pytest.mark.parametrize("make", made_up.ALL, ids=lambda make: make.__name__)
def test_every_chart_can_be_drawn_and_says_what_it_is(make):
    for drawn in charts(make()):
        assert drawn.title
        assert drawn.alt
        assert render(drawn.chart, "svg").startswith(b"<svg")


def test_switched_off_there_is_no_button(kept, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_TRAINING", "off")
    app = page("families")
    assert not app.exception
    assert "make" not in [button.key for button in app.button]
    assert "PLAYGROUND_TRAINING=off" in " ".join(c.value for c in app.caption)
    with pytest.raises(ConfigError, match="switched off on this server"):
        Reruns().start("families")


def test_the_page_starts_shows_and_stops_a_process(kept, server):
    here = server(WAIT)
    app = page("families")
    app.button(key="make").click().run()
    assert not app.exception
    rerun = here.current
    until(lambda: rerun.progress == (1, 4))
    other = page("quality")  # another tab sees it, and cannot start a second
    assert other.button(key="make").disabled
    with pytest.raises(ConfigError, match="experiment families is being made"):
        here.start("quality")
    other.button(key="stop").click().run()
    until(rerun.has_ended.is_set)
    assert here.current is None
    app.run()
    assert not app.error
    assert any("was stopped" in caption.value for caption in app.caption)
    assert not app.button(key="make").disabled


def test_who_does_not_listen_is_ended(server, monkeypatch):
    monkeypatch.setattr(experiment_rerun, "PATIENCE_S", 0.3)
    here = server(DEAF)
    rerun = here.start("helps")
    until(lambda: rerun.progress == (1, 4))
    experiment_rerun.stop(rerun)
    until(rerun.has_ended.is_set)
    assert rerun.process.returncode == -signal.SIGKILL


def test_what_a_process_started_ends_with_it(server):
    here = server(LEAVE_CHILD)
    rerun = here.start("helps")
    told = rerun.folder / "told.txt"
    until(lambda: told.read_text().endswith("\n"))
    experiment_rerun.stop(rerun)
    until(rerun.has_ended.is_set)
    child = int(told.read_text())

    def is_gone() -> bool:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{child}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"

    until(is_gone)


def test_what_goes_wrong_is_a_message(kept, server):
    here = server("import sys; sys.exit('The disk is full.')")
    app = page("gradients")
    app.button(key="make").click().run()
    rerun = here.last("gradients")
    until(rerun.has_ended.is_set)
    app.run()
    assert not app.exception
    assert "ended with 1" in app.error[0].value
    assert "The disk is full" in app.error[0].value


def test_what_was_made_stands_beside_what_is_kept(kept, server):
    here = server("pass")
    rerun = here.start("families")
    until(rerun.has_ended.is_set)
    made = made_up.families(noise=(0.0,), transformer=2.9, rnn=3.0)
    (here.folder("families") / "families.json").write_text(made.to_json(), encoding="utf-8")
    app = page("families")
    assert not app.exception
    assert "2\\.90" in app.info[2].value  # the reduced one; the kept one stands above and beside
    assert app.info[0].value == app.info[1].value
    files = [button.label for button in app.get("download_button")]
    assert files.count("Rows (CSV)") == 2
    titles = [m.value for m in app.markdown]
    assert titles.index("**Kept**") < titles.index("**Reduced, made here**")


def test_the_real_command_is_the_trainers(tmp_path):
    command = experiment_rerun.command_of("quality", tmp_path)
    assert command[1:] == ["-m", "train.experiment", "quality", "--reduced", "--out", str(tmp_path)]
