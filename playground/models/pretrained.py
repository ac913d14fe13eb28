"""Any decoder-only language model of `transformers` as an ARModel.

What an architecture can do is not guessed from its name but tried once, on eight tokens, when the
model is wrapped (`pretrained_probe.py`): how its memory can be kept, whether it attends, whether
it can be read between its layers and be told embeddings. The object then has the methods that work
and no others, so whoever asks "has it attention?" gets the truth before a click, not an error
after it.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.models import llama_stepping
from playground.models.base import check_room, device_of
from playground.models.kv_cache import KVCache
from playground.models.pretrained_attention import Look, attach, looking
from playground.models.pretrained_cache import Copies, Prefixes, copied, row_cache
from playground.models.pretrained_layers import head_of, listening

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")  # what configs call their length
_rope_lock = threading.Lock()


@dataclass(frozen=True)
class Reading:
    """What one row's tokens lead to."""

    logits: Tensor  # (1, N, V), or (1, 1, V) of the last alone
    hidden: Tensor | None  # (n_layer + 1, 1, N, C), where it was asked for
    memory: Any  # of the architecture's own kind, where it makes one


class PretrainedLM(nn.Module):
    """A frozen causal language model of `transformers`, `inner`.

    The rows of a batch are read one at a time. Matrix products, attention and mixtures of experts
    sum in other orders for other batch sizes, and what a row gives must not depend on the rows
    beside it; on a CPU a step reads all weights once per row, so it costs what separate sessions
    would. Wrapping changes `inner` once: it is frozen, and attends through
    `pretrained_attention.py`.

    Raises:
        CheckpointError: the model cannot be read token by token, or sees tokens to come.
    """

    def __init__(self, inner: PreTrainedModel):
        from playground.models.pretrained_probe import probe

        super().__init__()
        self.inner = inner.eval().requires_grad_(False)
        self.config = inner.config
        self.context_length: int | None = _context_length(inner.config.get_text_config())
        self.attends_by_itself = attach(inner)
        self.n_rows = inner.get_input_embeddings().weight.shape[0]
        self.vocab_size = self.n_rows
        self._takes = frozenset(inspect.signature(inner.forward).parameters)
        self._rope_changes = _rope_changes(inner.config)
        self.n_layer, self.n_head = 0, 0
        self.memory_name: str | None = None  # the argument that takes the architecture's memory
        self.shape: tuple[int, int, int] | None = None  # n_layer, n_kv_head, head_size of KVCache
        self.reads_chunks = True  # behind a memory; else one token at a time
        self.norm_name: str | None = None
        abilities = probe(self)
        if self.memory_name and self.shape is None and "attends" not in abilities:
            self.context_length = None  # a recurrence has no positions to run out of
        self.__class__ = _class_with(abilities)

    # -- what every model can do -----------------------------------------------------------------

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return torch.cat([self.read(row).logits for row in tokens.split(1)])

    def initial_state(self, batch_size: int, condition: Any = None) -> KVCache | Copies | Prefixes:
        """Return the State of `batch_size` empty prefixes."""
        if self.shape is not None:
            n_layer, n_kv_head, head_size = self.shape
            like = self.inner.get_input_embeddings().weight.data
            return KVCache.empty(n_layer, batch_size, n_kv_head, head_size, like)
        if self.memory_name is not None:
            return Copies((None,) * batch_size, 0)
        device = device_of(self)
        return Prefixes(torch.empty(batch_size, 0, dtype=torch.int64, device=device))

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        if (plan := llama_stepping.plan_for(self, tokens, state)) is not None:
            logits = state.buffer.memory.new_empty(len(tokens), self.vocab_size)
            return logits, llama_stepping.read_chunk(self, plan, tokens, state, logits)
        readings, state = self._advance(tokens, state, every=False)
        return torch.cat([r.logits[:, -1] for r in readings]), state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        if (plan := llama_stepping.plan_for(self, tokens, state)) is not None:
            logits = state.buffer.memory.new_empty(*tokens.shape, self.vocab_size)
            rows = logits.flatten(0, 1)
            return logits, llama_stepping.read_chunk(self, plan, tokens, state, rows)
        readings, state = self._advance(tokens, state)
        return torch.cat([r.logits for r in readings]), state

    @property
    def num_bytes(self) -> int:
        """Bytes of the weights; tied ones count once."""
        tensors = {t.data_ptr(): t for t in (*self.parameters(), *self.buffers())}
        return sum(t.numel() * t.element_size() for t in tensors.values())

    # -- how it is read --------------------------------------------------------------------------

    def read(
        self,
        tokens: Tensor | None = None,
        *,
        embedded: Tensor | None = None,
        memory: Any = None,
        remember: bool = False,
        every: bool = True,
        layers: bool = False,
    ) -> Reading:
        """Read tokens (1, N), or embeddings (1, N, C), behind `memory`, which may change.

        Args:
            remember: make a memory where none is given.
            every: logits of all N positions, not of the last alone.
            layers: the hidden states too.
        """
        options: dict[str, Any] = {"use_cache": remember or memory is not None}
        options |= {"input_ids": tokens} if embedded is None else {"inputs_embeds": embedded}
        if memory is not None:
            options[self.memory_name] = memory
        if not every and "logits_to_keep" in self._takes:
            options["logits_to_keep"] = 1
        if layers:
            options["output_hidden_states"] = True
        # a few kinds of rotary positions (longrope, dynamic) rewrite their table as texts grow
        with _rope_lock if self._rope_changes else nullcontext(), listening() as heard:
            output = self.inner(**options)
        hidden = None
        if layers:
            stream = [*output.hidden_states[:-1], (heard or output.hidden_states)[-1]]
            hidden = torch.stack(stream).float()
        told = output.get(self.memory_name) if remember and self.memory_name else memory
        return Reading(self._of_vocabulary(output.logits), hidden, told)

    def _of_vocabulary(self, logits: Tensor) -> Tensor:
        """Return logits (..., V) in float32: padding cut off, what is never predicted at -inf."""
        more = self.n_rows - logits.shape[-1]
        return F.pad(logits.float(), (0, more), value=-torch.inf) if more else logits.float()

    def _advance(
        self, tokens: Tensor, state: Any, *, every: bool = True, layers: bool = False
    ) -> tuple[list[Reading], Any]:
        """Read tokens (B, N) after `state`, row by row; return what they lead to, and a State."""
        N = tokens.shape[1]
        check_room(self, state, N)
        rows, asked = tokens.split(1), {"every": every, "layers": layers}
        if isinstance(state, KVCache):
            child = state.reserve(N)
            memories = [row_cache(child, i, state.length) for i in range(len(rows))]
            pairs = zip(rows, memories, strict=True)
            return [self.read(row, memory=memory, **asked) for row, memory in pairs], child
        if isinstance(state, Copies):
            pairs = zip(rows, state.memories, strict=True)
            readings = [self._behind_copy(row, memory, asked) for row, memory in pairs]
            return readings, Copies(tuple(r.memory for r in readings), state.length + N)
        child = Prefixes(torch.cat((state.tokens, tokens), dim=1))
        readings = [self.read(row, layers=layers) for row in child.tokens.split(1)]
        return [
            Reading(r.logits[:, -N:], r.hidden if r.hidden is None else r.hidden[:, :, -N:], None)
            for r in readings
        ], child

    def _behind_copy(self, row: Tensor, memory: Any, asked: dict[str, bool]) -> Reading:
        """Read tokens (1, N) behind a copy of `memory`."""
        memory = copied(memory)
        readings = []
        for part in (row,) if self.reads_chunks or memory is None else row.split(1, dim=1):
            readings.append(self.read(part, memory=memory, remember=True, **asked))
            memory = readings[-1].memory
        if len(readings) == 1:
            return readings[0]
        hidden = torch.cat([r.hidden for r in readings], dim=2) if asked["layers"] else None
        return Reading(torch.cat([r.logits for r in readings], dim=1), hidden, memory)


