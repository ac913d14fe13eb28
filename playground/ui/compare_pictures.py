"""What the Compare page shows of lanes of pictures: contact sheets, and one picture large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from playground.comparison import Real
from playground.comparison.pictures import EMPTY
from playground.tokenizers.image import ImageTokenizer
from playground.traces.trace import Step, Trace
from playground.ui import compare_actions as actions
from playground.ui import compare_state as state
from playground.ui import report_pictures
from playground.ui.compare_data import Drawn
from playground.ui.compare_frame import frames
from playground.ui.compare_picture_data import kept_of, known_of, scale_of, spread, surprisal_map
from playground.ui.compare_state import CompareSession, Entry, Outcome
from playground.ui.picture_components import (
    canvas_data,
    overlay,
    picture_canvas,
    picture_sheet,
    sheet_data,
)
from playground.ui.report_story import Story
from playground.ui.resources import Loaded

LARGE = 300  # screen pixels of a large picture, about
SMALL, SMALLER = 84, 56  # of one on a sheet; of one of many
FEW = 4
MOST_RESULTS = 64
COLORS = ("red", "green", "blue")


def lanes(session: CompareSession, loaded: Loaded) -> None:
    """Draw all lanes as contact sheets, side by side."""
    outcome = session.outcome
    tokenizer = outcome.loaded.tokenizer if outcome else loaded.tokenizer

    def inside(entry: Entry, drawn: list[Drawn]) -> str:
        picture_sheet(
            key=f"sheet_{entry.number}", data=_sheet(session, entry, drawn, tokenizer),
            on_choose_change=lambda: actions.from_sheet(session, entry),
        )  # fmt: skip
        return _status(drawn, tokenizer, outcome)

    frames(session, inside)


def _sheet(
    session: CompareSession, entry: Entry, drawn: list[Drawn], tokenizer: ImageTokenizer
) -> dict:
    """Return a lane's pictures; before it has run as many empty ones."""
    given = _given(session.outcome) if drawn else []
    shown = drawn or [Drawn() for _ in range(entry.spec.samples)]
    number, sample = (session.picked or (None, None))[:2]
    return sheet_data(
        [tokenizer.decode((*given, *d.tokens), EMPTY) for d in shown],
        [known_of(tokenizer, len(given) + len(d.tokens)) for d in shown],
        tips=[f"picture {i + 1}: {_bits(d)}" if d.bits else "" for i, d in enumerate(shown)],
        scale=scale_of(tokenizer, SMALL if len(shown) <= FEW else SMALLER),
        chosen=sample if number == entry.number else None,
        kept=kept_of(tokenizer, len(given)),
    )


def _given(outcome: Outcome) -> tuple[int, ...]:
    return outcome.comparison.prompt[1:]


def _bits(drawn: Drawn) -> str:
    return f"{sum(drawn.bits) / len(drawn.bits):.3f} bits per dimension"


def _status(drawn: list[Drawn], tokenizer: ImageTokenizer, outcome: Outcome | None) -> str:
    bits = [b for d in drawn for b in d.bits]
    if not bits:
        return "looking ahead …" if drawn and outcome.positions else ""
    made = max(len(d.tokens) for d in drawn)
    rows = (len(_given(outcome)) + made) // (tokenizer.width * tokenizer.channels)
    pictures = f"{len(drawn)} picture" + ("s" if len(drawn) > 1 else "")
    whole = "whole" if rows == tokenizer.height else f"{rows} of {tokenizer.height} rows"
    return f"{pictures}, {whole} · {sum(bits) / len(bits):.3f} bits/dim"


def details(session: CompareSession, candidates: Callable[[], None]) -> None:
    """Draw the chosen picture large, and beside it what else could have come at a pixel."""
    if session.chosen() is None:
        if session.outcome is not None and session.pace == "still":
            st.caption(":material/ads_click: Click a picture: which of its pixels were a surprise, "
                       "and what else could have come at each.")  # fmt: skip
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        _large(session)
    with right:
        if session.picked[2] < 0:
            st.caption("This pixel was given, not decided.")
        else:
            _channel_picker(session)
            candidates()


