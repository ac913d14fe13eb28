"""All figures of a set of samples in one row: how likely, how varied, how repetitive.

Likelihood alone rewards repetition and diversity alone rewards noise, so they stand side by side,
and beside those of human text of the same length: Holtzman et al. 2020, arXiv:1904.09751, table 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from playground.errors import DataError, check_whole
from playground.evaluation.diversity import (
    distinct,
    mean,
    rep,
    self_bleu,
    seq_rep,
    suffix_loop,
    zipf,
)
from playground.evaluation.judge import Judge, Judgement, count_characters
from playground.evaluation.judge import judge as judged
from playground.models.base import ARModel
from playground.traces.trace import Trace

MAX_PIECES = 64


@dataclass(frozen=True)
class Figures:
    """What is told of k samples; None where it is not defined.

    The end token counts as a decision (likelihood), not as a part of the text (all others).
    """

    samples: int
    mean_length: float | None  # tokens after the prompt
    log_likelihood: float | None  # nats a sample, under the raw model
    perplexity: float | None  # of all tokens of all samples
    bits_per_token: float | None
    bits_per_character: float | None  # of text
    judge_log_likelihood: float | None  # the same four under the judge, of its own tokens
    judge_perplexity: float | None
    judge_bits_per_token: float | None
    judge_bits_per_character: float | None
    distinct_1: float | None  # share of different n-grams in all samples together
    distinct_2: float | None
    distinct_3: float | None
    self_bleu: float | None  # 0 to 100; 100: all samples are the same
    seq_rep_4: float | None  # share of repeated 4-grams in a sample, the mean
    rep_16: float | None  # share of tokens that are among the 16 before them, the mean
    stuck: float | None  # share of samples that end in a loop
    loop_length: float | None  # tokens at the end of a sample that are a repetition, the mean
    zipf: float | None

    def to_dict(self) -> dict[str, float | int | None]:
        """Return one row of a table; numbers that JSON does not know become None."""
        return {
            name: value if value is None or math.isfinite(value) else None
            for name, value in asdict(self).items()
        }


def figures(
    traces: Sequence[Trace],
    model: ARModel | None = None,
    judge: Judge | None = None,
    *,
    tokenizer: Any = None,
) -> Figures:
    """Return the figures of the samples of one lane.

    The raw model's log p is what the Steps tell; with `model` it is computed anew, which tells
    what a plain model thinks of the text of a guided one. Without a tokenizer nothing is counted
    in characters, end tokens are unknown, and the judge must have the same tokens.

    Raises:
        PromptError: the judge or the model cannot read a sample.
    """
    sequences, starts = [t.tokens for t in traces], [len(t.prompt) for t in traces]
    if model is not None:
        own = judged(model, sequences, starts, tokenizer=tokenizer)
    else:
        logprobs = tuple(tuple(step.logprob for step in trace.steps) for trace in traces)
        own = Judgement(logprobs, count_characters(sequences, starts, tokenizer))
    theirs = judge.read(sequences, starts, tokenizer or judge.tokenizer) if judge else None
    return _figures(sequences, starts, own, theirs, tokenizer)


def human_point(
    text: str,
    tokenizer: Any,
    model: ARModel,
    length: int,
    *,
    judge: Judge | None = None,
    prompt_length: int = 1,
    pieces: int = 16,
) -> Figures:
    """Return the figures of real text, cut into samples as long as those it is compared with.

    At most `pieces` samples of `length` tokens, spread evenly over the text; each is judged after
    the `prompt_length` tokens before it, BOS in the place of the first.

    Raises:
        DataError: the text is too short for one piece.
        PromptError: a tokenizer cannot read it.
    """
    check_whole("length", length, 1, 2**20)
    check_whole("prompt_length", prompt_length, 1, 2**20)
    check_whole("pieces", pieces, 1, MAX_PIECES)
    tokens = tokenizer.encode(text)
    size = prompt_length - 1 + length
    count = min(pieces, len(tokens) // size)
    if count == 0:
        raise DataError(
            f"The human text has {len(tokens)} tokens, and a piece with its prompt needs {size}. "
            "Generate a shorter text, or compare with a longer one."
        )
    room = len(tokens) // count  # at least `size`, so pieces do not overlap
    cut = [tokens[i * room : i * room + size] for i in range(count)]
    sequences = [(tokenizer.bos_token, *piece) for piece in cut]
    starts = [prompt_length] * count
    own = judged(model, sequences, starts, tokenizer=tokenizer)
    theirs = judge.read(sequences, starts, tokenizer) if judge else None
    return _figures(sequences, starts, own, theirs, tokenizer)


def _figures(
    sequences: Sequence[Sequence[int]],
    starts: Sequence[int],
    own: Judgement,
    theirs: Judgement | None,
    tokenizer: Any,
) -> Figures:
    end = getattr(tokenizer, "eos_token", None)
    samples = [tokens[start:] for tokens, start in zip(sequences, starts, strict=True)]
    samples = [s[:-1] if s and s[-1] == end else s for s in samples]
    loops = [suffix_loop(tokens) for tokens in samples]
    return Figures(
        samples=len(samples),
        mean_length=mean(map(len, samples)),
        **_likelihoods(own),
        **_likelihoods(theirs or Judgement(()), "judge_"),
        **{f"distinct_{n}": distinct(samples, n) for n in (1, 2, 3)},
        self_bleu=self_bleu(samples),
        seq_rep_4=mean(seq_rep(tokens, 4) for tokens in samples),
        rep_16=mean(rep(tokens, 16) for tokens in samples),
        stuck=mean(loop.is_stuck for loop in loops),
        loop_length=mean(loop.length for loop in loops),
        zipf=zipf(samples),
    )


def _likelihoods(found: Judgement, who: str = "") -> dict[str, float | None]:
    return {
        f"{who}log_likelihood": mean(found.log_likelihoods),
        f"{who}perplexity": found.perplexity,
        f"{who}bits_per_token": found.bits_per_token,
        f"{who}bits_per_character": found.bits_per_character,
    }
