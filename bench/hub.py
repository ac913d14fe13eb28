"""A model of the Hub, SmolLM2-135M: decoding with a full trace, a look inside, loading.

Its weights are published as bfloat16. The copy at hand was rounded to 4 bits and written out as
float32, which 16 bits do not hold; rows of "bfloat16" have them rounded once more, and so are what
the published ones would be: computed with in float32 on our side, whichever is faster on theirs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.decode import BOTH, PRECISIONS, Options, beside_best
from bench.measure import Row, Run, compare, paired, seconds_of
from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy
from playground.inspection.attention import overview
from playground.models.llama_kernel import KIND
from playground.models.llama_stepping import lay_out
from playground.models.packing import packed
from playground.models.pretrained import PretrainedLM
from playground.models.vector_code import FLOAT32

ROOT = Path(__file__).resolve().parent.parent
NAME = "SmolLM2-135M"
PROMPT = [1, 504, 3575, 282, 260]  # BOS and four words
LOAD = """
import sys, time
start = time.perf_counter()
import torch
{imports}
for _ in range(2):
    {load}
    print(time.perf_counter() - start)
    start = time.perf_counter()
"""
OURS = {
    "imports": "from pathlib import Path\nfrom playground.hub.load import load_pretrained",
    "load": "model, _ = load_pretrained(Path(sys.argv[1])); "
    "model.step(torch.tensor([[1]]), model.initial_state(1))",
}
THEIRS = {
    "imports": "from transformers import AutoModelForCausalLM, AutoTokenizer",
    "load": "model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32); "
    "AutoTokenizer.from_pretrained(sys.argv[1]); model(torch.tensor([[1]]))",
}


def hub(options: Options) -> Iterator[Row]:
    """Decode beside `generate`, tell attention beside `output_attentions`, load twice."""
    with tempfile.TemporaryDirectory() as place:
        folder = model_folder(options, Path(place))
        yield from decoding(folder, options)
        yield from attention(folder, options)
        yield from loading(folder, options)


def model_folder(options: Options, place: Path) -> Path:
    """Return the folder of the model, that of a tiny one where it is only shown that it runs."""
    if options.is_quick:
        from tests.tiny_models import tiny_folder

        return tiny_folder("llama", place / "tiny")
    from tests.smollm import smollm_folder

    return smollm_folder()


def theirs(folder: Path, dtype: torch.dtype = torch.float32, **options: Any) -> torch.nn.Module:
    """Return the model of transformers, which goes on however likely the end is."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options).eval()
    model.generation_config.eos_token_id = None
    return model


def ours(folder: Path, rounded_to: torch.dtype = torch.float32) -> PretrainedLM:
    """Return our model of the same folder, weights rounded to what a type holds."""
    inner = theirs(folder).requires_grad_(False)
    for parameter in inner.parameters():
        parameter.copy_(parameter.to(rounded_to))
    return PretrainedLM(inner)


def eager(folder: Path) -> PretrainedLM:
    """Return our model where no kernel serves it: one that could be trained."""
    model = ours(folder)
    model.inner.requires_grad_(True)
    return model


def our_stepping(model: PretrainedLM, tokens: int, device: str) -> Run:
    """Tokens per second of a Stepper, which keeps a full Trace: candidates, ranks, entropies."""
    prompt, lane = [token % model.vocab_size for token in PROMPT], Lane(Greedy())

    def run() -> float:
        stepper = Stepper(model, NAME, prompt)

        def work() -> None:
            for _ in range(tokens):
                stepper.step(lane)

        return tokens / seconds_of(work, device)

    return run


def their_decoding(model: torch.nn.Module, tokens: int, device: str) -> Run:
    """Tokens per second of greedy `generate`, which records nothing else."""
    prompt = torch.tensor([[token % model.config.vocab_size for token in PROMPT]])
    options = {"attention_mask": torch.ones_like(prompt), "do_sample": False, "use_cache": True}

    def work() -> None:
        model.generate(prompt, max_new_tokens=1 + tokens, **options)  # the first by the prompt

    return lambda: (1 + tokens) / seconds_of(work, device)


