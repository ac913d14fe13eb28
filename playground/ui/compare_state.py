"""What one visitor's Compare page remembers between reruns, and the lanes of its link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from playground.comparison import MAX_SPECS, Comparison, Kind, Real
from playground.comparison.contract import AnyFigures
from playground.comparison.kinds import TEXT
from playground.decoding.spec import LaneSpec, specs_from_text, specs_to_text
from playground.errors import ConfigError, PlaygroundError
from playground.ui.compare_charts import REAL
from playground.ui.compare_data import Drawn
from playground.ui.resources import Loaded

LINK = "lanes"  # the parameter of the address bar
NONE = "none"  # what a list of models says where there is none
OWN = {  # settings that only links of a modality have
    "text": ("prompt", "length", "slide"),
    "image": ("class", "example", "rows"),
    "audio": ("class", "say", "seconds", "example", "keep"),
}


@dataclass
class Entry:
    """A lane on the page; its number stays while it is edited, moved and renamed."""

    number: int
    spec: LaneSpec


@dataclass(frozen=True)
class Settings:
    """What a run was made with, besides its lanes."""

    model: str
    prompt: str
    seed: int
    length: int
    slide: bool
    device: str
    second: str = ""
    judge: str = ""
    condition: str = ""  # the class of all lanes; ANY for none; empty where none can be told
    example: str = ""  # number of the picture or sound, from 1, that all lanes begin with
    rows: int = 0  # of the picture that they keep
    modality: str = "text"
    say: str = ""  # the text to speak of all lanes; ANY for none; empty where none can be told
    seconds: float = 0.0  # that sounds become longer
    keep: float = 0.0  # seconds of the example that they keep

    @property
    def told(self) -> str:
        """What all lanes are told: a class or a text; ANY or empty for nothing."""
        return self.say or self.condition


@dataclass
class Outcome:
    """A run: what was asked for, the engine, and what is drawn of it so far."""

    settings: Settings
    numbers: list[int]  # of the entries, in the order of the engine's specs
    specs: list[LaneSpec]  # as the page has them, before the second model was filled in
    comparison: Comparison
    load: Callable[[str], Loaded]
    loaded: Loaded
    drawn: list[list[Drawn]]  # by lane and sample
    figures: list[AnyFigures | None]
    real: str | Real | None = None  # what people made, read when the lanes are there
    human: AnyFigures | None = None  # its figures
    human_problem: str = ""
    judge: Loaded | None = None  # read when the texts are there
    judge_problem: str = ""
    is_weighed: bool = False
    positions: int = 0
    telling: tuple = ()  # of the figures: of which lanes, and what is told
    memory: int = 0  # bytes on the device, the most that was seen

    def index_of(self, entry: Entry) -> int | None:
        """Return which lane of the run is that of an entry; None if it has changed since."""
        if entry.number not in self.numbers:
            return None
        index = self.numbers.index(entry.number)
        same = self.specs[index].but(label="x") == entry.spec.but(label="x")
        return index if same else None


@dataclass
class CompareSession:
    """The Compare page of one visitor."""

    kind: Kind | None = None  # of the model; None until one is chosen
    entries: list[Entry] = field(default_factory=list)
    others: dict[str, list[Entry]] = field(default_factory=dict)  # lanes of the other kind
    last_number: int = 0
    pace: str = "still"  # "run", "stopped", then "weigh" (figures are computed)
    outcome: Outcome | None = None
    editing: int | None = None  # number of the entry in the dialog
    edit_problem: str = ""
    picked: tuple[int, int, int] | None = None  # number of an entry, sample, index of a token
    problem: str = ""  # of the last run
    notes: list[str] = field(default_factory=list)  # what was wrong with the link

    def add(self, spec: LaneSpec, at: int | None = None) -> Entry:
        """Add a lane; its label is made different from the others'.

        Raises:
            ConfigError: there are as many lanes as are compared at once.
        """
        if len(self.entries) >= MAX_SPECS:
            raise ConfigError(f"At most {MAX_SPECS} lanes are compared. Remove one first.")
        self.last_number += 1
        entry = Entry(self.last_number, spec.but(label=self._fresh_label(spec.label)))
        self.entries.insert(len(self.entries) if at is None else at, entry)
        return entry

    def entry(self, number: int | None) -> Entry | None:
        return next((entry for entry in self.entries if entry.number == number), None)

    def drawn(self, entry: Entry) -> list[Drawn]:
        """Return what is drawn of a lane, nothing if it has changed since the run."""
        index = self.outcome.index_of(entry) if self.outcome else None
        return self.outcome.drawn[index] if index is not None else []

    def chosen(self) -> tuple[Entry, Drawn, int] | None:
        """Return the chosen picture or sound with its lane and number, None if there is none."""
        number, sample, _ = self.picked or (None, -1, -1)
        entry = self.entry(number)
        drawn = self.drawn(entry) if entry else []
        if not 0 <= sample < len(drawn) or not drawn[sample].bits:
            return None
        return entry, drawn[sample], sample

    def labels(self, besides: Entry | None = None) -> set[str]:
        """Return the names that are taken: charts tell lanes apart by them."""
        return set(REAL.values()) | {
            entry.spec.label for entry in self.entries if entry is not besides
        }

    def _fresh_label(self, label: str) -> str:
        taken = self.labels()
        others = (f"{label[:54]} {i}" for i in range(2, MAX_SPECS + 2))
        return next(name for name in (label, *others) if name not in taken)

    def replace_all(self, specs: list[LaneSpec]) -> None:
        self.entries.clear()
        for spec in specs:
            self.add(spec)

    def turn_to(self, kind: Kind) -> None:
        """Compare what a model of this kind makes; the lanes of the other kind are kept."""
        if self.kind is kind:
            return
        if self.kind is None:
            self.kind = kind
            self.replace_all(_specs_of_link(self))
            return
        self.others[self.kind.name] = self.entries
        self.kind, self.entries = kind, self.others.pop(kind.name, [])
        if not self.entries:
            self.replace_all(default_specs(kind))
        self.outcome = self.picked = self.editing = None
        self.pace, self.problem = "still", ""
        forget_widget("samples")


def default_specs(kind: Kind = TEXT) -> list[LaneSpec]:
    return [kind.offer.presets[name] for name in kind.offer.usual]


def compare_session() -> CompareSession:
    """Return this visitor's Compare page; it has lanes once it has turned to a kind."""
    return st.session_state.setdefault("_compare", CompareSession())


