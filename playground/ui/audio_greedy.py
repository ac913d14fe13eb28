"""Why greedy is silent: the likeliest sample each time, beside samples that are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.strategies import Greedy, Sample
from playground.errors import PlaygroundError
from playground.tokenizers.audio import AudioTokenizer
from playground.traces.trace import Step
from playground.ui import audio_voices, state
from playground.ui.audio_setting import AudioSetting
from playground.ui.audio_voices import Voices, VoicesSession
from playground.ui.controls import name_bad_number, plain
from playground.ui.likelihood_charts import percent
from playground.ui.picture_components import level_bars, levels_data
from playground.ui.resources import turn
from playground.ui.sound_components import player_card
from playground.ui.sound_pictures import amplitude_swatches, amplitude_ticks

KEY = "greedy"
LONGEST = 2.0  # seconds of each of the three
SILENT = 0.004  # of full scale: no ear hears it beside a drum
WINDOW_S = 0.02  # the beginning and the end of the silence, whose probabilities are compared
SURER = 1.2  # times less doubt: so much that it is worth saying
MOSTLY = 0.5  # of the samples: silent enough to be called silent


@dataclass(frozen=True)
class Figures:
    """What was measured on one sound."""

    silent: float  # share of the samples that cannot be heard
    bits: float  # surprisal of a sample
    entropy: float  # bits, of the distributions that it was chosen from
    taken: float  # mean probability of the level that was taken
    taken_first: float  # the same over its beginning, and over its end
    taken_last: float
    open_at: int  # the sample at which the level that was taken was least likely
    open_taken: float  # its probability there
    open_entropy: float  # and the entropy, in bits


def section(setting: AudioSetting) -> None:
    """Draw the whole section."""
    st.caption(
        "Greedy decoding takes the likeliest level for every sample; sampling takes each level as "
        "often as its probability says. Same model, same start. The strategy and the processors of "
        "the sidebar have no say here; its class or text, guidance, seed and duration do."
    )
    session = audio_voices.voices_session(KEY)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        name_bad_number("between", 0.05, 1.0)
        between = st.slider(
            "Temperature in between", 0.05, 1.0, 0.6, 0.05, key="between", bind="query-params",
            width=320, help="Near 0 it is greedy, at 1 plain sampling.",
        )  # fmt: skip
        slot = st.container()
    seconds = min(setting.seconds, LONGEST)
    longest = round(seconds * setting.tokenizer.sample_rate)
    told = (setting.loaded.card.name, id(setting.loaded.model), setting.told, setting.guidance)
    identity = (*told, setting.lane.seed, between, longest)
    if session.is_asked:
        state.forget_widget(f"{KEY}_at")  # of another sound
        lanes = lanes_of(setting.lane.seed, between)
        audio_voices.start(
            session, lambda: audio_voices.begin(setting, identity, (), lanes, longest)
        )
    with slot:
        audio_voices.buttons(session, KEY, "Let them sound")
    audio_voices.growing(
        session, identity, "Press **Let them sound**: they grow side by side.",
        "Settings have changed since. Press the button to hear what they do.",
        lambda voices: results(session, voices),
    )  # fmt: skip


def lanes_of(seed: int, between: float) -> list[Lane]:
    """Return greedy, a temperature in between, and plain sampling, all with the same noise."""
    return [
        Lane(Greedy(), seed=seed),
        Lane(Sample(), (Processor("temperature", between),), seed=seed),
        Lane(Sample(), seed=seed),
    ]


def figures_of(voices: Voices, index: int) -> Figures:
    """Measure one sound, of at least one sample."""
    steps = voices.steps(index)
    samples = np.abs(voices.samples(index)[voices.kept :])
    taken = np.exp([step.logprob for step in steps])
    few = max(1, round(WINDOW_S * voices.tokenizer.sample_rate))
    return Figures(
        silent=float((samples < SILENT).mean()),
        bits=float(np.mean([step.surprisal for step in steps])),
        entropy=float(np.mean([step.entropy_bits for step in steps])),
        taken=float(taken.mean()),
        taken_first=float(taken[:few].mean()),
        taken_last=float(taken[-few:].mean()),
        open_at=voices.kept + int(taken.argmin()),
        open_taken=float(taken.min()),
        open_entropy=steps[int(taken.argmin())].entropy_bits,
    )


def results(session: VoicesSession, voices: Voices) -> None:
    """Draw the three side by side, and what explains them."""
    if voices.made == voices.kept:
        st.caption("They begin …")
        return
    temperature = voices.lanes[1].processors[0].values[0]
    titles = ("Greedy", f"Temperature {temperature:g}", "Sampling")
    figures = [figures_of(voices, i) for i in range(len(titles))]
    for i, column in enumerate(st.columns(len(titles))):
        told = figures[i]
        with column:
            player_card(
                voices.samples(i), voices.tokenizer.sample_rate, key=f"{KEY}_card_{i}",
                title=titles[i],
                figures=f"{told.silent:.0%} of it silent, {told_bits(told.bits)} per sample; "
                f"entropy {told_bits(told.entropy)}",
            )  # fmt: skip
    if session.pace == "run":
        st.caption(f"{voices.made:,} of {voices.longest:,} samples.")
        return
    st.subheader("Why", anchor=False)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown(explanation(figures[0], figures[2], WINDOW_S))
    with right:
        one_sample(voices, figures[0].open_at)


def explanation(greedy: Figures, sampled: Figures, window_s: float) -> str:
    """Say from the measured numbers why greedy sounds as it does."""
    rest = 1 - greedy.open_taken
    least = (
        f"At sample {greedy.open_at:,}, where it was least sure, that level had "
        f"{percent(greedy.open_taken)}: in {percent(rest)} of the cases something else "
        "ought to come. But this is shared by many levels, and each of them alone is less likely."
    )
    if greedy.silent < MOSTLY:
        first = (
            f"**Here greedy is not silent**: only {greedy.silent:.0%} of its samples are. It takes "
            f"the likeliest level every time all the same, with probability {greedy.taken:.0%} on "
            f"average. {least}"
        )
    else:
        first = (
            f"**Likeliest is not likely.** Greedy takes the likeliest level every time, and for "
            f"{greedy.silent:.0%} of its samples that is one in the middle: silence. {least}"
        )
    window = f"{1000 * window_s:.0f} ms"
    feeds = (
        f"**It feeds itself.** The model reads what was taken, and what follows silence is mostly "
        f"silence. Over the first {window} the level taken had {percent(greedy.taken_first)}, "
        f"over the last {window} {percent(greedy.taken_last)}"
    )
    grows = 1 - greedy.taken_last < (1 - greedy.taken_first) / SURER
    feeds += ": the longer it goes on, the surer the model is that it does." if grows else "."
    apart = (
        f"**Likely is not typical.** Greedy's sound costs {told_bits(greedy.bits)} a sample, the "
        f"drawn one {told_bits(sampled.bits)}: about the entropy of its distributions, "
        f"{told_bits(sampled.entropy)}. Real sound is of that kind, not of the likeliest (of "
        "texts: Holtzman et al. 2020, arXiv:1904.09751)."
    )
    return "\n\n".join((first, feeds, apart))


def told_bits(bits: float) -> str:
    return f"{bits:.2f} bits" if bits >= 0.01 else "under 0.01 bits"


def one_sample(voices: Voices, at: int) -> None:
    """Draw what the model thought of one sample of greedy, and what is made of that."""
    tokenizer, stepper = voices.tokenizer, voices.steppers[0]
    last = voices.made - 1
    at = min(at, last)  # greedy is ahead of the others where one of them could not go on
    if last:
        at = st.slider(
            "Sample of greedy to look at",
            0,
            last,
            at,
            key=f"{KEY}_at",
            help="It begins where the model was least sure.",
        )
    temperature = voices.lanes[1].processors[0]
    try:
        with turn():
            stepper.go_to(at + 1)
            lane = replace(voices.lanes[0], processors=(temperature,))
            logprobs = stepper.distribution(lane)[:, : tokenizer.levels].double().cpu().numpy()
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return
    finally:
        stepper.go_to(len(stepper.tokens))
    draw_levels(tokenizer, logprobs, voices.steps(0)[at - voices.kept], str(temperature))


def draw_levels(
    tokenizer: AudioTokenizer, logprobs: np.ndarray, step: Step, temperature: str
) -> None:
    """Draw log p (S, L): of the model and after temperature; greedy's is all on one level."""
    certain = np.full(tokenizer.levels, -np.inf)
    certain[step.token] = 0.0
    stages: Sequence[str] = ("model", temperature, "greedy")
    rows = np.vstack([logprobs[:1], logprobs[-1:], certain])
    p, cooled = np.exp(rows[:2, step.token])
    level_bars(
        key=f"{KEY}_levels",
        data=levels_data(
            stages, rows, step.token, amplitude_swatches(tokenizer.levels), None,
            ticks=amplitude_ticks(tokenizer.levels),
            title=f"What could have come at sample {step.position - 1:,} of greedy",
            facts=f"the likeliest level, {tokenizer.label(step.token)}, has {p:.1%}; "
            f"with {temperature} {cooled:.1%}; with greedy 100%\nentropy "
            f"{step.entropy_bits:.2f} of {math.log2(tokenizer.levels):.3g} bits",
        ),
    )  # fmt: skip
