"""kill -9 at random moments loses nothing that was saved; 20 of them: `python -m bench kills`."""

import shutil
import time

from bench.kills import SMALL, TEXT, are_identical, saved_step, survive
from tests.train.runs import Script
from train.snapshots import snapshot_steps


def test_a_killed_run_loses_nothing_that_was_saved(tmp_path):
    found = survive("rnn", 3, tmp_path, [*SMALL, "--steps", "400", "--eval-every", "100"])
    assert found.is_identical
    assert (found.lost, found.litter, found.kills) == (0, 0, 3)
    assert found.resumed == 3  # each start, the first one from step 0


def test_a_plan_for_minutes_is_made_once_however_often_the_run_is_killed(tmp_path):
    out, flags = tmp_path / "killed", ["--data", str(TEXT), *SMALL, "--minutes", "0.1"]
    script = Script("train.text", tuple(flags))
    process = script.start(out)
    deadline = time.monotonic() + 120
    while saved_step(out) < 20:  # the plan is made and saved after step 20
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.communicate()
    shutil.copytree(out, tmp_path / "undisturbed")
    script.run(tmp_path / "undisturbed")
    script.run_in_spite_of_kills(out, kills=2)
    assert are_identical(tmp_path / "undisturbed", out)


def test_snapshots_lie_closer_at_the_beginning():
    assert snapshot_steps(3400, 8) == [0, 3, 20, 56, 156, 436, 1217, 3400]
    assert snapshot_steps(20, 8) == [0, 3, 20]
    assert snapshot_steps(2, 4) == [0, 2]
    for total in (1, 19, 21, 100, 10**6):
        for count in (4, 8, 20):
            steps = snapshot_steps(total, count)
            assert steps[0] == 0
            assert steps[-1] == total
            assert len(steps) <= count
