"""MusicGen: p(x_t | x_<t, c) over the codes of a neural codec, c a text.

Copet et al. 2023, arXiv:2306.05284. A decoder reads K codes at once, one of each codebook, and
predicts the next K; which codes those are says a delay pattern. Here they are one sequence of
single codes, so that whoever steps any model steps this one, codebook by codebook: the K
predictions of a step come from one pass, which is made when the K codes before are all known, and
kept until they are used up. They are independent of each other given what came before the step, as
the model has them.

The text is read by a T5 encoder; None is what MusicGen calls unconditional, so `Guided` is the
classifier-free guidance that it was trained for (a scale of 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import CheckpointError, ConfigError, PromptError
from playground.models.base import check_room
from playground.models.kv_cache import KVCache
from playground.models.pretrained_source import Source, both_caches, source_of

FAMILIES = ("musicgen",)  # values of `model_type`
MAX_TEXT = 512  # tokens
MAX_FRAMES = 1500  # of 20 ms: MusicGen was trained on 30 s


class Layout(Protocol):
    """What a model has to know of a delay pattern (`tokenizers/codebooks.py`)."""

    n_codebooks: int
    size: int  # tokens of the longest sound
    books: np.ndarray  # (size,) codebook of each token, from 0
    steps: np.ndarray  # (size,) step in which it is decided, from 1, never falling


@dataclass(frozen=True)
class Row:
    """The State of one row."""

    source: Source
    cache: KVCache  # of the steps that the decoder has read
    begun: tuple[int, ...]  # codes of the step that is not complete yet
    next_logits: Tensor | None  # (K, V) of the step that comes next; None before the first


@dataclass(frozen=True)
class MusicState:
    """State of B prefixes of `length` tokens."""

    rows: tuple[Row, ...]
    length: int

    def select(self, rows: Tensor) -> MusicState:
        """Return the State whose row i is this one's `rows[i]`; nothing is copied."""
        return MusicState(tuple(self.rows[i] for i in rows.tolist()), self.length)

    @property
    def num_bytes(self) -> int:
        """Bytes that the rows refer to, sources included; what several share counts once."""
        rows = {id(row): row for row in self.rows}.values()
        sources = {id(row.source): row.source for row in rows}.values()
        kept = [row.next_logits for row in rows if row.next_logits is not None]
        return (
            sum(row.cache.num_bytes for row in rows)
            + sum(source.num_bytes for source in sources)
            + sum(logits.numel() * logits.element_size() for logits in kept)
        )


def longest_of(inner: nn.Module) -> int:
    """Return how many frames a sound of this model may have."""
    config = inner.decoder.config
    return max(1, min(MAX_FRAMES, config.max_position_embeddings - config.num_codebooks))


