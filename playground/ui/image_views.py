"""What the Image page shows of a picture that is stepped through; see views.py for the rest."""

from __future__ import annotations

import math

import streamlit as st

from playground.tokenizers.clusters import ClusterTokenizer
from playground.tokenizers.image import ImageTokenizer
from playground.traces import metrics
from playground.traces.trace import Step
from playground.ui import image_actions, image_files, image_looks, inside, views
from playground.ui.image_setting import ImageSetting
from playground.ui.image_state import ImageSession
from playground.ui.kept_state import Record
from playground.ui.picture_components import (
    DECIDED,
    LATER,
    canvas_data,
    color_swatches,
    grey_swatches,
    level_bars,
    levels_data,
    picture_canvas,
    picture_sheet,
    sheet_data,
)
from playground.ui.picture_input import known_after, per_pixel

COLORS = ("red", "green", "blue")
THUMBNAIL = 84  # screen pixels across
SCALES = (1, 4, 8, 16)  # of a PNG


def row_button(session: ImageSession, setting: ImageSetting) -> None:
    """Step to the end of the row."""
    tokenizer = setting.loaded.tokenizer
    label = "Step a row" if tokenizer.order == "raster" else f"Step {tokenizer.width} pixels"
    st.button(label, icon=":material/keyboard_double_arrow_right:", key="step_row",
              shortcut="Ctrl+Shift+Right", on_click=image_actions.step_row,
              args=(session, setting.lane), disabled=session.stepper.has_ended)  # fmt: skip


def place_of(tokenizer: ImageTokenizer, position: int) -> str:
    """Return where in the picture a value is, in words."""
    row, column, channel = tokenizer.position(position - 1)
    place = f"row {row + 1}, column {column + 1}"
    return f"{COLORS[channel]} of {place}" if tokenizer.channels == 3 else place


def record_of(session: ImageSession) -> Record:
    """Return the figures of the branch, read as far as it has grown."""
    return session.record(session.stepper.tokenizer.size)


def pixel_of(tokenizer: ImageTokenizer, position: int) -> int | None:
    """Return the number of the pixel of a value, None behind the last."""
    if position > tokenizer.size:
        return None
    return int(tokenizer.places[position - 1]) // tokenizer.channels


