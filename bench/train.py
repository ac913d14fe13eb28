"""Training: tokens per second of a whole step, and peak memory, beside GPT-2.

A step of either side: gradients to None, forward, loss, backward, the norm of the gradient cut to
1, fused AdamW. Ours is what `train/text.py` does with `--optimizer adamw`: its loss, its optimizer.
The peer is trained as transformers does it, `model(inputs, labels=...)` under autocast, once with
torch's fused attention ("sdpa") and once with plain products ("eager"); the faster one stands in
the row, and its memory. Neither side has dropout; both are given random tokens.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.functional import pad

from bench import peers
from bench.decode import Options
from bench.families import descend, text_families
from bench.measure import Row, Run, interleave, paired, seconds_of, threads
from bench.validation import validation_row
from train.optimizers import build_optimizers
from train.text import OUTSIDE, Config, next_token_loss

PEERS = ("sdpa", "eager")  # GPT-2's ways to attend
SIDES = ("ours", *PEERS)
BATCH_TOKENS = 3072  # of one step


def losses(side: str, size: peers.Size, batch_size: int, device: str, precision: str):
    """Return a side's model, its optimizer, and a function that computes its loss."""
    tokens = torch.randint(size.vocab_size, (batch_size, size.context_length)).to(device)
    if side == "ours":
        model = peers.ours(size, device).train()
        inputs = pad(tokens[:, :-1], (1, 0))
        [optimizer] = build_optimizers(Config(optimizer="adamw"), model, OUTSIDE)
        return model, optimizer, lambda: next_token_loss(model, inputs, tokens, precision)
    model = peers.theirs(size, device).train()
    model.set_attn_implementation(side)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), fused=True)

    def loss() -> torch.Tensor:
        is_short = precision == "bfloat16"
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=is_short):
            return model(tokens, labels=tokens, use_cache=False).loss

    return model, optimizer, loss


def training_step(
    side: str, size: peers.Size, batch_size: int, device: str, precision: str
) -> Callable[[], None]:
    """Return a function that does one step of a side, as told at the top."""
    model, optimizer, loss = losses(side, size, batch_size, device, precision)
    return lambda: descend(model, optimizer, loss)


def throughput(step: Callable[[], None], tokens: int, number: int, device: str) -> Run:
    """Tokens per second of a step on so many threads."""

    def run() -> float:
        with threads(number):
            return tokens / seconds_of(step, device)

    return run


def peak_memory_mb(arguments: list) -> float:
    """Return the memory a side's training adds to its process at the most, in MB."""
    command = [sys.executable, "-m", "bench.train", json.dumps(arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def resident_mb(field: str) -> float:
    """Return VmRSS (memory now) or VmHWM (its peak) of this process; Linux alone tells.

    `ru_maxrss` will not do: a child starts with its parent's.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def measure_memory(side: str, size: list, batch_size: int, device: str, precision: str) -> float:
    """Train three steps in this process; return the peak above what was there before, in MB."""
    training_step(side, peers.TINY, 1, device, precision)()  # imports and torch's own buffers
    is_cuda = device.startswith("cuda")
    if is_cuda:
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = torch.cuda.memory_allocated() / 1e6 if is_cuda else resident_mb("VmRSS")
    step = training_step(side, peers.Size(*size), batch_size, device, precision)
    for _ in range(3):
        step()
    after = torch.cuda.max_memory_allocated() / 1e6 if is_cuda else resident_mb("VmHWM")
    return after - before


def shapes(options: Options) -> list[tuple[str, peers.Size, int, str]]:
    """Return name, size, batch size and precision of everything to be trained."""
    if options.is_quick:
        return [("tiny", peers.TINY, 1, "float32")]
    sizes = [replace(peers.CHARACTERS, context_length=context) for context in (256, 512)]
    return [
        (f"{s.name}, context {s.context_length}, {precision}", s, BATCH_TOKENS // s.context_length,
         precision)
        for s in sizes
        for precision in ("float32", "bfloat16")
    ]  # fmt: skip


def train(options: Options) -> Iterator[Row]:
    """The families of text, throughput of each context length and precision, memory, and loss."""
    yield from text_families(options)
    device = options.device
    for name, size, batch_size, precision in shapes(options):
        steps = {s: training_step(s, size, batch_size, device, precision) for s in SIDES}
        tokens = batch_size * size.context_length
        runs = {
            (side, number): throughput(step, tokens, number, device)
            for number in options.threads
            for side, step in steps.items()
        }
        found = interleave(runs, options.rounds)
        ours, theirs = (
            max(
                (key for key in found if key[0] in sides), key=lambda k: statistics.median(found[k])
            )
            for sides in (SIDES[:1], PEERS)
        )
        facts = {"peer": f"{peers.GPT2}, {theirs[0]}", "device": device}
        facts["threads"] = f"{ours[1]}/{theirs[1]}"
        yield Row("train", name, "tokens/s", **paired(found[ours], found[theirs]), **facts)

        arguments = [list(vars(size).values()), batch_size, device, precision]
        used = [
            [peak_memory_mb([side, *arguments]) for _ in range(1 if options.is_quick else 2)]
            for side in (ours[0], theirs[0])
        ]
        facts["threads"] = f"{torch.get_num_threads()}/{torch.get_num_threads()}"
        figures = paired(*used, less_is_better=True)
        yield Row("train", f"{name}, memory", "MB", **figures, **facts)
    yield validation_row(options)


if __name__ == "__main__":  # one side, alone in its process
    print(measure_memory(*json.loads(sys.argv[1])))
