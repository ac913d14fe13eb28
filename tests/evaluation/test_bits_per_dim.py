"""Bits per dimension: of every picture, in any batch, with and without a class."""

import math

import pytest
import torch
from torch.nn import functional as F

from playground.checkpoints import load, read_config
from playground.data.images import load_pictures
from playground.errors import CheckpointError
from playground.evaluation import bits_per_dim as module
from playground.evaluation.bits_per_dim import (
    bits_of_pictures,
    bits_per_dim,
    percentiles_of,
    share_less_likely,
    surprisal_of_pictures,
)
from playground.models.super_resolution import SuperResolution, area_average
from tests.helpers import picture_model, random_tokens, shipped_folders


def test_it_is_the_cross_entropy_in_bits_in_batches_of_any_size(monkeypatch):
    model = picture_model("gated-pixelcnn", n_class=3)
    tokens = random_tokens(7, 42, vocab_size=5).to(torch.int16)
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    inputs = F.pad(tokens[:, :-1].long(), (1, 0), value=5)
    logits = model.forward(inputs, labels)
    nats = F.cross_entropy(logits.transpose(1, 2), tokens.long(), reduction="none")
    monkeypatch.setattr(module, "BATCH_TOKENS", 100)
    bits = surprisal_of_pictures(model, tokens, 5, labels)
    torch.testing.assert_close(bits, nats / math.log(2), rtol=1e-4, atol=1e-4)
    mean = bits_per_dim(model, tokens, 5, labels)
    assert mean == pytest.approx(bits.mean().item(), rel=1e-5)
    assert mean != pytest.approx(bits_per_dim(model, tokens, 5), rel=1e-5)
    torch.testing.assert_close(bits_of_pictures(model, tokens, 5, labels), bits.double().mean(1))


def test_the_share_of_less_likely_pictures_counts_those_that_need_more_bits():
    bits = torch.rand(5000, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 2
    percentiles = percentiles_of(bits)
    assert len(percentiles) == 101
    assert percentiles[0] == pytest.approx(bits.min().item(), abs=1e-4)
    assert percentiles[50] == pytest.approx(bits.median().item(), abs=1e-3)
    for asked in (0.0, 0.01, 0.3, 0.77, 0.99):
        counted = (bits > asked).double().mean().item()
        assert share_less_likely(percentiles, asked) == pytest.approx(counted, abs=0.01)
    assert share_less_likely(percentiles, 7.0) == 0
    assert share_less_likely(percentiles, -1.0) == 1
    assert share_less_likely(percentiles_of(torch.ones(3)), 1.0) == 0  # no more, no less


@pytest.mark.parametrize(
    "damage",
    [[], [0.5] * 100, [1.0, *[0.0] * 100], [math.nan] * 101, [10**400] * 101, [True] * 101, ["1"]],
)
def test_percentiles_of_a_damaged_checkpoint_are_refused(damage):
    with pytest.raises(CheckpointError, match="101 ascending numbers"):
        share_less_likely(damage, 0.5)


SHIPPED_IMAGES = shipped_folders("image")
MAX_SHIPPED_MB = 40


def test_shipped_image_models_are_small_together():
    files = [folder / "model.safetensors" for folder in SHIPPED_IMAGES]
    assert sum(file.stat().st_size for file in files) < MAX_SHIPPED_MB * 10**6


def test_shipped_image_models_are_as_good_as_their_cards_say():
    assert len(SHIPPED_IMAGES) >= 7
    for folder in SHIPPED_IMAGES:
        info = read_config(folder)["info"]
        for key in ("data", "licence", "source", "command", "test_bits_per_dim", "parameters"):
            assert key in info, folder.name
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert info["command"] in card
        assert f"**{info['test_bits_per_dim']}**" in card
        assert (folder / "samples.png").is_file()
        model, tokenizer = load(folder)
        pictures = load_pictures(
            info["pictures"], size=tokenizer.height, channels=tokenizer.channels
        )
        few = slice(0, 2000, 25)
        tokens = torch.tensor([tokenizer.encode(p) for p in pictures.test[few]])
        told = torch.from_numpy(pictures.test_labels[few]) if info["classes"] else None
        if isinstance(model, SuperResolution):
            told = torch.from_numpy(area_average(pictures.test[few], model.config.factor))
        found = bits_per_dim(model, tokens, tokenizer.bos_token, told)
        assert found < 1.15 * info["test_bits_per_dim"]  # of another choice of pictures
