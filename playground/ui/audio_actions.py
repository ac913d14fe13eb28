"""What clicks do to the sound that a visitor steps through, and to the link that tells of it.

The link does not hold the sound. It says how many samples there are and which were chosen by hand;
all others come again from the same noise. Only samples that other settings drew are kept as they
are, and of those no more than a link carries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from playground.decoding.lane import Lane
from playground.decoding.stepper import Branch, Stepper
from playground.errors import PlaygroundError
from playground.tokenizers.audio import AudioTokenizer, to_wav
from playground.ui import actions, state
from playground.ui.audio_link import pack_forced, unpack_forced
from playground.ui.audio_setting import AudioSetting
from playground.ui.audio_state import NOTHING, AudioSession, Heard, audio_session
from playground.ui.kept_link import pack_tokens, unpack_tokens
from playground.ui.kept_state import KEPT, keep_in_link, kept_in_link
from playground.ui.sound_components import sample_of

FORCED, SAMPLES, AT = "forced", "samples", "at"  # in the link
CANDIDATES = 8  # that a decision keeps: there are thousands of decisions
IN_LINK = (KEPT, FORCED, SAMPLES, AT)


def open_session(setting: AudioSetting) -> AudioSession:
    """Return the visitor's sound, begun afresh if model, condition, guidance or seed changed.

    It begins with what the link keeps, and then grows to what the link tells of; a link that cannot
    be read begins with nothing, and a note.

    Raises:
        PlaygroundError: this model cannot read the beginning.
    """
    session, loaded = audio_session(), setting.loaded
    settled = (loaded.card.name, id(loaded.model), setting.told, setting.guidance,
               setting.lane.seed)  # fmt: skip
    link = tuple(map(kept_in_link, IN_LINK))
    if link != session.link:
        _read_link(session, setting)
        session.opened = link
    elif settled != session.settled:  # another sound is wanted, and nobody asked to make it yet
        session.forced, session.goal, session.at = {}, None, None
        before = session.stepper
        if before is None or before.tokenizer.to_json() != setting.tokenizer.to_json():
            session.begin = ()
    session.settled, session.link = settled, tuple(map(kept_in_link, IN_LINK))
    begin = (setting.told, setting.guidance, session.begin, session.opened)
    if actions.open_session(
        session, loaded, begin, lambda: session.begin, setting.lane,
        model=setting.model, slide=setting.slides, longest=setting.longest + 1,
        n_candidates=CANDIDATES,
    ):  # fmt: skip
        session.forget()
        session.read, session.unkept = (), ""
        if session.goal is not None:
            session.pace = "run"
    session.stepper.longest = setting.longest + 1
    return session


def _read(key: str, read: Callable, nothing):
    """Return what the link says under `key`; what cannot be read is taken out, with a note."""
    try:
        return read(kept_in_link(key))
    except PlaygroundError as error:
        state.tell(str(error))
        keep_in_link("", key)
        return nothing


def _read_link(session: AudioSession, setting: AudioSetting) -> None:
    tokenizer, most = setting.tokenizer, setting.longest
    session.begin = _read(KEPT, lambda text: unpack_tokens(text, tokenizer, most, "sound"), ())
    session.forced = _read(FORCED, lambda text: unpack_forced(text, tokenizer, most), {})
    session.goal, session.at = _number(SAMPLES, most), _number(AT, most)


def _number(key: str, most: int) -> int | None:
    text = kept_in_link(key)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and int(text) <= most):
        state.tell(
            f"The link sets {key} to “{text[:60]}”; it must be a whole number from 0 to {most:,}, "
            "the longest that is set. It is left out."
        )
        keep_in_link("", key)
        return None
    return int(text)


def advance(session: AudioSession) -> Callable[[Stepper, Lane, int], int]:
    """Return what decides up to so many samples; those that the link forces are taken."""

    def go(stepper: Stepper, lane: Lane, count: int) -> int:
        ahead = [p for p in session.forced if p >= stepper.cursor]
        if ahead and min(ahead) == stepper.cursor and stepper.at_end:
            stepper.take(session.forced.pop(stepper.cursor), lane)
            return 1
        if ahead:
            count = min(count, max(1, min(ahead) - stepper.cursor))
        return stepper.run_ahead(lane, count)

    return go


def tick(session: AudioSession, setting: AudioSetting, at_once: int) -> None:
    """Go on, or, with a link that was just opened, up to where the link says."""
    if session.pace == "still":
        session.goal = session.at = None  # whoever stops it goes on from there
        return
    wanted = setting.longest if session.goal is None else session.goal
    length = max(0, wanted - (len(session.stepper.branch.trace.prompt) - 1))
    actions.tick(session, setting.lane, length, at_once, advance(session))
    if session.pace == "still" and session.goal is not None:
        if len(session.stepper.tokens) > session.goal and session.at is not None:
            session.stepper.go_to(session.at + 1)
        session.goal = session.at = None


def step(session: AudioSession, lane: Lane) -> None:
    step_on(session, lane, 1)


def step_on(session: AudioSession, lane: Lane, count: int) -> None:
    """Decide `count` samples, or as many as there are left."""
    session.pace = "still"

    def go(stepper: Stepper) -> None:
        left = count
        while left > 0 and (made := advance(session)(stepper, lane, left)):
            left -= made

    actions.attempt(session, go)


def reset(session: AudioSession) -> None:
    """Start again from what the sound began with."""
    actions.reset(session)
    session.forced, session.goal, session.at = {}, None, None
    session.heard = NOTHING
    _write(session, (pack_tokens(session.begin, session.stepper.tokenizer), "", "", ""))


def begin_empty() -> None:
    """Forget what the link keeps; the next run of the page begins with nothing."""
    for key in IN_LINK:
        keep_in_link("", key)


def from_waveform(session: AudioSession) -> None:
    _go_to(session, "waveform")


def from_heat_map(session: AudioSession) -> None:
    _go_to(session, "heat")


def _go_to(session: AudioSession, key: str) -> None:
    sample = sample_of(state.event(key, "go"), len(session.stepper.tokens) - 1)
    if sample is not None:
        session.goal = session.at = None
        actions.go_to(session, sample + 1)


def from_levels(session: AudioSession, lane: Lane) -> None:
    """Take the level that was clicked; what the link forced after it is no longer wanted."""
    session.forced, session.goal, session.at = {}, None, None
    actions.take(session, lane, (state.event("levels", "take") or {}).get("sid"))


# -- what there is to hear -------------------------------------------------------------------------


def hear(session: AudioSession, tokenizer: AudioTokenizer) -> Heard:
    """Return the whole branch to hear; made anew if it has grown since."""
    tokens = session.stepper.tokens[1:]
    if session.heard.tokens != tokens:
        samples = tokenizer.decode(tokens)
        wav = to_wav(samples, tokenizer.sample_rate) if tokens else b""
        session.heard = Heard(tokens, samples, wav)
    return session.heard


def canvas_tokens(tokenizer: AudioTokenizer) -> tuple[int, ...]:
    """Return what was made step by step, BOS left out; nothing if it is of another kind."""
    stepper = audio_session().stepper
    if stepper is None or stepper.tokenizer.to_json() != tokenizer.to_json():
        return ()
    return stepper.tokens[1:]


# -- what the link keeps ---------------------------------------------------------------------------


def follow(session: AudioSession, setting: AudioSetting) -> None:
    """Let the link tell of the sound as it stands."""
    session.has_turned()
    stepper = session.stepper
    trace = stepper.branch.trace
    older = older_tokens(session, stepper.branch)
    if trace.steps and trace.settings != setting.lane.settings():
        older = len(trace.tokens)  # the link holds the settings of now
    count = len(trace.tokens) - 1
    by_hand = {s.position: s.token for s in trace.steps
               if s.chosen_by == "user" and s.position >= older}  # fmt: skip
    session.unkept = ""
    try:
        texts = [
            pack_tokens(trace.tokens[1:older], setting.tokenizer),
            pack_forced(by_hand, setting.tokenizer),
            str(count) if count else "",
            "" if stepper.at_end else str(stepper.cursor - 1),
        ]
    except PlaygroundError as error:
        session.unkept = f"The link does not keep this sound. {error}"
        texts = ["", "", "", ""]
    _write(session, texts)


def _write(session: AudioSession, texts: Sequence[str]) -> None:
    for key, text in zip(IN_LINK, texts, strict=True):
        keep_in_link(text, key)
    session.link = tuple(texts)


def older_tokens(session: AudioSession, branch: Branch) -> int:
    """Return how many tokens of a branch other settings drew, BOS and what was given counted."""
    own = max(session.changed.get(branch.name, 0), len(branch.trace.prompt))
    if not branch.origin:
        return own
    origin = session.stepper.branches[branch.origin]
    before = older_tokens(session, origin)
    is_alike = origin.trace.settings == branch.trace.settings and before <= branch.forked_at
    return max(own, before if is_alike else branch.forked_at)
