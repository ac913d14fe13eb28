"""What a processor may know of the rows it shapes, besides their logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Context:
    """B rows at one position: their tokens, and what was decided since the prompt.

    A processor is a pure function of logits and Context. What looks like memory (the target of
    mirostat, the state of a grammar) is computed from `tokens` and `logprobs`, so that going back,
    branching and rows that a beam reorders need no bookkeeping.
    """

    tokens: Tensor  # (B, T), BOS first
    prompt_length: int = 1  # how many of them were given, BOS counted
    logprobs: Tensor | None = None  # (B, T - prompt_length): log p after all processors, as chosen
    eos_token: int | None = None
    tokenizer: Any = None  # for what reads text: constraints, sequence breakers
    uniform: Callable[[str], Tensor] | None = None  # name of a use -> (B, 1) doubles in [0, 1)

    @property
    def made(self) -> Tensor:
        """The tokens chosen since the prompt (B, T - prompt_length)."""
        return self.tokens[:, self.prompt_length :]
