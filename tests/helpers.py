"""Small models that are built in a moment, and the same in every test."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from playground.checkpoints import load
from playground.models import (
    FAMILIES,
    LSTM,
    LSTMConfig,
    NGram,
    Transformer,
    TransformerConfig,
)
from playground.models.conditioned import Conditioned
from playground.models.ngram import fit_ngram

ROOT = Path(__file__).resolve().parent.parent
VOCAB_SIZE = 23
CONTEXT_LENGTH = 40
PICTURE = {"height": 6, "width": 7, "levels": 5, "channels": 32, "n_layer": 3}
COLOUR = {"height": 4, "width": 4, "colors": 3, "channels": 48}
SOUND = {  # small sizes of the families of sounds
    "samplernn": {
        "levels": 22,
        "frame_size": 4,
        "n_embd": 6,
        "n_hidden": 12,
        "n_condition": 5,
        "n_mlp": 10,
    },
    "wavenet": {
        "levels": 22,
        "channels": 12,
        "skip_channels": 9,
        "n_layer": 5,
        "dilation_cycle": 3,
    },
}


def random_tokens(*shape: int, seed: int = 0, vocab_size: int = VOCAB_SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocab_size, shape, generator=generator)


def with_weights(model: torch.nn.Module, seed: int = 1, scale: float = 0.25) -> torch.nn.Module:
    """Give `model` weights that are large enough for every part of it to matter."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = 1 + 0.1 * noise if "norm" in name else scale * noise
    return model.eval().requires_grad_(False)


def transformer(
    positions: str = "rotary", context_length: int = CONTEXT_LENGTH, n_embd: int = 24, **sizes
) -> Transformer:
    sizes = {"vocab_size": VOCAB_SIZE, "n_layer": 2, "n_head": 3} | sizes
    config = TransformerConfig(
        context_length=context_length, n_embd=n_embd, positions=positions, **sizes
    )
    return with_weights(Transformer(config))


def text_model(family: str, seed: int = 1, scale: float = 0.25, **sizes) -> torch.nn.Module:
    """A small model of tokens, with weights that are large enough to matter."""
    config_class, model_class = FAMILIES[family]
    return with_weights(model_class(config_class(VOCAB_SIZE, **sizes)), seed, scale)


def lstm(n_layer: int = 2) -> LSTM:
    config = LSTMConfig(VOCAB_SIZE, n_layer=n_layer, n_embd=12, n_hidden=20)
    return with_weights(LSTM(config))


def ngram(order: int = 4, seed: int = 2) -> NGram:
    """Counts of a stream in which some tokens are far more common than others."""
    rare = random_tokens(3000, seed=seed)
    common = random_tokens(3000, seed=seed + 1, vocab_size=4)
    coin = random_tokens(3000, seed=seed + 2, vocab_size=3)
    return fit_ngram(torch.where(coin == 0, rare, common), VOCAB_SIZE, order)


@dataclass(frozen=True)
class Newest:
    """The newest token (B,) of B prefixes, as a State."""

    token: torch.Tensor
    length: int

    def select(self, rows: torch.Tensor) -> Newest:
        return Newest(self.token[rows], self.length)


class Chain(torch.nn.Module):
    """A Markov chain with the probabilities that a test writes down, p(column | row)."""

    context_length = None

    def __init__(self, probs: Sequence[Sequence[float]]):
        super().__init__()
        self.register_buffer("logits", torch.tensor(probs, dtype=torch.float64).log().float())
        self.vocab_size = len(probs)

    def forward(self, tokens: torch.Tensor, condition=None) -> torch.Tensor:
        return self.logits[tokens]

    def initial_state(self, batch_size: int, condition=None) -> Newest:
        return Newest(torch.zeros(batch_size, dtype=torch.int64), 0)

    def step(self, tokens: torch.Tensor, state: Newest) -> tuple[torch.Tensor, Newest]:
        newest = Newest(tokens[:, -1], state.length + tokens.shape[1])
        return self.logits[newest.token], newest

    def step_every(self, tokens: torch.Tensor, state: Newest) -> tuple[torch.Tensor, Newest]:
        return self.logits[tokens], self.step(tokens, state)[1]


def picture_model(family: str, seed: int = 1, scale: float = 0.25, **sizes) -> torch.nn.Module:
    """A small model of grey 6x7 pictures, with weights that are large enough to matter."""
    config_class, model_class = FAMILIES[family]
    return with_weights(model_class(config_class(**PICTURE | sizes)), seed, scale)


def sound_model(family: str, seed: int = 1, scale: float = 0.25, **sizes) -> torch.nn.Module:
    """A small model of sounds, with weights that are large enough to matter."""
    config_class, model_class = FAMILIES[family]
    return with_weights(model_class(config_class(**SOUND[family] | sizes)), seed, scale)


ENLARGED = {"height": 6, "width": 8, "factor": 2, "conditioner_channels": 6, "n_block": 1}


def small_picture(model: torch.nn.Module, *count: int, seed: int = 0) -> torch.Tensor:
    """Return small pictures (*count, h, w, colors) of bytes that `model` enlarges."""
    return random_tokens(*count, *model.config.small_shape, seed=seed, vocab_size=256)


def enlarging(seed: int = 0, **sizes) -> Conditioned:
    """A small super-resolution model that is told a small picture."""
    model = picture_model("super-resolution", **ENLARGED | sizes)
    return Conditioned(model, small_picture(model, seed=seed))


