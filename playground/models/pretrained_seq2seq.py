"""Encoder-decoders of `transformers` (T5, Marian, BART ...): p(y_t | y_<t, x) with x another text.

The encoder reads the source x once, all of it in both directions. The decoder writes y like any
language model, and in every layer also attends to what the encoder made of x, by keys and values
that are the same for every step: the cross-attention of Vaswani et al. 2017, arXiv:1706.03762.

So the source is the model's condition: its tokens with its end token, or a `Source`, which is the
encoder's work kept. Every row of a batch is computed alone, so that its result is the same alone
and beside others; rows that share their past and read the same tokens are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from playground.errors import CheckpointError, ConfigError, PromptError
from playground.models.base import check_room
from playground.models.kv_cache import KVCache
from playground.models.pretrained_source import Source, both_caches, source_of

FAMILIES = (  # values of `model_type`; each was compared with `generate`
    "t5", "mt5", "umt5", "bart", "mbart", "plbart", "marian", "m2m_100", "pegasus", "blenderbot",
    "blenderbot-small",
)  # fmt: skip
MAX_SOURCE = 2048  # tokens; an encoder without a limit of its own takes S^2 numbers a head


@dataclass(frozen=True)
class Row:
    """The State of one row: what it is about, and what the decoder has read."""

    source: Source
    cache: KVCache


@dataclass(frozen=True)
class Seq2SeqState:
    """State of B prefixes of `length` tokens, each under a source of its own."""

    rows: tuple[Row, ...]
    length: int

    def select(self, rows: Tensor) -> Seq2SeqState:
        """Return the State whose row i is this one's `rows[i]`; nothing is copied."""
        return Seq2SeqState(tuple(self.rows[i] for i in rows.tolist()), self.length)

    def cut(self, length: int) -> Seq2SeqState:
        """Return the State of the first `length` tokens.

        Raises:
            ValueError: this State is shorter.
        """
        return Seq2SeqState(
            tuple(Row(row.source, row.cache.cut(length)) for row in self.rows), length
        )

    @property
    def num_bytes(self) -> int:
        """Bytes that the rows refer to, sources included; what several share counts once."""
        rows = {id(row): row for row in self.rows}.values()
        sources = {id(row.source): row.source for row in rows}.values()
        return sum(row.cache.num_bytes for row in rows) + sum(s.num_bytes for s in sources)


