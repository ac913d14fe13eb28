"""Super-resolution: what a small picture could have been, drawn several times from its pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from playground.decoding.lane import Lane
from playground.errors import PlaygroundError
from playground.registry import available
from playground.ui import image_completion_run as completion
from playground.ui import image_several as several
from playground.ui import image_super_resolution_run as actions
from playground.ui import picture_components as components
from playground.ui import picture_input, resources
from playground.ui.controls import name_bad_number, name_strangers, plain
from playground.ui.image_several import SHEET, scale_of
from playground.ui.image_super_resolution_run import Enlarged, EnlargingSession, Plan
from playground.ui.picture_input import PictureChoice
from playground.ui.resources import Loaded

MAX_GUIDANCE = 4.0
TRAIN = "python -m train.image --model super-resolution --channels 36 --n-layer 6 --out runs/larger"


def section(seed: int, lane: Lane) -> None:
    """Draw the whole section; pictures are drawn as `lane` decodes, from the noise of `seed`."""
    st.caption(
        "Many large pictures have the same small one. A model that is told a small picture draws "
        "some of them: where they agree it is the small picture that speaks, where they differ it "
        "is silent and the model imagines. Dahl et al. 2017, arXiv:1702.00783"
    )
    loaded = _model()
    if loaded is None:
        return
    session, lane = actions.enlarging_session(), replace(lane, seed=seed)
    left, right = st.columns([2, 3], gap="large")
    with left:
        choice = picture_input.choose(loaded.tokenizer, "picture", loaded.card.folder)
    if choice is None:
        with right:
            st.info("Choose a picture first: it is made small, then drawn large again.",
                    icon=":material/image:")  # fmt: skip
        return
    with left:
        slot = st.container()
        plan = _plan()
        with slot:
            told(loaded, choice)
    with right:
        if session.is_asked:
            actions.start(session, loaded, lane, choice, plan)
        _buttons(session)
        interval, outcome = completion.interval(session), session.outcome
        identity = actions.identity_of(loaded, lane, choice, plan)

        @st.fragment(run_every=interval)
        def board() -> None:
            """Everything that grows."""
            completion.tick(session)
            if completion.interval(session) != interval:
                st.rerun()  # the buttons above are the page's
            if session.problem:
                st.error(plain(session.problem))
            if outcome is None:
                st.info("Press **Enlarge**: large pictures grow side by side, each with its own "
                        "noise.")  # fmt: skip
                return
            results(session, outcome, is_stale=outcome.identity != identity)

        board()


def _model() -> Loaded | None:
    """Choose what enlarges; it is another model than the sidebar's. None if there is none."""
    cards = available("super-resolution")
    if not cards:
        st.info(
            "There is no model here that enlarges. Train one in a quarter of an hour: "
            f"`{TRAIN}`. It then appears here.",
            icon=":material/model_training:",
        )
        return None
    names = list(cards)
    name_strangers("enlarger", names)
    name = names[0]
    if len(names) > 1:
        name = st.selectbox("Model that enlarges", names, key="enlarger", bind="query-params")
    try:
        loaded = resources.load_model(cards[name])
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return None
    h, w, _ = loaded.model.config.small_shape
    tokenizer = loaded.tokenizer
    st.caption(
        f"**{plain(cards[name].title)}** draws {tokenizer.width} × {tokenizer.height} pixels in "
        f"{tokenizer.levels} levels from {w} × {h} pixels in 256. It has no classes; strategy, "
        "processors and seed are those of the sidebar."
    )
    return loaded


def _plan() -> Plan:
    """Choose how many samples are drawn, and how much they heed the small picture."""
    name_bad_number("enlarge_count", 1, actions.MAX_SAMPLES)
    count = st.slider("Large pictures", 1, actions.MAX_SAMPLES, 4, key="enlarge_count",
                      bind="query-params", help="Samples for one small picture, each with its own "
                      "noise. Another seed in the sidebar gives others.")  # fmt: skip
    name_bad_number("enlarge_guidance", 0.0, MAX_GUIDANCE)
    guidance = st.slider(
        "Guidance", 0.0, MAX_GUIDANCE, 1.0, 0.25, key="enlarge_guidance", bind="query-params",
        help="Classifier-free guidance by the small picture. 1: off; more: what it makes likelier "
        "becomes likelier still; 0: it is not told. Ho & Salimans 2022, arXiv:2207.12598",
    )  # fmt: skip
    return Plan(count, guidance)


