"""Build a model of `transformers` from a foreign config: within bounds, seen by no other thread.

A config that asks for a thousand layers of a thousand experts would be built for hours, and take
all memory for modules that hold nothing yet. And `from_pretrained` makes 16-bit models by changing
the default type of torch, which is one for the whole process: sessions that step another model
meanwhile would get numbers of that type. Here what is made is counted and gets its type by a mode
of torch, which is the thread's own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

SPARE = 1000  # parameters beyond those that are stored: what is tied, or made anew
MADE = frozenset({torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.eye,
                  torch.linspace, torch.logspace})  # fmt: skip
FILLED = frozenset({torch.tensor, torch.full})  # of the type of what they are given


class Building(TorchFunctionMode):
    """Gives floats that are made without a type the type `dtype`, and makes no more than `most`.

    Raises:
        ValueError: a model has more parameters than `most`, however small.
    """

    def __init__(self, most: int, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.left, self.dtype = most, dtype

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in MADE:
            self.left -= 1
            if self.left < 0:
                raise ValueError("it has many more parameters than its weights have tensors")
        is_float = function in MADE or (
            function in FILLED and any(isinstance(value, float) for value in args[:2])
        )
        if is_float and self.dtype is not None and kwargs.get("dtype") is None:
            kwargs = kwargs | {"dtype": self.dtype}
        return function(*args, **kwargs)


def most_parameters(tensors: int) -> int:
    """Return how many parameters a model may have whose weights are so many tensors."""
    return 4 * tensors + SPARE  # older ones store several matrices as one


def bounded(kind: type, tensors: int) -> type:
    """Return a class of `transformers` whose `from_pretrained` builds in a `Building`."""

    def get_init_context(cls: type, dtype: torch.dtype, *asked: Any) -> list[Any]:
        default = torch.get_default_dtype()
        contexts: list[AbstractContextManager] = kind.get_init_context(default, *asked)
        return [*contexts, Building(most_parameters(tensors), dtype if dtype != default else None)]

    same = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind.__name__, (kind,), {**same, "get_init_context": classmethod(get_init_context)})
