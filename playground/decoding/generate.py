"""A Run as a stream of Steps, or as one whole Trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from playground.decoding.lane import Lane
from playground.decoding.run import Run
from playground.models.base import ARModel
from playground.traces.trace import Step, Trace


@torch.inference_mode()
def generate(
    model: ARModel, prompt: Sequence[int], lanes: Sequence[Lane], **options
) -> Iterator[tuple[Step | None, ...]]:
    """Yield one Step a lane for each new position; None for a lane that has ended.

    `options` are those of `Run`, which also gives whole Traces. To stop, stop iterating.

    Raises:
        ContextFullError: the context is full and `slide` is off.
        PromptError: the prompt is empty, too long or of other tokens.
    """
    yield from Run(model, prompt, lanes, **options)


def generate_trace(
    model: ARModel, name: str, prompt: Sequence[int], lane: Lane, **options
) -> Trace:
    """Run one lane to its end and return its Trace; `options` are those of `Run`."""
    run = Run(model, prompt, [lane], **options)
    for _ in run:
        pass
    return run.trace(0, name)
