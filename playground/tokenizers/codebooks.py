"""Sound of several codebooks as one sequence of tokens: the delay pattern, and who hears it.

A neural codec (EnCodec, Défossez et al. 2022, arXiv:2210.13438) writes a fiftieth of a second as
K codes, each of them what the ones before it left over. MusicGen (Copet et al. 2023,
arXiv:2306.05284, section 2.2) predicts all K in one step of its decoder, which they would have to
be independent for; so codebook k is delayed by k steps, and the K codes of a step belong to K
successive frames:

    step          1    2    3    4    5 …
    codebook 1   c₁₁  c₁₂  c₁₃  c₁₄  c₁₅
    codebook 2    P   c₂₁  c₂₂  c₂₃  c₂₄
    codebook 3    P    P   c₃₁  c₃₂  c₃₃

One sequence reads this column by column, top to bottom, without the padding P, which is never a
decision. So a decision is one code, whatever steps it, and a frame is whole when its last codebook
is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from playground.errors import CheckpointError, PromptError, check_whole
from playground.tokenizers.audio import PreparedSound, read_sound

MAX_CODEBOOKS = 32
MAX_FRAMES = 2**16


@dataclass(frozen=True)
class DelayPattern:
    """Where the codes (K, T) of a sound stand in steps, and in one sequence of K T tokens."""

    n_codebooks: int  # K
    n_frames: int  # T

    def __post_init__(self):
        check_whole("n_codebooks", self.n_codebooks, 1, MAX_CODEBOOKS)
        check_whole("n_frames", self.n_frames, 1, MAX_FRAMES)

    @property
    def size(self) -> int:
        """Tokens of the whole sound."""
        return self.n_codebooks * self.n_frames

    @property
    def n_steps(self) -> int:
        """Steps of the decoder, of which the first, number 0, is all padding."""
        return self.n_frames + self.n_codebooks

    @cached_property
    def _order(self) -> np.ndarray:
        """Codebook and step (2, K T) of every token."""
        steps, books = np.meshgrid(
            np.arange(1, self.n_steps), np.arange(self.n_codebooks), indexing="ij"
        )
        frames = steps - 1 - books
        there = (frames >= 0) & (frames < self.n_frames)
        order = np.stack((books[there], steps[there]))
        order.setflags(write=False)
        return order

    @property
    def books(self) -> np.ndarray:
        """Codebook (K T,) of every token, from 0."""
        return self._order[0]

    @property
    def steps(self) -> np.ndarray:
        """Step (K T,) in which every token is decided, from 1."""
        return self._order[1]

    @property
    def frames(self) -> np.ndarray:
        """Frame (K T,) that every token belongs to, from 0."""
        return self.steps - 1 - self.books

    def to_steps(self, codes: np.ndarray, padding: int) -> np.ndarray:
        """Return codes (K, T) as steps (K, T + K), `padding` where there is none."""
        self._check(codes, self.n_frames)
        steps = np.full((self.n_codebooks, self.n_steps), padding, np.int64)
        steps[self.books, self.steps] = codes[self.books, self.frames]
        return steps

    def to_codes(self, steps: np.ndarray) -> np.ndarray:
        """Return the codes (K, T) of steps (K, T + K): `to_steps` backwards."""
        self._check(steps, self.n_steps)
        return self.unflatten(steps[self.books, self.steps], 0)

    def flatten(self, codes: np.ndarray) -> np.ndarray:
        """Return codes (K, T) as tokens (K T,) in the order of decision."""
        self._check(codes, self.n_frames)
        return codes[self.books, self.frames]

    def unflatten(self, tokens: Sequence[int] | np.ndarray, padding: int) -> np.ndarray:
        """Return the codes (K, T) of the first tokens: `flatten` backwards, then `padding`."""
        codes = np.full((self.n_codebooks, self.n_frames), padding, np.int64)
        known = min(len(tokens), self.size)
        codes[self.books[:known], self.frames[:known]] = np.asarray(tokens[:known], np.int64)
        return codes

    def whole_frames(self, n_tokens: int) -> int:
        """Return how many frames are whole once so many tokens are known."""
        last = self.books[:n_tokens] == self.n_codebooks - 1
        return int(np.count_nonzero(last))

    def tokens_of(self, n_frames: int) -> int:
        """Return how many tokens make so many frames whole."""
        if n_frames <= 0:
            return 0
        last = np.flatnonzero(self.books == self.n_codebooks - 1)
        return int(last[min(n_frames, self.n_frames) - 1]) + 1

    def _check(self, codes: np.ndarray, length: int) -> None:
        if np.shape(codes) != (self.n_codebooks, length):
            raise PromptError(
                f"There must be {self.n_codebooks} codebooks of {length} codes, got an array "
                f"{np.shape(codes)}. Use a codec of as many codebooks as the model has."
            )


class CodecTokenizer:
    """Sound to the codes of a neural codec and back, as one sequence by a DelayPattern.

    A token is an entry of the codebook whose turn it is; BOS comes after the last entry. `codec`
    is an EncodecModel of `transformers`, which is never changed; `text` is what cuts the texts
    that the model is told.

    Raises:
        CheckpointError: the codec is not one of mono, or has fewer codebooks than the pattern.
    """

    eos_token = None

    def __init__(self, codec: Any, pattern: DelayPattern, text: Any = None):
        config = codec.config
        if config.audio_channels != 1 or config.num_quantizers < pattern.n_codebooks:
            raise CheckpointError(
                f"The codec has {config.audio_channels} channel(s) and {config.num_quantizers} "
                f"codebooks; 1 and at least {pattern.n_codebooks} are needed. Use another model."
            )
        self.codec, self.pattern, self.text = codec, pattern, text
        self.sample_rate = int(config.sampling_rate)
        self.hop = int(config.hop_length)  # samples of a frame
        self.levels = int(config.codebook_size)
        self.bos_token, self.vocab_size = self.levels, self.levels + 1
        rate = config.frame_rate * config.codebook_nbits * pattern.n_codebooks / 1000
        fitting = [b for b in config.target_bandwidths if b >= rate - 1e-6]
        self._bandwidth = min(fitting, default=max(config.target_bandwidths))  # kbit/s, to encode

    @property
    def frame_rate(self) -> float:
        """Frames in a second."""
        return self.sample_rate / self.hop

    def encode(self, samples: np.ndarray) -> list[int]:
        """Return the tokens of samples (T,) at `sample_rate`, as many as the pattern has room for.

        They end before the first code that nobody gave: of the last frames of a sound that is
        shorter than the pattern, only the first codebooks are among them.

        Raises:
            PromptError: they are not one row of floats.
        """
        import torch

        samples = np.asarray(samples)
        if samples.ndim != 1 or (samples.size and samples.dtype.kind != "f"):
            raise PromptError(
                f"Samples must be one row of floats from -1 to 1, got an array {samples.shape} of "
                f"{samples.dtype}. Mix the channels and scale them first."
            )
        samples = samples[: self.pattern.n_frames * self.hop]
        if len(samples) < self.hop:
            return []
        wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
        with torch.inference_mode():
            told = self.codec.encode(
                wave.to(self.codec.device)[None, None], bandwidth=self._bandwidth
            )
        codes = told.audio_codes[0, 0].cpu().numpy()[: self.pattern.n_codebooks]
        frames = min(codes.shape[1], self.pattern.n_frames)
        padded = np.zeros((self.pattern.n_codebooks, self.pattern.n_frames), np.int64)
        padded[:, :frames] = codes[:, :frames]
        heard = self.pattern.frames < frames
        known = len(heard) if heard.all() else int(np.argmin(heard))
        return self.pattern.flatten(padded)[:known].tolist()

    def codes(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the codes (K, frames) of the frames that are whole, BOS left out."""
        known = [token for token in tokens if 0 <= token < self.levels]
        frames = self.pattern.whole_frames(len(known))
        return self.pattern.unflatten(known, 0)[:, :frames]

    def decode(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the samples (frames * hop,) float32 of the frames that are whole."""
        import torch

        codes = torch.from_numpy(self.codes(tokens))
        if not codes.shape[1]:
            return np.zeros(0, np.float32)
        with torch.inference_mode():
            row = codes.to(self.codec.device)[None, None]
            samples = self.codec.decode(row, [None]).audio_values[0, 0]
        samples = samples.float().clamp(-1, 1).cpu().numpy()
        return samples[: codes.shape[1] * self.hop]

    def place(self, index: int) -> tuple[int, int]:
        """Return the frame and the codebook of the sound's token number `index`, from 0."""
        return int(self.pattern.frames[index]), int(self.pattern.books[index])

    def label(self, token: int) -> str:
        """Return a short name of one token: its entry's number."""
        return "⟨start⟩" if token == self.bos_token else str(token)

    def to_json(self) -> dict:
        """Return what tells one tokenizer from another."""
        return {
            "type": "codec", "sample_rate": self.sample_rate, "hop": self.hop,
            "levels": self.levels, "n_codebooks": self.pattern.n_codebooks,
            "n_frames": self.pattern.n_frames,
        }  # fmt: skip

    def prepare(self, data: bytes, longest_seconds: float = 30.0) -> PreparedSound:
        """Turn the bytes of a sound file into samples that `encode` takes.

        Raises:
            PromptError: see `read_sound`.
        """
        return read_sound(data, self.sample_rate, longest_seconds=longest_seconds)
