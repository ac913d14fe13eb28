"""Decoder-only Transformer: every position attends to itself and to what came before.

p(x) = prod_t p(x_t | x_<t), all T factors computed in parallel under a causal mask when the
sequence is known (`forward`), one at a time from cached keys and values when it is not (`step`).

References: Vaswani et al. 2017, arXiv:1706.03762; the pre-norm, tied-embedding layout of
Radford et al. 2019 (GPT-2). Positions may be learned, sinusoidal (Vaswani et al. 2017, sec. 3.5),
rotary (Su et al. 2021, arXiv:2104.09864), or left to linear biases (ALiBi, see `alibi.py`).

Deviations from GPT-2, for speed on a CPU: no biases; squared ReLU (So et al. 2021,
arXiv:2109.08668) in place of GELU; dropout on the residual stream alone, since dropout inside
attention rules out the fused kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, check_range, check_whole
from playground.models import stepping
from playground.models.alibi import biases
from playground.models.autograd import CausalAttention, Perceptron
from playground.models.base import check_room, rowwise_linear
from playground.models.kv_cache import KVCache
from playground.models.packing import forget

POSITIONS = ("rotary", "learned", "sinusoidal", "alibi")


@dataclass(frozen=True)
class TransformerConfig:
    vocab_size: int
    context_length: int = 256  # tokens, BOS included
    n_layer: int = 6
    n_head: int = 4
    n_embd: int = 256
    positions: str = "rotary"  # one of POSITIONS
    dropout: float = 0.0

    def __post_init__(self):
        check_whole("vocab_size", self.vocab_size, 1, 2**20)
        check_whole("context_length", self.context_length, 1, 2**16)
        check_whole("n_layer", self.n_layer, 1, 128)
        check_whole("n_head", self.n_head, 1, 128)
        check_whole("n_embd", self.n_embd, 2, 2**14)
        check_range("dropout", self.dropout, 0.0, 0.9)
        if self.n_embd % (2 * self.n_head):
            raise ConfigError(
                f"n_embd must be a multiple of 2 * n_head so that heads have an even size, got "
                f"n_embd={self.n_embd}, n_head={self.n_head}."
            )
        if self.positions not in POSITIONS:
            raise ConfigError(f"positions must be one of {POSITIONS}, got {self.positions!r}.")


def sinusoids(context_length: int, n_embd: int) -> Tensor:
    """Return PE (context_length, n_embd): sines in even columns, cosines in odd ones."""
    angle = _angles(context_length, n_embd)  # (T, C / 2)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)


def rotations(context_length: int, head_size: int) -> Tensor:
    """Return cosines and signed sines (2, context_length, head_size) for `rotate`."""
    angle = _angles(context_length, head_size)  # (T, D / 2)
    cos = torch.cat((angle.cos(), angle.cos()), dim=-1)
    sin = torch.cat((-angle.sin(), angle.sin()), dim=-1)
    return torch.stack((cos, sin))


def position_table(config: TransformerConfig) -> Tensor | None:
    """Return the fixed numbers that the config's positions need, if they need any."""
    if config.positions == "rotary":
        return rotations(config.context_length, config.n_embd // config.n_head)
    if config.positions == "sinusoidal":
        return sinusoids(config.context_length, config.n_embd)
    return None


def _angles(length: int, size: int) -> Tensor:
    frequency = torch.exp(torch.arange(0, size, 2) * (-math.log(10_000.0) / size))
    return torch.arange(length)[:, None] * frequency


def rotate(x: Tensor, cos_sin: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + D/2}) of x (..., T, D) by its position's angle."""
    cos, sin = cos_sin.to(x.dtype).unbind()
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)  # rolled: halves swapped


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Apply `norm` without what calling a module costs, a third of it at one position."""
    return torch.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


class Block(nn.Module):
    """Pre-norm causal self-attention, then a two-layer perceptron, each added to the stream."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        n_embd = config.n_embd
        self.n_head = config.n_head
        self.is_leaning = config.positions == "alibi"
        self.dropout = config.dropout
        self.norm_attention = nn.LayerNorm(n_embd, bias=False)
        self.qkv = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.project = nn.Linear(n_embd, n_embd, bias=False)
        self.norm_mlp = nn.LayerNorm(n_embd, bias=False)
        self.expand = nn.Linear(n_embd, 4 * n_embd, bias=False)
        self.contract = nn.Linear(4 * n_embd, n_embd, bias=False)

    def query_key_value(self, x: Tensor, cos_sin: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k, v of x (B, T, C), each (B, H, T, D), q and k rotated if asked."""
        B, T, C = x.shape
        qkv = F.linear(self.norm_attention(x), self.qkv.weight)
        qkv = qkv.view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        if cos_sin is None:
            return qkv.unbind()
        return (*rotate(qkv[:2], cos_sin), qkv[2])

    def mlp(self, x: Tensor) -> Tensor:
        x = self.norm_mlp(x)
        if x.device.type == "cpu":
            return Perceptron.apply(x, self.expand.weight, self.contract.weight)
        hidden = F.relu(self.expand(x))
        return self.contract(hidden * hidden)

    def attend(self, x: Tensor, cos_sin: Tensor | None) -> Tensor:
        """Return what the heads read (B, T, C), by the faster way of the device."""
        if x.device.type == "cpu":
            qkv = self.qkv(self.norm_attention(x))
            return CausalAttention.apply(qkv, cos_sin, self.n_head, self.is_leaning)
        q, k, v = self.query_key_value(x, cos_sin)
        if self.is_leaning:
            mask = self.mask(0, x.shape[1], x)
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return heads.transpose(1, 2).flatten(2)

    def mask(self, start: int, end: int, like: Tensor) -> Tensor:
        """Return what the scores of queries `start` .. `end` and keys 0 .. `end` have added."""
        hidden = like.new_full((end - start, end), -torch.inf).triu_(1 + start)
        return hidden + biases(self.n_head, start, end, like) if self.is_leaning else hidden

    def forward(self, x: Tensor, cos_sin: Tensor | None, without: Sequence[int] = ()) -> Tensor:
        """Map the stream (B, T, C) to itself, all positions at once, `without` some heads."""
        heads = self.attend(x, cos_sin)
        if without:
            heads = heads.unflatten(-1, (self.n_head, -1))
            heads = heads.index_fill(2, torch.tensor(without, device=x.device), 0).flatten(2)
        x = x + F.dropout(self.project(heads), self.dropout, self.training)
        return x + F.dropout(self.mlp(x), self.dropout, self.training)

    def decode(
        self,
        x: Tensor,
        cos_sin: tuple[Tensor, Tensor] | None,
        slot: Tensor,
        past: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """Add to the stream x (B, N, C) of the newest N positions, in place.

        Their keys and values go into `slot` (2, B, H, N, D), which is the end of `past`, all keys
        and all values (B * H, T, D). Works in place, and in as few calls as there are, because
        the calls, not the arithmetic, are what a small model's step costs.
        """
        B, N, C = x.shape
        H, D = self.n_head, C // self.n_head
        qkv = rowwise_linear(layer_norm(x, self.norm_attention), self.qkv.weight)
        qkv = qkv.view(B, N, 3, H, D).permute(2, 0, 3, 1, 4)  # (3, B, H, N, D)
        if cos_sin is not None:
            qk, (cos, sin) = qkv[:2], cos_sin
            swapped = qk.roll(D // 2, -1)
            qk.mul_(cos).addcmul_(swapped, sin)  # as `rotate` does
        slot.copy_(qkv[1:])
        k, v = past
        if mask is None:  # the fused kernel's split of the work, and so its sums, depend on B
            scores = torch.bmm(qkv[0].reshape(B * H, N, D), k.transpose(1, 2)).mul_(D**-0.5)
            if self.is_leaning:
                end = scores.shape[2]
                scores.view(B, H, N, end).add_(biases(H, end - 1, end, scores))
            heads = torch.bmm(scores.softmax(-1), v).view(B, N, C)  # N is 1
        else:
            k, v = k.view(B, H, -1, D), v.view(B, H, -1, D)
            heads = F.scaled_dot_product_attention(qkv[0], k, v, attn_mask=mask)
            heads = heads.transpose(1, 2).flatten(2)
        x += rowwise_linear(heads, self.project.weight)
        hidden = rowwise_linear(layer_norm(x, self.norm_mlp), self.expand.weight).relu_()
        x += rowwise_linear(hidden.mul_(hidden), self.contract.weight)
        return x


class Transformer(nn.Module):
    """A stack of Blocks between an embedding and its transpose."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.vocab_size = config.vocab_size
        self.context_length = config.context_length
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        if config.positions == "learned":
            self.position = nn.Embedding(config.context_length, config.n_embd)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd, bias=False)
        self.register_buffer("table", position_table(config), persistent=False)
        self.apply(self._init_weights)

    def after_load(self) -> None:
        """Make what a checkpoint leaves out because the config alone determines it."""
        self.table = position_table(self.config)

    def train(self, mode: bool = True) -> Transformer:
        """Set the mode as usual, and have the weights packed again before the next step."""
        forget(self)
        return super().train(mode)

    def _init_weights(self, module: nn.Module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, Block):  # the residual stream keeps its scale: GPT-2, sec. 2.3
            for linear in (module.project, module.contract):
                nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * self.config.n_layer))

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their embeddings (B, T, C), without positions."""
        return F.embedding(tokens, self.embedding.weight)

    def _place(self, x: Tensor, start: int) -> tuple[Tensor, Tensor | None]:
        """Return the stream (B, T, C) and, for rotary positions, the angles of start..start+T."""
        end = start + x.shape[1]
        if self.config.positions == "rotary":
            return x, self.table[:, start:end]
        if self.config.positions == "learned":
            return x + self.position.weight[start:end], None
        if self.config.positions == "alibi":
            return x, None
        return x + self.table[start:end], None

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self.forward_embedded(self.embed(tokens))

    def forward_embedded(self, embedded: Tensor, condition: Any = None) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1."""
        *_, x = self._streams(embedded)
        return self.head(x)

    def forward_layers(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to the stream (n_layer + 1, B, T, C): embedding, then each block."""
        return torch.stack(tuple(self._streams(self.embed(tokens))))

    def head(self, hidden: Tensor) -> Tensor:
        """Map the stream (..., C) behind any layer to logits (..., V): final norm, unembedding."""
        if (logits := stepping.head(self, hidden)) is not None:
            return logits
        return F.linear(self.norm(hidden), self.embedding.weight)

    def _streams(
        self, embedded: Tensor, without: Collection[tuple[int, int]] = ()
    ) -> Iterator[Tensor]:
        x, cos_sin = self._place(embedded, 0)
        x = F.dropout(x, self.config.dropout, self.training)
        yield x
        for layer, block in enumerate(self.blocks):
            x = block(x, cos_sin, sorted(head for at, head in without if at == layer))
            yield x

    def initial_state(self, batch_size: int, condition: Any = None) -> KVCache:
        """Return the State of `batch_size` empty prefixes."""
        c = self.config
        weight = self.embedding.weight
        return KVCache.empty(c.n_layer, batch_size, c.n_head, c.n_embd // c.n_head, weight.data)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: KVCache) -> tuple[Tensor, KVCache]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        if (plan := stepping.plan_for(self, tokens, state)) is not None:
            logits = state.buffer.memory.new_empty(len(tokens), self.vocab_size)
            return logits, stepping.read_chunk(self, plan, tokens, state, logits=logits)
        *_, (x, cache) = self._read(tokens, state)
        return self._rowwise_head(x[:, -1:])[:, 0], cache

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: KVCache) -> tuple[Tensor, KVCache]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        if (plan := stepping.plan_for(self, tokens, state)) is not None:
            logits = state.buffer.memory.new_empty(*tokens.shape, self.vocab_size)
            rows = logits.flatten(0, 1)
            return logits, stepping.read_chunk(self, plan, tokens, state, logits=rows)
        *_, (x, cache) = self._read(tokens, state)
        return self._rowwise_head(x), cache

    @torch.inference_mode()
    def step_layers(self, tokens: Tensor, state: KVCache) -> tuple[Tensor, KVCache]:
        """Read tokens (B, N); return the stream (n_layer + 1, B, N, C) after each layer, a State.

        The first is the embedding. `head` makes logits of any of them.
        """
        if (plan := stepping.plan_for(self, tokens, state)) is not None:
            shape = (self.config.n_layer + 1, *tokens.shape, self.config.n_embd)
            hidden = state.buffer.memory.new_empty(shape)
            rows = hidden.flatten(1, 2)
            return hidden, stepping.read_chunk(self, plan, tokens, state, hidden=rows)
        streams, caches = zip(*((x.clone(), c) for x, c in self._read(tokens, state)), strict=True)
        return torch.stack(streams), caches[-1]

    def _read(self, tokens: Tensor, state: KVCache) -> Iterator[tuple[Tensor, KVCache]]:
        """Yield the stream (B, N, C) before and after each block, and the State it belongs to.

        It is one tensor that the next block writes to.
        """
        N = tokens.shape[1]
        check_room(self, state, N)
        cache = state.reserve(N)
        mask = None
        if N > 1:  # token i of the chunk sees the whole past and the chunk up to itself
            mask = self.blocks[0].mask(state.length, cache.length, self.embedding.weight)
        x, angles = self._place(self.embed(tokens), state.length)
        cos_sin = None if angles is None else angles.to(x.dtype).unbind()
        slots, keys_values = cache.slots(N), cache.keys_values()
        yield x, cache
        for layer, block in enumerate(self.blocks):
            past = keys_values[2 * layer : 2 * layer + 2]
            x = block.decode(x, cos_sin, slots[layer], past, mask)
            yield x, cache

    def _rowwise_head(self, x: Tensor) -> Tensor:
        return rowwise_linear(layer_norm(x, self.norm), self.embedding.weight)

    @property
    def n_layer(self) -> int:
        return self.config.n_layer

    @property
    def n_head(self) -> int:
        return self.config.n_head

    def forward_without(self, tokens: Tensor, heads: frozenset[tuple[int, int]]) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V) as if what those (layer, head) read were 0."""
        *_, x = self._streams(self.embed(tokens), heads)
        return self.head(x)

    @torch.inference_mode()
    def attention_rows(
        self, tokens: Tensor, first: int, keep: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the attention weights (n_layer, B, n_head, T - first, T) of tokens (B, T).

        Computed apart from `forward`, whose fused kernel never holds them.

        Args:
            first: position of the first query that is told.
            keep: what is kept of a layer's (B, n_head, T - first, T), so that memory is bounded.
        """
        T = tokens.shape[1]
        mask = self.blocks[0].mask(first, T, self.embedding.weight)
        x, cos_sin = self._place(self.embed(tokens), 0)
        kept = []
        for layer, block in enumerate(self.blocks):
            q, k, _ = block.query_key_value(x, cos_sin)
            scores = q[:, :, first:] @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            weights = scores.add_(mask).softmax(-1)
            kept.append(weights if keep is None else keep(weights))
            if layer + 1 < len(self.blocks):
                x = block(x, cos_sin)
        return torch.stack(kept)

    def attention_maps(self, tokens: Tensor) -> Tensor:
        """Return the attention weights (n_layer, B, n_head, T, T) of tokens (B, T)."""
        return self.attention_rows(tokens, 0)
