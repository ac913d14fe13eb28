"""What Run, Stop, clicks and ticks do to a visitor's comparison; problems become a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from playground.comparison import Comparison, Real
from playground.comparison.conditions import classes_of
from playground.comparison.contract import AnyFigures
from playground.comparison.pictures import kept_part
from playground.comparison.sounds import kept_part as kept_sound
from playground.data import images, sounds
from playground.decoding.spec import ANY, LaneSpec
from playground.decoding.strategy_catalogue import STRATEGIES
from playground.devices import memory_in_use
from playground.errors import ConfigError, PlaygroundError
from playground.evaluation.judge import Judge
from playground.registry import ModelCard
from playground.ui import compare_state as state
from playground.ui import resources
from playground.ui.compare_data import Drawn, piece
from playground.ui.compare_state import CompareSession, Entry, Outcome, Settings
from playground.ui.resources import Loaded, turn
from playground.ui.sound_data import sample_of

TICK_S = 0.12  # of computing in one tick
FIRST_TICK_S = 0.03  # so that something is on screen at once
# Of all lanes and samples of a run: their traces are kept in memory. Those of pictures and sounds
# keep fewer candidates.
MAX_TOKENS, MAX_PICTURE_TOKENS, MAX_SOUND_TOKENS = 20_000, 50_000, 130_000
WRITTEN = 4096  # pieces of text that are kept


def start(session: CompareSession, settings: Settings, cards: Mapping[str, ModelCard]) -> None:
    """Begin a run of all lanes; what does not fit is told before any work, and what was is kept."""
    session.problem = ""
    session.notes.clear()
    try:
        session.outcome = _begin(session.entries, settings, cards)
    except PlaygroundError as error:
        session.problem, session.pace = str(error), "still"
        return
    session.pace, session.picked = "run", None


def loader(cards: Mapping[str, ModelCard], device: str) -> Callable[[str], Loaded]:
    """Return a function that loads a model by its name onto a device."""

    def load(name: str) -> Loaded:
        if name not in cards:
            raise ConfigError(f"There is no model {name[:60]!r} here. Choose among {list(cards)}.")
        return resources.load_model(cards[name], device)

    return load


def _begin(
    entries: list[Entry], settings: Settings, cards: Mapping[str, ModelCard]
) -> Outcome:  # fmt: skip
    if not entries:
        raise ConfigError("There is no lane to run. Add one.")
    specs = [_completed(entry.spec, settings) for entry in entries]
    total = settings.length * sum(map(texts_of, specs))
    what, most, fewer = {
        "text": ("text", MAX_TOKENS, "fewer tokens, "),
        "image": ("picture", MAX_PICTURE_TOKENS, "fewer "),
        "audio": ("sound", MAX_SOUND_TOKENS, "shorter sounds, fewer "),
    }[settings.modality]
    if total > most:
        raise ConfigError(
            f"{settings.length} tokens for every {what} of every lane are {total:,}; at most "
            f"{most:,} are made in one run. Take {fewer}samples or lanes."
        )
    load = loader(cards, settings.device)
    with turn():
        comparison = Comparison(
            specs, beginning(settings, load(settings.model)), model=settings.model, load=load,
            seed=settings.seed, max_new_tokens=settings.length, slide=settings.slide,
            condition=settings.told,
        )  # fmt: skip
    return Outcome(
        settings, [e.number for e in entries], [e.spec for e in entries], comparison, load,
        load(settings.model),
        drawn=[[Drawn() for _ in range(spec.samples)] for spec in specs],
        figures=[None] * len(specs),
    )  # fmt: skip


def beginning(settings: Settings, loaded: Loaded) -> str | list[int]:
    """Return the prompt, or the tokens that all pictures or sounds keep.

    Raises:
        ConfigError: the checkpoint has no such example.
        CheckpointError: its examples are damaged.
    """
    if not settings.example:
        return settings.prompt
    is_sound = settings.modality == "audio"
    read = sounds.read_examples if is_sound else images.read_examples
    found = read(loaded.card.folder, loaded.tokenizer)
    count = 0 if found is None else len(found)
    if not settings.example.isdigit() or not 1 <= int(settings.example) <= count:
        raise ConfigError(
            f"{settings.model} has {count} examples, and number {settings.example[:20]} is "
            "asked for. Begin with another, or with none."
        )
    example = found[int(settings.example) - 1]
    if is_sound:
        return kept_sound(loaded.tokenizer, example, settings.keep)
    return kept_part(loaded.tokenizer, example, settings.rows)


def texts_of(spec: LaneSpec) -> int:
    """Return how many texts a lane grows at once."""
    usual = {p.name: p.default for p in STRATEGIES[spec.strategy].parameters}
    own = [spec.settings.get(name, usual[name]) for name in ("num_beams", "n") if name in usual]
    return spec.samples * max([1, *own])


def _completed(spec: LaneSpec, settings: Settings) -> LaneSpec:
    """Return the spec with the page's second model where it needs one and names none."""
    if spec.needs_second and not spec.second:
        return spec.but(second=settings.second)
    return spec


