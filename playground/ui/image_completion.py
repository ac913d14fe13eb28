"""Completion: a part of a picture is kept, and the model goes on from there in several ways."""

from __future__ import annotations

import numpy as np
import streamlit as st

from playground.ui import image_completion_run as actions
from playground.ui import image_several as several
from playground.ui import picture_components as components
from playground.ui import picture_input, state
from playground.ui.controls import name_bad_number, plain
from playground.ui.image_completion_run import CompletionSession, Outcome, Plan
from playground.ui.image_setting import ImageSetting
from playground.ui.image_several import SHEET, scale_of, whole_pixels
from playground.ui.picture_input import PictureChoice, known_after

ROWS, PIXELS = "its top rows", "its first pixels"


def section(setting: ImageSetting, canvas: tuple[int, ...] | None = None) -> None:
    """Draw the whole section; `canvas` are the tokens, without BOS, of Step-through."""
    session, tokenizer = actions.completion_session(), setting.loaded.tokenizer
    st.caption(
        "Keep a part of a picture and let the model go on, several times with other noise. Where "
        "the completions agree the model is sure of itself; where they differ it is guessing."
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        choice = picture_input.choose(tokenizer, "picture", setting.loaded.card.folder, canvas)
    if choice is None:
        with right:
            st.info("Choose a picture first.", icon=":material/image:")
        return
    with left:
        slot = st.container()
        plan = _plan(setting, choice, session)
        with slot:
            given(setting, choice, plan)
    with right:
        if session.is_asked:
            actions.start(session, setting, choice, plan)
        buttons(session, plan)
        interval = actions.interval(session)
        tokens = tokenizer.encode(choice.pixels)
        outcome = session.outcome
        identity = actions.identity_of(setting, tokens, plan)

        @st.fragment(run_every=interval)
        def board() -> None:
            """Everything that grows."""
            actions.tick(session)
            if actions.interval(session) != interval:
                st.rerun()  # the buttons above are the page's
            if session.problem:
                st.error(plain(session.problem))
            if outcome is None:
                st.info("Press **Complete**: the pictures grow side by side.")
                return
            results(session, outcome, is_stale=outcome.identity != identity)

        board()


def _plan(setting: ImageSetting, choice: PictureChoice, session: CompletionSession) -> Plan:
    """Choose how much is kept, and how many completions there are."""
    tokenizer = setting.loaded.tokenizer
    values_a_row = tokenizer.width * tokenizer.channels
    most = tokenizer.size - tokenizer.channels if choice.decided is None else choice.decided
    most_rows = min(tokenizer.height - 1, most // values_a_row)
    by_rows = tokenizer.order == "raster" and most_rows > 0
    how = ROWS
    if by_rows:
        how = st.segmented_control(
            "What is kept", [ROWS, PIXELS], default=ROWS, required=True, key="completion_keep",
            bind="query-params",
        )  # fmt: skip
    if by_rows and how == ROWS:
        rows = _slider("Rows kept", "completion_rows", most_rows, tokenizer.height // 2)
        kept = rows * values_a_row
    else:
        pixels = _slider(
            "Pixels kept, in the order in which the model decides them", "completion_pixels",
            most // tokenizer.channels, tokenizer.height * tokenizer.width // 2,
        )  # fmt: skip
        kept = pixels * tokenizer.channels
        if choice.decided is not None and pixels == most // tokenizer.channels:
            kept = most  # with the colours of the pixel that is half decided
    count = _slider("Completions", "completion_count", actions.MAX_COMPLETIONS, 8, least=1)
    name_bad_number("completion_noise", 0, 999)
    noise = st.number_input(
        "Noise", 0, 999, key="completion_noise", bind="query-params",
        help="Which draws with the sidebar's seed: another number, other completions. The same "
        "number gives the same ones.",
    )  # fmt: skip
    return Plan(kept, count, int(noise))


def _slider(label: str, key: str, most: int, default: int, least: int = 0) -> int:
    """Draw a slider whose end depends on the picture; what a larger picture had is cut."""
    if most <= least:
        st.caption(f"{label}: {most}")
        return most
    value = state.value(key)
    if value is None:
        name_bad_number(key, least, most)
    elif isinstance(value, int) and value > most:
        state.set_widget(key, most)
    return st.slider(label, least, most, min(default, most), key=key, bind="query-params")


def given(setting: ImageSetting, choice: PictureChoice, plan: Plan) -> None:
    """Show the picture as the model sees it, whole and only what is kept."""
    tokenizer = setting.loaded.tokenizer
    seen = tokenizer.decode(tokenizer.encode(choice.pixels))
    known = known_after(tokenizer, plan.kept)
    whole = None if choice.decided is None else known_after(tokenizer, choice.decided)
    shown = [
        (seen, known, "what is kept", f"{plan.kept:,} of {tokenizer.size:,} values"),
        (seen, whole, "the original", choice.source),
    ]
    pixels, masks, captions, tips = zip(*shown, strict=True)
    components.picture_sheet(
        key="completion_given",
        data=components.sheet_data(
            pixels, masks, captions=captions, tips=tips, scale=scale_of(SHEET, tokenizer),
            kept=whole_pixels(tokenizer, plan.kept),
        ),
    )  # fmt: skip


def buttons(session: CompletionSession, plan: Plan) -> None:
    """Complete or Stop, and other noise."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if session.pace == "run":
            st.button("Stop", type="primary", icon=":material/stop:", key="completion_stop",
                      on_click=actions.stop, args=(session,))  # fmt: skip
        else:
            st.button("Complete", type="primary", icon=":material/play_arrow:",
                      key="completion_start", on_click=actions.ask, args=(session,))  # fmt: skip
        st.button("Other noise", icon=":material/casino:", key="completion_other",
                  on_click=_other, args=(session, plan),
                  help="The same picture and settings, other random numbers.")  # fmt: skip


def _other(session: CompletionSession, plan: Plan) -> None:
    state.set_widget("completion_noise", (plan.noise + 1) % 1000)
    actions.ask(session)


def results(session: CompletionSession, outcome: Outcome, is_stale: bool) -> None:
    """Draw the completions side by side, where they disagree, and one of them large."""
    traces = outcome.traces()
    pixels, known = actions.pictures_of(outcome, traces)
    missing = outcome.tokenizer.size - outcome.plan.kept
    made = min(outcome.made, missing)
    doing = "Completing" if session.pace == "run" else "Completed"
    rest = (
        f" · the original's own rest: **{outcome.rest_bits:.3f} bits** per dimension"
        if outcome.rest_bits is not None
        else ""
    )
    st.caption(f"{doing} **{made:,} of {missing:,} values**{rest}")
    if is_stale and session.pace != "run":
        st.info("Settings have changed since. Press Complete to see what they do.",
                icon=":material/update:")  # fmt: skip
    kept = whole_pixels(outcome.tokenizer, outcome.plan.kept)
    components.picture_sheet(
        key="completion_sheet",
        data=components.sheet_data(
            pixels, known, captions=list(map(actions.caption, traces)),
            tips=[actions.tip(i, trace) for i, trace in enumerate(traces)],
            scale=scale_of(SHEET, outcome.tokenizer), chosen=session.chosen, kept=kept,
            title="Bits per dimension of what was completed",
        ),
        on_choose_change=lambda: several.pick(session, "completion_sheet"),
    )  # fmt: skip
    if not any(trace.steps for trace in traces):
        return
    left, right = st.columns(2)
    tokenizer, index = outcome.tokenizer, min(session.chosen, len(traces) - 1)
    with left:
        several.spread("completion_spread", tokenizer, pixels, known, kept=outcome.plan.kept,
                       title="Where they disagree")  # fmt: skip
    with right:
        several.closely("completion_chosen", tokenizer, traces[index], outcome.run.lanes[index],
                        pixels[index], known[index],
                        title=f"Completion {index + 1}, closely")  # fmt: skip
    if session.pace != "run":
        st.download_button(
            "Contact sheet (PNG)", lambda: sheet_png(outcome, pixels),
            f"{outcome.model}-completions.png", key="completion_png", on_click="ignore",
            icon=":material/download:",
        )  # fmt: skip


def sheet_png(outcome: Outcome, pixels: list[np.ndarray]) -> bytes:
    """Return the original and the completions side by side as a PNG file."""
    tokenizer = outcome.tokenizer
    original = tokenizer.decode(outcome.original)
    return several.sheet_png(tokenizer, [original, *pixels], min(len(pixels) + 1, 9))
