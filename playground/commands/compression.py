"""The commands compress and decompress: a file into a packed one and back.

Both compute on the CPU, by one thread, since both must compute the same to the last bit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from playground.checkpoints import write_atomically
from playground.comparison import kind_of
from playground.compression import container
from playground.compression.codec import Unpacked, compress, decompress
from playground.compression.content import modality_of
from playground.compression.report import Row, png_of, report
from playground.errors import CompressionError, DataError
from playground.registry import available
from playground.tokenizers.audio import to_flac, to_wav

TELL_EVERY_S = 2.0
SOUND_FILES = (".wav", ".flac")


def add_to(commands: Any) -> None:
    """Add both commands to the subparsers of the command line."""
    pack = commands.add_parser("compress", help="pack a text, a picture or a sound by a model")
    pack.add_argument("--model", required=True, help="a model's name, or a checkpoint's folder")
    pack.add_argument(
        "--class", dest="condition", default="", metavar="NAME",
        help="that the model is told: a name or a number; the file keeps it",
    )  # fmt: skip
    unpack = commands.add_parser("decompress", help="unpack what compress wrote")
    unpack.add_argument("--model", default="", help="its folder, if it is not found by its name")
    for command in (pack, unpack):
        command.add_argument("--in", dest="source", type=Path, required=True, metavar="FILE")
        command.add_argument("--out", type=Path, required=True, metavar="FILE")


def run(given: argparse.Namespace, load: Callable[[str], Any]) -> None:
    """Do the command that was given; `load` returns a model by its name or folder."""
    {"compress": pack, "decompress": unpack}[given.command](given, load)


def pack(given: argparse.Namespace, load: Callable[[str], Any]) -> None:
    """Pack a file, and print its size beside others'."""
    loaded = load(given.model)
    model, tokenizer = loaded.model, loaded.tokenizer
    data = read(given.source)
    thing: Any = data
    if modality_of(tokenizer) != "text":
        prepared = tokenizer.prepare(data)
        thing = prepared.pixels if modality_of(tokenizer) == "image" else prepared.samples
        for note in prepared.notes:
            print(note, file=sys.stderr)
    condition = kind_of(tokenizer).label(loaded, given.condition)
    packed = compress(
        model, tokenizer, thing,
        model_name=Path(given.model).name, condition=condition, progress=_teller("Packed"),
    )  # fmt: skip
    write(given.out, packed.data)
    print("\n".join(table(report(packed, tokenizer))))


def unpack(given: argparse.Namespace, load: Callable[[str], Any]) -> None:
    """Unpack a file; pictures become PNG files, sounds WAV or FLAC files."""
    data = read(given.source)
    header, _, _ = container.read(data)
    name = given.model or _known(header)
    loaded = load(name)
    if header.modality == "audio" and given.out.suffix.lower() not in SOUND_FILES:
        raise DataError(
            f"{given.out} is no name for a sound. Let it end with {' or '.join(SOUND_FILES)}."
        )
    unpacked = decompress(
        loaded.model, loaded.tokenizer, data,
        model_name=Path(name).name, progress=_teller("Unpacked"),
    )  # fmt: skip
    write(given.out, as_file(loaded.tokenizer, unpacked, given.out.suffix.lower()))
    print(f"{header.count:,} tokens of {header.modality}, packed by {header.model}: {given.out}")


def as_file(tokenizer: Any, unpacked: Unpacked, suffix: str) -> bytes:
    """Return what was unpacked as the bytes of a text, a PNG, a WAV or a FLAC file."""
    modality = unpacked.header.modality
    if modality == "text":
        return unpacked.raw
    if modality == "image":
        return png_of(tokenizer.decode(unpacked.tokens))
    write_as = to_flac if suffix == ".flac" else to_wav
    return write_as(tokenizer.decode(unpacked.tokens), tokenizer.sample_rate)


def table(rows: Sequence[Row]) -> list[str]:
    """Return the sizes as lines of text."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'':{width}}  {'bytes':>11}  {'bits/token':>10}"]
    for row in rows:
        size = f"{row.bytes:,.0f}" if row.is_file else f"({row.bytes:,.1f})"
        bits = "-" if row.bits_per_token is None else f"{row.bits_per_token:.4f}"
        lines.append(f"{row.name:{width}}  {size:>11}  {bits:>10}  {row.note}")
    return lines


def read(path: Path) -> bytes:
    """Return what is in a file, cut off behind what any reader takes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(container.MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Name another file.") from error


def write(path: Path, data: bytes) -> None:
    """Write a file, all of it or nothing.

    Raises:
        DataError: it cannot be written.
    """
    try:
        write_atomically(path, lambda temporary: temporary.write_bytes(data))
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}). Name another file."
        ) from error


def _known(header: container.Header) -> str:
    """Return the name of the file's model if it is here: a file shall name no other folder."""
    if header.model in available(header.modality):
        return header.model
    raise CompressionError(
        f"The file was packed with the model {header.model!r} (weights "
        f"{header.fingerprint[:12]}), which is not here. Name its folder: --model FOLDER."
    )


def _teller(verb: str) -> Callable[[int, int], None]:
    """Return what tells how far it is, now and then."""
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            print(f"{verb} {done:,} of {total:,} tokens", file=sys.stderr)

    return tell