def _large(session: CompareSession) -> None:
    """Draw the chosen picture large with its surprisal."""
    entry, drawn, sample = session.chosen()
    outcome, tokenizer = session.outcome, session.outcome.loaded.tokenizer
    given = _given(outcome)
    bits = surprisal_map(tokenizer, drawn.bits, len(given))
    most = max(1.0, np.log2(tokenizer.levels) * tokenizer.channels)
    at = session.picked[2] + len(given)
    row, column, _ = tokenizer.position(min(at, tokenizer.size - 1))
    color = st.toggle("Colour pixels by their surprisal", True, key="overlay")
    picture_canvas(
        key="large",
        data=canvas_data(
            tokenizer.decode((*given, *drawn.tokens), EMPTY),
            known_of(tokenizer, len(given) + len(drawn.tokens)),
            scale=scale_of(tokenizer, LARGE),
            chosen=row * tokenizer.width + column,
            overlay=overlay(bits, "surprisal", most, title="surprisal", low="0",
                            high=f"{most:g} bits") if color else None,
            figures={"surprisal in bits": bits},
            title=f"{entry.spec.label}: picture {sample + 1}",
            facts=f"{_bits(drawn)} under the model that drew it",
        ),
        on_go_change=lambda: actions.from_large(session),
    )  # fmt: skip


def _channel_picker(session: CompareSession) -> None:
    """Choose which colour of the chosen pixel the candidates are of."""
    tokenizer = session.outcome.loaded.tokenizer
    if tokenizer.channels == 1:
        return
    given = len(_given(session.outcome))
    row, column, channel = tokenizer.position(session.picked[2] + given)

    def apply() -> None:
        channel = COLORS.index(state.widget("channel", COLORS[0]))
        index = tokenizer.index(row, column, channel) - given
        session.picked = (*session.picked[:2], index)

    state.set_widget("channel", COLORS[channel])
    st.segmented_control("Colour", COLORS, key="channel", required=True, on_change=apply)


def decision(step: Step, tokenizer: ImageTokenizer) -> tuple[str, Step]:
    """Return where in the picture a decision was made, and the decision without BOS in it."""
    row, column, channel = tokenizer.position(step.position - 1)
    where = f"row {row + 1}, column {column + 1}"
    if tokenizer.channels > 1:
        where += f", {COLORS[channel]}"
    levels = tuple(c for c in step.candidates if c.token < tokenizer.levels)
    return where, replace(step, candidates=levels)


def alternatives(trace: Trace, tokenizer: ImageTokenizer, score: str) -> None:
    """Draw all results of a search, the best first, with what they are ranked by."""
    others, given = trace.alternatives[:MOST_RESULTS], trace.prompt[1:]
    data = sheet_data(
        [tokenizer.decode((*given, *other.tokens), EMPTY) for other in others],
        [known_of(tokenizer, len(given) + len(other.tokens)) for other in others],
        captions=[f"{other.logprob:.1f}" for other in others],
        tips=[f"log p {other.logprob:.2f}, {score} {other.score:.3f}" for other in others],
        scale=scale_of(tokenizer, SMALL), kept=kept_of(tokenizer, len(given)),
    )  # fmt: skip
    picture_sheet("alternatives", data)


def results(session: CompareSession, kept: Sequence[tuple[Entry, int]]) -> None:
    """Draw where the pictures of each lane differ, and the real pictures they stand beside."""
    outcome, tokenizer = session.outcome, session.outcome.loaded.tokenizer
    several = [(e, outcome.drawn[i]) for e, i in kept if len(outcome.drawn[i]) > 1]
    maps = [spread(tokenizer, [d.tokens for d in drawn], _given(outcome)) for _, drawn in several]
    left, right = st.columns(2, gap="large")
    if maps:
        with left:
            st.markdown("**Where the pictures of a lane differ**")
            st.caption("Standard deviation of each value over the pictures: black where "
                       "all are the same.")  # fmt: skip
            data = sheet_data(maps, captions=[e.spec.label for e, _ in several],
                              scale=scale_of(tokenizer, SMALL))  # fmt: skip
            picture_sheet("spread", data)
    if isinstance(outcome.real, Real):
        real = outcome.real.of(outcome.comparison.label)
        with right:
            st.markdown("**Real pictures**")
            st.caption("Of the class that is told, if one is; the models have not seen them in "
                       "training.")  # fmt: skip
            data = sheet_data([tokenizer.decode(row) for row in real.tolist()],
                              scale=scale_of(tokenizer, SMALLER))  # fmt: skip
            picture_sheet("real", data)


def files(story: Callable[[], Story]) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Return what can be taken along besides the report: titles, names, and what makes them."""
    return {"Contact sheet (PNG)": ("sheet.png", lambda: report_pictures.sheet_of(story()))}