def influence(model, row: int, column: int, color: int = 0) -> np.ndarray:
    """Return which values (H, W, colors) have a gradient on one value's logits, in any draw."""
    c = model.config
    found = np.zeros((c.height, c.width, c.colors), bool)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        shape = (1, c.height, c.width, model.n_features)
        values = torch.randn(shape, generator=generator, requires_grad=True)
        logits = model.picture_logits(values)[0, row, column, color]
        weights = torch.randn(logits.shape, generator=generator)
        (gradient,) = torch.autograd.grad((logits * weights).sum(), values)
        found |= (gradient[0].unflatten(-1, (c.colors, -1)) != 0).any(-1).numpy()
    return found


def pixels_before(model, row: int, column: int) -> np.ndarray:
    """Return the pixels (H, W) that precede one in raster order."""
    c = model.config
    number = np.arange(c.height * c.width).reshape(c.height, c.width)
    return number < row * c.width + column


def shipped_folders(modality: str = "text") -> list[Path]:
    """Return the checkpoints of a modality, as their tokenizers tell it."""
    found = []
    for path in (ROOT / "checkpoints").glob("*/config.json"):
        kind = json.loads(path.read_text(encoding="utf-8"))["tokenizer"]["type"]
        if modality == (kind if kind in ("image", "audio") else "text"):
            found.append(path.parent)
    return sorted(found)


MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "ngram-1": lambda: ngram(1),
    "ngram-2": lambda: ngram(2),
    "ngram-4": lambda: ngram(4),
    "lstm-1": lambda: lstm(1),
    "lstm-2": lambda: lstm(2),
    "transformer-rotary": lambda: transformer("rotary"),
    "transformer-learned": lambda: transformer("learned"),
    "transformer-sinusoidal": lambda: transformer("sinusoidal"),
    "transformer-alibi": lambda: transformer("alibi"),
    "transformer-one-head": lambda: transformer(n_head=1, n_layer=1, n_embd=64),
    "neural-ngram": lambda: text_model("neural-ngram", order=5, n_embd=12, n_hidden=20),
    "neural-ngram-2": lambda: text_model("neural-ngram", order=2, direct=False),
    "causal-conv": lambda: text_model("causal-conv", channels=24, n_layer=4, dilation_cycle=3),
    "recurrent-rnn": lambda: text_model("recurrent", cell="rnn", n_layer=2, n_hidden=20),
    "recurrent-gru-residual": lambda: text_model(
        "recurrent", cell="gru", n_layer=2, n_hidden=20, connection="residual"
    ),
    "recurrent-lstm-highway-norm": lambda: text_model(
        "recurrent", cell="lstm", n_layer=2, n_hidden=20, connection="highway", layer_norm=True
    ),
}

PICTURE_MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "pixelcnn": lambda: picture_model("pixelcnn"),
    "pixelcnn-colour": lambda: picture_model("pixelcnn", **COLOUR),
    "pixelcnn-wide-kernel": lambda: picture_model("pixelcnn", kernel_size=5),
    "pixelcnn-faulty": lambda: picture_model("pixelcnn", faulty_mask=True),
    "gated-pixelcnn": lambda: picture_model("gated-pixelcnn"),
    "gated-pixelcnn-colour": lambda: picture_model("gated-pixelcnn", n_class=3, **COLOUR),
    "gated-pixelcnn-dilated": lambda: picture_model("gated-pixelcnn", n_layer=4, dilation_cycle=3),
    "pixelcnn-mixture": lambda: picture_model("pixelcnn", head="logistic_mixture", levels=9),
    "gated-pixelcnn-mixture": lambda: picture_model(
        "gated-pixelcnn", head="logistic_mixture", n_mixtures=3, **COLOUR
    ),
    "row-lstm": lambda: picture_model("row-lstm"),
    "row-lstm-colour": lambda: picture_model("row-lstm", **COLOUR),
    "row-lstm-wide-kernel": lambda: picture_model("row-lstm", kernel_size=5, n_layer=2),
    "diagonal-bilstm": lambda: picture_model("diagonal-bilstm"),
    "diagonal-bilstm-colour": lambda: picture_model("diagonal-bilstm", **COLOUR),
    "super-resolution": lambda: picture_model("super-resolution", **ENLARGED),
    "gated-pixelcnn-classes": lambda: picture_model("gated-pixelcnn", n_class=4, channels=16),
}

TOLD_MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "super-resolution-told": enlarging,
    "super-resolution-colour-told": lambda: enlarging(colors=3, levels=4, channels=12),
}

SOUND_MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "samplernn": lambda: sound_model("samplernn"),
    "samplernn-deep": lambda: sound_model("samplernn", n_layer=2, frame_size=3),
    "wavenet": lambda: sound_model("wavenet"),
    "wavenet-wide-kernel": lambda: sound_model("wavenet", kernel_size=3, channels=40),
    "wavenet-classes": lambda: sound_model("wavenet", n_class=4),
    "wavenet-texts": lambda: sound_model("wavenet", alphabet="abc ", hop=4),
}

SHIPPED: dict[str, Callable[[], torch.nn.Module]] = {
    folder.name: (lambda folder=folder: load(folder)[0])
    for modality in ("text", "image", "audio")
    for folder in shipped_folders(modality)
}
