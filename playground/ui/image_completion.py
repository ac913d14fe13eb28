"""Completion: a part of a picture is kept, and the model goes on from there in several ways."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st

from playground.data.images import contact_sheet
from playground.tokenizers.image import ImageTokenizer
from playground.traces import metrics
from playground.traces.trace import Trace
from playground.ui import image_completion_run as actions
from playground.ui import picture_components as components
from playground.ui import picture_input, state
from playground.ui.controls import name_bad_number, plain
from playground.ui.image_completion_run import CompletionSession, Outcome, Plan
from playground.ui.image_setting import ImageSetting
from playground.ui.picture_input import PictureChoice, known_after, per_pixel

ROWS, PIXELS = "its top rows", "its first pixels"
SHEET = 112  # screen pixels across of one completion
LARGE = 280


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
    if isinstance(value, int) and value > most:
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
            pixels, masks, captions=captions, tips=tips, scale=_scale(SHEET, tokenizer.width),
            kept=_whole_pixels(tokenizer, plan.kept),
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
    kept = (known_after(outcome.tokenizer, outcome.plan.kept) == components.DECIDED).astype(
        np.uint8
    )
    components.picture_sheet(
        key="completion_sheet",
        data=components.sheet_data(
            pixels, known, captions=list(map(actions.caption, traces)),
            tips=[actions.tip(i, trace) for i, trace in enumerate(traces)],
            scale=_scale(SHEET, outcome.tokenizer.width), chosen=session.chosen, kept=kept,
            title="Bits per dimension of what was completed",
        ),
        on_choose_change=lambda: _pick(session),
    )  # fmt: skip
    if not any(trace.steps for trace in traces):
        return
    left, right = st.columns(2)
    with left:
        spread(outcome, pixels, known)
    with right:
        closely(session, outcome, traces, pixels, known)
    if session.pace != "run":
        st.download_button(
            "Contact sheet (PNG)", lambda: sheet_png(outcome, pixels),
            f"{outcome.model}-completions.png", key="completion_png", on_click="ignore",
            icon=":material/download:",
        )  # fmt: skip


def _pick(session: CompletionSession) -> None:
    event = state.event("completion_sheet", "choose")
    index = event.get("index") if isinstance(event, dict) else None
    if type(index) is int and index >= 0:
        session.chosen = index


def spread(outcome: Outcome, pixels: list[np.ndarray], known: list[np.ndarray]) -> None:
    """Draw where the completions disagree, over their mean."""
    deviation = actions.disagreement(pixels)
    in_all = np.min(known, axis=0)
    given = _whole_pixels(outcome.tokenizer, outcome.plan.kept)
    made = (in_all == components.DECIDED) & (given == 0)
    deviation[~made] = np.nan
    mean = np.stack(pixels).mean(axis=0).round().astype(np.uint8)
    facts = "Nothing decided yet."
    if made.any():
        facts = f"standard deviation {np.nanmean(deviation):.1f} on average, of 127.5 at most"
    components.picture_canvas(
        key="completion_spread",
        data=components.canvas_data(
            mean, in_all, scale=_scale(LARGE, outcome.tokenizer.width),
            overlay=components.overlay(
                deviation, "entropy", actions.SPREAD, title="spread", low="all agree",
                high="half and half",
            ),
            figures={"standard deviation": deviation, "mean": mean.mean(axis=-1)},
            title="Where they disagree", facts=facts,
            alt=f"The mean of {len(pixels)} completions and where they differ; {facts}.",
        ),
    )  # fmt: skip


def closely(
    session: CompletionSession,
    outcome: Outcome,
    traces: list[Trace],
    pixels: list[np.ndarray],
    known: list[np.ndarray],
) -> None:
    """Draw one completion large, with the surprisal of each of its pixels."""
    index = min(session.chosen, len(traces) - 1)
    steps, tokenizer = traces[index].steps, outcome.tokenizer
    bits = per_pixel(tokenizer, [0.0] * outcome.plan.kept + [step.surprisal for step in steps])
    entropy = per_pixel(
        tokenizer, [0.0] * outcome.plan.kept + [step.entropy_bits for step in steps]
    )
    given = _whole_pixels(tokenizer, outcome.plan.kept) == 1
    bits[given] = entropy[given] = np.nan
    most = tokenizer.channels * np.log2(tokenizer.levels)
    facts = f"{actions.caption(traces[index])} per dimension, " if steps else ""
    facts += f"{-metrics.log_likelihood(steps) / np.log(2):,.0f} bits in all\n"
    facts += f"draw {outcome.run.lanes[index].sample} with seed {outcome.run.lanes[index].seed}"
    components.picture_canvas(
        key="completion_chosen",
        data=components.canvas_data(
            pixels[index], known[index], scale=_scale(LARGE, tokenizer.width),
            overlay=components.overlay(
                bits, "surprisal", most, title="surprisal", low="0",
                high=f"{most:.3g} bits or more",
            ),
            figures={"surprisal (bits)": bits, "entropy (bits)": entropy},
            title=f"Completion {index + 1}, closely", facts=facts,
        ),
    )  # fmt: skip


def sheet_png(outcome: Outcome, pixels: list[np.ndarray]) -> bytes:
    """Return the original and the completions side by side as a PNG file."""
    tokenizer = outcome.tokenizer
    original = tokenizer.decode(outcome.original)
    drawn = np.stack([original, *pixels])
    image = contact_sheet(drawn, columns=min(len(drawn), 9), scale=_scale(SHEET, tokenizer.width))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _whole_pixels(tokenizer: ImageTokenizer, count: int) -> np.ndarray:
    """Return which pixels (H, W) the first `count` tokens decide wholly, as 0 and 1."""
    return (known_after(tokenizer, count) == components.DECIDED).astype(np.uint8)


def _scale(across: int, width: int) -> int:
    """Return the screen pixels of one pixel in a picture so many screen pixels across."""
    return max(1, across // width)
