"""Logits processors: pure functions (B, V) -> (B, V), named as in transformers.GenerationConfig.

Each returns new logits with -inf where it removed a token; none ever removes the last one. The
order in which they are applied is part of the result: temperature before top-p keeps more tokens
than after it (for temperatures above 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from playground.decoding.catalogue import LLAMA_CPP_ORDER, PROCESSORS, TRANSFORMERS_ORDER
from playground.decoding.context import Context
from playground.decoding.kinds import Parameter, ProcessorKind, Value
from playground.errors import ConfigError

__all__ = [
    "LLAMA_CPP_ORDER",
    "PROCESSORS",
    "TRANSFORMERS_ORDER",
    "Parameter",
    "Processor",
    "ProcessorKind",
    "check",
    "in_order",
]


@dataclass(frozen=True, init=False, repr=False)
class Processor:
    """One processor at one setting: `Processor("top_k", 20)`, `Processor("dry", dry_base=2.0)`.

    The first parameter may be given by position; the others have defaults.

    Raises:
        ConfigError: there is no processor or parameter of that name, or a value is not accepted.
    """

    name: str
    values: tuple[Value, ...]  # of all parameters of the kind, in its order

    def __init__(self, name: str, /, *value: Value, **others: Value):
        if name not in PROCESSORS:
            raise ConfigError(
                f"There is no processor {str(name)[:60]!r}. Choose among {', '.join(PROCESSORS)}."
            )
        kind = PROCESSORS[name]
        first = kind.parameters[0].name
        if len(value) > 1 or (value and first in others):
            raise ConfigError(f"{first} is given twice. Give one value by position or by name.")
        given = {first: value[0], **others} if value else others
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "values", kind.values(given))

    @property
    def kind(self) -> ProcessorKind:
        return PROCESSORS[self.name]

    @property
    def value(self) -> Value:
        """The first parameter's value."""
        return self.values[0]

    @property
    def settings(self) -> dict[str, Value]:
        """Every parameter's value by name."""
        return {p.name: v for p, v in zip(self.kind.parameters, self.values, strict=True)}

    @property
    def is_off(self) -> bool:
        return self.value == self.kind.off

    @property
    def temperature(self) -> float | None:
        """What all logits are divided by, if that is all it does; None otherwise."""
        return self.values[0] if self.kind.only_divides else None

    def __call__(self, logits: Tensor, context: Context) -> Tensor:
        """Map logits (B, V) of what follows `context.tokens` (B, T) to new logits (B, V)."""
        if self.is_off:
            return logits
        return self.kind.apply(logits, context, *self.values)

    def is_over(self, context: Context) -> list[bool]:
        """Say of each row whether its text is complete: nothing can follow, or only the end."""
        if self.kind.is_over is None or self.is_off:
            return [False] * len(context.tokens)
        return self.kind.is_over(context, *self.values)

    def __str__(self) -> str:
        """Return a short name of this stage, with the values up to the last unusual one."""
        usual = [p.default for p in self.kind.parameters]
        n_told = max((i + 1 for i, v in enumerate(self.values) if v != usual[i]), default=1)
        return f"{self.name}={' '.join(map(_short, self.values[:n_told]))}"

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"Processor({self.name!r}, {told})"

    def to_json(self) -> list[Any]:
        """Return [name, {parameter: value}], which `from_json` reads."""
        return [self.name, self.settings]

    @classmethod
    def from_json(cls, data: Any) -> Processor:
        """Return the processor that wrote `data`.

        Raises:
            ConfigError: it is not such a list, or says what is not accepted.
        """
        is_pair = isinstance(data, list | tuple) and len(data) == 2
        if not is_pair or not isinstance(data[0], str) or not isinstance(data[1], dict):
            raise ConfigError(
                f"A processor must be [name, {{parameter: value}}], got {str(data)[:60]}."
            )
        name, settings = data
        if not all(isinstance(key, str) for key in settings):
            raise ConfigError(f"The parameters of {name[:60]!r} must have names.")
        return cls(name, **settings)


def _short(value: Value) -> str:
    if not isinstance(value, str):
        return f"{value:g}"
    line = " ".join(value.replace("=", "＝").split())  # "=" parts name and values
    return line if len(line) <= 16 else line[:15] + "…"


def in_order(processors: Iterable[Processor], order: Sequence[str]) -> tuple[Processor, ...]:
    """Return `processors` sorted as their names stand in `order`."""
    return tuple(sorted(processors, key=lambda p: order.index(p.name)))


def check(processors: Iterable[Processor], tokenizer: Any) -> None:
    """See that all `processors` can work on what `tokenizer` reads and writes.

    Raises:
        ConfigError: one cannot; it says which, why, and what to do.
    """
    for processor in processors:
        if processor.kind.check is not None and not processor.is_off:
            processor.kind.check(tokenizer, *processor.values)
