"""What a kind of processor is called, does and accepts: the data behind sliders and checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from playground.errors import ConfigError, check_range, check_whole

MAX_TEXT = 20_000  # characters of a text-valued parameter
GROUPS = ("bias", "penalties", "constraint", "temperature", "truncation")

Value = float | int | str | bool


@dataclass(frozen=True)
class Parameter:
    """One number or text that sets a processor.

    `kind` is "number", "text" (as it stands) or "tokens" (lines that name tokens, see
    `pieces.py`). Of a text, `high` is the most characters it may have.
    """

    name: str
    default: Value
    low: float = 0
    high: float = MAX_TEXT
    start: Value = ""  # a telling value when somebody switches it on
    step: float = 0.01  # of a slider
    kind: str = "number"
    help: str = ""  # what this parameter does, where the kind has several
    parse: Callable[[str], Any] | None = None  # raises ConfigError if a text cannot be read
    options: tuple[Value, ...] = ()  # the only values, where there are few

    @property
    def is_whole(self) -> bool:
        return isinstance(self.default, int)

    @property
    def is_text(self) -> bool:
        return self.kind != "number"

    def checked(self, value: Value) -> Value:
        """Return `value`, a float where this is one.

        Raises:
            ConfigError: it is of another type, out of range, too long or cannot be read.
        """
        if self.options:
            return self._checked_option(value)
        if self.is_text:
            return self._checked_text(value)
        if self.is_whole:
            return check_whole(self.name, value, int(self.low), int(self.high))
        return float(check_range(self.name, value, self.low, self.high))

    def _checked_option(self, value: Value) -> Value:
        for option in self.options:
            if option == value and type(option) is type(value):
                return option
        raise ConfigError(f"{self.name} must be one of {self.options}, got {str(value)[:60]!r}.")

    def _checked_text(self, value: Value) -> str:
        if not isinstance(value, str):
            raise ConfigError(f"{self.name} must be text, got {type(value).__name__}.")
        if len(value) > self.high:
            raise ConfigError(
                f"{self.name} must have at most {self.high:,} characters, got {len(value):,}. "
                "Shorten it."
            )
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise ConfigError(f"{self.name} holds half of a surrogate pair, which is no character.")
        if self.parse is not None and value:
            self.parse(value)
        return value


@dataclass(frozen=True)
class ProcessorKind:
    """A kind of processor; while its first parameter is at `off` it changes nothing."""

    apply: Callable[..., Tensor]  # (logits (B, V), context, *values) -> logits (B, V)
    group: str  # one of GROUPS
    parameters: tuple[Parameter, ...]
    effect: str
    source: str
    check: Callable[..., None] | None = None  # (tokenizer, *values), raises ConfigError
    is_over: Callable[..., list[bool]] | None = None  # (context, *values), one bool a row
    only_divides: bool = False  # all logits by its value, which is what a temperature does

    @property
    def off(self) -> Value:
        return self.parameters[0].default

    @property
    def low(self) -> float:
        return self.parameters[0].low

    @property
    def high(self) -> float:
        return self.parameters[0].high

    @property
    def start(self) -> Value:
        return self.parameters[0].start

    @property
    def step(self) -> float:
        return self.parameters[0].step

    @property
    def is_whole(self) -> bool:
        return self.parameters[0].is_whole

    @property
    def is_text(self) -> bool:
        return self.parameters[0].is_text

    def values(self, given: dict[str, Value]) -> tuple[Value, ...]:
        """Return the checked values of all parameters, the default where none is given.

        Raises:
            ConfigError: a value is not accepted, or there is no parameter of that name.
        """
        known = [p.name for p in self.parameters]
        for name in given:
            if name not in known:
                raise ConfigError(f"There is no parameter {name!r}. Choose among {known}.")
        return tuple(p.checked(given.get(p.name, p.default)) for p in self.parameters)