class PretrainedMusic(nn.Module):
    """An ARModel around a MusicgenForConditionalGeneration, which is never changed again.

    Tokens are the entries of a codebook, `layout` says of which; the last token, `bos_token`, is
    MusicGen's padding, which a sequence starts with and which never follows. The condition is a
    text's token ids (S,) with their end token, or a `Source` from `encode`; None: no text.

    Raises:
        CheckpointError: it is no MusicGen in mono, or of other codebooks than the layout.
    """

    def __init__(self, inner: nn.Module, layout: Layout):
        super().__init__()
        kind = getattr(inner.config, "model_type", None)
        if kind not in FAMILIES:
            raise CheckpointError(
                f"Models of sound of the kind {kind!r} are not read; these are: "
                f"{', '.join(FAMILIES)}. Choose another model."
            )
        config = inner.decoder.config
        if config.audio_channels != 1:
            raise CheckpointError(
                "This MusicGen is stereo: its codebooks are of two channels, which is not read. "
                "Choose one without “stereo” in its name."
            )
        codec = inner.config.audio_encoder
        if (config.num_codebooks, config.vocab_size) != (layout.n_codebooks, codec.codebook_size):
            raise CheckpointError(
                f"The model has {config.num_codebooks} codebooks of {config.vocab_size} entries, "
                f"and what it is to be heard with {layout.n_codebooks} of {codec.codebook_size}. "
                "Choose another model."
            )
        inner.decoder.set_attn_implementation("eager")  # only that tells its weights
        self.inner = inner.eval().requires_grad_(False)
        self.layout, self.config = layout, config
        self.bos_token, self.vocab_size = config.vocab_size, config.vocab_size + 1
        self.context_length = layout.size  # BOS and all codes but the last
        self.n_layer, self.n_head = config.num_hidden_layers, config.num_attention_heads
        self._books, self._steps = layout.books.tolist(), layout.steps.tolist()

    # -- the text --------------------------------------------------------------------------------

    def encode(self, tokens: Tensor | Sequence[int] | None) -> Source:
        """Read a text (S,), its end token included, once for all that is made of it.

        Raises:
            PromptError: it is empty or too long, or has tokens that there are not.
        """
        known = None if tokens is None else tuple(int(token) for token in tokens)
        with torch.inference_mode():
            hidden = self._no_text() if known is None else self._read_text(known)
            start = torch.full((self.layout.n_codebooks, 1), self.bos_token, device=hidden.device)
            return source_of(known or (), hidden, lambda cache: self._decode(start, hidden, cache))

    def _no_text(self) -> Tensor:
        """Return what stands for no text (1, 1, C): nothing is read from zeros."""
        size = self.config.hidden_size
        return torch.zeros(1, 1, size, device=self.inner.device, dtype=self.inner.dtype)

    def _read_text(self, tokens: tuple[int, ...]) -> Tensor:
        top = self.inner.text_encoder.config.vocab_size
        if not 0 < len(tokens) <= MAX_TEXT:
            raise PromptError(
                f"The text has {len(tokens)} tokens; 1 to {MAX_TEXT} are read. Shorten it."
            )
        if not all(0 <= token < top for token in tokens):
            raise PromptError(
                f"The text has a token that this model does not know: {max(tokens)} of {top}. Use "
                "the tokenizer that belongs to it."
            )
        row = torch.tensor([tokens], device=self.inner.device)
        hidden = self.inner.text_encoder(input_ids=row).last_hidden_state
        project = getattr(self.inner, "enc_to_dec_proj", None)
        return hidden if project is None else project(hidden)

    def _source(self, condition: Any) -> Source:
        if isinstance(condition, Source):
            return condition
        if isinstance(condition, Tensor):
            condition = condition.reshape(-1).tolist()
        is_tokens = isinstance(condition, list | tuple) and all(
            isinstance(token, int) for token in condition
        )
        if condition is not None and not is_tokens:
            raise ConfigError(
                f"The text must be told by its token ids, got {type(condition).__name__}. Encode "
                "it with the model's tokenizer first."
            )
        return self.encode(condition)

    # -- the contract ----------------------------------------------------------------------------

    @torch.no_grad()
    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self.step_every(tokens, self.initial_state(len(tokens), condition))[0].clone()

    @torch.inference_mode()
    def initial_state(self, batch_size: int, condition: Any = None) -> MusicState:
        """Return the State of `batch_size` empty prefixes; the text is read here.

        Raises:
            ConfigError, PromptError: the condition is no text's tokens.
        """
        source = self._source(condition)
        return MusicState((Row(source, source.empty, (), None),) * batch_size, 0)

    def step(self, tokens: Tensor, state: MusicState) -> tuple[Tensor, MusicState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the sound has no room for N more tokens.
        """
        logits, state = self.step_every(tokens, state)
        return logits[:, -1], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: MusicState) -> tuple[Tensor, MusicState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        check_room(self, state, tokens.shape[1])
        read: dict[tuple, tuple[Tensor, Row]] = {}  # rows that share all are read once
        asked = list(zip(map(id, state.rows), map(tuple, tokens.tolist()), strict=True))
        for row, key in zip(state.rows, asked, strict=True):
            if key not in read:
                logits, after, _ = self._read(key[1], row, state.length)
                read[key] = (logits, after)
        rows = tuple(read[key][1] for key in asked)
        logits = torch.stack([read[key][0] for key in asked])
        return logits, MusicState(rows, state.length + tokens.shape[1])

    @torch.inference_mode()
    def cross_attention_rows(self, tokens: Tensor, condition: Any, first: int = 0) -> Tensor:
        """Return how the decoder weighs the text: (n_layer, B, n_head, T - first, S).

        Row t is that of the pass that decided token t + 1; the codes of one step share it.
        """
        source = self._source(condition)
        row, found = Row(source, source.empty, (), None), []
        for one in tokens.tolist():
            _, _, weights = self._read(tuple(one), row, 0, output_attentions=True)
            found.append(weights[:, :, :, first:])
        return torch.cat(found, dim=1)

    # -- inside ----------------------------------------------------------------------------------

    def _read(
        self, tokens: tuple[int, ...], row: Row, length: int, **wanted: bool
    ) -> tuple[Tensor, Row, Tensor | None]:
        """Read tokens (N,) after one row's `length`; return logits (N, V), and the new row.

        With `output_attentions` also the weights (n_layer, 1, n_head, N, S) of each.
        """
        begun, columns, passes = row.begun, [], []  # passes: how many came before each logits
        for position, token in enumerate(tokens, length):
            begun = (*begun, token) if position else ()
            if position == 0 or self._completes(position - 1):
                columns.append(self._column(begun, position - 1))
                begun = ()
            passes.append(len(columns))
        logits, cache, weights = row.next_logits, row.cache, None
        ahead = [] if logits is None else [logits]
        if columns:
            cache = cache.reserve(len(columns))
            both = both_caches(row.source, cache, row.cache.length)
            steps = torch.tensor(columns, device=self.inner.device).T
            output = self._decode(steps, row.source.hidden, both, **wanted)
            fresh = output.logits.float()  # (K, number of columns, V - 1)
            ahead += list(fresh.unbind(1))
            logits = fresh[:, -1].clone()
            if wanted:
                index = torch.tensor([n - 1 for n in passes])
                weights = torch.stack(output["cross_attentions"])[..., index, :]
        behind = len(ahead) - len(columns)  # 1 where a step was begun before
        books = self._books[length : length + len(tokens)]
        rows = [ahead[n + behind - 1][book] for n, book in zip(passes, books, strict=True)]
        told = F.pad(torch.stack(rows), (0, 1), value=-torch.inf)
        return told, Row(row.source, cache, begun, logits), weights

    def _completes(self, index: int) -> bool:
        """True if the token number `index` is the last of its step."""
        return index + 1 == len(self._steps) or self._steps[index + 1] != self._steps[index]

    def _column(self, codes: tuple[int, ...], last: int) -> list[int]:
        """Return the K codes of a step whose last token has number `last`, padded."""
        column = [self.bos_token] * self.layout.n_codebooks
        for index, code in enumerate(codes, last + 1 - len(codes)):
            column[self._books[index]] = code
        return column

    def _decode(self, steps: Tensor, hidden: Tensor, cache: Any, **wanted: bool) -> Any:
        return self.inner.decoder(
            input_ids=steps, encoder_hidden_states=hidden, cache=cache, use_cache=True, **wanted
        )
