"""What `decode` and `compare` read, write and tell of pictures and of sounds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from playground.checkpoints import write_atomically
from playground.comparison import Comparison, kind_of, pictures, sounds
from playground.comparison.kinds import MAX_SECONDS
from playground.errors import ConfigError, DataError, check_whole
from playground.tokenizers.audio import read_sound
from playground.tokenizers.image import MAX_BYTES

MAKES = {"text": "writes text", "image": "draws pictures", "audio": "makes sounds"}  # by modality
COLUMNS = {  # of the table of figures, by modality
    "text": (
        "lane", "log_likelihood", "perplexity", "distinct_2", "self_bleu", "seq_rep_4",
        "mean_length", "calls", "tokens_per_second",
    ),
    "image": (
        "lane", "bits_per_dim", "pairwise_distance", "differing", "duplicates", "brightness",
        "histogram_distance", "calls", "tokens_per_second",
    ),
    "audio": (
        "lane", "bits_per_sample", "entropy", "loudness", "silent_share", "spectral_distance",
        "real_distance", "calls", "tokens_per_second",
    ),
}  # fmt: skip
REAL = {"text": "real text", "image": "real pictures", "audio": "real sounds"}
ONLY = {  # flags that mean something for one modality, and what they are of
    "picture": "image", "keep_rows": "image", "sound": "audio", "keep_seconds": "audio",
    "seconds": "audio",
}  # fmt: skip


def add_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags that are about pictures or sounds."""
    command.add_argument(
        "--class", "--say", dest="condition", default="", metavar="NAME",
        help="what a model is told: a class of pictures or sounds, by name or number, or a text "
        "to speak",
    )  # fmt: skip
    command.add_argument("--picture", type=Path, help="a file whose top part all pictures keep")
    command.add_argument("--keep-rows", type=int, help="how much of it; half if left out")
    command.add_argument("--seconds", type=float, help="length of sounds; half a second if left "
                         "out")  # fmt: skip
    command.add_argument("--sound", type=Path, help="a file whose beginning all sounds keep")
    command.add_argument(
        "--keep-seconds", type=float, help="how much of it; a quarter of a second if left out"
    )
    command.add_argument(
        "--out", type=Path, metavar="FILE",
        help="where pictures (PNG) or sounds (WAV, FLAC: one after the other) are written to",
    )  # fmt: skip
    command.add_argument(
        "--scale", type=int, default=4, help="pixels of the file for each of a picture, 1 to 32"
    )


def check(given: argparse.Namespace, tokenizer: Any) -> None:
    """Refuse flags that mean nothing for what the model makes.

    Raises:
        ConfigError: there is one.
    """
    check_whole("--scale", given.scale, *pictures.SCALES)
    kind = kind_of(tokenizer)
    does = f"{given.model} {MAKES[kind.name]}"
    if given.out and kind.name == "text":
        raise ConfigError(f"{does}, and --out is of pictures and sounds. Leave it out.")
    if given.out and kind.name == "audio":
        sounds.writer(given.out.suffix)  # tells before any work that there is none
    for name, modality in ONLY.items():
        if getattr(given, name) is not None and kind.name != modality:
            flag = name.replace("_", "-")
            raise ConfigError(f"{does}, so --{flag} means nothing. Leave it out.")
    for part, whole in (("keep_rows", "picture"), ("keep_seconds", "sound")):
        if getattr(given, part) is not None and getattr(given, whole) is None:
            flag = part.replace("_", "-")
            raise ConfigError(f"--{flag} is of a {whole}. Name one: --{whole} FILE.")
    if given.seconds is not None and given.max_new_tokens is not None:
        raise ConfigError("--seconds and --max-new-tokens both say how long. Leave one out.")


def beginning(given: argparse.Namespace, tokenizer: Any) -> str | list[int]:
    """Return the prompt: text, or the tokens that are kept of a picture or a sound.

    Raises:
        ConfigError: what is kept is out of range.
        PromptError: the file is no picture or no sound.
    """
    if given.picture is not None:
        prepared = tokenizer.prepare(read_file(given.picture, "a PNG or JPEG file"))
        kept = pictures.kept_part(tokenizer, prepared.pixels, given.keep_rows)
    elif given.sound is not None:
        prepared = read_sound(given.sound, tokenizer.sample_rate, longest_seconds=MAX_SECONDS)
        kept = sounds.kept_part(tokenizer, prepared.samples, given.keep_seconds)
    else:
        return given.prompt
    for note in prepared.notes:
        print(note, file=sys.stderr)
    return kept


def length(given: argparse.Namespace, tokenizer: Any) -> int | None:
    """Return how many tokens a lane makes; None: as many as is usual."""
    if given.seconds is None:
        return given.max_new_tokens
    return sounds.length_of(tokenizer, given.seconds)


def read_file(path: Path, wanted: str) -> bytes:
    """Return what is in a file, cut off behind what the largest picture may have.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Name {wanted}.") from error


def write_out(given: argparse.Namespace, running: Comparison) -> None:
    """Write what all lanes made to --out: a row of pictures a lane, or sound after sound."""
    if given.out is None:
        return
    tokenizer, results = running.tokenizer, running.results()
    if running.kind.name == "audio":
        made = sounds.heard(tokenizer, results)
        data = sounds.one_file(tokenizer, made, given.out.suffix)
    else:
        data = pictures.sheet_png(pictures.drawn(tokenizer, results), given.scale)
    try:
        write_atomically(given.out, lambda path: path.write_bytes(data))
    except OSError as error:
        raise DataError(
            f"{given.out} cannot be written ({error.strerror}). Name another file."
        ) from error
