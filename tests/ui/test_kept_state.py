"""What is remembered of something that grows, when more of it is wanted than before."""

from playground.traces.trace import Step
from playground.ui.kept_state import Record


def test_a_record_grows_beyond_the_length_that_was_first_wanted():
    steps = [Step(i + 1, 0, -float(i), -float(i), i + 1, 0.5, 8) for i in range(9)]
    record = Record(4)
    record.update(steps[:4])
    record.update(steps)
    assert record.surprisal.tolist() == [step.surprisal for step in steps]
    assert record.rank.tolist() == [step.rank for step in steps]
