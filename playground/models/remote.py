"""A model that computes elsewhere: p(x_t | x_<t) as a completions server lists it.

Everything works on what the server returns. A State is the prefix itself; a step is one request
for the distribution after it, and what it returns as logits are the server's own log-probabilities
of the tokens that it lists. All others share one more token, `rest_token`, that holds the rest of
the mass: so nothing is renormalised in silence, and probabilities add up to 1 as they are. That
token stands for many and can never be chosen; `decoding/listed.py` takes it out, in sight.

What a server does not tell is absent: no layers, no attention, no gradients, no full distribution
(unless it lists all tokens), and without an echo at most `MOST_POSITIONS` positions of a text at
once, a request each.

Same prefix, same numbers: only as far as the server keeps to that. Within one process the answers
are kept and are the same; see `remote_engine.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from playground.errors import ConfigError, PromptError
from playground.models.base import check_room
from playground.models.remote_client import Client, RemoteSettings
from playground.models.remote_engine import Listed, RemoteEngine

MOST_POSITIONS = 64  # of one reading, where each is a request


@dataclass(frozen=True)
class RemoteState:
    """The prefixes of B rows, BOS first."""

    rows: tuple[tuple[int, ...], ...]

    @property
    def length(self) -> int:
        return len(self.rows[0])

    @property
    def num_bytes(self) -> int:
        """What is held here; the server's cache is its own."""
        return 8 * sum(map(len, self.rows))

    def select(self, rows: Tensor) -> RemoteState:
        """Return the State whose row i is this one's `rows[i]`."""
        return RemoteState(tuple(self.rows[i] for i in rows.tolist()))

    def cut(self, length: int) -> RemoteState:
        """Return the State of the first `length` tokens of every row."""
        return RemoteState(tuple(row[:length] for row in self.rows))


class RemoteModel(nn.Module):
    """A language model on a server, as an ARModel; it has no weights here.

    Its logits are log-probabilities over `vocab_size` tokens, -inf where nothing is listed.
    """

    def __init__(self, engine: RemoteEngine):
        super().__init__()
        self.engine = engine
        self.vocab_size, self.context_length = engine.vocab_size, engine.context_length
        self.rest_token = engine.rest_token  # None: the server lists all tokens
        self.n_listed = engine.n_listed
        special = (self.rest_token, None if engine.has_bos else engine.bos_token)
        self.excluded = tuple(token for token in special if token is not None)
        self.most_positions = None if engine.has_echo else MOST_POSITIONS
        self.register_buffer("nowhere", torch.zeros(0), persistent=False)  # numbers come to the CPU

    @classmethod
    def connect(cls, settings: RemoteSettings, **limits: Any) -> RemoteModel:
        """Return the model of a server, once it is known what that can do.

        `limits` are those of `Client`.

        Raises:
            RemoteError: the server cannot be used.
            ConfigError: it has no such model.
        """
        return cls(RemoteEngine(Client(settings, **limits)))

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1.

        Raises:
            ConfigError: each position would be a request, and they are too many.
        """
        return self.step_every(tokens, self.initial_state(len(tokens), condition))[0]

    def initial_state(self, batch_size: int, condition: Any = None) -> RemoteState:
        """Return the State of `batch_size` empty prefixes."""
        if condition is not None:
            raise ConfigError("A model on a server is told nothing but its prompt.")
        return RemoteState(((),) * batch_size)

    def step(self, tokens: Tensor, state: RemoteState) -> tuple[Tensor, RemoteState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the server's context has no room for N more tokens.
            RemoteError: it does not answer.
        """
        state = self._longer(tokens, state)
        return self._dense(self.engine.next_tokens(state.rows)), state

    def step_every(self, tokens: Tensor, state: RemoteState) -> tuple[Tensor, RemoteState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State.

        Raises:
            ConfigError: each position would be a request, and they are too many.
        """
        after, count = self._longer(tokens, state), tokens.shape[1]
        found: list[list[Listed]] = []
        for row in after.rows:
            told = self.engine.echo(row) if self.engine.has_echo and count > 1 else None
            if told is None:
                self._check_positions(count)
                first = len(row) - count + 1
                told = self.engine.every([row[:n] for n in range(first, len(row) + 1)])
            found.append(told[len(told) - count :])
        return torch.stack([self._dense(told) for told in found]), after

    # -- inside ----------------------------------------------------------------------------------

    def _longer(self, tokens: Tensor, state: RemoteState) -> RemoteState:
        check_room(self, state, tokens.shape[1])
        added = tokens.tolist()
        if any(not 0 <= t < self.vocab_size or t == self.rest_token for row in added for t in row):
            raise PromptError(
                f"The tokens of this server are 0 to {self.vocab_size - 2}; the last one stands "
                "for all that it does not list. Encode the text with its own tokenizer."
            )
        rows = zip(state.rows, added, strict=True)
        return RemoteState(tuple((*old, *new) for old, new in rows))

    def _check_positions(self, count: int) -> None:
        if count > MOST_POSITIONS:
            raise ConfigError(
                f"This server tells what it expects at one position a request; {count} positions "
                f"are wanted, at most {MOST_POSITIONS} are asked for. Use a server with an echo "
                "(vLLM), or a model that computes here."
            )

    def _dense(self, listed: list[Listed]) -> Tensor:
        """Return logits (B, V)."""
        logits = torch.full((len(listed), self.vocab_size), -torch.inf)
        for row, told in zip(logits, listed, strict=True):
            row[told.tokens] = told.logprobs
            if self.rest_token is not None:
                row[self.rest_token] = told.rest
        return logits
