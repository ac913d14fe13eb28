"""Which optimizer takes which parameter, and in which precision a device is quicker."""

from __future__ import annotations

import time

import torch
from torch.nn import functional as F

from train.config import TrainingConfig


def build_optimizers(
    config: TrainingConfig, model: torch.nn.Module, outside: tuple[str, ...]
) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the model, AdamW for everything else.

    A parameter whose name has a word of `outside` is at the model's edge: a table, or the head.
    """
    inside = [
        p for n, p in model.named_parameters() if p.ndim == 2 and not any(o in n for o in outside)
    ]
    chosen = {id(p) for p in inside} if config.optimizer == "muon" else set()
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    if not chosen:
        return [adamw]
    muon = torch.optim.Muon(inside, lr=config.muon_rate, weight_decay=config.weight_decay)
    return [muon, adamw]


def is_bfloat16_faster(device: str, width: int) -> bool:
    """Time a product of the model's width in both precisions; on CUDA ask the device."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.ones(2048, width, dtype=dtype), torch.ones(4 * width, width, dtype=dtype)
        F.linear(x, weight)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            F.linear(x, weight)
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]