def stop(session: CompareSession) -> None:
    """Stop writing; what is there is kept, and its figures are computed once that is drawn."""
    session.pace = "stopped" if session.outcome else "still"


def tick(session: CompareSession) -> None:
    """Go on for a moment: with the texts, then with their figures."""
    outcome = session.outcome
    if outcome is None:
        session.pace = "still"
    if session.pace == "run":
        _write(session, outcome)
    elif session.pace == "stopped":
        session.pace = "weigh"
    elif session.pace == "weigh":
        _weigh(session, outcome)


def interval(session: CompareSession) -> float | None:
    """Return the seconds between two ticks, None while nothing goes on."""
    return None if session.pace == "still" else TICK_S + 0.05


def _write(session: CompareSession, outcome: Outcome) -> None:
    deadline = time.monotonic() + (TICK_S if outcome.positions else FIRST_TICK_S)
    writing = writer(outcome.loaded.tokenizer)
    while session.pace == "run":
        try:
            with turn():
                going = outcome.comparison.advance()
        except PlaygroundError as error:
            session.problem, session.pace = str(error), "stopped"
            break
        outcome.positions += 1
        for (lane, sample), step in outcome.comparison.latest().items():
            if not is_search(outcome, lane):
                outcome.drawn[lane][sample].append(step, writing)
        if not going:
            session.pace = "stopped"
        if time.monotonic() > deadline:
            break
    for lane, samples in enumerate(outcome.drawn):
        if is_search(outcome, lane):
            traces = outcome.comparison.result(lane).traces
            for drawn, trace in zip(samples, traces, strict=True):
                drawn.follow(trace.steps, writing)
    outcome.memory = max(outcome.memory, memory_in_use(outcome.settings.device))


def is_search(outcome: Outcome, lane: int) -> bool:
    """True if a lane weighs several texts, so that what it shows may change."""
    return outcome.comparison.is_search(lane)


def writer(tokenizer) -> Callable[[int], str]:
    """Return a function that writes a token as text and remembers how."""
    known: dict[int, str] = {}

    def write(token: int) -> str:
        if token not in known:
            if len(known) >= WRITTEN:
                known.clear()
            known[token] = piece(token, tokenizer)
        return known[token]

    return write


def _weigh(session: CompareSession, outcome: Outcome) -> None:
    """Compute the figures of one lane after another, then those of the human text."""
    deadline = time.monotonic() + TICK_S
    judge = _judge(outcome)
    _find_real(outcome)
    for lane, known in enumerate(outcome.figures):
        if known is None:
            outcome.figures[lane] = _figures(outcome, lane, judge)
            if time.monotonic() > deadline:
                return
    _human(outcome, judge)
    outcome.is_weighed = True
    session.pace = "still"


def _judge(outcome: Outcome) -> Judge | None:
    """Return the judge, read when it is first needed; None without, or if it cannot be used."""
    name = outcome.settings.judge
    if not name or outcome.judge_problem:
        return None
    try:
        outcome.judge = outcome.judge or outcome.load(name)
    except PlaygroundError as error:
        outcome.judge_problem = str(error)
        return None
    return Judge(outcome.judge.model, outcome.judge.tokenizer, name)


def _figures(outcome: Outcome, lane: int, judge: Judge | None) -> AnyFigures:
    """Return a lane's figures; a judge that cannot read the texts is left out, and why is told."""
    result = outcome.comparison.result(lane)
    real = outcome.real if isinstance(outcome.real, Real) else None
    with turn():
        try:
            return outcome.comparison.figures(result, judge, real)
        except PlaygroundError as error:
            outcome.judge_problem = str(error)
            return outcome.comparison.figures(result, real=real)


