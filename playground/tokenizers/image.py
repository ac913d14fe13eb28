"""Pictures to tokens and back: pixel after pixel in some order, the colours of a pixel in turn.

A token is a brightness, one of `levels` equal parts of 0..255; BOS comes after them. Whatever
somebody uploads goes through `prepare`, which looks at the size that a file claims before a
decoder takes memory for it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from playground.errors import (
    CheckpointError,
    ConfigError,
    PlaygroundError,
    PromptError,
    check_whole,
)
from playground.tokenizers.orders import ORDERS, pixels_in_order

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 2**24  # of an upload: 64 MB with four channels
MAX_SHAPE = 16  # times as long as wide
MAX_SIDE = 512  # of a picture that a model draws
MAX_DIMENSIONS = 2**16  # tokens of one picture
MAX_SEED = 2**32 - 1
MODES = {1: "L", 3: "RGB"}  # channels: Pillow's name
REDUCED = "Reduced from 16 bits to 8 a value."
NEXT_STEP = "Save it as a PNG or JPEG of the usual kind and try again."


@dataclass(frozen=True)
class Prepared:
    """An upload as the model sees it, and what was done to it."""

    pixels: np.ndarray  # (H, W, channels) uint8
    notes: tuple[str, ...]


class ImageTokenizer:
    """One token a brightness, `levels` of them, then BOS.

    `order`, one of ORDERS, says which pixel is decided when; `order_seed` chooses the permutation
    of the order `random`.
    """

    eos_token = None

    def __init__(
        self,
        height: int,
        width: int,
        channels: int = 1,
        levels: int = 256,
        order: str = "raster",
        order_seed: int = 0,
    ):
        check_whole("height", height, 1, MAX_SIDE)
        check_whole("width", width, 1, MAX_SIDE)
        check_whole("levels", levels, 2, 256)
        if channels not in MODES or isinstance(channels, bool):
            raise CheckpointError(
                f"A picture must have 1 channel (grey) or 3 (red, green, blue), got {channels!r}. "
                "Use another checkpoint."
            )
        if height * width * channels > MAX_DIMENSIONS:
            raise CheckpointError(
                f"A picture of {width}x{height} pixels and {channels} channels is longer than "
                f"{MAX_DIMENSIONS} tokens. Use another checkpoint."
            )
        if order not in tuple(ORDERS):  # a list or a dictionary can be looked for in a tuple only
            raise ConfigError(f"order must be one of {', '.join(ORDERS)}, got {order!r}.")
        check_whole("order_seed", order_seed, 0, MAX_SEED)
        self.height, self.width, self.channels, self.levels = height, width, channels, levels
        self.order, self.order_seed = order, order_seed if order == "random" else 0
        self.bos_token = levels
        self.vocab_size = levels + 1
        # Equal parts of 0..255, each shown by a value of its own part, the ends by 0 and 255.
        self._values = np.array([-(-255 * q // (levels - 1)) for q in range(levels)], np.uint8)
        first = self.pixels_in_order[:, None] * channels
        # Where the value of each token (size,) stands in the picture, laid out (H, W, channels).
        self.places = (first + np.arange(channels)).ravel()
        self._indices = np.argsort(self.places)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and colours of a picture as an array."""
        return (self.height, self.width, self.channels)

    @property
    def size(self) -> int:
        """Tokens of a whole picture, BOS not counted."""
        return self.height * self.width * self.channels

    @property
    def pixels_in_order(self) -> np.ndarray:
        """Row-major numbers (H * W,) of the pixels in the order in which they are decided."""
        return pixels_in_order(self.order, self.height, self.width, self.order_seed)

    def quantise(self, pixels: np.ndarray) -> np.ndarray:
        """Return the levels of an array of bytes."""
        return (pixels.astype(np.int64) * self.levels) >> 8

    def encode(self, picture: np.ndarray | Image.Image) -> list[int]:
        """Return the tokens of a picture, `size` of them.

        Raises:
            PromptError: it is not of this model's size and kind; `prepare` makes it so.
        """
        if isinstance(picture, Image.Image):
            picture = np.asarray(picture.convert(MODES[self.shape[2]]))
        pixels = np.asarray(picture)
        shape = self.shape
        fits = pixels.shape == shape or (shape[2] == 1 and pixels.shape == shape[:2])
        if not fits or pixels.dtype != np.uint8:
            raise PromptError(
                f"This model draws {self.width}x{self.height} pixels of {shape[2]} channel(s) "
                f"in bytes, got an array {pixels.shape} of {pixels.dtype}. Resize the picture "
                "first."
            )
        return self.quantise(pixels).ravel()[self.places].tolist()

    def decode(self, tokens: Sequence[int], unknown: int = 0) -> np.ndarray:
        """Return the picture (H, W, channels) of `tokens`, BOS left out.

        What they do not reach, wherever it is, is filled with the value `unknown`.
        """
        known = [token for token in tokens if 0 <= token < self.levels][: self.size]
        pixels = np.full(self.size, unknown, np.uint8)
        pixels[self.places[: len(known)]] = self._values[np.array(known, np.int64)]
        return pixels.reshape(self.height, self.width, self.channels)

    def to_image(self, tokens: Sequence[int], unknown: int = 0) -> Image.Image:
        """Return the same as a Pillow image."""
        pixels = self.decode(tokens, unknown)
        return Image.fromarray(pixels[:, :, 0] if self.shape[2] == 1 else pixels)

    def position(self, index: int) -> tuple[int, int, int]:
        """Return the row, column and channel of the picture's token number `index`."""
        pixel, channel = divmod(int(self.places[index]), self.channels)
        return (*divmod(pixel, self.width), channel)

    def index(self, row: int, column: int, channel: int = 0) -> int:
        """Return the number of the token at a place of the picture: `position` backwards."""
        return int(self._indices[(row * self.width + column) * self.channels + channel])

    def label(self, token: int) -> str:
        """Return a short name of one token: its level, from 0 to the brightest."""
        return "⟨start⟩" if token == self.bos_token else str(token)

    def value(self, token: int) -> int:
        """Return the brightness 0..255 that a token is shown with."""
        return int(self._values[token])

    def to_json(self) -> dict:
        order = {} if self.order == "raster" else {"order": self.order}  # as before there were more
        if self.order == "random":
            order["order_seed"] = self.order_seed
        return {
            "type": "image",
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "levels": self.levels,
        } | order

    @classmethod
    def from_json(cls, data: dict) -> ImageTokenizer:
        """Return the tokenizer that wrote `data` with `to_json`.

        Raises:
            CheckpointError: it is not such a dictionary.
        """
        try:
            order = {name: data[name] for name in ("order", "order_seed") if name in data}
            sizes = (data[name] for name in ("height", "width", "channels", "levels"))
            return cls(*sizes, **order)
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"The image tokenizer is damaged ({type(error).__name__}: {error}). Use another "
                "checkpoint."
            ) from error
        except CheckpointError:
            raise
        except PlaygroundError as error:
            raise CheckpointError(f"The image tokenizer is damaged: {error}") from error

    def prepare(self, data: bytes, background: int = 255) -> Prepared:
        """Turn the bytes of an image file into a picture that `encode` takes.

        What is see-through shows `background`, a grey value.

        Raises:
            PromptError: the file is no picture, damaged, too large or too long and thin.
        """
        image, notes = open_bounded(data)
        mode = MODES[self.shape[2]]
        if image.mode != mode:
            notes += convert_notes(image, background)
            image = flatten(image, background).convert(mode)
        if image.size != (self.width, self.height):
            before = image.size
            image = ImageOps.fit(image, (self.width, self.height), Image.Resampling.LANCZOS)
            cut = before[0] * self.height != before[1] * self.width
            notes.append(
                f"Resized from {before[0]}x{before[1]} to {self.width}x{self.height} pixels"
                + (", its middle only." if cut else ".")
            )
        pixels = np.asarray(image, np.uint8).reshape(self.shape)
        return Prepared(pixels, tuple(notes))