# -- what some can do besides; each class is one protocol of base.py or inspection -----------------


class _Embeds:
    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their embeddings (B, T, C), as the architecture scales them."""
        return self.inner.get_input_embeddings()(tokens)

    def forward_embedded(self, embedded: Tensor, condition: Any = None) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1."""
        return torch.cat([self.read(embedded=row).logits for row in embedded.split(1)])


class _Layers:
    def forward_layers(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to the stream (n_layer + 1, B, T, C): embedding, then each block."""
        rows = [self.read(row, every=False, layers=True).hidden for row in tokens.split(1)]
        return torch.cat(rows, dim=1)

    @torch.inference_mode()
    def step_layers(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read tokens (B, N); return the stream (n_layer + 1, B, N, C) after each layer, a State.

        The last is the stream before the final norm, like the others.
        """
        readings, state = self._advance(tokens, state, every=False, layers=True)
        return torch.cat([r.hidden for r in readings], dim=1), state

    def head(self, hidden: Tensor) -> Tensor:
        """Map the stream (..., C) behind any layer to logits (..., V): final norm, unembedding."""
        rows = hidden.reshape(1, -1, hidden.shape[-1]).to(self.inner.dtype)
        if self.norm_name is not None:
            rows = self.inner.get_submodule(self.norm_name)(rows)
        logits = self._of_vocabulary(head_of(self.inner, rows))
        return logits.view(*hidden.shape[:-1], self.vocab_size)


class _Attends:
    @torch.inference_mode()
    def attention_rows(
        self, tokens: Tensor, first: int, keep: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the attention weights (n_layer, B, n_head, T - first, T) of tokens (B, T).

        Layers are those that attend. Rows add up to 1, but for a model with sinks, which take the
        rest.

        Args:
            first: position of the first query that is told.
            keep: what is kept of a layer's (B, n_head, T - first, T), so that memory is bounded.
        """
        look = Look(first=first, keep=keep, by_itself=self.attends_by_itself)
        with looking(look):
            self.inner.base_model(input_ids=tokens, use_cache=False)
        return torch.stack(look.kept)

    @torch.inference_mode()
    def step_attention(self, tokens: Tensor, state: Any) -> Tensor:
        """Return the weights (n_layer, B, n_head, N, T) of tokens (B, N) that end a prefix of T.

        As the last rows of `attention_rows`, at the cost of a step, for who has the State before
        them.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        look = Look(first=0, by_itself=self.attends_by_itself)
        with looking(look):
            self._advance(tokens, state, every=False)
        N = tokens.shape[1]  # what is read anew from its beginning tells more rows
        rows = [torch.cat(look.kept[i :: self.n_layer]) for i in range(self.n_layer)]
        return torch.stack(rows)[..., -N:, :]

    def attention_maps(self, tokens: Tensor) -> Tensor:
        """Return the attention weights (n_layer, B, n_head, T, T) of tokens (B, T)."""
        return self.attention_rows(tokens, 0)

    def forward_without(self, tokens: Tensor, heads: frozenset[tuple[int, int]]) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V) as if what those (layer, head) read were 0."""
        rows = []
        for row in tokens.split(1):
            look = Look(without=heads, n_head=self.n_head, by_itself=self.attends_by_itself)
            with looking(look):
                rows.append(self.read(row).logits)
        return torch.cat(rows)


_ABILITIES = {"embeds": _Embeds, "layers": _Layers, "attends": _Attends}
_classes: dict[frozenset[str], type] = {}


def _class_with(abilities: frozenset[str]) -> type[PretrainedLM]:
    """Return the PretrainedLM that has these of `_ABILITIES`."""
    if abilities not in _classes:
        parts = tuple(part for name, part in _ABILITIES.items() if name in abilities)
        _classes[abilities] = type("PretrainedLM", (*parts, PretrainedLM), {})
    return _classes[abilities]


def _context_length(config: Any) -> int | None:
    """Return the most tokens that positions are known for; None where there is no limit.

    Where rotary positions change once a text is longer than those of the training, keys that are
    kept would no longer fit; there it ends.
    """
    found = [n for n in (getattr(config, name, None) for name in LIMITS) if isinstance(n, int)]
    if _rope_changes(config):
        told = getattr(config, "rope_parameters", {}).get("original_max_position_embeddings")
        found = [min(n for n in (told, *found[:1]) if isinstance(n, int))]
    return found[0] if found and found[0] > 0 else None


def _rope_changes(config: Any) -> bool:
    told = str(getattr(config.get_text_config(), "rope_parameters", ""))
    return "longrope" in told or "dynamic" in told