def canvas(
    setting: ImageSetting, session: ImageSession, record: Record, step: Step | None,
    overlay: str, across: int,
) -> None:  # fmt: skip
    """Draw the picture as far as it is decided; a click on a pixel goes there."""
    stepper, tokenizer = session.stepper, setting.loaded.tokenizer
    tokens = stepper.tokens
    known = known_after(tokenizer, len(tokens) - 1)
    if not stepper.at_end:
        before = known_after(tokenizer, stepper.cursor - 1)
        known[(known == DECIDED) & (before != DECIDED)] = LATER
    growing, chosen = (pixel_of(tokenizer, p) for p in (len(tokens), stepper.cursor))
    figures = None
    if session.pace == "still":  # nobody points at a pixel while it plays
        figures = {
            "surprisal (bits):": per_pixel(tokenizer, record.surprisal),
            "entropy (bits):": per_pixel(tokenizer, record.entropy),
        }
        if tokenizer.channels == 1:
            figures["rank:"] = per_pixel(tokenizer, record.rank)
    has_field = overlay == image_looks.FIELD
    picture_canvas(
        key="canvas",
        data=canvas_data(
            tokenizer.decode(tokens[1:]), known, scale=max(1, across // tokenizer.width),
            cursor=growing, chosen=chosen if chosen != growing else None,
            overlay=image_looks.map_of(setting, session, overlay, record, step),
            field=image_looks.field(setting, session) if has_field else None,
            figures=figures, facts=_facts(setting, session, record),
        ),
        on_go_change=lambda: image_actions.from_canvas(session),
    )  # fmt: skip
    says = image_looks.sentence(setting, overlay, session.stepper.has_ended)
    if overlay in image_looks.LOOKS and session.pace != "still":
        says = "Drawn when it stands still. " + says
    if says:
        st.caption(says)


def _facts(setting: ImageSetting, session: ImageSession, record: Record) -> str:
    tokenizer, made = setting.loaded.tokenizer, record.length
    if not made:
        return "Nothing is decided yet: press Step, or click a level."
    unit = "values" if tokenizer.channels > 1 else "pixels"
    bits = float(record.surprisal.sum())
    told = f"{session.stepper.current}: {made} of {tokenizer.size} {unit}, {bits:.1f} bits so far"
    if made == tokenizer.size:
        told = f"{session.stepper.current} is complete: {bits:.1f} bits"
    guided = (
        " under the guided model" if setting.guidance != 1 and setting.label is not None else ""
    )
    return f"{told}, {bits / made:.3f} bits per dimension{guided}"


def levels(setting: ImageSetting, session: ImageSession, step: Step) -> None:
    """Draw the distribution at the cursor through every processor; a click takes a level."""
    stepper, tokenizer, lane = session.stepper, setting.loaded.tokenizer, setting.lane
    logprobs = stepper.distribution(lane)[:, : tokenizer.levels].double().cpu().numpy()
    swatches, names = _swatches(tokenizer, tokenizer.position(step.position - 1)[2])
    place = place_of(tokenizer, step.position)
    verb = "would be taken" if stepper.at_end else "was taken"
    told = names if session.pace == "still" else None
    level_bars(
        key="levels",
        data=levels_data(
            ("model", *(str(p) for p in lane.active)), logprobs, step.token, swatches,
            step.position, names=told, title=f"What can come at {place}",
            facts=f"level {step.token} {verb}: probability {math.exp(step.logprob):.2%}, rank "
            f"{step.rank} of {tokenizer.levels}\nentropy {step.entropy_bits:.2f} bits, {step.kept} "
            f"level{'s' if step.kept != 1 else ''} possible",
        ),
        on_take_change=lambda: image_actions.from_levels(session, lane),
    )  # fmt: skip


def _swatches(tokenizer: ImageTokenizer, channel: int) -> tuple[list[str], list[str]]:
    """Return the colour that each level is drawn in, and what it is called."""
    if isinstance(tokenizer, ClusterTokenizer):
        colors = [tokenizer.label(level) for level in range(tokenizer.levels)]
        return colors, [f"colour {color}" for color in colors]
    values = [tokenizer.value(level) for level in range(tokenizer.levels)]
    is_colour = tokenizer.channels == 3
    swatches = color_swatches(values, channel) if is_colour else grey_swatches(values)
    name = COLORS[channel] if is_colour else "brightness"
    return swatches, [f"{name} {value} of 255" for value in values]


def complete(session: ImageSession, record: Record) -> None:
    """Say what a finished picture is; the model is not asked any more."""
    st.subheader("The picture is complete")
    left, right = st.columns(2)
    left.metric(
        "bits per dimension", f"{record.surprisal.mean():.3f}",
        help="The mean surprisal of a value. Who knows nothing needs log₂ of the number of levels.",
    )  # fmt: skip
    right.metric("bits", f"{record.surprisal.sum():.1f}",
                 help="−log₂ p of the whole picture: what an ideal code would need.")  # fmt: skip
    st.caption(
        "Every value has been decided. Click a pixel to see how, and take another level there: "
        "what was drawn stays as a branch."
    )


def branches(setting: ImageSetting, session: ImageSession) -> None:
    """Show every branch as a small picture; a click goes on with it."""
    stepper, tokenizer = session.stepper, setting.loaded.tokenizer
    pictures, known, captions, tips = [], [], [], []
    for branch in stepper.branches.values():
        steps = stepper.steps_by_position(branch.name)
        pictures.append(tokenizer.decode(branch.trace.tokens[1:]))
        known.append(known_after(tokenizer, len(steps)))
        captions.append(branch.name)
        left = (
            f"left {branch.origin} at {place_of(tokenizer, branch.forked_at)}"
            if branch.origin
            else "the first"
        )
        bits = f", {metrics.bits_per_token(steps):.3f} bits per dimension" if steps else ""
        tips.append(f"{branch.name}: {left}\n{len(steps)} of {tokenizer.size} values{bits}")
    picture_sheet(
        key="branch_sheet",
        data=sheet_data(
            pictures, known, captions=captions, tips=tips,
            scale=max(1, THUMBNAIL // tokenizer.width),
            chosen=list(stepper.branches).index(stepper.current),
        ),
        on_choose_change=lambda: image_actions.from_sheet(session),
    )  # fmt: skip
    left, right = st.columns(2)
    with left:
        views.branch_name(session)
    with right:
        st.caption("Take another level at a pixel that is decided, and a branch of its own begins. "
                   "Click a picture to go on with it.")  # fmt: skip


def downloads(setting: ImageSetting, session: ImageSession, step: Step | None) -> None:
    """Offer the picture, how it was drawn, the trace and the charts."""
    loaded, stepper = setting.loaded, session.stepper
    tokenizer, tokens = loaded.tokenizer, stepper.tokens[1:]
    scale = st.segmented_control(
        "Screen pixels a pixel", SCALES, default=8, required=True, key="png_scale",
        help="Of PNG and GIF.",
    )  # fmt: skip
    files: views.Files = {
        "Picture (PNG)": ("picture.png", lambda: image_files.png(tokenizer.decode(tokens), scale)),
        "How it was drawn (GIF)": ("drawn.gif", lambda: image_files.gif(tokenizer, tokens, scale)),
    }
    views.offer(files | views.trace_files(session, loaded, step), loaded.card.name)
    st.button("Keep the pixels before the cursor in the link", icon=":material/link:",
              key="keep_all", on_click=image_actions.keep_all, args=(session,),
              help="The address bar then holds them exactly, whatever is set otherwise. Without it "
              "a link gives the same picture by drawing it again.")  # fmt: skip


def details(setting: ImageSetting, session: ImageSession, step: Step | None) -> None:
    """Draw what hides in expanders; what is closed costs nothing."""
    inside.section(session, setting.loaded, step, "image")
    with st.expander("Branches: keep, compare, go back to", key="branches_open",
                     on_change="rerun") as part:  # fmt: skip
        if part.open:
            branches(setting, session)
    with st.expander("Download the picture, how it was drawn, the trace and the charts",
                     key="downloads_open", on_change="rerun") as part:  # fmt: skip
        if part.open:
            downloads(setting, session, step)