def told(loaded: Loaded, choice: PictureChoice) -> None:
    """Show the small picture, what it becomes without a model, and the original."""
    tokenizer, small = loaded.tokenizer, actions.small_of(loaded, choice)
    h, w, _ = small.shape
    components.picture_sheet(
        key="enlarge_told",
        data=components.sheet_data(
            [
                actions.nearest(small, tokenizer), actions.bicubic(small, tokenizer),
                tokenizer.decode(tokenizer.encode(choice.pixels)),
            ],
            captions=[f"told: {w} × {h} pixels", "bicubic", "the original"],
            tips=[
                f"All that the model is told: {w} × {h} pixels, each the mean of a square",
                "The same enlarged by cubic polynomials, without a model",
                f"{choice.source}, in {tokenizer.levels} levels; the model is not told",
            ],
            scale=scale_of(SHEET, tokenizer),
        ),
    )  # fmt: skip


def _buttons(session: EnlargingSession) -> None:
    """Enlarge or Stop."""
    if session.pace == "run":
        st.button("Stop", type="primary", icon=":material/stop:", key="enlarge_stop",
                  on_click=completion.stop, args=(session,))  # fmt: skip
    else:
        st.button("Enlarge", type="primary", icon=":material/play_arrow:", key="enlarge_start",
                  on_click=completion.ask, args=(session,))  # fmt: skip


def results(session: EnlargingSession, outcome: Enlarged, is_stale: bool) -> None:
    """Draw the samples side by side, where they differ, and one of them closely."""
    tokenizer, traces = outcome.tokenizer, outcome.traces()
    pixels, known = completion.pictures_of(outcome, traces)
    doing = "Drawing" if session.pace == "run" else "Drawn"
    st.caption(
        f"{doing} **{min(outcome.made, tokenizer.size):,} of {tokenizer.size:,} values** · the "
        f"original needs **{outcome.bits:.3f} bits** per dimension, and {outcome.bits_untold:.3f} "
        "where the model is not told the small picture"
    )
    if is_stale and session.pace != "run":
        st.info("Settings have changed since. Press Enlarge to see what they do.",
                icon=":material/update:")  # fmt: skip
    components.picture_sheet(
        key="enlarge_sheet",
        data=components.sheet_data(
            pixels, known, captions=list(map(completion.caption, traces)),
            tips=[f"Sample {i + 1}\nClick to look closely" for i in range(len(traces))],
            scale=scale_of(SHEET, tokenizer), chosen=session.chosen,
            title="Bits per dimension of what was drawn",
        ),
        on_choose_change=lambda: several.pick(session, "enlarge_sheet"),
    )  # fmt: skip
    if not any(trace.steps for trace in traces):
        return
    left, right = st.columns(2)
    index = min(session.chosen, len(pixels) - 1)
    with left:
        several.spread("enlarge_spread", tokenizer, pixels, known,
                       title="Where the small picture is silent")  # fmt: skip
    with right:
        several.closely("enlarge_chosen", tokenizer, traces[index], outcome.run.lanes[index],
                        pixels[index], known[index],
                        title=f"Sample {index + 1}, closely")  # fmt: skip
    if all((mask == components.DECIDED).all() for mask in known):
        _compared(outcome, pixels)
        st.download_button(
            "Contact sheet (PNG)", lambda: sheet_png(outcome, pixels),
            f"{outcome.model}-enlarged.png", key="enlarge_png", on_click="ignore",
            icon=":material/download:",
        )  # fmt: skip


def _compared(outcome: Enlarged, pixels: list[np.ndarray]) -> None:
    """Tell how far the finished samples are from the original and from what was told."""
    found = actions.distances_of(outcome, pixels)
    st.markdown("**Distance from the original**")
    with st.container(horizontal=True, gap="medium"):
        for label, value, text in (
            (
                "Bicubic",
                found.bicubic,
                "of the one without a model, in as many levels",
            ),
            ("A sample", found.samples, "of each sample, on average over them"),
            ("Mean of samples", found.mean, "of the mean of all samples"),
        ):
            st.metric(label, f"{value:.1f}", width="content",
                      help=f"Root mean squared difference {text}, 0 to 255.")  # fmt: skip
    st.caption(
        "A mean of guesses is near the original on average and looks blurred; a sample is sharp, "
        "and one of many pictures that could have been. Averaged down again, the samples are "
        f"**{found.again:.1f}** from what was told; the original in "
        f"{outcome.tokenizer.levels} levels is {found.original_again:.1f} from it."
    )


def sheet_png(outcome: Enlarged, pixels: list[np.ndarray]) -> bytes:
    """Return what was told, the samples and the original side by side as a PNG file."""
    told = actions.nearest(outcome.small, outcome.tokenizer)
    return several.sheet_png(outcome.tokenizer, [told, *pixels, outcome.original], len(pixels) + 2)
