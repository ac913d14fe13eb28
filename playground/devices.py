"""Where models can compute: which devices there are, which is best, how much memory is in use."""

from __future__ import annotations

from pathlib import Path

import torch

from playground.errors import ConfigError


def available_devices() -> list[str]:
    """Return the names of the devices here, the best first: CUDA, MPS, then the CPU."""
    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def check_device(name: str) -> str:
    """Return the device of that name; "" is the best there is, "cuda" the first of its kind.

    Raises:
        ConfigError: it is not on this machine.
    """
    known = available_devices()
    if not name:
        return known[0]
    name = "cuda:0" if name == "cuda" else name
    if name not in known:
        raise ConfigError(
            f"There is no device {name[:40]!r} here; there is {', '.join(known)}. Choose one."
        )
    return name


def describe_device(name: str) -> str:
    """Return what a person calls the device."""
    if name.startswith("cuda"):
        return f"{torch.cuda.get_device_name(name)} ({name})"
    return {"cpu": "CPU", "mps": "Apple GPU (mps)"}[name]


def memory_in_use(name: str) -> int:
    """Return the bytes of tensors on a GPU, or of this whole process on the CPU; 0 if unknown."""
    if name.startswith("cuda"):
        return torch.cuda.memory_allocated(name)
    if name == "mps":
        return torch.mps.current_allocated_memory()
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # only Linux tells
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0)
