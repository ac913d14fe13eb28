"""How large a packed file is beside what everybody uses, and beside the model's own bits."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from playground.compression.codec import Compressed

PALETTES = ((2, 1), (4, 2), (16, 4))  # colours that fit, bits a pixel


@dataclass(frozen=True)
class Row:
    """The size of the same content in one form."""

    name: str
    bytes: float  # of the model's own bits a fraction
    bits_per_token: float | None  # None of no tokens
    note: str
    is_file: bool = True  # that somebody could send; False: a part of one, or a figure


def report(packed: Compressed, tokenizer: Any) -> list[Row]:
    """Return the rows, the same content as it is first, the model's own bits last."""
    header, raw = packed.header, packed.content.raw
    rows = [("as it is", len(raw), RAW_NOTES[header.modality])]
    rows.append(
        ("gzip", len(gzip.compress(raw, 9, mtime=0)), f"level 9 of {GZIP[header.modality]}")
    )
    if header.modality == "image" and header.count == tokenizer.size:
        rows.append(("PNG", len(png_of(tokenizer.decode(packed.content.tokens))), PNG_NOTE))
    if header.modality == "audio" and header.count:
        codes, wave = raw_codes(raw), tokenizer.decode(packed.content.tokens)
        rows += [
            ("FLAC, 8 bits", len(_flac(codes, tokenizer.sample_rate, "PCM_S8")), FLAC_8),
            ("FLAC, 16 bits", len(_flac(wave, tokenizer.sample_rate, "PCM_16")), FLAC_16),
        ]
    beside = len(packed.data) - header.payload
    kept = f", of which characters the model does not know {header.exceptions:,}"
    rows.append(
        (
            f"this file ({header.model})", len(packed.data),
            f"{header.payload:,} bytes of content and {beside:,} beside it, to find the model "
            f"again and to check{kept if header.exceptions else ''}",
        )
    )  # fmt: skip
    told = [_row(*row, count=header.count) for row in rows]
    parts = [
        ("its content alone", header.payload, "what the arithmetic coder wrote"),
        ("the model's own bits", packed.model_bits / 8, "sum of −log₂ p of all tokens, exact"),
    ]
    return told + [_row(*row, count=header.count, is_file=False) for row in parts]


RAW_NOTES = {
    "text": "in UTF-8",
    "image": "one byte a value, reduced to the model's levels",
    "audio": "one byte a sample, μ-law",
}
GZIP = {"text": "the same bytes", "image": "the same bytes", "audio": "the μ-law bytes"}
PNG_NOTE = "optimised, of the picture in the model's levels, with a palette where that is smaller"
FLAC_8 = "of the μ-law codes as samples: exactly what our file holds, so this is the fair one"
FLAC_16 = "of the decoded wave: twice as many bits a sample, and FLAC cannot know that few are used"


def png_of(pixels: np.ndarray) -> bytes:
    """Return the smallest PNG file of pixels (H, W, channels) that Pillow makes without loss."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    tries = [_png(image)]
    values, index = np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0, return_inverse=True)
    if len(values) <= 256:
        paletted = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8), "P")
        paletted.putpalette(np.broadcast_to(values, (len(values), 3)).astype(np.uint8).tobytes())
        bits = next((bits for colours, bits in PALETTES if len(values) <= colours), 8)
        tries.append(_png(paletted, bits=bits))
    return min(tries, key=len)


def raw_codes(raw: bytes) -> np.ndarray:
    """Return levels (T,), a byte each, as samples that 8 bits hold exactly, 128 as silence."""
    return (np.frombuffer(raw, np.uint8).astype(np.float64) - 128) / 128


def _png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, **options)
    return file.getvalue()


def _flac(samples: np.ndarray, sample_rate: int, subtype: str) -> bytes:
    import soundfile  # of sound alone

    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="FLAC", subtype=subtype, compression_level=1)
    return file.getvalue()


def _row(name: str, size: float, note: str, *, count: int, is_file: bool = True) -> Row:
    return Row(name, size, 8 * size / count if count else None, note, is_file)
