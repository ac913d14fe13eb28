"""What a model of one sort of text knows of another: at once, and after k steps of fine-tuning.

Every model reads bytes, so that all have the same tokens; bits are told per character.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from playground.checkpoints import load
from playground.data.text import load_corpus
from train.experiments.runs import Run, train_all
from train.loop import seed_of
from train.text import Windows, bits_per_char, encode, next_token_loss

CORPORA = ("moby-dick", "state-of-the-union", "king-james", "python-source", "german")
BYTES = 258  # 256 bytes, the end and the start of a document
STEPS, TUNED = 300, (0, 10, 30, 100)  # steps of training, and of fine-tuning
RATE, LENGTH, BATCH = 1e-3, 128, 32
JUDGED = 40_000  # tokens of what is held out
DATA = "Five corpora, the last 5 % of each held out"
REDUCED = {"steps": 40, "tuned": (0, 5), "corpora": ("moby-dick", "king-james")}


def run_of(corpus: str, seed: int, steps: int) -> Run:
    return Run(
        f"--data {corpus} --vocab-size {BYTES} --family transformer --n-layer 4 --n-head 4 "
        f"--n-embd 64 --steps {steps} --eval-every {steps} --warmup 40 --seed {seed}"
    )


def measure(
    seeds: int,
    jobs: int,
    steps: int = STEPS,
    tuned: tuple = TUNED,
    corpora: tuple = CORPORA,
    told: Callable = print,
) -> list[dict]:
    """Return the bits per character of every model on every corpus after each number of steps."""
    runs = {(name, s): run_of(name, s, steps) for s in range(seeds) for name in corpora}
    train_all(list(runs.values()), jobs, told)
    _, tokenizer = load(next(iter(runs.values())).folder)
    held = {name: encode(load_corpus(name), tokenizer, 0.05) for name in corpora}
    rows = []
    for done, ((source, seed), run) in enumerate(runs.items()):
        for target in corpora:
            for count, bits in tune(run, held[target], tuned, seed, is_own=source == target):
                rows.append(
                    {
                        "trained_on": source, "read": target, "seed": seed, "steps": count,
                        "bits_per_char": round(bits, 4),
                    }
                )  # fmt: skip
        told(done + 1, len(runs))
    return rows


def tune(run: Run, of_target: tuple, counts: tuple, seed: int, is_own: bool):
    """Yield (steps, bits per character) of a model that goes on learning from another text."""
    model, tokenizer = load(run.folder)
    train_tokens, held_out, characters = of_target
    model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    windows = Windows(train_tokens, LENGTH, BATCH, seed_of(seed, "tune"))
    for step in range(max(counts) + 1):
        if step in counts:
            judged = bits_per_char(model, held_out, characters, tokenizer.bos_token, JUDGED)
            yield step, judged
        if is_own or step == max(counts):
            break  # what it was trained on it need not learn again
        targets = windows.batch(step)
        inputs = F.pad(targets[:, :-1], (1, 0), value=tokenizer.bos_token)
        loss = next_token_loss(model, inputs, targets, "float32")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
