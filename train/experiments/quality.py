"""Likelihood, diversity and repetition of what each way to decode writes, beside real text.

After Holtzman et al. 2020, arXiv:1904.09751, table 1: what is likeliest repeats itself, and human
text is less likely than it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from playground.checkpoints import load, read_config
from playground.comparison import Comparison
from playground.data.text import held_out_excerpt
from playground.decoding.presets import PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec

CHECKPOINT = Path("checkpoints/prose-bpe-transformer")
DATA = "prose-bpe-transformer: presidents' addresses and Moby-Dick, what it has not read"
PROMPTS, PROMPT_TOKENS, TOKENS = 12, 32, 128
REDUCED = {"prompts": 2, "tokens": 32}
NAMES = (
    "greedy", "beam search", "pure sampling", "temperature 0.7", "top-k 20", "nucleus 0.9",
    "min-p 0.1", "typical 0.9", "mirostat", "contrastive search", "repetition penalty",
)  # fmt: skip
MORE = tuple(
    LaneSpec(f"temperature {t}", processors=(Processor("temperature", t),)) for t in (0.5, 1.3)
)
FIGURES = ("perplexity", "distinct_2", "seq_rep_4", "rep_16", "stuck", "zipf", "mean_length")


@dataclass(frozen=True)
class Loaded:
    model: Any
    tokenizer: Any
    info: dict


@lru_cache(maxsize=1)
def loaded(name: str = "") -> Loaded:
    return Loaded(*load(CHECKPOINT), read_config(CHECKPOINT)["info"])


def prompts_of(count: int, length: int) -> list[tuple[list[int], list[int]]]:
    """Return (prompt, what people wrote after it) of places spread evenly over unread text."""
    tokens = loaded().tokenizer.encode(held_out_excerpt(CHECKPOINT))
    size = PROMPT_TOKENS + length
    starts = np.linspace(0, len(tokens) - size, count).astype(int)
    pieces = [tokens[start : start + size] for start in starts]
    return [(piece[:PROMPT_TOKENS], piece[PROMPT_TOKENS:]) for piece in pieces]


def measure(
    seeds: int, jobs: int, prompts: int = PROMPTS, tokens: int = TOKENS, told: Callable = print
) -> list[dict]:
    """Continue every prompt in every way; return a row for each, and one of the real text."""
    tokenizer, specs = loaded().tokenizer, [*(PRESETS[name] for name in NAMES), *MORE]
    rows, asked = [], prompts_of(prompts, tokens)
    parts = [specs[i : i + 7] for i in range(0, len(specs), 7)]  # a Comparison has 8 lanes
    for number, (prompt, real) in enumerate(asked):
        text = tokenizer.decode(prompt)
        for seed in range(seeds):
            for part in parts:
                run = Comparison(
                    part, text, model="model", load=loaded, seed=1000 * seed + number,
                    max_new_tokens=tokens,
                )  # fmt: skip
                while run.advance():
                    pass
                for result in run.results():
                    figures = run.figures(result).to_dict()
                    rows.append(_row(result.spec.label, number, seed, figures))
        real_text = tokenizer.decode([*prompt, *real])
        of_people = run.real_figures(real_text).to_dict()
        rows.append(_row("human", number, 0, of_people))
        told(number + 1, len(asked))
    return rows


def _row(label: str, prompt: int, seed: int, figures: dict) -> dict:
    kept = {name: figures[name] for name in FIGURES}
    kept = {k: round(v, 5) if isinstance(v, float) else v for k, v in kept.items()}
    return {"strategy": label, "prompt": prompt, "seed": seed, **kept}