def tell(note: str) -> None:
    """Keep a note about the link."""
    session = compare_session()
    if note not in session.notes:
        session.notes.append(note)


def write_link(session: CompareSession) -> None:
    """Let the address bar carry the lanes; the default ones need not be said."""
    specs = [entry.spec for entry in session.entries]
    text = "" if specs == default_specs(session.kind) else specs_to_text(specs)
    if text == st.query_params.get(LINK, ""):
        return
    if text:
        st.query_params[LINK] = text
    else:
        del st.query_params[LINK]


def address(settings: Settings, specs: Sequence[LaneSpec]) -> str:
    """Return the link that makes these texts again when somebody opens it and presses Run."""
    told = {name: value for name, value in asdict(settings).items() if name != "device"}
    told |= {name: told[name] or NONE for name in ("second", "judge")}
    told["slide"] = "true" if settings.slide else "false"
    told["class"] = told.pop("condition")
    own = OWN[settings.modality]
    if settings.modality != "text":  # nothing can be told, or the beginning is free
        own = [name for name in own if told[name]]
    left_out = {name for names in OWN.values() for name in names if name not in own}
    told = {name: value for name, value in told.items() if name not in {"modality", *left_out}}
    link = urlencode(told | {LINK: specs_to_text(list(specs))})
    return f"{(st.context.url or '').split('?')[0]}?{link}"


def event(key: str, name: str) -> Any:
    """Return what a component has just reported, a dictionary; for its callback."""
    found = (st.session_state.get(key) or {}).get(name)
    return found if isinstance(found, dict) else {}


def widget(key: str, otherwise: Any = None) -> Any:
    """Return what a widget holds; `otherwise` before it is drawn."""
    return st.session_state.get(key, otherwise)


def set_widget(key: str, value: Any) -> None:
    """Say what a widget holds before it is drawn."""
    st.session_state[key] = value


def forget_widget(key: str) -> None:
    """Let a widget begin anew the next time it is drawn."""
    st.session_state.pop(key, None)


def take_widget(key: str) -> Any:
    """Return what a widget that only gives orders holds, and empty it; for its callback."""
    value = st.session_state.get(key)
    st.session_state[key] = None
    return value


def _specs_of_link(session: CompareSession) -> list[LaneSpec]:
    text = st.query_params.get(LINK)
    if not text:
        return default_specs(session.kind)
    try:
        return specs_from_text(text, MAX_SPECS)
    except PlaygroundError as error:
        session.notes.append(
            f"The lanes of the link cannot be used: {error} The usual lanes are shown instead."
        )
        return default_specs(session.kind)
