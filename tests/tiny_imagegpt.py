"""A tiny random ImageGPT, and the folder that it would be on the Hub."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SIDE, N_CLUSTERS = 6, 20


def clusters() -> list[list[float]]:
    """Return colours from -1 to 1, no two alike."""
    return np.random.default_rng(0).uniform(-1, 1, (N_CLUSTERS, 3)).round(6).tolist()


@lru_cache(1)
def tiny_imagegpt() -> PreTrainedModel:
    """Return a random model of pictures of SIDE x SIDE pixels, the same each time."""
    from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

    with torch.random.fork_rng():
        torch.manual_seed(0)
        inner = ImageGPTForCausalImageModeling(
            ImageGPTConfig(
                vocab_size=N_CLUSTERS + 1, n_positions=SIDE**2, n_embd=32, n_layer=2, n_head=4
            )
        )
        for parameter in inner.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    return inner.eval()


def imagegpt_folder(folder: Path) -> Path:
    """Write the model as `transformers` does, and its processor as openai/imagegpt-small has it."""
    tiny_imagegpt().save_pretrained(folder)
    told = {"clusters": clusters(), "do_normalize": True, "do_resize": True, "size": SIDE}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder
