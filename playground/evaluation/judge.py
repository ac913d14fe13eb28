"""How likely given texts are under a model: the one that made them, or another as a judge.

The exact log p of every token after a prompt, by `forward`, which reads whole texts at once. A text
that is longer than the context is read as a sliding decoder reads it, so the log-likelihood of a
text under its own model is that of its Trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.errors import PlaygroundError, PromptError, check_whole
from playground.models.base import ARModel, device_of

MAX_LOGITS = 2**24  # at once: 64 MB

Measure = Callable[[Tensor, Tensor], Tensor]  # logits (B, T, V), tokens (B, T): (B, T[, k])


@dataclass(frozen=True)
class Judgement:
    """log p in nats of every judged token of every sequence, and how much text that was."""

    logprobs: tuple[tuple[float, ...], ...]
    characters: int | None = None  # None: not text

    @property
    def tokens(self) -> int:
        return sum(len(row) for row in self.logprobs)

    @property
    def log_likelihoods(self) -> tuple[float, ...]:
        """Of each sequence, in nats."""
        return tuple(math.fsum(row) for row in self.logprobs)

    @property
    def log_likelihood(self) -> float:
        """Of all sequences, in nats."""
        return math.fsum(self.log_likelihoods)

    @property
    def bits_per_token(self) -> float | None:
        """Mean surprisal of all tokens; None without tokens."""
        return self._bits(self.tokens)

    @property
    def bits_per_character(self) -> float | None:
        """Bits of all tokens per character of text, for models with different tokens."""
        return self._bits(self.characters)

    @property
    def perplexity(self) -> float | None:
        """2 to the bits per token, of all sequences together."""
        bits = self.bits_per_token
        return None if bits is None else 2.0**bits if bits < 1000 else math.inf

    def _bits(self, count: int | None) -> float | None:
        return -self.log_likelihood / count / math.log(2) if count else None


@dataclass(frozen=True)
class Judge:
    """A model with its tokenizer, asked about the texts of other models."""

    model: ARModel
    tokenizer: Any
    name: str = "judge"

    def read(
        self,
        sequences: Sequence[Sequence[int]],
        prompt_length: int | Sequence[int],
        tokenizer: Any,
    ) -> Judgement:
        """Judge what follows the prompt in `sequences` of `tokenizer`'s tokens.

        Tokens of the judge's own tokenizer are judged as they are, the end token with them. Others
        are decoded and encoded anew, prompt and continuation apart, so that exactly the
        characters of the continuation are judged; BOS and end token are no text.

        Raises:
            PromptError: the judge has no token for a character, or the tokens are no text.
        """
        if same_tokenizer(tokenizer, self.tokenizer):
            return judge(self.model, sequences, prompt_length, tokenizer=tokenizer)
        rows, starts, characters = [], [], 0
        for tokens, start in zip(sequences, _starts(sequences, prompt_length), strict=True):
            prompt, text = split_text(tokens, start, tokenizer)
            head = [self.tokenizer.bos_token, *self._encode(prompt)]
            rows.append(head + self._encode(text))
            starts.append(len(head))
            characters += len(text)
        return Judgement(judge(self.model, rows, starts).logprobs, characters)

    def _encode(self, text: Any) -> list[int]:
        if not isinstance(text, str):
            raise PromptError(
                f"{self.name} has other tokens than the model, and only text can be told in other "
                "tokens. Choose a judge with the model's own tokenizer."
            )
        try:
            return self.tokenizer.encode(text)
        except PlaygroundError as error:
            raise PromptError(f"{self.name} cannot judge this text. {error}") from error


def judge(
    model: ARModel,
    sequences: Sequence[Sequence[int]],
    prompt_length: int | Sequence[int],
    *,
    tokenizer: Any = None,
) -> Judgement:
    """Return log p of what follows the first `prompt_length` tokens (BOS counted) of each sequence.

    A list of lengths has one for each. With a tokenizer of text its characters are counted too.

    Raises:
        ConfigError: a prompt has no BOS, or is longer than its sequence.
        PromptError: a token is not the model's.
    """
    starts = _starts(sequences, prompt_length)
    logprobs = measure(model, sequences, starts, _logprobs)
    return Judgement(logprobs, count_characters(sequences, starts, tokenizer))


def entropies(
    model: ARModel, sequences: Sequence[Sequence[int]], prompt_length: int | Sequence[int]
) -> tuple[tuple[float, ...], ...]:
    """Return the entropy in nats of the distribution that each token was one of, as `judge` reads.

    The mean surprisal of what a model draws is its entropy; what it is less surprised by was not
    drawn by it.
    """
    return measure(model, sequences, prompt_length, _entropies)


def count_characters(
    sequences: Sequence[Sequence[int]], starts: Sequence[int], tokenizer: Any
) -> int | None:
    """Return how many characters follow the prompts; None if unknown, or the tokens no text."""
    if tokenizer is None:
        return None
    pairs = zip(sequences, starts, strict=True)
    texts = [split_text(tokens, start, tokenizer)[1] for tokens, start in pairs]
    return sum(map(len, texts)) if all(isinstance(text, str) for text in texts) else None


def _starts(sequences: Sequence[Sequence[int]], prompt_length: int | Sequence[int]) -> list[int]:
    """Return the length of each sequence's prompt, checked."""
    if isinstance(prompt_length, int):
        prompt_length = [prompt_length] * len(sequences)
    for tokens, start in zip(sequences, prompt_length, strict=True):
        check_whole("prompt_length", start, 1, len(tokens))
    return list(prompt_length)


