"""Music of a neural codec: stepped code by code of its delay pattern, heard as whole frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from playground.decoding.lane import Lane
from playground.decoding.offered import SOUNDS
from playground.decoding.stepper import LONGEST
from playground.errors import PlaygroundError
from playground.models.base import ARModel
from playground.models.conditioned import as_drawn
from playground.tokenizers.audio import to_wav
from playground.tokenizers.codebooks import CodecTokenizer
from playground.traces.trace import Step
from playground.ui import actions, state, translation, views
from playground.ui.controls import MAX_PROMPT, name_bad_number, plain
from playground.ui.inside_components import matrix_map
from playground.ui.inside_data import pack
from playground.ui.lane_controls import lane_controls
from playground.ui.picture_components import grey_swatches, level_bars, levels_data
from playground.ui.resources import Loaded, turn
from playground.ui.sound_components import spectrogram
from playground.ui.state import Session

EXAMPLE = "a calm piano melody"
SCALE = 3.0  # of guidance, which MusicGen was made for
SHORTEST, USUAL, LONGEST_S = 0.5, 2.0, 30.0  # seconds
SHOWN = 100  # newest frames of the board
MOST_BITS = 12.0
TICKS = 2  # redraws a second while it plays
CANDIDATES = 8


@dataclass(frozen=True)
class MusicSetting:
    """A model as decoders step it, how they decode, and for how long."""

    loaded: Loaded
    model: ARModel  # told its text, guided
    identity: tuple  # all that the model depends on besides the loaded one
    lane: Lane
    frames: int  # of the longest sound

    @property
    def tokenizer(self) -> CodecTokenizer:
        return self.loaded.tokenizer


@dataclass
class MusicSession(Session):
    """What one visitor steps through, and what there is of it to hear."""

    heard: tuple = ()  # tokens, samples and WAV of what stood still last


def has_codec(loaded: Loaded) -> bool:
    """True if a model makes sound of a codec's codes."""
    return isinstance(loaded.tokenizer, CodecTokenizer)


def is_setting(setting: Any) -> bool:
    return isinstance(setting, MusicSetting)


def setting(loaded: Loaded) -> MusicSetting:
    """Write what the music shall be, and choose how it is decoded and for how long.

    Raises:
        PlaygroundError: the text is too long, or settings do not fit the model.
    """
    tokenizer: CodecTokenizer = loaded.tokenizer
    text = st.text_input(
        "Music to make", EXAMPLE, key="say", bind="query-params", max_chars=MAX_PROMPT,
        help="A text encoder reads it. Empty: the model is told nothing.",
    ).strip()  # fmt: skip
    told, scale = None, 1.0
    if text:
        told = translation.source_of(loaded, tokenizer.text.encode_source(text))
        name_bad_number("guidance", 0.0, 8.0)
        scale = st.slider(
            "Guidance", 0.0, 8.0, SCALE, 0.25, key="guidance", bind="query-params",
            help="Classifier-free guidance: what the text makes likelier becomes likelier still. "
            "1: off. It costs a second pass. Ho & Salimans 2022, arXiv:2207.12598",
        )  # fmt: skip
    lane = lane_controls(tokenizer, offer=SOUNDS)
    most = min(LONGEST_S, tokenizer.pattern.n_frames / tokenizer.frame_rate)
    seconds = st.slider(
        "Longest, in seconds", min(SHORTEST, most / 2), most, min(USUAL, most), key="music_seconds",
        bind="query-params",
        help="Where the sound ends: the model has no end token.",
    )  # fmt: skip
    model = as_drawn(loaded.model, tokenizer.bos_token, told, scale)
    return MusicSetting(loaded, model, (text, scale), lane, round(seconds * tokenizer.frame_rate))


def section(setting: MusicSetting) -> None:
    """Draw the whole page but its sidebar."""
    tokenizer, lane = setting.tokenizer, setting.lane
    pattern = tokenizer.pattern
    session: MusicSession = st.session_state.setdefault("_music", MusicSession())
    longest = min(pattern.tokens_of(setting.frames), LONGEST - 1)
    try:
        actions.open_session(
            session, setting.loaded, setting.identity, lambda: (), lane, model=setting.model,
            longest=longest + 1, n_candidates=CANDIDATES,
        )  # fmt: skip
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return
    session.stepper.longest = longest + 1
    K = pattern.n_codebooks
    st.caption(
        f"A second is {tokenizer.frame_rate:.4g} frames of {K} codes; each says what the codebooks "
        f"before it left over. Each codebook is a step later than the one before (delay pattern, "
        "Copet et al. 2023), so the codes of one step belong to different frames. They are decided "
        "one by one here, from one pass of the model; within a step none depends on another."
    )
    interval = actions.tick_interval(session, TICKS)
    with st.container(horizontal=True, key="buttons"):
        step_slot = st.container(horizontal=True, width="content")
        views.pace_buttons(session, until="until the longest that is set in the sidebar",
                           start="nothing")  # fmt: skip

    @st.fragment(run_every=interval)
    def board() -> None:
        """Everything that a step changes."""
        actions.tick(session, lane, longest, max(K, round(K * tokenizer.frame_rate / 10)))
        if actions.tick_interval(session, TICKS) != interval or not session.identity:
            st.rerun()
        with step_slot:
            views.step_buttons(session, lane)
            st.button(f"Step {K} codes", icon=":material/keyboard_double_arrow_right:",
                      key="step_burst", on_click=actions.step_on, args=(session, lane, K),
                      disabled=session.stepper.has_ended)  # fmt: skip
        step, problem = None, session.problem
        try:
            with turn():
                if not session.stepper.has_ended:
                    step = session.stepper.look(lane)
        except PlaygroundError as error:
            problem = str(error)
        if problem:
            st.error(plain(problem))
        codes(session, tokenizer)
        left, right = st.columns([1, 1], gap="large")
        with left:
            player(session, tokenizer)
        with right:
            if step is not None:
                entries(session, tokenizer, lane, step)
            else:
                st.caption("The sound is as long as the sidebar lets it be.")
        details(session, setting, step)

    board()


