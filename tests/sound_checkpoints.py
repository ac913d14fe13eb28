"""Small models of sound as checkpoints on disk, for what reads them from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from playground.checkpoints import save
from playground.data.sounds import write_examples
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


def examples() -> list[np.ndarray]:
    """Three sounds (T_i,), which fade: two tones and noise."""
    time = np.arange(1200) / TOKENIZER.sample_rate
    fade = np.exp(-12 * time)
    noise = np.random.default_rng(0).uniform(-1, 1, 800)
    sounds = [np.sin(2 * np.pi * 110 * time), noise, np.sin(2 * np.pi * 990 * time)]
    return [(0.6 * s * fade[: len(s)]).astype(np.float32) for s in sounds]


def write_checkpoint(folder: Path, family: str = "wavenet", **sizes) -> Path:
    """Write a small model of sound; `n_class=3` gives it CLASSES, `alphabet` words to speak."""
    lengths = write_examples(folder, examples(), TOKENIZER.sample_rate)
    info = {
        "modality": "audio",
        "classes": list(CLASSES) if sizes.get("n_class") else [],
        "examples": {"lengths": lengths, "labels": [0, 1, 2], "texts": list(CLASSES)},
        "test_sounds": 3,
        "test_bits_per_sample": 5.0,
        "test_bits_percentiles": [0.1 * n for n in range(101)],
    }
    save(folder, sound_model(family, **sizes), TOKENIZER, info=info)
    return folder
