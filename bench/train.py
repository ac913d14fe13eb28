"""Training: tokens per second of a whole AdamW step, and peak memory, beside GPT-2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from bench import peers
from bench.decode import Options
from bench.measure import Row, Run, compare, paired, seconds_of

SIDES = {"ours": peers.ours, "theirs": peers.theirs}
BATCH_TOKENS = 3072  # of one step


def training_step(side: str, size: peers.Size, batch_size: int, device: str, precision: str):
    """Return a function that does one step: forward, loss, backward, AdamW.

    The peer is asked for logits as ours is, so that the loss is computed by the same code.
    """
    model = SIDES[side](size, device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(size.vocab_size, (batch_size, size.context_length + 1)).to(device)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=precision == "bf16"):
            logits = model(inputs) if side == "ours" else model(inputs, use_cache=False).logits
        F.cross_entropy(logits.float().flatten(0, 1), targets.flatten()).backward()
        optimizer.step()

    return step


def throughput(step, tokens: int, device: str) -> Run:
    """Tokens per second of a step."""
    return lambda: tokens / seconds_of(step, device)


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
        return [("tiny", peers.TINY, 1, "fp32")]
    sizes = [replace(peers.CHARACTERS, context_length=context) for context in (256, 512)]
    return [
        (f"{s.name}, context {s.context_length}, {precision}", s, BATCH_TOKENS // s.context_length,
         precision)
        for s in sizes
        for precision in ("fp32", "bf16")
    ]  # fmt: skip


def train(options: Options) -> Iterator[Row]:
    """Throughput of each context length and precision, then the memory of each."""
    device = options.device
    for name, size, batch_size, precision in shapes(options):
        tokens = batch_size * size.context_length
        ours, theirs = (
            throughput(training_step(side, size, batch_size, device, precision), tokens, device)
            for side in SIDES
        )
        figures = compare(ours, theirs, options.threads, options.rounds)
        yield Row("train", name, "tokens/s", peer=peers.GPT2, device=device, **figures)
    used = torch.get_num_threads()
    for name, size, batch_size, precision in shapes(options):
        arguments = [list(vars(size).values()), batch_size, device, precision]
        ours, theirs = (
            [peak_memory_mb([side, *arguments]) for _ in range(1 if options.is_quick else 2)]
            for side in SIDES
        )
        figures = paired(ours, theirs, less_is_better=True) | {"threads": f"{used}/{used}"}
        yield Row("train", f"{name}, memory", "MB", peer=peers.GPT2, device=device, **figures)


if __name__ == "__main__":  # one side, alone in its process
    print(measure_memory(*json.loads(sys.argv[1])))