def codes(session: MusicSession, tokenizer: CodecTokenizer) -> None:
    """Draw how surprising every code was, codebooks down, frames across."""
    steps = session.stepper.steps_by_position()
    if not steps:
        st.caption("Nothing is decided yet: press Step, Play, or click an entry.")
        return
    pattern, made = tokenizer.pattern, len(steps)
    frames = pattern.frames[:made]
    first = max(0, int(frames.max()) + 1 - SHOWN)
    columns = int(frames.max()) + 1 - first
    bits = np.zeros((pattern.n_codebooks, columns))
    shown = frames >= first
    found = np.array([step.surprisal for step in steps])
    bits[pattern.books[:made][shown], frames[shown] - first] = found[shown].clip(0, MOST_BITS)
    whole = pattern.whole_frames(made)
    matrix_map(
        key="codes",
        data={
            "rows": pattern.n_codebooks, "columns": columns, "square": False, "both": False,
            "min": 0.0, "max": MOST_BITS, "values": pack(bits, 0.0, MOST_BITS), "row": None,
            "column_names": [f"{n} frames" for n in range(first, first + columns)],
            "row_names": [f"codebook {k + 1}" for k in range(pattern.n_codebooks)],
            "x": "frames →", "y": "codebooks", "low": "0", "high": f"{MOST_BITS:g} bits or more",
            "title": "How surprising each code was",
            "facts": f"{session.stepper.current}: {made:,} codes, {whole} whole frames, "
            f"{whole / tokenizer.frame_rate:.2f} s; {found.mean():.2f} bits a code",
            "hint": "Point at a code to read it; those not decided yet are 0.",
            "alt": f"Surprisal of {made} codes of {pattern.n_codebooks} codebooks. Arrows read.",
        },
    )  # fmt: skip


def player(session: MusicSession, tokenizer: CodecTokenizer) -> None:
    """Let the whole frames be heard, as they were when the sound last stood still."""
    tokens = session.stepper.tokens[1:]
    if session.pace == "still" and session.heard[:1] != (tokens,):
        with turn():
            samples = tokenizer.decode(tokens)
        wav = to_wav(samples, tokenizer.sample_rate) if samples.size else b""
        session.heard = (tokens, samples, wav)
    if not session.heard or not session.heard[2]:
        K = tokenizer.pattern.n_codebooks
        st.caption(f"There is something to hear once a frame is whole: after {K} steps.")
        return
    _, samples, wav = session.heard
    st.audio(wav, format="audio/wav")
    spectrogram(samples, tokenizer.sample_rate, key="spectrogram", height=120, title="Spectrogram")


def entries(session: MusicSession, tokenizer: CodecTokenizer, lane: Lane, step: Step) -> None:
    """Draw the distribution over the codebook's entries; a click takes one."""
    stepper, count = session.stepper, tokenizer.levels
    logprobs = stepper.distribution(lane)[:, :count].double().cpu().numpy()
    frame, book = tokenizer.place(step.position - 1)
    verb = "would be taken" if stepper.at_end else "was taken"
    level_bars(
        key="levels",
        data=levels_data(
            ("model", *(str(p) for p in lane.active)), logprobs, step.token,
            grey_swatches([128] * count), step.position,
            title=f"What can come in codebook {book + 1} of frame {frame + 1}",
            facts=f"entry {step.token} {verb}: probability {math.exp(step.logprob):.2%}, rank "
            f"{step.rank} of {count}\nentropy {step.entropy_bits:.2f} of {math.log2(count):.3g} "
            f"bits, {step.kept} entr{'ies' if step.kept != 1 else 'y'} possible",
        ),
        on_take_change=lambda: actions.take(
            session, lane, (state.event("levels", "take") or {}).get("sid")
        ),
    )  # fmt: skip


def details(session: MusicSession, setting: MusicSetting, step: Step | None) -> None:
    """Offer branches and files."""
    if session.pace != "still":
        return
    left, right = st.columns(2)
    with left:
        views.branch_switch(session)
    with right:
        views.branch_name(session)
    if len(session.stepper.tokens) < 2:
        return
    files: dict[str, Any] = {}
    if session.heard and session.heard[2]:
        files["Sound (WAV)"] = ("sound.wav", lambda: session.heard[2])
    traced = views.trace_files(session, setting.loaded, step)
    files |= {title: file for title, file in traced.items() if title.startswith("Trace")}
    views.offer(files, setting.loaded.card.name)
