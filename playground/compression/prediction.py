"""What a model expects, token by token, the same bit for bit for whoever packs and unpacks.

Both sides take single `step`s of one row, although whoever packs knows all tokens and could score
them by one `forward`: that sums in another order, its logits differ in their last bits, and one
frequency that differs by one makes garbage of all that follows. For the same reason both compute
with one thread, and slide a full context at the same places, as a Stepper does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import torch

from playground.compression.frequencies import Expectation
from playground.decoding.window import slid_before, visible_window
from playground.models.base import ARModel, device_of

Condition = int | str | None


class Predictor:
    """The expectation of the tokens below `alphabet` after BOS and every token read since."""

    def __init__(self, model: ARModel, bos_token: int, alphabet: int, condition: Condition = None):
        self.model, self.alphabet, self.condition = model, alphabet, condition
        self._tokens = [bos_token]
        self._state: Any = None  # after all tokens but the newest

    @property
    def count(self) -> int:
        """Tokens read, BOS not counted."""
        return len(self._tokens) - 1

    def read(self, token: int) -> None:
        """Remember a token; the model reads it when it is next asked."""
        self._tokens.append(token)

    def expect(self) -> Expectation:
        """Return the expectation of the token that follows; to be asked once after every token."""
        tokens, limit = self._tokens, self.model.context_length
        if self._state is None:
            self._state = self.model.initial_state(1, self.condition)
        unread = tokens[-1:]
        if slid_before(len(tokens), limit):
            self._state = self.model.initial_state(1, self.condition)
            unread = list(visible_window(tokens, limit))
        rows = torch.tensor([unread], device=device_of(self.model))
        logits, self._state = self.model.step(rows, self._state)
        return Expectation(_as_numbers(logits), self.alphabet)


def _as_numbers(logits: torch.Tensor) -> np.ndarray:
    return logits[0].float().cpu().numpy()


@contextmanager
def exactly() -> Iterator[None]:
    """Compute as both sides must: without gradients, by one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


def fingerprint(model: ARModel, tokenizer: Any) -> str:
    """Return the SHA-256 of all that expectations depend on: weights, configuration, tokenizer."""
    config = getattr(model, "config", None)
    told = {
        "kind": type(model).__name__,
        "config": asdict(config) if is_dataclass(config) else None,
        "tokenizer": tokenizer.to_json(),
    }
    sha = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
