"""Pictures: a step from caches beside a whole `forward` for every pixel, same weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from bench.decode import Options
from bench.measure import Row, Run, compare, seconds_of
from playground.models import FAMILIES

LEVELS = 4
TOLERANCE = 1e-5
FAMILY_SIZES = {  # of 28x28 grey pictures
    "gated-pixelcnn": {"channels": 60, "n_layer": 8},
    "pixelcnn": {"channels": 128, "n_layer": 10},
    "row-lstm": {"channels": 64, "n_layer": 4},
    "diagonal-bilstm": {"channels": 48, "n_layer": 3},
}


def build(family: str, options: Options) -> torch.nn.Module:
    """Return a frozen model of seeded weights, large enough that a mistake would show."""
    side = 6 if options.is_quick else 28
    sizes = FAMILY_SIZES[family] | ({"channels": 12, "n_layer": 2} if options.is_quick else {})
    config_class, model_class = FAMILIES[family]
    torch.manual_seed(0)
    model = model_class(config_class(height=side, width=side, levels=LEVELS, **sizes))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return model.eval().requires_grad_(False).to(options.device)


def choose(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw one token (B, 1) of each row of logits (B, V)."""
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)


@torch.inference_mode()
def draw_cached(model, batch_size: int, generator: torch.Generator) -> torch.Tensor:
    """Draw pictures (B, T) by steps."""
    tokens = torch.full((batch_size, 1), LEVELS, device=generator.device)
    state, drawn = model.initial_state(batch_size), []
    for _ in range(model.context_length):
        logits, state = model.step(tokens, state)
        tokens = choose(logits, generator)
        drawn.append(tokens)
    return torch.cat(drawn, dim=1)


@torch.inference_mode()
def draw_naively(model, batch_size: int, generator: torch.Generator, pixels: list[int]) -> None:
    """Draw some of the pixels of pictures as a loop without caches does: by whole passes."""
    tokens = torch.full((batch_size, model.context_length + 1), LEVELS, device=generator.device)
    for t in pixels:
        logits = model.forward(tokens[:, :-1])[:, t]
        tokens[:, t + 1 : t + 2] = choose(logits, generator)


@torch.inference_mode()
def largest_difference(model, pictures: torch.Tensor) -> float:
    """Return how far the logits of steps are from those of `forward` at most."""
    inputs = F.pad(pictures[:, :-1], (1, 0), value=LEVELS)
    rows, state, furthest = model.forward(inputs), model.initial_state(len(pictures)), 0.0
    for t in range(inputs.shape[1]):
        logits, state = model.step(inputs[:, t : t + 1], state)
        furthest = max(furthest, (logits - rows[:, t]).abs().max().item())
    return furthest


def runs(model, batch_size: int, options: Options) -> tuple[Run, Run]:
    """Return the seconds of a batch of pictures by either way; the slow one draws a part."""
    generator = torch.Generator(options.device).manual_seed(0)
    total = model.context_length
    count = min(total, 4 if batch_size > 1 else 16)
    part = [total * i // count for i in range(count)]

    def cached() -> float:
        return seconds_of(lambda: draw_cached(model, batch_size, generator), options.device)

    def naive() -> float:
        work = seconds_of(lambda: draw_naively(model, batch_size, generator, part), options.device)
        return work * total / len(part)

    return cached, naive


def image(options: Options) -> Iterator[Row]:
    """Seconds of one picture and of sixteen; refuses to time steps that are not `forward`'s."""
    for family in FAMILY_SIZES:
        model = build(family, options)
        for batch_size in (1, 2) if options.is_quick else (1, 16):
            generator = torch.Generator(options.device).manual_seed(1)
            off = largest_difference(model, draw_cached(model, batch_size, generator))
            if off > TOLERANCE:
                raise AssertionError(f"{family}: steps are {off:.1e} off, more than {TOLERANCE}")
            cached, naive = runs(model, batch_size, options)
            figures = compare(cached, naive, options.threads, options.rounds, less_is_better=True)
            size = f"{model.config.n_layer}x{model.config.channels}"
            yield Row("image", f"{batch_size} x {family} {size}", "s", peer="a forward a pixel",
                      device=options.device, **figures)  # fmt: skip
