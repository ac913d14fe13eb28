"""How much memory there is, and how much a model takes of it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from playground.errors import CheckpointError

ONE_MODEL = 0.5  # of all memory: what one may take in float32
SHARE = 0.9  # of what is free: the rest is for what is computed
OVERHEAD = 1.1  # beside the weights: buffers, and the tensor that is being converted
GB = 2**30


def available(device: str = "cpu") -> int:
    """Return the bytes that can be had now, as the system tells; within a container its own."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    free = _physical("MemAvailable:", "SC_AVPHYS_PAGES")
    for limit, used, cache in _limits():
        free = min(free, limit - used + cache)
    return max(free, 0)


def total() -> int:
    """Return the bytes of memory of this machine, or of the container that this runs in."""
    return min([_physical("MemTotal:", "SC_PHYS_PAGES"), *(limit for limit, *_ in _limits())])


def choose_dtype(
    parameters: int, stored_bytes: int, device: str = "cpu"
) -> tuple[torch.dtype, int]:
    """Return the type to compute in and the bytes it takes, for weights stored in so many bytes.

    On a CPU that is float32, in which a matrix product of one row is exact and no slower than
    memory allows; weights stored in 16 bits have a copy in these beside it, which the kernels
    read, and are computed in bfloat16 alone where float32 is too large for the machine, whatever
    is free just now: the same model gives the same numbers every day. On a GPU they stay so.
    """
    is_half = stored_bytes <= parameters * 3
    full = int(parameters * (6 if is_half and device == "cpu" else 4) * OVERHEAD)
    half = int(parameters * 2 * OVERHEAD)
    if is_half and (device != "cpu" or full > total() * ONE_MODEL):
        return torch.bfloat16, half
    return torch.float32, full


def check_room(title: str, needed: int, device: str = "cpu") -> None:
    """Compare what a model takes with what can be had.

    Raises:
        CheckpointError: it is too large.
    """
    free = available(device)
    if needed > free * SHARE:
        raise CheckpointError(
            f"{title} takes {told(needed)} of memory (parameters x bytes of each x "
            f"{OVERHEAD:g}); {told(free)} are free here, of which {SHARE:.0%} are used. "
            "Choose a smaller model, or close what else is running."
        )


def told(num_bytes: float) -> str:
    """Return a size as a person reads it."""
    large = num_bytes >= GB / 10
    return f"{num_bytes / GB:.2f} GB" if large else f"{num_bytes / 2**20:.2f} MB"


def _physical(line: str, name: str) -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(text.split()[1]) * 1024 for text in lines if text.startswith(line))
    except (OSError, StopIteration, ValueError, IndexError):  # not Linux
        try:
            return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):  # macOS does not tell what is free
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _limits() -> list[tuple[int, int, int]]:
    """Return (limit, in use, of that the cache of files) of the container, if it has a limit."""
    found = []
    for limit, used, stat, name in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
         "total_inactive_file"),
    ):  # fmt: skip
        root = Path("/sys/fs/cgroup")
        try:
            values = [int((root / file).read_text()) for file in (limit, used)]  # or "max"
            lines = (root / stat).read_text().splitlines()
        except (OSError, ValueError):
            continue
        cache = next((int(text.split()[1]) for text in lines if text.startswith(name + " ")), 0)
        if values[0] < 2**50:  # what "no limit" is called there
            found.append((*values, cache))
    return found
