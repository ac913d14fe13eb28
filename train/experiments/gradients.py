"""How far back a recurrent network learns: the gradient of a prediction against the distance.

Bengio et al. 1994; Pascanu et al. 2013, arXiv:1211.5063; Hochreiter & Schmidhuber 1997.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from playground.checkpoints import load
from playground.data.text import load_corpus
from playground.models import RecurrentConfig
from playground.models.recurrent import Recurrent
from train.experiments.families import STEPS, flags_of
from train.experiments.runs import Run, train_all
from train.loop import seed_of
from train.text import cut_of

CELLS = ("rnn", "gru", "lstm")
DISTANCES = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 127)
WINDOWS, LENGTH = 64, 128
DATA = "King James Bible, the last 5 % held out"
REDUCED = {"steps": 40, "windows": 8}


def measure(
    seeds: int, jobs: int, steps: int = STEPS, windows: int = WINDOWS, told: Callable = print
) -> list[dict]:
    """Return the mean gradient norm at each distance, fresh and trained, of every cell and seed."""
    runs = {(cell, s): Run(flags_of(cell, s, steps)) for s in range(seeds) for cell in CELLS}
    train_all(list(runs.values()), jobs, told)
    text = load_corpus("king-james").text
    held_out, rows = text[cut_of(text, 0.05) :], []
    for (cell, seed), run in runs.items():
        model, tokenizer = load(run.folder)
        tokens = torch.tensor(tokenizer.encode(held_out))
        starts = np.linspace(0, len(tokens) - LENGTH, windows).astype(int)
        batch = torch.stack([tokens[start : start + LENGTH] for start in starts])
        for state, measured in (("trained", model), ("fresh", _fresh(cell, model, seed))):
            rows += [
                {"cell": cell, "seed": seed, "state": state, "distance": d, "norm": norm}
                for d, norm in zip(
                    DISTANCES, norms(measured, batch, tokenizer.bos_token), strict=True
                )
            ]
    return rows


def _fresh(cell: str, model, seed: int) -> Recurrent:
    """Return a network of the same size before training."""
    c = model.config
    torch.manual_seed(seed_of(seed, "weights"))
    sizes = {"n_layer": c.n_layer, "n_embd": c.n_embd, "n_hidden": c.n_hidden}
    return Recurrent(RecurrentConfig(c.vocab_size, cell, **sizes)).eval()


def norms(model, batch: torch.Tensor, bos: int) -> list[float]:
    """Return |d log p(last token) / d embedding| at each of DISTANCES, mean of a batch (B, T)."""
    read = F.pad(batch[:, :-1], (1, 0), value=bos)
    embedded = model.embed(read).detach().requires_grad_()
    logits = model.forward_embedded(embedded)[:, -1]
    loss = F.cross_entropy(logits, batch[:, -1], reduction="sum")
    (gradient,) = torch.autograd.grad(loss, embedded)
    lengths = gradient.norm(dim=-1).mean(0)  # (T,); the last one is at distance 1
    return [float(f"{lengths[-d]:.6g}") for d in DISTANCES]
