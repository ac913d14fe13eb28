"""Small models of sound as checkpoints on disk, for what reads them from there."""

from __future__ import annotations

from pathlib import Path

import torch

from playground.checkpoints import save
from playground.models import FAMILIES
from playground.tokenizers.audio import AudioTokenizer

CLASSES = ("kick", "snare", "bell")
ALPHABET = "abcdefghijklmnopqrstuvwxyz "
TOKENIZER = AudioTokenizer()
WAVENET = {"channels": 8, "skip_channels": 8, "n_layer": 4, "dilation_cycle": 3}


def sound_model(family: str = "wavenet", seed: int = 0, **sizes) -> torch.nn.Module:
    """A small model of 256 levels, untrained, with weights that are large enough to matter."""
    config_class, model_class = FAMILIES[family]
    sizes = (WAVENET if family == "wavenet" else {}) | sizes
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(config_class(**sizes))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def write_checkpoint(folder: Path, family: str = "wavenet", **sizes) -> Path:
    """Write a small model of sound; `n_class=3` gives it CLASSES, `alphabet` words to speak."""
    info = {"modality": "audio", "classes": list(CLASSES) if sizes.get("n_class") else []}
    save(folder, sound_model(family, **sizes), TOKENIZER, info=info)
    return folder
