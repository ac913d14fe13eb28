"""What clicks do to the picture that a visitor steps through, and to the link that tells of it."""

from __future__ import annotations

from playground.decoding.lane import Lane
from playground.errors import PlaygroundError
from playground.tokenizers.image import ImageTokenizer
from playground.ui import actions, state
from playground.ui.image_setting import ImageSetting
from playground.ui.image_state import ImageSession, image_session
from playground.ui.kept_link import pack_tokens, unpack_tokens
from playground.ui.kept_state import keep_in_link, kept_in_link


def open_session(setting: ImageSetting) -> ImageSession:
    """Return the visitor's picture, begun afresh if model, class, guidance or seed changed.

    It begins with what the link keeps; a link that cannot be read begins with nothing, and a note.

    Raises:
        PlaygroundError: this model cannot read the beginning.
    """
    session, loaded = image_session(), setting.loaded
    settled = (loaded.card.name, id(loaded.model), setting.label, setting.guidance,
               setting.lane.seed)  # fmt: skip
    text = kept_in_link()
    if settled != session.settled or text != session.link:
        try:
            session.begin = unpack_tokens(text, loaded.tokenizer, loaded.tokenizer.size, "picture")
        except PlaygroundError as error:
            state.tell(str(error))
            session.begin = ()
            keep_in_link("")
        session.settled, session.link = settled, kept_in_link()
    begin = (setting.label, setting.guidance, session.begin)
    if actions.open_session(
        session, loaded, begin, lambda: session.begin, setting.lane,
        model=setting.model, longest=loaded.tokenizer.size + 1,
    ):  # fmt: skip
        session.forget()
    return session


def canvas_tokens(tokenizer: ImageTokenizer) -> tuple[int, ...] | None:
    """Return what stands on the canvas, BOS left out; None if pictures of another kind do."""
    stepper = image_session().stepper
    if stepper is None or stepper.tokenizer.to_json() != tokenizer.to_json():
        return None
    return stepper.tokens[1:]


def per_row(tokenizer: ImageTokenizer) -> int:
    """Return how many values a row of the picture has."""
    return tokenizer.width * tokenizer.channels


def step_row(session: ImageSession, lane: Lane) -> None:
    """Step to the end of the row, or of as many values in orders that know no rows."""
    row = per_row(session.stepper.tokenizer)
    made = session.stepper.cursor - 1
    actions.step_on(session, lane, row - made % row)


def reset(session: ImageSession) -> None:
    """Start again from what the picture began with."""
    actions.reset(session)
    _write(session, session.begin)


def begin_empty() -> None:
    """Forget what the link keeps; the next run of the page begins with nothing."""
    keep_in_link("")


def keep_all(session: ImageSession) -> None:
    """Let the link keep all that is drawn before the cursor."""
    _write(session, session.stepper.prefix[1:])


def from_canvas(session: ImageSession) -> None:
    """Go to the pixel that was clicked; again, to its next colour; beyond, to where it grows."""
    pixel = (state.event("canvas", "go") or {}).get("pixel")
    stepper = session.stepper
    tokenizer = stepper.tokenizer
    if type(pixel) is not int or not 0 <= pixel < tokenizer.height * tokenizer.width:
        return
    first = tokenizer.index(*divmod(pixel, tokenizer.width)) + 1  # BOS comes before it
    colour = stepper.cursor - first
    if 0 <= colour < tokenizer.channels:
        first += (colour + 1) % tokenizer.channels
    actions.go_to(session, min(first, len(stepper.tokens)))


def from_levels(session: ImageSession, lane: Lane) -> None:
    actions.take(session, lane, (state.event("levels", "take") or {}).get("sid"))
    _follow(session)


def from_sheet(session: ImageSession) -> None:
    """Go on with the branch whose picture was clicked."""
    index = (state.event("branch_sheet", "choose") or {}).get("index")
    names = list(session.stepper.branches)
    if type(index) is int and 0 <= index < len(names):
        session.pace = "still"
        actions.attempt(session, lambda stepper: stepper.switch(names[index]))
        _follow(session)


def follow_steps(session: ImageSession) -> None:
    """Let the link follow what its settings alone would not draw again."""
    if session.has_turned():
        _follow(session)


def _follow(session: ImageSession) -> None:
    """Let the link keep the branch up to where it left another one, or to the last choice by hand.

    What follows is drawn again by the same noise, so the link gives the same picture. What comes
    before a fork may have been drawn with other settings.
    """
    branch = session.stepper.branch
    trace = branch.trace
    by_hand = [step.position for step in trace.steps if step.chosen_by == "user"]
    end = max(
        by_hand[-1] + 1 if by_hand else len(trace.prompt),
        branch.forked_at,
        session.changed.get(branch.name, 0),
    )
    _write(session, trace.tokens[1:end])


def _write(session: ImageSession, tokens: tuple[int, ...]) -> None:
    try:
        text = pack_tokens(tokens, session.stepper.tokenizer)
    except PlaygroundError as error:
        session.problem, text = f"The link does not keep this picture. {error}", ""
    keep_in_link(text)
    session.link, session.followed = text, len(session.stepper.branches)
