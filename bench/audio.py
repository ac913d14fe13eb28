"""Sound: samples decided from queues beside a whole `forward` for each, same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional as F

from bench.decode import Options
from bench.image import choose
from bench.measure import Row, Run, compare, seconds_of
from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.models import FAMILIES
from playground.models.conditioned import as_drawn

LEVELS = 256
BEHIND = 1023  # samples that the naive loop reads for each: WaveNet's receptive field
TOLERANCE = 1e-4
FAMILY_SIZES = {
    "wavenet": {"channels": 64, "skip_channels": 64, "n_layer": 18, "dilation_cycle": 9},
    "samplernn": {},
}


def build(family: str, options: Options) -> torch.nn.Module:
    """Return a frozen model of seeded weights that float16 holds, as checkpoints are stored."""
    config_class, model_class = FAMILIES[family]
    torch.manual_seed(0)
    model = model_class(config_class(levels=LEVELS, **FAMILY_SIZES[family]))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.8 * parameter.shape[1] ** -0.5)
        parameter.data = parameter.data.half().float()
    return model.eval().requires_grad_(False).to(options.device)


@torch.inference_mode()
def largest_difference(model, device: str, count: int = 1500) -> float:
    """Return how far the logits of steps are from those of `forward` at most."""
    generator = torch.Generator(device).manual_seed(2)
    tokens = torch.randint(LEVELS, (1, count), generator=generator, device=device)
    tokens = F.pad(tokens, (1, 0), value=LEVELS)
    logits, _ = model.step_every(tokens, model.initial_state(1))
    return (logits - model.forward(tokens)).abs().max().item()


def bos(model) -> torch.Tensor:
    return torch.full((1, 1), LEVELS, device=next(model.parameters()).device)


@torch.inference_mode()
def naively(model, count: int) -> None:
    """Decide samples as a loop without queues does: by a pass over what is seen of the past."""
    generator = torch.Generator(bos(model).device).manual_seed(0)
    shape = (1, BEHIND + count)
    tokens = torch.randint(LEVELS, shape, generator=generator, device=generator.device)
    for t in range(BEHIND, BEHIND + count):
        logits = model.forward(tokens[:, t - BEHIND : t])[:, -1]
        tokens[:, t : t + 1] = choose(logits[:, :LEVELS], generator)


@torch.inference_mode()
def by_steps(model, count: int) -> None:
    """Decide samples by a call of `step` for each."""
    token, state = bos(model), model.initial_state(1)
    generator = torch.Generator(token.device).manual_seed(0)
    for _ in range(count):
        logits, state = model.step(token, state)
        token = choose(logits[:, :LEVELS], generator)


@torch.inference_mode()
def ahead(model, count: int) -> None:
    """Decide samples by one call."""
    uniforms = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model.sample_ahead(bos(model), model.initial_state(1), uniforms, 1.0)


def with_traces(model, count: int) -> None:
    """Decide samples as the page does, with a Step for each."""
    drawn = as_drawn(model, LEVELS)
    stepper = Stepper(drawn, "bench", [LEVELS], longest=count + 1, n_candidates=3)
    stepper.run_ahead(Lane(), count)


def samples_a_second(work: Callable, model, count: int, device: str) -> Run:
    return lambda: count / seconds_of(lambda: work(model, count), device)


def audio(options: Options) -> Iterator[Row]:
    """Samples a second of one sound; refuses to time steps that are not `forward`'s."""
    count, few = (64, 2) if options.is_quick else (8000, 24)
    for family in FAMILY_SIZES:
        model = build(family, options)
        if (off := largest_difference(model, options.device)) > TOLERANCE:
            raise AssertionError(f"{family}: steps are {off:.1e} off, more than {TOLERANCE}")
        torch_only = build(family, options).requires_grad_(True)  # kernels need weights at rest
        ways = {
            "with a trace": (with_traces, model, count),
            "by a call a sample": (by_steps, model, count // 4),
            "by torch alone": (by_steps, torch_only, count // 16),
        }
        if options.device == "cpu":
            ways = {"in one call": (ahead, model, count)} | ways
        naive = samples_a_second(naively, model, few, options.device)
        for name, (work, served, number) in ways.items():
            ours = samples_a_second(work, served, number, options.device)
            figures = compare(ours, naive, options.threads, options.rounds, in_kernels=("ours",))
            yield Row("audio", f"{family} {name}", "samples/s", peer="a forward a sample",
                      device=options.device, **figures)  # fmt: skip