def windows(length: int, context_length: int | None, first: int) -> Iterator[tuple[int, int, int]]:
    """Yield (dropped, start, end): tokens start to end - 1 are judged by one reading.

    It begins with BOS and leaves out the `dropped` tokens after it. Together they judge the tokens
    `first` to `length` - 1, each once, after at least half a context; `decoding.window` drops the
    same.
    """
    start, limit = first, context_length or length
    stride = limit - max(1, limit // 2) + 1
    while start < length:
        dropped = stride * (1 + (start - limit - 1) // stride) if start > limit else 0
        end = min(length, limit + dropped + 1)
        yield dropped, start, end
        start = end


@dataclass(frozen=True)
class Piece:
    """BOS and a part of sequence `row`, whose last `fresh` tokens are to be judged."""

    row: int
    tokens: list[int]
    fresh: int


def measure(
    model: ARModel,
    sequences: Sequence[Sequence[int]],
    prompt_length: int | Sequence[int],
    of: Measure,
) -> tuple[tuple[Any, ...], ...]:
    """Return what `of` tells of every token of every sequence behind its prompt, as `judge` reads.

    Numbers, or lists of them where `of` returns (B, T, k).
    """
    starts = _starts(sequences, prompt_length)
    for tokens in sequences:
        if min(tokens) < 0 or max(tokens) >= model.vocab_size:
            raise PromptError(
                f"The model knows the tokens 0 to {model.vocab_size - 1}, and is asked about "
                f"{min(tokens)} to {max(tokens)}. Encode the text with the model's own tokenizer."
            )
    pieces = [
        Piece(row, tokens[:1] + tokens[1 + dropped : end], end - start)
        for row, (tokens, first) in enumerate(zip(map(list, sequences), starts, strict=True))
        for dropped, start, end in windows(len(tokens), model.context_length, first)
    ]
    found: list[list[float]] = [[] for _ in sequences]
    for piece, numbers in zip(pieces, _read(model, pieces, of), strict=True):
        found[piece.row] += numbers
    return tuple(map(tuple, found))


@torch.inference_mode()
def _read(model: ARModel, pieces: Sequence[Piece], of: Measure) -> list[list[float]]:
    """Return numbers of the fresh tokens of each piece, reading pieces of like length together."""
    device = device_of(model)
    order = sorted(range(len(pieces)), key=lambda i: -len(pieces[i].tokens))
    found: list[list[float]] = [[] for _ in pieces]
    while order:
        longest = len(pieces[order[0]].tokens)
        count = max(1, MAX_LOGITS // (longest * model.vocab_size))
        batch, order = order[:count], order[count:]
        rows = [pieces[i].tokens for i in batch]
        # padding on the right is of no consequence: no row of logits sees what comes after it
        padded = torch.tensor([r + r[:1] * (longest - len(r)) for r in rows], device=device)
        numbers = of(model.forward(padded[:, :-1]).float(), padded[:, 1:])
        for i, row in zip(batch, numbers.tolist(), strict=True):
            end = len(pieces[i].tokens) - 1
            found[i] = row[end - pieces[i].fresh : end]
    return found


def _logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return log p (B, T) of tokens (B, T) under logits (B, T, V)."""
    return -F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")


def _entropies(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the entropy (B, T) of logits (B, T, V)."""
    logprobs = logits.log_softmax(-1)
    return -(logprobs.exp() * logprobs.clamp(min=-1e30)).sum(-1)  # 0 log 0 = 0


def split_text(tokens: Sequence[int], prompt_length: int, tokenizer: Any) -> tuple[Any, Any]:
    """Return what the prompt and what follows it decode to.

    Decoded together where that is text, since a character may have begun in the prompt; it then
    belongs to the continuation.
    """
    prompt = tokenizer.decode(tokens[:prompt_length])
    if not isinstance(prompt, str):
        return prompt, tokenizer.decode(tokens[prompt_length:])
    whole = tokenizer.decode(tokens)
    while not whole.startswith(prompt):
        prompt = prompt[:-1]
    return prompt, whole[len(prompt) :]


def same_tokenizer(one: Any, other: Any) -> bool:
    """Whether both mean the same by every token."""
    return one is other or (type(one) is type(other) and one.to_json() == other.to_json())
