"""Trainings in processes of their own: started, watched, stopped, killed, found again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from playground.checkpoints import load
from playground.errors import ConfigError, DataError
from playground.running import order as orders
from playground.running import process, trainings
from playground.running.metrics import MAX_POINTS, Metrics
from playground.running.order import Order, own_sizes
from playground.running.snapshots import snapshots
from tests.helpers import ROOT
from train.config import parse_config
from train.schedules import SCHEDULES
from train.text import Config

TEXT = (ROOT / "tests" / "data" / "king_james_tail.txt").read_bytes()
TINY = (
    "--n-layer 1 --n-head 2 --n-embd 16 --context-length 16 --batch-size 4 --threads 1 "
    "--precision float32 --warmup 5 --eval-every 20 --save-every 10 --snapshots 6"
).split()


def wait_for(runs, *states, name="mine"):
    deadline = time.monotonic() + 120
    while (training := trainings.read(runs / name)).state not in states:
        assert time.monotonic() < deadline, trainings.said(runs / name)
        time.sleep(0.1)
    trainings.trainings(runs)  # buries it
    return training


def wait_for_step(runs, step, name="mine"):
    metrics, deadline = Metrics(runs / name), time.monotonic() + 120
    while metrics.step < step:
        assert time.monotonic() < deadline, trainings.said(runs / name)
        assert trainings.read(runs / name).state == "running", trainings.said(runs / name)
        metrics.update()
        time.sleep(0.05)


def test_a_training_is_started_watched_and_leaves_a_model_and_snapshots(tmp_path):
    trainings.start(tmp_path, "mine", [*TINY, "--steps", "40"], TEXT)
    with pytest.raises(ConfigError, match="The run mine is training now"):
        trainings.start(tmp_path, "other", [*TINY, "--steps", "40"], TEXT)
    assert os.getpriority(os.PRIO_PROCESS, process.read(tmp_path / "mine").pid) >= 10
    training = wait_for(tmp_path, "finished", "ended")
    assert training.state == "finished", training.message
    assert "bits per character" in training.message
    assert training.flag("--steps") == "40"
    assert list(snapshots(tmp_path / "mine")) == [0, 3, 20, 25, 32, 40]
    for folder in snapshots(tmp_path / "mine").values():
        load(folder)
    metrics = Metrics(tmp_path / "mine")
    assert metrics.update()
    assert not metrics.update()
    assert metrics.step == 40
    assert [point["step"] for point in metrics.judged] == [20, 40]
    assert metrics.steps[-1]["speed"] > 0


def test_one_that_was_stopped_or_killed_goes_on(tmp_path):
    trainings.start(tmp_path, "mine", [*TINY, "--steps", "100000"], TEXT)
    wait_for_step(tmp_path, 20)
    trainings.stop(trainings.read(tmp_path / "mine"))
    stopped = wait_for(tmp_path, "stopped", "ended")
    assert stopped.state == "stopped", stopped.message
    assert stopped.can_resume
    load(tmp_path / "mine")  # what it knew when it was stopped can be tried at once
    done = int(stopped.message.split()[3].rstrip(";"))
    trainings.resume(stopped)
    wait_for_step(tmp_path, done + 20)
    os.kill(process.read(tmp_path / "mine").pid, signal.SIGKILL)
    killed = wait_for(tmp_path, "ended")
    assert killed.message.startswith("It was killed from outside")
    assert killed.can_resume


def test_a_training_outlives_the_server_that_started_it(tmp_path):
    flags = [*TINY, "--steps", "100000"]
    server = (
        "import sys\nfrom pathlib import Path\nfrom playground.running import trainings\n"
        f"trainings.start(Path(sys.argv[1]), 'mine', {flags!r}, {TEXT!r})\n"
    )
    subprocess.run([sys.executable, "-c", server, str(tmp_path)], cwd=ROOT, check=True)
    [found] = trainings.trainings(tmp_path)
    assert found.state == "running"
    wait_for_step(tmp_path, 20)
    trainings.stop(found)
    assert wait_for(tmp_path, "stopped", "ended").state == "stopped"


@pytest.mark.parametrize(
    ("text", "flags", "says"),
    [
        (b"a" * 5000, (), "holds 1 different characters"),
        (b"ab" * 10, (), "Use a longer text or a shorter --context-length"),
        (b"PNG\0" * 2000, (), "as programs and pictures do"),
        (b"\xff\xfe" * 2000, (), "is not UTF-8 text"),
        (TEXT, ("--n-embd", "17"), "n_embd must be a multiple"),
        (TEXT, ("--muon-rate", "1e30", "--learning-rate", "1e30"), "training cannot go on. Lower"),
    ],
    ids=["one symbol", "short", "binary", "bytes", "divide", "not a number"],
)
def test_what_the_process_refuses_is_told_with_its_own_words(text, flags, says, tmp_path):
    trainings.start(tmp_path, "mine", [*TINY, "--steps", "60", *flags], text)
    ended = wait_for(tmp_path, "finished", "ended")
    assert ended.state == "ended"
    assert says in ended.message


def test_a_name_that_is_taken_is_refused_and_one_that_failed_to_begin_is_not(tmp_path):
    trainings.start(tmp_path, "mine", [*TINY, "--steps", "20"], b"a" * 5000)
    assert wait_for(tmp_path, "ended").message.startswith("corpus holds 1 different")
    trainings.start(tmp_path, "mine", [*TINY, "--steps", "20"], TEXT)
    done = wait_for(tmp_path, "finished", "ended")
    assert done.result is not None, done.message
    assert done.message.startswith(f"{tmp_path / 'mine'}: {done.result[0]}")
    with pytest.raises(ConfigError, match="There is a run mine already"):
        trainings.start(tmp_path, "mine", [*TINY, "--steps", "20", "--seed", "1"], b"other")
    assert (tmp_path / "mine" / trainings.CORPUS).read_bytes() == TEXT
    assert trainings.read(tmp_path / "mine") == done


def test_one_that_is_stopped_before_it_begins_says_so(tmp_path):
    trainings.stop(trainings.start(tmp_path, "mine", [*TINY, "--steps", "20"], TEXT))
    assert "stopped before its first step" in wait_for(tmp_path, "ended").message
    assert trainings.is_free(tmp_path / "mine")


def test_tokens_of_several_characters_are_drawn_by_character(tmp_path):
    flags = [*TINY, "--steps", "40", "--vocab-size", "300"]
    trainings.start(tmp_path, "mine", flags, TEXT)
    assert wait_for(tmp_path, "finished", "ended").state == "finished"
    metrics = Metrics(tmp_path / "mine")
    metrics.update()
    assert metrics.per_token > 1.1
    told = json.loads((tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()[1])
    assert metrics.steps[0]["bits"] == told["train_bits_per_token"] / metrics.per_token


def test_names_sizes_and_the_switch_are_held_to(tmp_path, monkeypatch):
    for name in ("../mine", "", "A", "a" * 41, "-a", "a/b"):
        with pytest.raises(ConfigError, match="A run cannot be called"):
            trainings.start(tmp_path, name, TINY, TEXT)
    with pytest.raises(DataError, match="at most 20 MB"):
        trainings.start(tmp_path, "mine", TINY, bytes(trainings.MAX_UPLOAD + 1))
    monkeypatch.setattr(trainings, "LEAST_FREE", 2**62)
    with pytest.raises(DataError, match="Make room first"):
        trainings.start(tmp_path, "mine", TINY, TEXT)
    monkeypatch.setenv("PLAYGROUND_TRAINING", "off")
    with pytest.raises(ConfigError, match="switched off"):
        trainings.start(tmp_path, "mine", TINY, TEXT)
    assert not trainings.trainings(tmp_path)


def test_a_number_that_another_process_has_by_now_is_not_taken_for_it(tmp_path):
    noted = process.note(tmp_path, ["text"])
    assert noted.is_alive
    assert process.read(tmp_path) == noted
    written = json.loads((tmp_path / process.FILE).read_text())
    (tmp_path / process.FILE).write_text(json.dumps(written | {"began": written["began"] - 1}))
    assert not process.read(tmp_path).is_alive
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.note(tmp_path, ["text"], child.pid).is_alive  # it waits to be buried
    child.wait()
    for damaged in ("", "[]", '{"pid": -1, "began": 1, "command": ["text"]}', "[" * 10**5):
        (tmp_path / process.FILE).write_text(damaged)
        assert process.read(tmp_path) is None


def test_metrics_are_read_as_they_grow_and_anew_when_a_run_goes_on(tmp_path):
    path, metrics = tmp_path / "metrics.jsonl", Metrics(tmp_path)
    assert not metrics.update()
    line = '{"step": %d, "train_bits_per_token": 2.5, "gradient_norm": 1, "learning_rate": 0.1, '
    line += '"read": %d, "seconds": %d}\n'
    path.write_text(line % (20, 640, 1) + "nonsense\n" + (line % (40, 1280, 3))[:9])
    assert metrics.update()
    assert [p["speed"] for p in metrics.steps] == [640]
    with open(path, "a") as file:
        file.write((line % (40, 1280, 3))[9:])
        file.write('{"step": 40, "held_out_bits_per_char": 3.5, "sample": "In"}\n')
        file.write('{"step": 40, "planned_steps": 300}\n')
    assert metrics.update()
    assert [(p["step"], p["speed"]) for p in metrics.steps] == [(20, 640), (40, 320)]
    assert (metrics.planned, metrics.judged[0]["sample"]) == (300, "In")
    (tmp_path / "new").write_text(line % (20, 640, 1))
    os.replace(tmp_path / "new", path)
    assert metrics.update()
    assert (len(metrics.steps), metrics.planned) == (1, None)
    path.write_text("".join(line % (i, i, i) for i in range(1, MAX_POINTS + 50)))
    metrics.update()
    assert len(metrics.steps) <= MAX_POINTS
    assert metrics.step == MAX_POINTS + 49


def test_an_order_is_flags_that_the_script_takes():
    order = Order("gru", own_sizes({"--n-layer": 2, "--n-embd": 32}), "linear", 0.5, 512,
                  {"--layer-norm": "yes", "--connection": "highway", "--seed": 7})  # fmt: skip
    config = parse_config(Config, order.flags("moby-dick", 1_200_000))
    assert (config.family, config.n_layer, config.n_embd, config.seed) == ("gru", 2, 32, 7)
    assert (config.layer_norm, config.connection, config.vocab_size) == (True, "highway", 512)
    assert (config.minutes, config.schedule, config.snapshots) == (0.5, "linear", 8)
    assert config.held_out == 0.05
    assert parse_config(Config, order.flags("prose", 10_000_000)).held_out == 0.01
    assert orders.SCHEDULES == SCHEDULES


def test_an_order_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="The minutes must be in"):
        Order("gru", "", minutes=1e9).flags("prose", 10)
    with pytest.raises(ConfigError, match="Layers must be a whole number"):
        own_sizes({"--n-layer": 10**9})
    with pytest.raises(ConfigError, match=r"multiple of twice the 4 attention heads.*Try 128"):
        own_sizes({"--n-head": 4, "--n-embd": 130})
    with pytest.raises(ConfigError, match="Lower the batch size or the context length"):
        Order("gru", "", settings={"--batch-size": 256, "--context-length": 1024}).flags("", 10)
    with pytest.raises(DataError, match="up to 5 MB"):
        Order("ngram", "", pieces=512).flags("", 6_000_000)