def _find_real(outcome: Outcome) -> None:
    """Read what people made of what the model has learnt to make."""
    if outcome.real is not None or outcome.human_problem:
        return
    try:
        outcome.real = outcome.comparison.kind.real(outcome.loaded.card.folder, outcome.loaded)
    except PlaygroundError as error:
        outcome.human_problem = str(error)


def _human(outcome: Outcome, judge: Judge | None) -> None:
    """Compute the figures of what people made."""
    if outcome.real is None or not any(figures.mean_length for figures in outcome.figures):
        return
    try:
        with turn():
            outcome.human = outcome.comparison.real_figures(outcome.real, judge)
    except PlaygroundError as error:
        outcome.human_problem = str(error)


# -- lanes -----------------------------------------------------------------------------------------


def from_lanes(session: CompareSession) -> None:
    """Do what was clicked in the lanes: a token, or the pencil of a lane."""
    picked = state.event("lanes_view", "pick")
    edited = state.event("lanes_view", "edit")
    if edited:
        open_editor(session, edited.get("lane"))
    elif picked:
        session.picked = tuple(
            value if isinstance(value := picked.get(name), int) else -1
            for name in ("lane", "sample", "index")
        )


def from_sheet(session: CompareSession, entry: Entry) -> None:
    """Show the picture that was clicked large, and its most surprising pixel."""
    sample = state.event(f"sheet_{entry.number}", "choose").get("index")
    if isinstance(sample, int):
        look_inside(session, entry, sample)


def look_inside(session: CompareSession, entry: Entry, sample: int) -> None:
    """Show one picture or sound large, and its most surprising value."""
    drawn = session.drawn(entry)
    if 0 <= sample < len(drawn) and drawn[sample].bits:
        bits = drawn[sample].bits
        session.picked = (entry.number, sample, max(range(len(bits)), key=bits.__getitem__))


def from_waveform(session: CompareSession) -> None:
    """Show what else could have come at the sample that was clicked; the last one at the end."""
    found = session.chosen()
    if found is None:
        return
    given = len(session.outcome.comparison.prompt) - 1
    count = given + len(found[1].tokens)
    at = sample_of(state.event("inside_sound", "go"), count)
    if at is not None:
        session.picked = (*session.picked[:2], max(-1, min(at, count - 1) - given))


def from_large(session: CompareSession) -> None:
    """Show what else could have come at the pixel that was clicked."""
    pixel = state.event("large", "go").get("pixel")
    if session.outcome is None or session.picked is None or not isinstance(pixel, int):
        return
    tokenizer = session.outcome.loaded.tokenizer
    if 0 <= pixel < tokenizer.height * tokenizer.width:
        given = len(session.outcome.comparison.prompt) - 1
        index = tokenizer.index(*divmod(pixel, tokenizer.width)) - given
        session.picked = (*session.picked[:2], max(-1, index))


def open_editor(session: CompareSession, number: object) -> None:
    entry = session.entry(number if isinstance(number, int) else None)
    session.editing = entry.number if entry else None
    session.edit_problem = ""


def close_editor(session: CompareSession) -> None:
    session.editing, session.edit_problem = None, ""


def add_lane(session: CompareSession, settings: Settings, loaded: Loaded) -> None:
    """Add what was chosen in the list: a preset, or a plain lane that is opened for editing.

    Guidance needs something to lead to: without a class for all the lane gets the first there is.
    """
    name, presets = state.take_widget("add_lane"), session.kind.offer.presets
    if name is None:
        return
    spec = presets.get(name, LaneSpec("my lane"))
    if spec.combination == "guided" and settings.told in ("", ANY):
        spec = spec.but(condition=next(iter(classes_of(loaded)), ""))
    try:
        entry = session.add(spec)
    except PlaygroundError as error:
        session.problem = str(error)
        return
    if name not in presets:
        open_editor(session, entry.number)


def reset_lanes(session: CompareSession) -> None:
    session.replace_all(state.default_specs(session.kind))


def duplicate(session: CompareSession, entry: Entry) -> None:
    try:
        made = session.add(entry.spec, session.entries.index(entry) + 1)
    except PlaygroundError as error:
        session.edit_problem = str(error)
        return
    open_editor(session, made.number)


def remove(session: CompareSession, entry: Entry) -> None:
    session.entries.remove(entry)
    close_editor(session)


def move(session: CompareSession, entry: Entry, by: int) -> None:
    at = session.entries.index(entry)
    session.entries.insert(max(0, at + by), session.entries.pop(at))
