"""Paired, interleaved timing: both sides take turns, so a busy machine is busy for both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch

from playground.models.sharing import set_kernel_threads

Run = Callable[[], float]  # does the work once; returns its figure, such as tokens/s


@dataclass(frozen=True)
class Row:
    """One comparison; a ratio above 1 is always better for ours.

    The ratio is the median of the ratios of neighbouring runs, spread the distance of their
    quartiles over it: 0.1 means that half of the ratios lie within 10 % of each other.
    """

    task: str
    row: str
    unit: str
    ours: float  # medians
    peer: str
    theirs: float
    ratio: float
    spread: float
    runs: int
    threads: str  # ours/theirs, each at its best of those that were tried
    device: str

    def as_dict(self) -> dict:
        """Return the fields, figures rounded to four digits."""
        return {
            k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in asdict(self).items()
        }


@contextmanager
def threads(number: int, *, in_kernels: bool = False) -> Iterator[None]:
    """Give torch `number` threads for a while; with `in_kernels` our kernels, and torch one.

    The app does the latter: a second thread of torch only gets in the kernels' way.
    """
    before = torch.get_num_threads()
    kernels = set_kernel_threads(number if in_kernels else 1)
    torch.set_num_threads(1 if in_kernels else number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        set_kernel_threads(kernels)


def synchronize(device: str) -> None:
    """Wait until the device has done what was asked of it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: str) -> float:
    """Return how long `work` takes."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def interleave(runs: dict[object, Run], rounds: int) -> dict[object, list[float]]:
    """Warm each run up once, then let them take turns; every second round goes backwards."""
    for run in runs.values():
        run()
    found: dict[object, list[float]] = {key: [] for key in runs}
    for number in range(rounds):
        keys = list(runs)
        for key in keys[::-1] if number % 2 else keys:
            found[key].append(runs[key]())
    return found


def compare(
    ours: Run,
    theirs: Run,
    tried: Sequence[int],
    rounds: int,
    *,
    less_is_better: bool = False,
    in_kernels: Sequence[str] = (),
) -> dict:
    """Return the figures of a Row, each side at the thread count whose median is its best.

    `in_kernels` names the sides whose threads are our kernels'.
    """
    sides = {"ours": ours, "theirs": theirs}

    def with_threads(side: str, number: int) -> Run:
        def timed() -> float:
            with threads(number, in_kernels=side in in_kernels):
                return sides[side]()

        return timed

    found = interleave({(side, n): with_threads(side, n) for n in tried for side in sides}, rounds)
    pick = min if less_is_better else max
    best = {
        side: pick(tried, key=lambda n, side=side: statistics.median(found[side, n]))
        for side in sides
    }
    pairs = (found["ours", best["ours"]], found["theirs", best["theirs"]])
    used = f"{best['ours']}/{best['theirs']}"
    return paired(*pairs, less_is_better=less_is_better) | {"threads": used}


def paired(ours: Sequence[float], theirs: Sequence[float], *, less_is_better: bool = False) -> dict:
    """Return medians, ratio and spread of figures that were measured in turns."""
    ratios = [b / a if less_is_better else a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratio,) * 3
    return {
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "ratio": ratio,
        "spread": (high - low) / ratio,
        "runs": len(ratios),
    }
