"""The families of text models: a training loop, forward passes and steps, beside plain ones."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional as F

from bench import peers
from bench.decode import Options
from bench.measure import Row, Run, compare, seconds_of
from bench.plain import plain
from playground.models.transformer import POSITIONS
from playground.running.families import FAMILIES
from train.config import parse_config
from train.families import build
from train.optimizers import build_optimizers, is_bfloat16_faster
from train.text import OUTSIDE, Config, next_token_loss

VOCAB_SIZE = 84  # characters of a novel
LENGTH = 256  # tokens before the step that is timed, and of a forward pass
STEPS, BATCH_SIZE = 16, 12
LOOP = "a plain float32 loop"
TINY_GPT = replace(peers.CHARACTERS, context_length=256)  # 4 layers x 256


def text_families(options: Options) -> Iterator[Row]:
    """One loop of a Tiny GPT, then `step` and `forward` of every family."""
    yield training_loop(options)
    size = "small" if options.is_quick else "medium"
    for name, flags in asked(options):
        torch.manual_seed(0)
        config = parse_config(Config, ["--family", name, *shlex.split(flags[size])])
        model = build(config, VOCAB_SIZE).to(options.device).eval().requires_grad_(False)
        title = " ".join([name, *flags.get("with", "").split()[1:]])
        yield step_row(model, title, options)
        yield forward_row(model, title, options)


def asked(options: Options) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each family that has weights, and its flags by size; Transformers by positions."""
    for name, family in FAMILIES.items():
        if name == "ngram":
            continue
        kinds = POSITIONS if name == "transformer" else ("",)
        for kind in kinds[: 1 if options.is_quick else None]:
            more = f" --positions {kind}" if kind else ""
            length = f" --context-length {LENGTH + STEPS + 1}"
            flags = {size: told.flags + more + length for size, told in family.sizes.items()}
            yield name, flags | ({"with": more.strip()} if more else {})


def training_loop(options: Options) -> Row:
    """Return tokens per second of what `train.text` does, beside a loop without its helps."""
    size = peers.TINY if options.is_quick else TINY_GPT
    batch, width = 2 if options.is_quick else BATCH_SIZE, size.n_embd
    tokens = torch.randint(size.vocab_size, (batch, size.context_length)).to(options.device)
    inputs = F.pad(tokens[:, :-1], (1, 0))
    precision = "bfloat16" if is_bfloat16_faster(options.device, width) else "float32"

    def our_loss(model) -> torch.Tensor:
        return next_token_loss(model, inputs, tokens, precision)

    def their_loss(model) -> torch.Tensor:
        logits = plain(model)(inputs)
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    ours, theirs = (peers.ours(size, options.device).train() for _ in range(2))
    [our_optimizer] = build_optimizers(Config(optimizer="adamw"), ours, OUTSIDE)
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=2e-3, betas=(0.9, 0.98))
    figures = compare(
        _loop(ours, our_optimizer, our_loss, tokens.numel(), options.device),
        _loop(theirs, their_optimizer, their_loss, tokens.numel(), options.device),
        options.threads, options.rounds,
    )  # fmt: skip
    name = f"Tiny GPT {size.n_layer}x{size.n_embd}, context {size.context_length}, {precision}"
    return Row("train", name, "tokens/s", peer=LOOP, device=options.device, **figures)


def _loop(model, optimizer, loss: Callable, count: int, device: str) -> Run:
    step = partial(descend, model, optimizer, partial(loss, model))
    return lambda: count / seconds_of(step, device)


def descend(model, optimizer, loss: Callable[[], torch.Tensor]) -> None:
    """Take one step of training, its gradient cut to a norm of 1."""
    optimizer.zero_grad(set_to_none=True)
    loss().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@torch.inference_mode()
def step_row(model, title: str, options: Options) -> Row:
    """Return tokens per second of steps behind LENGTH tokens, beside a forward pass for each."""
    length = 48 if options.is_quick else LENGTH
    tokens = torch.randint(VOCAB_SIZE, (1, length + STEPS), device=options.device)
    _, behind = model.step(tokens[:, :length], model.initial_state(1))

    def steps() -> None:
        state = behind
        for i in range(length, length + STEPS):
            _, state = model.step(tokens[:, i : i + 1], state)

    @torch.inference_mode()
    def ours() -> float:
        return STEPS / seconds_of(steps, options.device)

    @torch.inference_mode()
    def theirs() -> float:
        return 1 / seconds_of(lambda: model(tokens[:, : length + 1])[:, -1], options.device)

    figures = compare(ours, theirs, options.threads, options.rounds)
    name = f"{title}, a step behind {length}"
    return Row("train", name, "tokens/s", peer="its own forward", device=options.device, **figures)


def forward_row(model, title: str, options: Options) -> Row:
    """Return tokens per second of a forward pass, beside the plain one of the same weights."""
    rows, length = (2, 48) if options.is_quick else (8, LENGTH)
    tokens = torch.randint(VOCAB_SIZE, (rows, length), device=options.device)
    other = plain(model)

    def run(forward) -> Run:
        @torch.no_grad()
        def timed() -> float:
            return tokens.numel() / seconds_of(lambda: forward(tokens), options.device)

        return timed

    figures = compare(run(model), run(other), options.threads, options.rounds)
    name = f"{title}, forward {rows}x{length}"
    return Row("train", name, "tokens/s", peer="plain PyTorch", device=options.device, **figures)