def open_bounded(data: bytes) -> tuple[Image.Image, list[str]]:
    """Return the decoded first frame of an image file, upright, and notes on what was left out.

    Raises:
        PromptError: see `ImageTokenizer.prepare`.
    """
    if not data:
        raise PromptError(f"The file is empty: it has 0 bytes, a picture has some. {NEXT_STEP}")
    if len(data) > MAX_BYTES:
        raise PromptError(
            f"The file has {len(data) / 2**20:.1f} MB; at most {MAX_BYTES >> 20} MB are read. "
            "Save the picture smaller."
        )
    notes = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)  # reads the header alone
        width, height = image.size
        check_claimed_size(width, height)
        if not image.mode.startswith("I") and any(";16B" in str(part[3]) for part in image.tile):
            notes.append(REDUCED)  # by the decoder
        if getattr(image, "n_frames", 1) > 1:
            notes.append(f"Only the first of {image.n_frames} frames was taken.")
            image.seek(0)
        image.load()
        upright = ImageOps.exif_transpose(image)
    except PromptError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PromptError(
            f"The picture claims to be too large: at most {MAX_PIXELS:,} pixels are read "
            f"({error}). Save it smaller."
        ) from error
    except Image.UnidentifiedImageError as error:
        raise PromptError(
            f"The file is not a picture, whatever its name says: {len(data):,} bytes that are none "
            f"of {', '.join(FORMATS)}. {NEXT_STEP}"
        ) from error
    except Exception as error:  # decoders fail in a dozen ways; all of them mean a damaged file
        raise PromptError(
            f"The picture is damaged or cut short: {len(data):,} bytes, and its decoder says "
            f"{str(error) or type(error).__name__!r}. {NEXT_STEP}"
        ) from error
    if upright.size != image.size:
        notes.append("Turned upright, as the camera noted.")
    return upright, notes


def check_claimed_size(width: int, height: int) -> None:
    """Raise PromptError if a picture of this size is not to be decoded."""
    if width * height > MAX_PIXELS:
        raise PromptError(
            f"The picture claims {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are read. "
            "Save it smaller."
        )
    if max(width, height) > MAX_SHAPE * min(width, height):
        raise PromptError(
            f"The picture is {width:,} x {height:,} pixels; one side may be at most {MAX_SHAPE} "
            "times the other. Crop it to the part that matters."
        )


def flatten(image: Image.Image, background: int) -> Image.Image:
    """Return an image of bytes without transparency: `background` shows where it was."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        return Image.fromarray(np.clip(values / 257, 0, 255).round().astype(np.uint8))
    if not has_transparency(image):
        return image if image.mode != "P" else image.convert("RGB")
    image = image.convert("RGBA")
    behind = Image.new("RGBA", image.size, (background,) * 3 + (255,))
    return Image.alpha_composite(behind, image).convert("RGB")


def has_transparency(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info


def convert_notes(image: Image.Image, background: int) -> list[str]:
    """Say what a conversion to grey or RGB changes."""
    notes = []
    if image.mode.startswith("I") or image.mode == "F":
        notes.append(REDUCED)
    elif image.mode == "CMYK":
        notes.append("Converted from CMYK, the colours of print.")
    elif has_transparency(image):
        notes.append(f"Transparent parts show the background, grey {background} of 255.")
    elif image.mode in ("P", "1"):
        notes.append("Converted from a palette.")
    else:
        notes.append(f"Converted from {image.mode}.")
    return notes