def decoding(folder: Path, options: Options) -> Iterator[Row]:
    """Full traces beside `generate` without any, batch 1, and how fast weights come in."""
    tokens = 4 if options.is_quick else 32
    kernels = {name: ours(folder, dtype) for name, dtype in PRECISIONS.items()}
    peers = {name: theirs(folder, dtype) for name, dtype in PRECISIONS.items()}
    generates = {n: their_decoding(peer, tokens, options.device) for n, peer in peers.items()}
    sides = {
        f"{NAME} {name}, full trace": (
            our_stepping(model, tokens, options.device),
            generates if name == "bfloat16" else {name: generates[name]},
        )
        for name, model in kernels.items()
    }
    for row, (run, against) in sides.items():
        figures = beside_best(run, against, options)
        figures["peer"] = f"generate, {figures['peer']}, no trace"
        yield Row("hub", row, "tokens/s", device=options.device, **figures)
    by_torch = our_stepping(eager(folder), tokens, options.device)
    figures = compare(by_torch, generates["float32"], options.threads, options.rounds)
    yield Row("hub", f"{NAME} float32, full trace, eager", "tokens/s",
              peer="generate, float32, no trace", device=options.device, **figures)  # fmt: skip
    for name, model in kernels.items():
        figures = compare(
            our_reading(model, tokens, options.device), their_reading(model, options),
            options.threads, options.rounds, in_kernels=("ours",),
        )  # fmt: skip
        yield Row("hub", f"weights through a step, {name}", "GB/s", peer="torch.sum of as many",
                  device=options.device, **figures)  # fmt: skip


def bytes_of_a_step(model: PretrainedLM) -> int:
    """Return how many bytes of weights a step reads: every matrix once."""
    plan = packed(model.inner, lay_out).plan
    linears = [m for m in model.inner.modules() if isinstance(m, torch.nn.Linear)]
    return sum(m.weight.numel() for m in linears) * (4 if plan[KIND] == FLOAT32 else 2)


def our_reading(model: PretrainedLM, tokens: int, device: str) -> Run:
    """Return GB/s at which weights come in, by whole steps without a trace."""
    token, size = torch.ones(1, 1, dtype=torch.int64), bytes_of_a_step(model) / 1e9

    def run() -> float:
        def work() -> None:
            state = model.initial_state(1)
            for _ in range(tokens):
                _, state = model.step(token, state)

        return size * tokens / seconds_of(work, device)

    return run


def their_reading(model: PretrainedLM, options: Options) -> Run:
    """Return GB/s at which as many bytes are only added up: what memory allows."""
    values = torch.ones(bytes_of_a_step(model) // 4)
    return lambda: values.nbytes / 1e9 / seconds_of(values.sum, options.device)


def attention(folder: Path, options: Options) -> Iterator[Row]:
    """Seconds until it is known where one position looks, and every head of every layer."""
    length = 16 if options.is_quick else 512
    model, peer = ours(folder), theirs(folder, attn_implementation="eager")
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.vocab_size, (1, length), generator=generator)
    prefix = tokens[0].tolist()

    @torch.inference_mode()
    def their_maps() -> None:
        found = peer(tokens, output_attentions=True, logits_to_keep=1)
        torch.stack([layer[:, :, -1] for layer in found.attentions])

    state = model.step(tokens, model.initial_state(1))[1]
    looks = {
        f"attention of position {length}": lambda: model.attention_rows(tokens, length - 1),
        f"layers x heads at {length}, prefix unread": lambda: overview(model, prefix),
        f"layers x heads at {length}, prefix read": lambda: overview(model, prefix, state),
    }
    for row, look in looks.items():
        figures = compare(
            lambda look=look: seconds_of(look, options.device),
            lambda: seconds_of(their_maps, options.device),
            options.threads, options.rounds, less_is_better=True,
        )  # fmt: skip
        yield Row("hub", row, "s", peer="output_attentions, eager", device=options.device,
                  **figures)  # fmt: skip


def loading(folder: Path, options: Options) -> Iterator[Row]:
    """Seconds from nothing to the first step in a new process, and those of the next time."""
    number = options.threads[-1]
    rounds = 1 if options.is_quick else 3
    scripts = {"ours": LOAD.format(**OURS), "theirs": LOAD.format(**THEIRS)}
    found: dict[str, list[list[float]]] = {side: [] for side in BOTH}
    for _ in range(rounds):
        for side in BOTH:
            found[side].append(seconds_to_load(scripts[side], folder))
    for at, row in enumerate(("load, new process", "load, again")):
        pairs = ([times[at] for times in found[side]] for side in BOTH)
        yield Row("hub", f"{row}, first step", "s", peer="from_pretrained, forward",
                  threads=f"{number}/{number}", device=options.device,
                  **paired(*pairs, less_is_better=True))  # fmt: skip


def seconds_to_load(script: str, folder: Path) -> list[float]:
    """Return how long a new Python takes to load the model, and to load it once more."""
    command = [sys.executable, "-W", "ignore", "-c", script, str(folder)]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [float(line) for line in told.split()]
