"""What every autoregressive model is: p(x_t | x_<t, c) over integers, whatever they stand for.

The contract is protocols, not a base class: nothing is inherited, and
`tests/models/test_contract.py` holds every family to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.errors import ContextFullError


@runtime_checkable
class State(Protocol):
    """Everything a model remembers of the prefixes of B rows, as a value.

    `ARModel.step` returns a new State and never changes the one it was given, as its holder
    sees it: undo is keeping the old State, a branch is using it twice.
    """

    length: int  # tokens read so far, the same for every row

    def select(self, rows: Tensor) -> State:
        """Return the State whose row i is this one's `rows[i]`; rows may repeat or be left out."""
        ...

    # Where the past can be shortened a State also has `cut(length) -> State`, the same prefixes
    # without what follows their first `length` tokens; see `step_prefixes`.


@runtime_checkable
class ARModel(Protocol):
    """An autoregressive model; every sequence starts with its tokenizer's BOS token."""

    vocab_size: int
    context_length: int | None  # the most tokens a State can hold, BOS included; None: no limit

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        ...

    def initial_state(self, batch_size: int, condition: Any = None) -> State:
        """Return the State of `batch_size` empty prefixes."""
        ...

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens (B, N) after `state`; return the logits (B, V) of what follows, and a State.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        ...


