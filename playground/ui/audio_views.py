"""What the Audio page shows of a sound that is stepped through; see views.py for the rest."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from playground.tokenizers.audio import to_flac
from playground.traces import metrics
from playground.traces.trace import Step
from playground.ui import audio_actions, audio_looks, inside, views
from playground.ui.audio_setting import AudioSetting
from playground.ui.audio_state import AudioSession
from playground.ui.controls import name_strangers
from playground.ui.kept_state import Record
from playground.ui.picture_components import level_bars, levels_data
from playground.ui.sound_components import player_card, player_grid, spectrogram, waveform
from playground.ui.sound_pictures import amplitude_swatches, amplitude_ticks

STRIPS = {  # below the waveform: what is told, and the bits that are drawn strongest
    "surprisal": "−log₂ p of each sample: how unlikely the level was that was taken.",
    "entropy": "How open each choice was before it was made, in bits.",
}
MOST_BITS = 8.0
MAX_CARDS = 8  # branches to hear


def milliseconds(setting: AudioSetting, samples: int) -> str:
    """Return a time in words, "12.5 ms" or "1.25 s"."""
    seconds = samples / setting.tokenizer.sample_rate
    return f"{1000 * seconds:.4g} ms" if seconds < 1 else f"{seconds:.4g} s"


def burst_of(setting: AudioSetting) -> int:
    """Return how many samples are 10 ms."""
    return max(1, setting.tokenizer.sample_rate // 100)


def burst_button(session: AudioSession, setting: AudioSetting) -> None:
    """Step 10 ms on."""
    count = burst_of(setting)
    st.button("Step 10 ms", icon=":material/keyboard_double_arrow_right:", key="step_burst",
              shortcut="Ctrl+Shift+Right", on_click=audio_actions.step_on,
              args=(session, setting.lane, count), disabled=session.stepper.has_ended,
              help=f"{count} samples.")  # fmt: skip


def strip_picker() -> str:
    """Choose what is told of every sample below the waveform."""
    name_strangers("strip", list(STRIPS))
    return st.segmented_control(
        "Below the waveform", list(STRIPS), default="surprisal", required=True, key="strip",
        bind="query-params", help="  \n".join(f"**{k}**: {v}" for k, v in STRIPS.items()),
    )  # fmt: skip


def sound(
    setting: AudioSetting, session: AudioSession, record: Record, step: Step | None,
    strip: str, look: str,
) -> None:  # fmt: skip
    """Draw the waveform as far as it is decided; a click on a sample goes there."""
    stepper = session.stepper
    marks, reads = audio_looks.found(setting, session, look, step)
    waveform(
        np.array(stepper.tokens[1:], np.uint8),
        sample_rate=setting.tokenizer.sample_rate, cursor=stepper.cursor - 1, key="waveform",
        kept=len(stepper.branch.trace.prompt) - 1,
        colours=record.entropy if strip == "entropy" else record.surprisal,
        colours_title=strip, colours_most=MOST_BITS, marks=marks, marks_title=look,
        dilation=reads, level_count=setting.tokenizer.levels,
        facts=_facts(setting, session, record),
        on_go=lambda: audio_actions.from_waveform(session),
    )  # fmt: skip
    says = audio_looks.sentence(setting, session, look, step)
    if says:
        st.caption(says)


def _facts(setting: AudioSetting, session: AudioSession, record: Record) -> str:
    made = record.length
    if not made:
        return (
            "Nothing is decided yet: press Run to end for a whole sound, Play to watch it grow, "
            "Step for one sample, or click a level."
        )
    guided = " under the guided model" if setting.guidance != 1 else ""
    whole = "complete, " if session.stepper.has_ended and session.stepper.at_end else ""
    return (
        f"{session.stepper.current}: {whole}{made:,} samples, {milliseconds(setting, made)}; "
        f"{record.surprisal.mean():.3f} bits per sample{guided}, mean entropy "
        f"{record.entropy.mean():.3f} bits"
    )


def player(setting: AudioSetting, session: AudioSession) -> None:
    """Let what there is be heard; while it grows, what there was when it last stood still."""
    if session.pace == "still":
        heard = audio_actions.hear(session, setting.tokenizer)
    else:
        heard = session.heard
    if not heard.tokens:
        still = "Nothing to hear yet: the player comes with the first samples."
        grows = "There is something to hear as soon as it stands still."
        st.caption(still if session.pace == "still" else grows)
        return
    st.audio(heard.wav, format="audio/wav")
    if session.pace != "still":
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"The first {milliseconds(setting, len(heard.tokens))}; it grows on.")
            st.button("Hear all of it", key="hear", type="tertiary", icon=":material/hearing:",
                      on_click=audio_actions.hear, args=(session, setting.tokenizer))  # fmt: skip
    spectrogram(
        heard.samples, setting.tokenizer.sample_rate, key="spectrogram", height=120,
        title="Spectrogram",
    )  # fmt: skip


def levels(setting: AudioSetting, session: AudioSession, step: Step) -> None:
    """Draw the distribution at the cursor through every processor; a click takes a level."""
    stepper, tokenizer, lane = session.stepper, setting.tokenizer, setting.lane
    count = tokenizer.levels
    logprobs = stepper.distribution(lane)[:, :count].double().cpu().numpy()
    verb = "would be taken" if stepper.at_end else "was taken"
    names = None
    if session.pace == "still":
        names = [f"level {level}: {tokenizer.label(level)}" for level in range(count)]
    at = step.position - 1
    level_bars(
        key="levels",
        data=levels_data(
            ("model", *(str(p) for p in lane.active)), logprobs, step.token,
            amplitude_swatches(count), step.position, names=names, ticks=amplitude_ticks(count),
            title=f"What can come at sample {at:,}, {milliseconds(setting, at)}",
            facts=f"level {step.token} ({tokenizer.label(step.token)}) {verb}: probability "
            f"{math.exp(step.logprob):.2%}, rank {step.rank} of {count}\nentropy "
            f"{step.entropy_bits:.2f} bits, {step.kept} "
            f"level{'s' if step.kept != 1 else ''} possible",
        ),
        on_take_change=lambda: audio_actions.from_levels(session, lane),
    )  # fmt: skip


def complete(setting: AudioSetting, session: AudioSession, record: Record) -> None:
    """Say what a finished sound is; the model is not asked any more."""
    st.subheader("The sound is complete")
    left, right = st.columns(2)
    left.metric(
        "bits per sample", f"{record.surprisal.mean():.3f}",
        help="The mean surprisal of a sample. Who knows nothing needs log₂ of the number of "
        f"levels, {math.log2(setting.tokenizer.levels):.3g}.",
    )  # fmt: skip
    right.metric("bits", f"{record.surprisal.sum():,.0f}",
                 help="−log₂ p of the whole sound: what an ideal code would need.")  # fmt: skip
    st.caption(
        "It is as long as the sidebar lets it be. Click a sample to see how it was decided, and "
        "take another level there: what there was stays as a branch."
    )


def branches(setting: AudioSetting, session: AudioSession) -> None:
    """Let every branch be heard, and go on with one of them."""
    stepper, tokenizer = session.stepper, setting.tokenizer
    left, right = st.columns(2)
    with left:
        views.branch_switch(session)
    with right:
        views.branch_name(session)
    grid = player_grid()
    for i, branch in enumerate(list(stepper.branches.values())[-MAX_CARDS:]):
        trace = branch.trace
        left_at = (
            f"left {branch.origin} at {milliseconds(setting, branch.forked_at - 1)}"
            if branch.origin
            else "the first"
        )
        bits = f", {metrics.bits_per_token(trace.steps):.3f} bits per sample" if trace.steps else ""
        if len(trace.tokens) == 1:
            continue
        with grid:
            player_card(
                tokenizer.decode(trace.tokens[1:]), tokenizer.sample_rate, key=f"branch_card_{i}",
                title=("▸ " if branch.name == stepper.current else "") + branch.name,
                figures=f"{left_at}, {len(trace.tokens) - 1:,} samples{bits}",
                kept=max(len(trace.prompt), branch.forked_at) - 1,
            )  # fmt: skip
    if len(stepper.branches) > MAX_CARDS:
        st.caption(f"The newest {MAX_CARDS} are shown.")


def downloads(setting: AudioSetting, session: AudioSession, step: Step | None) -> None:
    """Offer the sound, the trace and the charts."""
    loaded = setting.loaded
    heard = audio_actions.hear(session, setting.tokenizer)
    if not heard.tokens:
        st.caption("Nothing is decided yet.")
        return
    rate = setting.tokenizer.sample_rate
    files: views.Files = {
        "Sound (WAV)": ("sound.wav", lambda: heard.wav),
        "Sound (FLAC)": ("sound.flac", lambda: to_flac(heard.samples, rate)),
    }
    traced = views.trace_files(session, loaded, step)
    files |= {title: file for title, file in traced.items() if not title.startswith("Timeline")}
    views.offer(files, loaded.card.name)
    st.caption(session.unkept or "The address bar is the link to this sound.")


def details(setting: AudioSetting, session: AudioSession, step: Step | None) -> None:
    """Draw what hides in expanders; what is closed costs nothing."""
    inside.section(session, setting.loaded, step, "audio")
    with st.expander("Distributions over the last milliseconds", key="heat_open",
                     on_change="rerun") as part:  # fmt: skip
        if part.open:
            audio_looks.heat_map(setting, session)
    if audio_looks.dilations(setting):
        with st.expander("Which samples feed it: the tree of dilations", key="tree_open",
                         on_change="rerun") as part:  # fmt: skip
            if part.open:
                audio_looks.tree(setting, session)
    with st.expander("Branches: keep, hear, go back to", key="branches_open",
                     on_change="rerun") as part:  # fmt: skip
        if part.open:
            branches(setting, session)
    with st.expander("Download the sound, the trace and the charts", key="downloads_open",
                     on_change="rerun") as part:  # fmt: skip
        if part.open:
            downloads(setting, session, step)
