"""How likely? Bits for each sample of a sound, where it surprises, which class it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from playground.errors import PlaygroundError
from playground.ui import audio_likelihood_data as data
from playground.ui import likelihood_charts as charts
from playground.ui import sound_input
from playground.ui.audio_likelihood_data import Likelihood
from playground.ui.audio_setting import AudioSetting
from playground.ui.controls import plain
from playground.ui.sound_components import waveform
from playground.ui.sound_input import SoundChoice

MOST_BITS = 8.0


def section(setting: AudioSetting, canvas: Sequence[int] = ()) -> None:
    """Draw the whole section; `canvas` are the tokens, without BOS, of step by step."""
    loaded = setting.loaded
    st.caption(
        "The chain rule gives the exact probability of any sound: the product of what the model "
        "thought of every sample, given those before it. In bits for each sample, fewer is "
        "likelier. It is the trained model itself that is asked: guidance, temperature and the "
        "other processors have no say."
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        choice = sound_input.choose(setting.tokenizer, "sound", loaded.card.folder, canvas)
    with right:
        if choice is None:
            st.info("Choose a sound first.", icon=":material/graphic_eq:")
            return
        try:
            with st.spinner("Listening to it …"):
                found = data.judge(setting, choice)
        except PlaygroundError as error:
            st.error(plain(str(error)))
            return
        figures(setting, choice, found)
        surprising(setting, choice, found)
    if found.names:
        classifier(choice, found)
    remarks(setting, found)
    others(setting, choice)


def figures(setting: AudioSetting, choice: SoundChoice, found: Likelihood) -> None:
    """Tell the bits per sample, the rank, and how silence compares."""
    count = len(found.surprisal)
    with st.container(horizontal=True, gap="medium"):
        st.metric(
            "This sound", f"{found.bits:.3f} bits", width="content",
            help=f"Per sample: {found.surprisal.sum():,.0f} bits in all, for {count:,} samples. "
            f"By chance each needs {math.log2(setting.tokenizer.levels):.3g} bits.",
        )  # fmt: skip
        if found.rank is not None:
            number = setting.loaded.info.get("test_sounds")
            of = f"the {number:,} " if isinstance(number, int) else ""
            st.metric(
                "Likelier than … of tests", f"{found.rank:.0%}", width="content",
                help=f"Among {of}real sounds that the model has not heard, by bits per sample.",
            )  # fmt: skip
        st.metric(
            "As much silence", f"{found.silence:.3f} bits", width="content",
            help="The level in the middle all along, computed just now under the same condition.",
        )  # fmt: skip
    st.caption(
        f"{plain(choice.source[:1].upper() + choice.source[1:])}, {plain(found.told.reason)}."
    )


def surprising(setting: AudioSetting, choice: SoundChoice, found: Likelihood) -> None:
    """Draw where the sound surprises; pointing at a sample tells its bits."""
    tokenizer = setting.tokenizer
    levels = tokenizer.quantise(choice.samples)
    ordered = np.sort(found.surprisal)[::-1]
    few = max(1, len(ordered) // 10)
    share = ordered[:few].sum() / max(1e-12, ordered.sum())
    waveform(
        levels, sample_rate=tokenizer.sample_rate, cursor=len(levels), key="likelihood_waveform",
        colours=found.surprisal, colours_title="surprisal", colours_most=MOST_BITS,
        level_count=tokenizer.levels, title="Where it surprises",
        facts=f"a tenth of the samples, the most surprising ones, make up {share:.0%} of all bits",
    )  # fmt: skip


def classifier(choice: SoundChoice, found: Likelihood) -> None:
    """Draw the bits under every class, and what Bayes makes of them."""
    st.subheader("Which class is it?", anchor=False)
    true, best = choice.label, int(found.by_class.argmin())
    verdict = f"As a classifier the model says **{plain(found.names[best])}**, with probability "
    verdict += f"**{charts.percent(found.posterior[best])}**"
    if true is not None and true < len(found.names):
        right = "which is right" if true == best else f"but it is {plain(found.names[true])}"
        verdict += f", {right}"
    st.markdown(
        f"{verdict}. By Bayes p(class | sound) ∝ p(sound | class), all classes being equally "
        "likely beforehand. A small difference a sample, times thousands of samples, makes it sure "
        "of itself."
    )
    rows = charts.class_rows(found.names, found.by_class, found.posterior, true)
    frame = pd.DataFrame(rows)
    left, right = st.columns(2)
    alt = f"Bits per sample under each class; the fewest under {found.names[best]}"
    left.vega_lite_chart(
        frame, charts.spec_of(charts.bits_by_class_chart, "sample", "sound"),
        key="likelihood_classes", width="stretch", alt=alt,
    )  # fmt: skip
    right.vega_lite_chart(
        frame, charts.spec_of(charts.posterior_chart, "sound"), key="likelihood_posterior",
        width="stretch", alt=f"Probability of each class: {verdict}",
    )  # fmt: skip


def remarks(setting: AudioSetting, found: Likelihood) -> None:
    """Say what the figure does not mean."""
    ranked = (
        f", likelier than {found.silence_rank:.0%} of the test sounds"
        if found.silence_rank is not None
        else ""
    )
    told = [
        f"**Likely is not good.** As much silence needs {found.silence:.3f} bits a sample{ranked}; "
        f"this sound {found.bits:.3f}. Quiet sounds are cheap to tell, noise is dear, however well "
        "either is made.",
        f"**It is judged as the model hears it**: in mono at {setting.tokenizer.sample_rate:,} "
        f"samples a second, in {setting.tokenizer.levels} levels. Bits at other rates do not "
        "compare.",
        "**Loudness counts.** The same sound turned down moves to finer levels, and its noise with "
        "it: the bits change, though nobody would call it another sound.",
    ]
    if setting.slides:
        told.append(
            f"**It hears {setting.model.context_length:,} tokens at once**: each sample is judged "
            "behind at least half of them, never behind the whole sound."
        )
    with st.expander("What this number does not mean", expanded=True):
        st.markdown("\n".join(f"- {line}" for line in told))


def others(setting: AudioSetting, choice: SoundChoice) -> None:
    """Compare with other models of the same tokens, once somebody asks."""
    names = data.others_of(setting)
    if not names:
        return
    with st.expander(
        f"Under the other models of the same samples ({len(names)})", key="likelihood_others",
        on_change="rerun",
    ) as part:  # fmt: skip
        if not part.open:
            return
        rows = []
        with st.spinner("Reading and asking them …"):
            for name in (setting.loaded.card.name, *names):
                try:
                    rows.append(data.judged_by(name, setting, choice))
                except PlaygroundError as error:
                    st.warning(plain(f"{name}: {error}"))
        rows.sort(key=lambda row: row["bits per sample"])
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch",
                     key="likelihood_models_table")  # fmt: skip
        st.caption("“Test sounds”: what the sounds need on average that each model was tested on.")