@runtime_checkable
class HasLayers(Protocol):
    """A model that can be read between its layers, as contrastive search and its kin do.

    Optional. L' counts what is worth reading: the embedding and each block of a Transformer
    (n_layer + 1), the output of each layer of an LSTM (n_layer). Row i of `head(hidden[-1])` is
    row i of `forward`; `head` of an earlier layer says what the model would have said by then.
    """

    def forward_layers(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to the hidden states (L', B, T, C) after each layer."""
        ...

    def step_layers(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens (B, N) after `state`; return their hidden states (L', B, N, C), a State."""
        ...

    def head(self, hidden: Tensor) -> Tensor:
        """Map hidden states (..., C) to logits (..., V)."""
        ...


@runtime_checkable
class HasEmbedding(Protocol):
    """A model that can be told embeddings instead of tokens, and so differentiated by its input.

    Optional; counts have none. `forward(tokens, c)` is `forward_embedded(embed(tokens), c)`.
    """

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to what stands for each of them (B, T, C), wherever it is."""
        ...

    def forward_embedded(self, embedded: Tensor, condition: Any = None) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1."""
        ...


@runtime_checkable
class HasHeads(Protocol):
    """A model whose attention heads can be left out, to see what the rest does without them.

    Optional. A head is named by its layer and its number, both from 0. What a head that is left
    out has read counts as 0 before the output projection of its layer, at every position.
    """

    n_layer: int
    n_head: int

    def forward_without(self, tokens: Tensor, heads: frozenset[tuple[int, int]]) -> Tensor:
        """Map tokens (B, T) to the logits (B, T, V) that the other heads give."""
        ...


@runtime_checkable
class HasInternals(Protocol):
    """A recurrent model that tells what its units hold while it reads. Optional."""

    def internals(self, tokens: Tensor, state: State) -> dict[str, Tensor]:
        """Return what each unit holds after each of tokens (B, T), (n_layer, B, T, n_hidden).

        The tokens are read after `state`.

        Always "hidden" (the output, in -1..1); of an LSTM "cell" (any size), and "input gate",
        "forget gate", "output gate" (in 0..1); of a GRU "reset gate" and "update gate".
        """
        ...


@runtime_checkable
class HasStepEvery(Protocol):
    """A model that tells what it expects after every token of a chunk, as all our families do."""

    def step_every(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens (B, N) after `state`; return the logits (B, N, V) after each, and a State."""
        ...


@runtime_checkable
class HasSampleAhead(Protocol):
    """A model that draws many tokens in one call, as kernels do for whom a call costs most.

    Optional. What it draws is a proposal: a decoder looks at the logits, draws again in its own
    arithmetic, and goes on from the first token that differs.
    """

    def sample_ahead(
        self, token: Tensor, state: State, uniforms: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, State] | None:
        """Read `token` (1, 1), draw a token, read it, and so on: N draws for `uniforms` (N,).

        Row i of the logits (N, V) is what `step` would give there; token i is that where the
        cumulated softmax(logits[i] / temperature) passes the double uniforms[i]. Returns tokens
        (N,) int64, logits, and the State that has read `token` and all tokens but the last; None
        where no kernel can.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        ...


def step_prefixes(model: ARModel, tokens: Tensor, state: State) -> tuple[Tensor, Sequence[State]]:
    """Read tokens (B, N); return the logits (B, N, V) after each, and the State after each.

    It verifies a draft: whoever accepts its first n tokens goes on from the n-th State, on any
    model. Where a State can be `cut` (or the model has a way of its own) this is one pass, and N
    single steps otherwise. Let go of the other States before the next step: as long as a longer
    one is held, a KV cache must not write over it and copies instead.

    Raises:
        ContextFullError: the context has no room for N more tokens.
    """
    if hasattr(model, "step_prefixes"):
        return model.step_prefixes(tokens, state)
    if hasattr(model, "step_every") and hasattr(state, "cut"):
        logits, last = model.step_every(tokens, state)
        return logits, [last.cut(state.length + n) for n in range(1, tokens.shape[1] + 1)]
    check_room(model, state, tokens.shape[1])
    rows, states = [], []
    for token in tokens.split(1, dim=1):
        row, state = model.step(token, state)
        rows.append(row)
        states.append(state)
    return torch.stack(rows, dim=1), states


def check_room(model: ARModel, state: State, new_tokens: int) -> None:
    """Raise ContextFullError unless `new_tokens` more fit into the model's context."""
    if model.context_length is not None and state.length + new_tokens > model.context_length:
        raise ContextFullError(
            f"The context is full: this model reads at most {model.context_length} tokens at once, "
            f"and {state.length} + {new_tokens} are asked for. Slide the window (drop the oldest "
            "tokens) or start from a shorter prompt."
        )


SMALL_PRODUCT = 512  # of matrix entries; torch 2.11 draws the line at 400


def rowwise_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `F.linear` of x (B, N, K) so that no row's result depends on the rows beside it.

    Matrix kernels are chosen by the number of rows and sum in different orders, so one row of a
    batch would differ in its last bits from the same row alone. One product a row keeps "same
    seed, same trace, alone or beside others" exact. It costs 1.3 to 2.3 times the batched
    product at 8 rows of the shipped sizes, and nothing at one row.
    """
    if x.shape[0] == 1:
        return F.linear(x, weight, bias)
    if weight.numel() < SMALL_PRODUCT:  # `bmm` has a kernel of its own for toys
        return torch.cat([F.linear(row, weight, bias) for row in x.split(1)])
    y = torch.bmm(x, weight.t().expand(x.shape[0], -1, -1))  # (B, N, M)
    return y if bias is None else y + bias


SHORT = 16  # tokens of a chunk that a family without kernels reads one at a time


def one_by_one(step: Callable, tokens: Tensor, state: State) -> tuple[Any, State]:
    """Read tokens (B, N) by N calls of `step`; return its results, side by side, and a State.

    Products of several positions sum in another order than those of one, so a draft that is
    verified in one pass would be judged by other bits than single steps judge by. Families without
    kernels read short chunks like this, and longer ones, which are prompts, in one pass.
    """
    found = []
    for token in tokens.split(1, dim=1):
        made, state = step(token, state)
        found.append(made)
    return found, state


def device_of(model: ARModel) -> torch.device:
    """Return where the model's numbers are."""
    return next(chain(model.parameters(), model.buffers())).device


def warm_up(model: ARModel) -> None:
    """Step `model` once, so that whoever comes first does not wait for kernels and packed weights.

    The kernels of a family are compiled once on a machine, for 5 to 10 s; read from the disk in
    half a second, most of which is importing numba; and shared by all models of a process.
    """
    model.step(
        torch.zeros(1, 1, dtype=torch.int64, device=device_of(model)), model.initial_state(1)
    )


def count_parameters(model: torch.nn.Module) -> int:
    """Number of trained values; tied weights count once."""
    return sum(parameter.numel() for parameter in model.parameters())
