"""What the Compare page shows of lanes of sounds: waveforms that grow, players, spectrograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st

from playground.comparison import Real
from playground.tokenizers.audio import AudioTokenizer
from playground.traces.trace import Step, Trace
from playground.ui import compare_actions as actions
from playground.ui import controls, report_sounds
from playground.ui.compare_data import Drawn
from playground.ui.compare_frame import frames
from playground.ui.compare_state import CompareSession, Entry
from playground.ui.report_story import Story
from playground.ui.resources import Loaded
from playground.ui.sound_components import (
    growing_wave,
    player_card,
    player_grid,
    waveform,
)

MOST_REAL = 8
MOST_RESULTS = 8


def lanes(session: CompareSession, loaded: Loaded) -> None:
    """Draw all lanes side by side: waveforms while they grow, then players with spectrograms."""
    outcome = session.outcome
    tokenizer = outcome.loaded.tokenizer if outcome else loaded.tokenizer

    def inside(entry: Entry, drawn: list[Drawn]) -> str:
        for i, sound in enumerate(drawn):
            _sound(session, entry, i, sound, tokenizer)
        return _status(drawn, tokenizer)

    frames(session, inside)


def _sound(
    session: CompareSession, entry: Entry, i: int, drawn: Drawn, tokenizer: AudioTokenizer
) -> None:
    given, rate = session.outcome.comparison.prompt[1:], tokenizer.sample_rate
    samples, key = tokenizer.decode((*given, *drawn.tokens)), f"sound_{entry.number}_{i}"
    title = f"sound {i + 1}"
    if session.pace == "run":
        whole = len(given) + session.outcome.settings.length
        growing_wave(samples, rate, whole=whole, kept=len(given), key=f"growing_{key}", title=title)
        return
    player_card(samples, rate, key=key, title=title, kept=len(given), border=False)
    if drawn.bits:
        st.button("Look inside", key=f"look_{entry.number}_{i}", type="tertiary",
                  icon=":material/troubleshoot:", on_click=actions.look_inside,
                  args=(session, entry, i), help=f"{_bits(drawn)}: which samples were a surprise, "
                  "and what else could have come at each.")  # fmt: skip


def _bits(drawn: Drawn) -> str:
    return f"{sum(drawn.bits) / len(drawn.bits):.3f} bits per sample"


def _status(drawn: list[Drawn], tokenizer: AudioTokenizer) -> str:
    bits = [b for d in drawn for b in d.bits]
    if not bits:
        return "looking ahead …" if drawn else ""
    sounds = f"{len(drawn)} sound" + ("s" if len(drawn) > 1 else "")
    seconds = max(len(d.tokens) for d in drawn) / tokenizer.sample_rate
    return f"{sounds}, {seconds:.2f} s · {sum(bits) / len(bits):.3f} bits/sample"


def details(session: CompareSession, candidates: Callable[[], None]) -> None:
    """Draw the chosen sound large with its surprisal, and what else could have come at a sample."""
    found = session.chosen()
    if found is None:
        if session.outcome is not None and session.pace == "still":
            st.caption(":material/troubleshoot: Look inside a sound: which of its samples were a "
                       "surprise, and what else could have come at each.")  # fmt: skip
        return
    entry, drawn, number = found
    outcome, tokenizer = session.outcome, session.outcome.loaded.tokenizer
    given, at = outcome.comparison.prompt[1:], session.picked[2]
    waveform(
        (*given, *drawn.tokens), sample_rate=tokenizer.sample_rate, cursor=len(given) + at,
        key="inside_sound", kept=len(given), level_count=tokenizer.levels,
        colours=[None] * len(given) + drawn.bits, colours_title="surprisal",
        title=f"{entry.spec.label}: sound {number + 1}",
        facts=f"{_bits(drawn)} under the model that made it",
        on_go=lambda: actions.from_waveform(session),
    )  # fmt: skip
    if at < 0:
        st.caption("This sample was given, not decided.")
    else:
        candidates()


def decision(step: Step, tokenizer: AudioTokenizer) -> tuple[str, Step]:
    """Return where in the sound a decision was made, and the decision without BOS in it."""
    levels = tuple(c for c in step.candidates if c.token < tokenizer.levels)
    at = 1000 * (step.position - 1) / tokenizer.sample_rate
    return f"sample {step.position} at {at:.1f} ms", replace(step, candidates=levels)


def alternatives(trace: Trace, tokenizer: AudioTokenizer, score: str) -> None:
    """Draw all results of a search, the best first, with what they are ranked by."""
    given = trace.prompt[1:]
    with player_grid():
        for i, other in enumerate(trace.alternatives[:MOST_RESULTS], start=1):
            samples = tokenizer.decode((*given, *other.tokens))
            told = f"log p {other.logprob:.0f}, {score} {other.score:.3f}"
            player_card(samples, tokenizer.sample_rate, key=f"other_{i}", title=f"result {i}",
                        figures=controls.plain(told), kept=len(given))  # fmt: skip


def results(session: CompareSession, kept: Sequence[tuple[Entry, int]]) -> None:
    """Draw the real sounds that the lanes stand beside."""
    outcome = session.outcome
    if not isinstance(outcome.real, Real):
        return
    real = outcome.real.of(outcome.comparison.label)[:MOST_REAL]
    st.markdown("**Real sounds**")
    st.caption("Of what is told, where there are such; the models have not heard them in training.")
    tokenizer = outcome.loaded.tokenizer
    with player_grid():
        for i, row in enumerate(real, start=1):
            player_card(tokenizer.decode(row.tolist()), tokenizer.sample_rate, key=f"real_{i}",
                        title=f"real {i}")  # fmt: skip


def files(story: Callable[[], Story]) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Return what can be taken along besides the report: titles, names, and what makes them."""
    return {"Sounds (ZIP of WAV)": ("sounds.zip", lambda: report_sounds.archive(story()))}
