"""Continue a sound: a part of it is kept, and the model goes on from there in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st
import torch

from playground.decoding.lane import Lane
from playground.errors import ConfigError, PlaygroundError
from playground.evaluation.bits_per_sample import surprisal_of_sound
from playground.tokenizers.audio import to_wav
from playground.traces import metrics
from playground.ui import audio_voices, sound_input, state
from playground.ui.audio_setting import AudioSetting
from playground.ui.audio_voices import Voices, VoicesSession
from playground.ui.controls import name_bad_number, plain
from playground.ui.resources import turn
from playground.ui.sound_components import player_card, player_grid
from playground.ui.sound_input import SoundChoice

KEY = "continuation"
MAX_CONTINUATIONS = 8
MAX_SAMPLES = 100_000  # decided by all continuations: their decisions are kept in memory
STEP_MS = 10  # of what is kept


@dataclass(frozen=True)
class Plan:
    """How a sound is to be continued."""

    kept: int  # samples that are given
    count: int  # continuations
    noise: int  # which set of draws with the seed


def section(setting: AudioSetting, canvas: Sequence[int] = ()) -> None:
    """Draw the whole section; `canvas` are the tokens, without BOS, of step by step."""
    session = audio_voices.voices_session(KEY)
    st.caption(
        "Keep the beginning of a sound and let the model go on, several times with other noise, "
        "for as long as the sidebar says. Where the continuations agree the model is sure of "
        "itself; where they differ it is guessing."
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        choice = sound_input.choose(setting.tokenizer, "sound", setting.loaded.card.folder, canvas)
    if choice is None:
        with right:
            st.info("Choose a sound first.", icon=":material/graphic_eq:")
        return
    with left:
        plan = _plan(setting, choice)
    tokens = tuple(setting.tokenizer.encode(choice.samples))
    told = (setting.loaded.card.name, id(setting.loaded.model), setting.told, setting.guidance)
    identity = (*told, setting.lane, setting.longest, tokens[: plan.kept], plan)
    with right:
        if session.is_asked:
            audio_voices.start(session, lambda: begin(setting, identity, tokens, plan))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            audio_voices.buttons(session, KEY, "Continue")
            st.button("Other noise", icon=":material/casino:", key=f"{KEY}_other",
                      on_click=_other, args=(session, plan),
                      help="The same sound and settings, other random numbers.")  # fmt: skip

        def draw(voices: Voices) -> None:
            results(session, voices)
            if voices.identity == identity and session.pace != "run":
                own_rest(session, setting, tokens, plan)

        audio_voices.growing(
            session, identity, "Press **Continue**: the sounds grow side by side.",
            "Settings have changed since. Press Continue to hear what they do.", draw,
        )  # fmt: skip


def _plan(setting: AudioSetting, choice: SoundChoice) -> Plan:
    """Choose how much is kept, and how many continuations there are."""
    rate, count = setting.tokenizer.sample_rate, len(choice.samples)
    step = max(1, rate * STEP_MS // 1000)
    most = 1000 * count / rate
    kept = count
    if count > step:
        last = count // step * STEP_MS
        value = state.value(f"{KEY}_ms")
        if value is None:
            name_bad_number(f"{KEY}_ms", 0, last)
        elif isinstance(value, int) and value > last:
            state.forget_widget(f"{KEY}_ms")  # it was of a longer sound
        shown = st.slider(
            "Milliseconds kept", 0, last, last // (2 * STEP_MS) * STEP_MS, STEP_MS,
            key=f"{KEY}_ms", bind="query-params", help=f"Of {most:.4g}.",
        )  # fmt: skip
        kept = min(count, shown * rate // 1000)
    if kept:
        st.caption("What is kept:")
        st.audio(to_wav(choice.samples[:kept], rate), format="audio/wav", alt="what is kept")
    name_bad_number(f"{KEY}_count", 1, MAX_CONTINUATIONS)
    number = st.slider("Continuations", 1, MAX_CONTINUATIONS, 4, key=f"{KEY}_count",
                       bind="query-params")  # fmt: skip
    name_bad_number(f"{KEY}_noise", 0, 999)
    noise = st.number_input(
        "Noise", 0, 999, key=f"{KEY}_noise", bind="query-params",
        help="Which draws with the sidebar's seed: another number, other continuations. The same "
        "number gives the same ones.",
    )  # fmt: skip
    return Plan(kept, number, int(noise))


def _other(session: VoicesSession, plan: Plan) -> None:
    state.set_widget(f"{KEY}_noise", (plan.noise + 1) % 1000)
    audio_voices.ask(session)


def lanes_of(lane: Lane, plan: Plan) -> list[Lane]:
    """Return draws of one seed; the first of noise 0 is what step by step goes on with."""
    first = lane.sample + plan.noise * MAX_CONTINUATIONS
    return [replace(lane, sample=first + i) for i in range(plan.count)]


def begin(setting: AudioSetting, identity: tuple, tokens: Sequence[int], plan: Plan) -> Voices:
    """Return sounds that go on from the first `plan.kept` tokens.

    Raises:
        PlaygroundError: there is too much to decide at once, or the lane does not fit.
    """
    total = plan.count * setting.longest
    if total > MAX_SAMPLES:
        raise ConfigError(
            f"{plan.count} continuations of {setting.longest:,} samples each are {total:,}; at "
            f"most {MAX_SAMPLES:,} are decided at once. Take fewer, or make the longest shorter."
        )
    given = tokens[: plan.kept]
    lanes = lanes_of(setting.lane, plan)
    return audio_voices.begin(setting, identity, given, lanes, plan.kept + setting.longest)


def results(session: VoicesSession, voices: Voices) -> None:
    """Draw the continuations side by side."""
    made, missing = voices.made - voices.kept, voices.longest - voices.kept
    doing = "Continuing" if session.pace == "run" else "Continued"
    st.caption(f"{doing}: **{made:,} of {missing:,} samples**")
    grid = player_grid()
    for i, lane in enumerate(voices.lanes):
        steps = voices.steps(i)
        bits = f"{metrics.bits_per_token(steps):.3f} bits per sample, " if steps else ""
        with grid:
            player_card(
                voices.samples(i), voices.tokenizer.sample_rate, key=f"{KEY}_card_{i}",
                title=f"Continuation {i + 1}", kept=voices.kept,
                figures=f"{bits}draw {lane.sample} with seed {lane.seed}",
            )  # fmt: skip


def own_rest(
    session: VoicesSession, setting: AudioSetting, tokens: Sequence[int], plan: Plan
) -> None:
    """Tell how likely the model finds what the sound itself goes on with."""
    if plan.kept >= len(tokens):
        return
    asked = (tokens, plan.kept, setting.told, setting.guidance, id(setting.loaded.model))
    if session.rest[:1] != (asked,):
        try:
            with turn():
                bits = surprisal_of_sound(
                    setting.model, torch.tensor(tokens), setting.tokenizer.bos_token
                )
        except PlaygroundError as error:
            st.error(plain(str(error)))
            return
        session.rest = (asked, float(bits[plan.kept :].double().mean()))
    st.caption(f"The sound's own rest: **{session.rest[1]:.3f} bits** per sample under this model.")
