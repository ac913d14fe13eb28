"""What the helps of `train.text` cost: the held-out loss of a Tiny GPT, beside the plain loop's.

Both see the same windows in the same order from the same first weights, seed by seed, and take
the same steps of AdamW; ours in bfloat16 where that is faster, the other in float32.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional as F

from bench import peers
from bench.decode import Options
from bench.families import BATCH_SIZE, LOOP, TINY_GPT, descend
from bench.kills import TEXT
from bench.measure import Row, paired
from bench.plain import plain
from playground.data.text import load_corpus
from train.optimizers import build_optimizers, is_bfloat16_faster
from train.schedules import learning_rate_scale
from train.text import (
    OUTSIDE,
    Config,
    Windows,
    bits_per_char,
    build_tokenizer,
    encode,
    next_token_loss,
)  # fmt: skip

SEEDS, STEPS, WARMUP = 3, 150, 20
HELD_OUT, JUDGED = 0.05, 50_000  # share of the text, and tokens of it that are read


def validation_row(options: Options) -> Row:
    """Return held-out bits per character after so many steps; needs the King James text."""
    config = Config(optimizer="adamw")
    corpus = load_corpus(str(TEXT) if options.is_quick else "king-james")
    tokenizer = build_tokenizer(config, corpus)
    train_tokens, held_out, characters = encode(corpus, tokenizer, HELD_OUT)
    size = replace(peers.TINY if options.is_quick else TINY_GPT, vocab_size=tokenizer.vocab_size)
    seeds, steps = (1, 4) if options.is_quick else (SEEDS, STEPS)
    is_short = is_bfloat16_faster(options.device, size.n_embd)
    precision = "bfloat16" if is_short else "float32"

    def trained(side: str, seed: int) -> float:
        model = peers.ours(size, options.device, seed).train()
        [optimizer] = build_optimizers(config, model, OUTSIDE)
        windows = Windows(train_tokens, size.context_length, BATCH_SIZE, seed)
        for step in range(steps):
            scale = learning_rate_scale(step, steps, WARMUP)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * scale
            targets = windows.batch(step).to(options.device)
            inputs = F.pad(targets[:, :-1], (1, 0), value=tokenizer.bos_token)
            if side == "ours":
                loss = partial(next_token_loss, model, inputs, targets, precision)
            else:
                loss = partial(_plain_loss, model, inputs, targets)
            descend(model, optimizer, loss)
        return bits_per_char(model, held_out, characters, tokenizer.bos_token, JUDGED)

    ours, theirs = ([trained(side, s) for s in range(seeds)] for side in ("ours", "theirs"))
    name = f"Tiny GPT after {steps} steps, {precision}, held out"
    figures = paired(ours, theirs, less_is_better=True)
    used = f"{torch.get_num_threads()}/{torch.get_num_threads()}"
    return Row("train", name, "bits/char", peer=LOOP, device=options.device, threads=used,
               **figures)  # fmt: skip


def _plain_loss(model, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(plain(model)(inputs).flatten(0, 1), targets.flatten())
