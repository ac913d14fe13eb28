"""What happens to a model that reads what it has written itself: exposure bias.

It was trained on true prefixes only. Measured are the surprisal of its own text and of true text
by position, under itself and under a 6-gram that never reads its own; and how long a single wrong
token is felt: KL between what it expects after the true prefix and after one that was flipped.
Ranzato et al. 2016, arXiv:1511.06732; Bengio et al. 2015, arXiv:1506.03099.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from playground.checkpoints import load
from playground.data.text import load_corpus
from train.experiments.families import STEPS
from train.experiments.helps import run_of
from train.experiments.runs import train_all
from train.text import cut_of

JUDGE = Path("checkpoints/zoo-ngram-6")
VARIANTS = ("scheduled sampling off", "scheduled sampling on")
LENGTH, BEGINNING = 127, 16  # tokens of a text, and those of them that are given
WINDOWS, FLIPPED_AT, FELT = 192, 64, 50
DATA = "King James Bible, the last 5 % held out"
REDUCED = {"steps": 40, "windows": 16}


def measure(
    seeds: int, jobs: int, steps: int = STEPS, windows: int = WINDOWS, told: Callable = print
) -> list[dict]:
    """Return rows of what: "own" and "true" (bits by position), "flip" (KL in bits by distance)."""
    runs = {(name, s): run_of(name, s, steps) for s in range(seeds) for name in VARIANTS}
    train_all(list(runs.values()), jobs, told)
    judge, _ = load(JUDGE)
    text = load_corpus("king-james").text
    held_out, rows = text[cut_of(text, 0.05) :], []
    for (name, seed), run in runs.items():
        model, tokenizer = load(run.folder)
        tokens = torch.tensor(tokenizer.encode(held_out))
        starts = np.linspace(0, len(tokens) - LENGTH, windows).astype(int)
        true = torch.stack([tokens[start : start + LENGTH] for start in starts])
        own = continued(model, true[:, :BEGINNING], tokenizer.bos_token, seed)
        about = {"variant": name, "seed": seed}
        for what, texts in (("own", own), ("true", true)):
            for by, reader in (("itself", model), ("6-gram", judge)):
                bits = surprisal(reader, texts, tokenizer.bos_token)[:, BEGINNING:].mean(0)
                rows += [
                    about | {"what": what, "by": by, "position": BEGINNING + i, "bits": value}
                    for i, value in _binned(bits)
                ]
        felt = divergence(model, true, tokenizer.bos_token, seed)
        rows += [
            about | {"what": "flip", "distance": i + 1, "bits": round(float(value), 5)}
            for i, value in enumerate(felt)
        ]
    return rows


def _binned(bits: torch.Tensor, size: int = 8) -> list[tuple[int, float]]:
    """Return (first place, mean) of every `size` places."""
    return [
        (i, round(float(bits[i : i + size].mean()), 4))
        for i in range(0, len(bits) - size + 1, size)
    ]


@torch.inference_mode()
def continued(model, beginning: torch.Tensor, bos: int, seed: int) -> torch.Tensor:
    """Return texts (B, LENGTH) that begin so and go on as the model samples them."""
    generator = torch.Generator().manual_seed(seed)
    read = F.pad(beginning, (1, 0), value=bos)
    logits, state = model.step(read, model.initial_state(len(read)))
    tokens = list(beginning.unbind(1))
    while len(tokens) < LENGTH:
        tokens.append(torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0])
        logits, state = model.step(tokens[-1][:, None], state)
    return torch.stack(tokens, dim=1)


@torch.inference_mode()
def surprisal(model, texts: torch.Tensor, bos: int) -> torch.Tensor:
    """Return the surprisal in bits of every token of texts (B, T)."""
    logits = model.forward(F.pad(texts[:, :-1], (1, 0), value=bos)).float()
    return F.cross_entropy(logits.transpose(1, 2), texts, reduction="none") / math.log(2)


@torch.inference_mode()
def divergence(model, texts: torch.Tensor, bos: int, seed: int) -> torch.Tensor:
    """Return KL(after the true prefix, after the flipped one) in bits at FELT places behind it."""
    generator = torch.Generator().manual_seed(seed)
    flipped = texts.clone()
    letters = torch.unique(texts)
    drawn = letters[torch.randint(len(letters), (len(texts),), generator=generator)]
    flipped[:, FLIPPED_AT] = drawn
    changed = drawn != texts[:, FLIPPED_AT]
    both = [
        model.forward(F.pad(t[changed], (1, 0), value=bos))[:, FLIPPED_AT + 1 :].log_softmax(-1)
        for t in (texts, flipped)
    ]
    kl = (both[0].exp() * (both[0] - both[1])).sum(-1) / math.log(2)
    return kl[:, :FELT].mean(0)
