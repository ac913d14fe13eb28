"""WaveNet: sound sample by sample, the past seen through dilated causal convolutions.

p(x) = prod_t p(x_t | x_<t, c). Layer l looks at its input now and `dilation` samples ago (and so
on, `kernel_size` of them), so that a few layers see thousands of samples. A class or a text is
told to every layer as a bias of its gates.

References: van den Oord et al. 2016b, arXiv:1609.03499; a step reads what a convolution needs of
the past from a queue per layer (Paine et al. 2016, arXiv:1611.09482).
Deviations: samples enter through an embedding, which is the paper's 1x1 convolution of one-hot
codes; the last layer has no residual output, which nobody would read, yet keeps its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, check_whole
from playground.models import wavenet_stepping
from playground.models.append_only import AppendOnly
from playground.models.base import rowwise_linear
from playground.models.packing import forget
from playground.models.raster import labels_of, with_start
from playground.models.rnn import logistic
from playground.models.spoken import MAX_FRAMES, MAX_LETTERS, Spoken

MAX_WORDS = 2**12  # of a lexicon
FRESH, LEAST_FRESH = 1024, 32  # samples, of all rows and of each, until the queues are moved
MAX_QUEUES = 2**23  # values that the queues of one row hold, 32 MB


@dataclass(frozen=True)
class WaveNetConfig:
    levels: int = 256
    channels: int = 64
    skip_channels: int = 64
    n_layer: int = 18
    dilation_cycle: int = 9  # layer l is dilated by 2^(l mod this)
    kernel_size: int = 2
    n_class: int = 0
    alphabet: str = ""  # letters of the texts it can be told to speak
    n_letter_embd: int = 32
    n_text_hidden: int = 96
    hop: int = 80  # samples of a frame of text, 10 ms at 8 kHz
    lexicon: Mapping[str, int] = field(default_factory=dict)  # frames of words that were heard

    def __post_init__(self):
        check_whole("levels", self.levels, 2, 256)
        check_whole("channels", self.channels, 1, 2**12)
        check_whole("skip_channels", self.skip_channels, 1, 2**12)
        check_whole("n_layer", self.n_layer, 1, 128)
        check_whole("dilation_cycle", self.dilation_cycle, 1, 14)
        check_whole("kernel_size", self.kernel_size, 2, 8)
        check_whole("n_class", self.n_class, 0, 2**12)
        check_whole("n_letter_embd", self.n_letter_embd, 1, 2**10)
        check_whole("n_text_hidden", self.n_text_hidden, 1, 2**10)
        check_whole("hop", self.hop, 1, 2**14)
        if not isinstance(self.alphabet, str) or len(set(self.alphabet)) != len(self.alphabet):
            raise ConfigError(f"alphabet must be different letters, got {self.alphabet!r}.")
        check_whole("the length of alphabet", len(self.alphabet), 0, 2**10)
        check_lexicon(self.lexicon)
        if self.alphabet and self.n_class:
            raise ConfigError("A WaveNet is told a class or a text: set n_class or alphabet to 0.")
        span = (self.kernel_size - 1) * 2 ** (min(self.n_layer, self.dilation_cycle) - 1)
        if (size := self.n_layer * self.channels * span) > MAX_QUEUES:
            raise ConfigError(
                f"The queues of a WaveNet must hold at most {MAX_QUEUES:,} values a sound: n_layer "
                f"{self.n_layer} x channels {self.channels} x the {span:,} samples that a layer "
                f"looks back are {size:,}. Lower one of them, or dilation_cycle."
            )


def check_lexicon(lexicon: Any) -> None:
    """Raise ConfigError unless it says of words how many frames they last."""
    if not isinstance(lexicon, Mapping) or len(lexicon) > MAX_WORDS:
        raise ConfigError(f"lexicon must tell the frames of at most {MAX_WORDS} words.")
    for word, frames in lexicon.items():
        if not isinstance(word, str) or not 0 < len(word) <= MAX_LETTERS:
            raise ConfigError(f"A word of the lexicon must be a short text, got {word!r:.60}.")
        check_whole(f"the frames of {word!r}", frames, 1, MAX_FRAMES)


@dataclass(frozen=True, eq=False)  # readers of a buffer are told apart by identity
class Queues:
    """State of B prefixes: what every layer was given, as far back as a convolution looks.

    `biases` (B, F, n_layer * 2 C) is the condition; frame f is told for samples f * hop on, and
    the last one ever after.
    """

    buffer: AppendOnly  # (n_layer, B, capacity, C)
    biases: Tensor
    span: int  # samples before the newest that are kept
    length: int

    @classmethod
    def empty(cls, n_layer: int, span: int, biases: Tensor, like: Tensor) -> Queues:
        """Return the State before the first token: the past is zero."""
        B = len(biases)
        room = span + max(FRESH // B, LEAST_FRESH)
        memory = like.new_zeros(n_layer, B, room, like.shape[-1])
        return cls._reader(AppendOnly(memory, room, first=-span), biases, span, 0)

    @classmethod
    def _reader(cls, buffer: AppendOnly, biases: Tensor, span: int, length: int) -> Queues:
        """Return a State of a buffer that nobody else has yet."""
        state = cls(buffer, biases, span, length)
        buffer.add(state)
        return state

    def reserve(self, new_tokens: int) -> Queues:
        """Return a State of `length + new_tokens` whose new places are the caller's to write."""
        state = Queues(self.buffer, self.biases, self.span, self.length + new_tokens)
        return state if self.buffer.claim(self.length, state) else self._moved(new_tokens)

    def select(self, rows: Tensor) -> Queues:
        """Return the State whose row i is this one's `rows[i]`."""
        return self._moved(0, rows)

    def place(self, token: int) -> int:
        """Return where in the buffer a token lies."""
        return token - self.buffer.first

    def _moved(self, new_tokens: int, rows: Tensor | None = None) -> Queues:
        """Return a longer State in memory of its own, with the past of this one's rows."""
        end = self.place(self.length)
        past, biases = self.buffer.memory[:, :, end - self.span : end], self.biases
        if rows is not None:
            past, biases = past.index_select(1, rows), biases.index_select(0, rows)
        n_layer, B, _, C = past.shape
        room = self.span + max(new_tokens, FRESH // B, LEAST_FRESH)
        memory = past.new_empty(n_layer, B, room, C)
        memory[:, :, : self.span] = past
        buffer = AppendOnly(memory, room, first=self.length - self.span)
        return self._reader(buffer, biases, self.span, self.length + new_tokens)


class Layer(nn.Module):
    """A gated convolution, and two 1x1 convolutions in one: to the next layer, to the skips."""

    def __init__(self, config: WaveNetConfig, dilation: int):
        super().__init__()
        C, S = config.channels, config.skip_channels
        self.kernel_size, self.dilation = config.kernel_size, dilation
        self.gates = nn.Linear(config.kernel_size * C, 2 * C)  # oldest sample first
        self.outputs = nn.Linear(C, C + S)

    def forward(self, window: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Map windows (B, T, k C) and biases (B, T, 2 C) to changes of x and of the skips."""
        return self._finish(self.gates(window) + bias, F.linear)

    def rowwise(self, window: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same so that no row depends on the rows beside it."""
        gates = rowwise_linear(window, self.gates.weight, self.gates.bias) + bias
        return self._finish(gates, rowwise_linear)

    def _finish(self, gates: Tensor, linear) -> tuple[Tensor, Tensor]:
        content, gate = gates.chunk(2, dim=-1)
        x = linear(content.tanh() * logistic(gate), self.outputs.weight, self.outputs.bias)
        C = content.shape[-1]
        return x[..., :C], x[..., C:]

    def windows(self, x: Tensor) -> Tensor:
        """Lay what the convolution reads of x (B, T, C) side by side: (B, T, k C)."""
        shifts = range((self.kernel_size - 1) * self.dilation, -1, -self.dilation)
        T = x.shape[1]
        return torch.cat([F.pad(x, (0, 0, s, 0))[:, :T] for s in shifts], dim=-1)


class Head(nn.Module):
    """From the skips (..., S) to the logits of the levels."""

    def __init__(self, config: WaveNetConfig):
        super().__init__()
        self.inner = nn.Linear(config.skip_channels, config.skip_channels)
        self.outer = nn.Linear(config.skip_channels, config.levels)

    def forward(self, skips: Tensor, linear=F.linear) -> Tensor:
        x = linear(F.relu(skips), self.inner.weight, self.inner.bias)
        return linear(F.relu(x), self.outer.weight, self.outer.bias)


class WaveNet(nn.Module):
    """An embedding, gated dilated convolutions, and a head over the sum of their skips."""

    context_length = None  # the queues have a fixed size, so there is no limit

    def __init__(self, config: WaveNetConfig):
        super().__init__()
        self.config = c = config
        self.vocab_size, self.bos_token = c.levels + 1, c.levels
        self.dilations = tuple(2 ** (i % c.dilation_cycle) for i in range(c.n_layer))
        self.embedding = nn.Embedding(self.vocab_size, c.channels)
        self.layers = nn.ModuleList(Layer(c, d) for d in self.dilations)
        self.head = Head(c)
        n_bias = c.n_layer * 2 * c.channels
        if c.n_class:  # the last row: no class in particular
            self.class_embedding = nn.Embedding(c.n_class + 1, n_bias)
            nn.init.normal_(self.class_embedding.weight, std=0.05)
        if c.alphabet:
            self.spoken = Spoken(c.alphabet, c.n_letter_embd, c.n_text_hidden, c.lexicon)
            self.told = nn.Linear(c.n_text_hidden, n_bias, bias=False)

    @property
    def receptive_field(self) -> int:
        """Tokens, the newest included, that a distribution depends on."""
        return 1 + (self.config.kernel_size - 1) * sum(self.dilations)

    def train(self, mode: bool = True) -> WaveNet:
        """Set the mode as usual, and have the weights packed again before the next step."""
        forget(self)
        return super().train(mode)

    # -- what it is told -------------------------------------------------------------------------

    def biases(self, condition: Any, batch_size: int) -> Tensor:
        """Return the biases (B, F, n_layer * 2 C) of a condition: a class, a text, or one a row.

        Raises:
            ConfigError: the model knows no such class, or not all letters of the text.
        """
        c, device = self.config, self.embedding.weight.device
        if c.alphabet:
            texts = self._texts(condition, batch_size)
            layouts = [self._layout(text) for text in texts]
            frames = [self.told(self.spoken(*layout)) for layout in layouts]
            longest = max(map(len, frames))
            frames = [torch.cat((f, f[-1:].expand(longest - len(f), -1))) for f in frames]
            return torch.stack(frames)
        labels = labels_of(condition, batch_size, c.n_class, device)
        if labels is None:
            return torch.zeros(batch_size, 1, c.n_layer * 2 * c.channels, device=device)
        return self.class_embedding(labels.expand(batch_size))[:, None]

    def _layout(self, text: str | tuple[str, int] | None) -> tuple[Tensor, Tensor]:
        """Return the layout of a text; with a number it lasts so many frames."""
        if text is None:
            return self.spoken.nothing()
        return self.spoken.layout(*((text,) if isinstance(text, str) else text))

    def _texts(self, condition: Any, batch_size: int) -> Sequence[str | tuple[str, int] | None]:
        if condition is None or isinstance(condition, str | tuple):
            return [condition] * batch_size
        if not isinstance(condition, Sequence) or len(condition) not in (1, batch_size):
            raise ConfigError(
                f"This model is told a text, or one for each of {batch_size} rows, got "
                f"{condition!r}."
            )
        return list(condition) * (batch_size // len(condition))

    # -- all at once -----------------------------------------------------------------------------

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self.forward_embedded(self.embed(tokens), condition)

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their embeddings (B, T, C)."""
        return self.embedding(tokens)

    def forward_embedded(self, embedded: Tensor, condition: Any = None, start: int = 0) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1.

        Without the first `start` tokens only rows behind a receptive field are those of the whole.
        """
        biases = self.biases(condition, len(embedded))
        return with_start(self.level_logits(embedded, biases, start))

    def level_logits(self, x: Tensor, biases: Tensor, start: int = 0) -> Tensor:
        """Map embeddings (B, T, C) and biases (B, F, n_layer * 2 C) to logits (B, T, levels)."""
        frame = self._frames(start, start + x.shape[1], biases.shape[1])
        skips = 0.0
        for layer, bias in zip(self.layers, biases.chunk(self.config.n_layer, -1), strict=True):
            change, skip = layer(layer.windows(x), bias[:, frame])
            x, skips = x + change, skips + skip
        return self.head(skips)

    def _frames(self, start: int, end: int, n_frames: int) -> Tensor | slice:
        """Return the frame of each of the samples start..end."""
        if n_frames == 1:
            return slice(None)
        time = torch.arange(start, end, device=self.embedding.weight.device)
        return (time // self.config.hop).clamp(max=n_frames - 1)

    # -- step by step ----------------------------------------------------------------------------

    def initial_state(self, batch_size: int, condition: Any = None) -> Queues:
        """Return the State of `batch_size` empty prefixes."""
        c = self.config
        span = (c.kernel_size - 1) * max(self.dilations)
        with torch.inference_mode():
            biases = self.biases(condition, batch_size)
            return Queues.empty(c.n_layer, span, biases, self.embedding.weight)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: Queues) -> tuple[Tensor, Queues]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State."""
        *before, newest = tokens.split(FRESH, dim=1)
        for chunk in before:  # a long prefix leaves no more memory behind than a short one
            _, state = self._read(chunk, state, wanted=1)
        logits, state = self._read(newest, state, wanted=1)
        return logits[:, 0], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: Queues) -> tuple[Tensor, Queues]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        return self._read(tokens, state, wanted=tokens.shape[1])

    @torch.inference_mode()
    def sample_ahead(
        self, token: Tensor, state: Queues, uniforms: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, Queues] | None:
        """Propose tokens (N,), each drawn and read in turn; see `base.HasSampleAhead`."""
        return wavenet_stepping.sample_ahead(self, token, state, uniforms, temperature)

    def _read(self, tokens: Tensor, state: Queues, wanted: int) -> tuple[Tensor, Queues]:
        """Return the logits (B, wanted, V) of the last tokens, and the new State."""
        if (plan := wavenet_stepping.plan_for(self, state)) is not None:
            return wavenet_stepping.read_chunk(self, plan, tokens, state, wanted)
        N, start = tokens.shape[1], state.length
        state = state.reserve(N)
        x, skips, at = self.embedding(tokens), 0.0, state.place(start)
        frame = self._frames(start, start + N, state.biases.shape[1])
        biases = state.biases.chunk(self.config.n_layer, -1)
        for layer, bias, memory in zip(self.layers, biases, state.buffer.memory, strict=True):
            memory[:, at : at + N] = x
            shifts = range((layer.kernel_size - 1) * layer.dilation, -1, -layer.dilation)
            window = torch.cat([memory[:, at - s : at - s + N] for s in shifts], dim=-1)
            change, skip = layer.rowwise(window, bias[:, frame])
            x, skips = x + change, skips + skip
        return with_start(self.head(skips[:, N - wanted :], rowwise_linear)), state