class PretrainedSeq2Seq(nn.Module):
    """An ARModel around an encoder-decoder of `transformers`, which is never changed again.

    The condition is the source: token ids (S,) or (B, S), whose trailing padding is left out, or
    a `Source` from `encode`; None is a source that is empty but for its end token. A sequence
    starts with `bos_token`, the config's `decoder_start_token_id`.

    Raises:
        CheckpointError: the model is not one of FAMILIES, or its config says no start token.
    """

    def __init__(self, inner: nn.Module):
        super().__init__()
        config = inner.config
        if getattr(config, "model_type", None) not in FAMILIES:
            raise CheckpointError(
                f"Encoder-decoders of the kind {getattr(config, 'model_type', None)!r} are not "
                f"read; these are: {', '.join(FAMILIES)}. Choose another model."
            )
        # The weights are asked of a pass that is told so; the fused function would give none.
        inner.set_attn_implementation("eager")
        self.inner = inner.eval().requires_grad_(False)
        self.config = config
        self.vocab_size = inner.get_output_embeddings().weight.shape[0]
        limit = getattr(config, "max_position_embeddings", None)  # T5 has no table of positions
        self.context_length = limit if isinstance(limit, int) else None
        self.max_source = min(MAX_SOURCE, self.context_length or MAX_SOURCE)
        self.bos_token = _token(config, "decoder_start_token_id")
        if self.bos_token is None:
            raise CheckpointError(
                "The config has no decoder_start_token_id, so it is not known how a text begins. "
                "Choose another model."
            )
        self.pad_token = _token(config, "pad_token_id")
        self.source_end = _token(config, "eos_token_id")
        decoder = inner.get_decoder().config
        self.n_layer = next(
            getattr(decoder, name)
            for name in ("num_decoder_layers", "decoder_layers", "num_hidden_layers")
            if getattr(decoder, name, None)
        )
        self.n_head = getattr(decoder, "decoder_attention_heads", None) or decoder.num_heads

    # -- the source ------------------------------------------------------------------------------

    def encode(self, tokens: Tensor | Sequence[int]) -> Source:
        """Read a source (S,), its end token included, once for all that is written about it.

        Raises:
            PromptError: it is empty or too long, or has tokens that there are not.
        """
        with torch.inference_mode():
            return self._encode(tokens)

    def _encode(self, tokens: Tensor | Sequence[int]) -> Source:
        known = tuple(int(token) for token in tokens)
        while len(known) > 1 and known[-1] == self.pad_token != self.source_end:
            known = known[:-1]
        if not 0 < len(known) <= self.max_source:
            raise PromptError(
                f"The source has {len(known)} tokens; this model reads 1 to {self.max_source}. "
                "Shorten the text, or work through it part by part."
            )
        top = self.inner.get_encoder().get_input_embeddings().weight.shape[0]
        if not all(0 <= token < top for token in known):
            raise PromptError(
                f"The source has a token that this model does not know: {max(known)} of {top}. "
                "Use the tokenizer that belongs to it."
            )
        device = self.inner.device
        row = torch.tensor([known], device=device)
        hidden = self.inner.get_encoder()(input_ids=row).last_hidden_state
        bos = torch.tensor([[self.bos_token]], device=device)
        return source_of(
            known, hidden, lambda cache: self._decode(cache, hidden, decoder_input_ids=bos)
        )

    def sources(self, batch_size: int, condition: Any) -> list[Source]:
        """Return the source of each row.

        Raises:
            ConfigError: the condition is no source, or has another number of rows.
            PromptError: see `encode`.
        """
        if isinstance(condition, Source):
            return [condition] * batch_size
        if condition is None:
            condition = [0 if self.source_end is None else self.source_end]
        if not isinstance(condition, Tensor):
            try:
                condition = torch.tensor(condition, dtype=torch.int64)
            except (TypeError, ValueError) as error:
                raise ConfigError(
                    f"The source must be token ids, got {type(condition).__name__}. Encode the "
                    "text with the model's tokenizer first."
                ) from error
        if condition.dim() < 2:
            return [self._encode(condition.reshape(-1))] * batch_size
        if len(condition) != batch_size:
            raise ConfigError(
                f"There are {len(condition)} sources for {batch_size} rows. Give one source for "
                "all, or one for each."
            )
        known: dict[tuple[int, ...], Source] = {}
        rows = [tuple(row.tolist()) for row in condition]
        for row in rows:
            if row not in known:
                known[row] = self._encode(row)
        return [known[row] for row in rows]

    # -- the contract ----------------------------------------------------------------------------

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self.forward_embedded(self.embed(tokens), condition)

    def embed(self, tokens: Tensor) -> Tensor:
        """Map the decoder's tokens (B, T) to their vectors (B, T, C)."""
        return self.inner.get_decoder().get_input_embeddings()(tokens)

    def forward_embedded(self, embedded: Tensor, condition: Any = None) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1."""
        sources = self.sources(len(embedded), condition)
        return torch.cat(
            [
                self._decode(None, source.hidden, decoder_inputs_embeds=row).logits.float()
                for row, source in zip(embedded.split(1), sources, strict=True)
            ]
        )

    @torch.inference_mode()
    def initial_state(self, batch_size: int, condition: Any = None) -> Seq2SeqState:
        """Return the State of `batch_size` empty prefixes; the encoder runs here.

        Raises:
            ConfigError, PromptError: see `sources`.
        """
        sources = self.sources(batch_size, condition)
        rows = {id(source): Row(source, source.empty) for source in sources}
        return Seq2SeqState(tuple(rows[id(source)] for source in sources), 0)

    def step(self, tokens: Tensor, state: Seq2SeqState) -> tuple[Tensor, Seq2SeqState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        logits, state = self.step_every(tokens, state)
        return logits[:, -1], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: Seq2SeqState) -> tuple[Tensor, Seq2SeqState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        check_room(self, state, tokens.shape[1])
        read: dict[tuple, tuple[Tensor, Row]] = {}
        asked = [
            (id(row), *one.tolist()) for row, one in zip(state.rows, tokens.cpu(), strict=True)
        ]
        for row, one, key in zip(state.rows, tokens.split(1), asked, strict=True):
            if key not in read:
                output, after = self._read(one, row)
                read[key] = (output.logits.float(), after)
        logits = torch.cat([read[key][0] for key in asked])
        rows = tuple(read[key][1] for key in asked)
        return logits, Seq2SeqState(rows, state.length + tokens.shape[1])

    # -- where it looked -------------------------------------------------------------------------

    def attention_rows(
        self,
        tokens: Tensor,
        first: int,
        keep: Callable[[Tensor], Tensor] | None = None,
        condition: Any = None,
    ) -> Tensor:
        """Return how the decoder weighs its own tokens: (n_layer, B, n_head, T - first, T).

        Args:
            first: position of the first query that is told.
            keep: what is kept of a layer's (B, n_head, T - first, T).
        """
        weights = self._weights("decoder_attentions", tokens, first, condition)
        return weights if keep is None else torch.stack([keep(layer) for layer in weights])

    def about(self, condition: Any) -> About:
        """Return the decoder under one source, for those who look at its attention."""
        return About(self, condition)

    def cross_attention_rows(self, tokens: Tensor, condition: Any, first: int = 0) -> Tensor:
        """Return how the decoder weighs the source: (n_layer, B, n_head, T - first, S).

        Row t is that of the decision about token t + 1. Sources of unlike length are filled up
        with zeros.
        """
        return self._weights("cross_attentions", tokens, first, condition)

    @torch.inference_mode()
    def _weights(self, kind: str, tokens: Tensor, first: int, condition: Any) -> Tensor:
        state = self.initial_state(len(tokens), condition)
        if first:
            _, state = self.step_every(tokens[:, :first], state)
        found = []
        for row, one in zip(state.rows, tokens[:, first:].split(1), strict=True):
            output, _ = self._read(one, row, output_attentions=True)
            found.append(torch.stack(output[kind]))  # (L, 1, H, N, S)
        longest = max(weights.shape[-1] for weights in found)
        pad = nn.functional.pad
        return torch.cat([pad(w, (0, longest - w.shape[-1])) for w in found], dim=1)

    # -- inside ----------------------------------------------------------------------------------

    def _read(self, tokens: Tensor, row: Row, **wanted: bool) -> tuple[Any, Row]:
        """Read tokens (1, N) after one row's past; return the model's output, and the new row."""
        cache = row.cache.reserve(tokens.shape[1])
        both = both_caches(row.source, cache, row.cache.length)
        output = self._decode(both, row.source.hidden, decoder_input_ids=tokens, **wanted)
        return output, Row(row.source, cache)

    def _decode(self, cache: Any, hidden: Tensor, **asked: Any) -> Any:
        return self.inner(
            encoder_outputs=(hidden,), cache=cache, use_cache=cache is not None, **asked
        )


class About:
    """A PretrainedSeq2Seq's decoder under one source: what tells its attention."""

    def __init__(self, model: PretrainedSeq2Seq, condition: Any):
        self.model, self.condition = model, condition
        self.context_length = model.context_length
        self.n_layer, self.n_head = model.n_layer, model.n_head
        self.parameters, self.buffers = model.parameters, model.buffers

    def attention_rows(
        self, tokens: Tensor, first: int, keep: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the weights (n_layer, B, n_head, T - first, T) under the source."""
        return self.model.attention_rows(tokens, first, keep, self.condition)


def _token(config: Any, name: str) -> int | None:
    """Return a special token of a config, the first where there are several; None for none."""
    value = getattr(config, name, None)
    value = value[0] if isinstance(value, list | tuple) and value else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None
