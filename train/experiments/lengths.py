"""Loss by position, within the trained length and beyond it; time and memory of a step by length.

Positions beyond the trained length: Press et al. 2022, arXiv:2108.12409 (ALiBi against others).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from playground.checkpoints import load
from playground.data.text import load_corpus
from playground.inspection.cache import held
from playground.models import Transformer
from train.text import cut_of

FAMILIES = (
    "ngram-6", "neural-ngram", "rnn", "gru", "lstm", "causal-conv", "transformer-learned",
    "transformer-sinusoidal", "transformer-rotary", "transformer-alibi",
)  # fmt: skip
DATA = "King James Bible, the last 5 % held out; the zoo, trained on windows of 256"
SEEDS = 1  # what is shipped was trained once
TRAINED, LONGEST = 256, 1024
WINDOWS = 48
EDGES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384, 512, 768, 1024)
LENGTHS = (16, 64, 128, 255, 512, 1000)
REDUCED = {"windows": 4, "names": ("ngram-6", "gru", "transformer-alibi")}


def longer(model, length: int):
    """Return the model with room for `length` tokens, None where it has none by construction."""
    if not isinstance(model, Transformer):
        return model
    if model.config.positions == "learned":
        return None
    wide = Transformer(replace(model.config, context_length=length))
    wide.load_state_dict(model.state_dict())
    return wide.eval().requires_grad_(False)


def measure(
    seeds: int, jobs: int, windows: int = WINDOWS, names: tuple = FAMILIES, told: Callable = print
) -> list[dict]:
    """Return rows of what: "loss" (bits by position) and "step" (seconds and bytes by length)."""
    text = load_corpus("king-james").text
    held_out = text[cut_of(text, 0.05) :]
    rows = []
    for done, name in enumerate(names):
        model, tokenizer = load(Path("checkpoints") / f"zoo-{name}")
        tokens = torch.tensor(tokenizer.encode(held_out))
        starts = np.linspace(0, len(tokens) - LONGEST, windows).astype(int)
        targets = torch.stack([tokens[start : start + LONGEST] for start in starts])
        wide = longer(model, LONGEST)
        length = LONGEST if wide is not None else TRAINED
        rows += _losses(name, wide or model, targets[:, :length], tokenizer.bos_token)
        rows += _steps(name, wide or model, targets[0, :length], tokenizer.bos_token)
        told(done + 1, len(names))
    return rows


@torch.inference_mode()
def _losses(name: str, model, targets: torch.Tensor, bos: int) -> list[dict]:
    """Return the mean surprisal of each range of positions, and its interval over the windows."""
    inputs = F.pad(targets[:, :-1], (1, 0), value=bos)
    parts = zip(inputs.split(8), targets.split(8), strict=True)
    bits = torch.cat(
        [
            F.cross_entropy(model.forward(i).float().transpose(1, 2), t, reduction="none")
            for i, t in parts
        ]
    ).numpy() / math.log(2)  # (windows, T)
    generator = np.random.default_rng(0)
    found = []
    for low, high in pairwise(EDGES):
        if high > bits.shape[1]:
            break
        of_windows = bits[:, low:high].mean(1)
        drawn = generator.choice(of_windows, (1000, len(of_windows))).mean(1)
        found.append(
            {
                "what": "loss", "family": name, "first": low, "last": high - 1,
                "bits": round(float(of_windows.mean()), 4),
                "low": round(float(np.quantile(drawn, 0.025)), 4),
                "high": round(float(np.quantile(drawn, 0.975)), 4),
            }
        )  # fmt: skip
    return found


@torch.inference_mode()
def _steps(name: str, model, tokens: torch.Tensor, bos: int) -> list[dict]:
    """Time one more token after prefixes of several lengths, from the State and from nothing."""
    read, found = torch.cat((torch.tensor([bos]), tokens))[None], []
    for length in LENGTHS:
        if length >= read.shape[1]:
            break
        _, state = model.step(read[:, :length], model.initial_state(1))
        token = read[:, length : length + 1]
        with_state = _fastest(lambda state=state, token=token: model.step(token, state))
        whole = read[:, : length + 1]
        without = _fastest(lambda whole=whole: model.forward(whole), 5)
        found.append(
            {
                "what": "step", "family": name, "length": length,
                "ms_with_state": round(1e3 * with_state, 4),
                "ms_without": round(1e3 * without, 4),
                "state_bytes": held(state).used,
            }
        )  # fmt: skip
    return found


def _fastest(call: Callable[[], object], times: int = 100) -> float:
    """Return the seconds of the fastest of several calls, which others disturb least."""
    call()
    best = math.inf
    for _ in range(times):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
