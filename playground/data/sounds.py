"""Sounds: what Debian's packages hold, or a folder that the user names.

A part is held out that depends on the sounds' names alone, so every run and every page judges by
the same ones. All sounds are mono, at the sample rate that is asked for.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from playground.data.clips import NUMBERS, Sounds, Total, plain_words, split_sounds, trimmed
from playground.data.text import DATA_DIR
from playground.errors import (
    CheckpointError,
    DataError,
    PlaygroundError,
    PromptError,
    check_whole,
)
from playground.tokenizers.audio import (
    MAX_MODEL_RATE,
    MIN_RATE,
    AudioTokenizer,
    read_sound,
    to_flac,
)

SONIC_PI = Path("/usr/share/sonic-pi/samples")
NPM_PACKAGE = "supersonic-scsynth-samples"
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TRANSCRIPTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
LETTERS = Path("/usr/share/klettres")
LANGUAGES = ("en", "en_GB", "de", "nds", "es", "it", "pt_BR")  # those with a to z, a file each

MAX_TRANSCRIPTS = 2**20  # bytes, unpacked
MAX_FILES = 20_000  # of a folder
MAX_SECONDS = 60  # of one sound; what is longer is cut
MAX_TEXT = 500  # characters of a transcript
MAX_CONFIG_BYTES = 16 * 2**20
EXAMPLES = "examples.flac"  # in the folder of a checkpoint
MAX_EXAMPLES = 12
EXAMPLE_SECONDS = 2
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
PEAK = 0.9
ONE_SHOT_SECONDS = 2.0
WORD_SECONDS = 1.6

# Class: how its names begin; the first that fits counts. Two kicks are in the npm package alone.
FAMILIES = {
    "Bass": r"bass_|glitch_bass",
    "Cymbal": r"drum_cymbal|drum_splash|elec_cymbal|elec_triangle",
    "Kick": r"bd_(?!chip|jazz)|drum_bass|drum_heavy_kick|elec_\w+_kick",
    "Snare": r"sn_|drum_snare|elec_(\w+_)?snare",
    "Tom": r"drum_tom|elec_fuzz_tom",
    "Tabla": r"tabla_",
    "Percussion": r"perc_|glitch_perc|drum_cowbell",
    "Robot or phone": r"(glitch|mehackit)_(robot|phone)",
    "Electronic": r"elec_",  # those that are none of the above
}


def instruments(data_dir: Path, sample_rate: int) -> Sounds:
    """About a hundred single sounds of at most two seconds, by instrument: Sonic Pi's."""
    npm = data_dir / "node_modules" / NPM_PACKAGE / "samples"
    folder = SONIC_PI if SONIC_PI.is_dir() or not npm.is_dir() else npm  # the same files
    also = f", or `npm install --prefix {data_dir} {NPM_PACKAGE}`"
    files = _listed(folder, "*.flac", "sonic-pi-samples", also)
    clips, labels = [], []
    for kind, pattern in enumerate(FAMILIES.values()):
        for file in [f for f in files if re.match(pattern, f.stem)]:
            files.remove(file)
            clip = trimmed(_installed(file, sample_rate), sample_rate, before=0.005, after=0.05)
            if 0 < len(clip) <= ONE_SHOT_SECONDS * sample_rate:
                clips.append(clip * (PEAK / np.abs(clip).max()))
                labels.append(kind)
    return split_sounds(
        "Sonic Pi one-shots", clips, sample_rate, labels=labels, classes=tuple(FAMILIES),
        licence="CC0", source=f"Debian package sonic-pi-samples or npm package {NPM_PACKAGE}",
    )  # fmt: skip


def speech(data_dir: Path, sample_rate: int) -> Sounds:
    """Some 550 telephone prompts of one speaker, Allison Smith, with what she says."""
    spoken = _prompts()
    return split_sounds(
        "Asterisk prompts", [_installed(path, sample_rate) for path, _ in spoken], sample_rate,
        texts=[text for _, text in spoken], **ASTERISK,
    )  # fmt: skip


def words(data_dir: Path, sample_rate: int) -> Sounds:
    """Digits, letters and other prompts of one or two words, from `speech`, silence cut off."""
    clips, texts = [], []
    for path, transcript in _prompts():
        text = plain_words(transcript)
        if text and len(text.split()) <= 2:
            clip = trimmed(_installed(path, sample_rate), sample_rate, before=0.02, after=0.02)
            if 0 < len(clip) <= WORD_SECONDS * sample_rate:
                clips.append(clip)
                texts.append(text)
    return split_sounds(
        "Asterisk words", clips, sample_rate, texts=texts, keep=NUMBERS, **ASTERISK,
    )  # fmt: skip


ASTERISK = {
    "licence": "CC-BY-SA-3.0 (spoken by Allison Smith, recorded for Digium)",
    "source": "Debian packages asterisk-core-sounds-en-wav, asterisk-core-sounds-en",
}


def letters(data_dir: Path, sample_rate: int) -> Sounds:
    """The letters a to z as speakers of several languages name them, from KLettres."""
    clips, labels = [], []
    for language in LANGUAGES:
        for file in _listed(LETTERS / language / "alpha", "*.ogg", "klettres-data"):
            name = file.stem.lower()
            if re.fullmatch("[a-z]", name):
                clip = _installed(file, sample_rate)  # from homes, where it is never quite silent
                clip = trimmed(clip, sample_rate, before=0.02, after=0.02, threshold=0.02)
                if len(clip):
                    clips.append(clip * (PEAK / np.abs(clip).max()))
                    labels.append(ord(name) - ord("a"))
    return split_sounds(
        "KLettres letters", clips, sample_rate, labels=labels,
        classes=tuple("abcdefghijklmnopqrstuvwxyz"), licence="GPL-2+",
        source=f"Debian package klettres-data ({', '.join(LANGUAGES)})",
    )  # fmt: skip


SOURCES: dict[str, Callable[[Path, int], Sounds]] = {
    "instruments": instruments,
    "speech": speech,
    "words": words,
    "letters": letters,
}


def load_sounds(name: str, data_dir: Path = DATA_DIR, *, sample_rate: int = 8000) -> Sounds:
    """Return the sounds of that name, or of that folder, at `sample_rate` samples a second.

    `hub:owner/name[@revision]` names a data set of the Hugging Face Hub. Of a folder's subfolders
    each is a class, and `name.txt` beside a file is what is said in it.

    Raises:
        DataError: they are not there, or too many; the message names the package to install.
        ConfigError: no model has that sample rate.
    """
    check_whole("sample_rate", sample_rate, MIN_RATE, MAX_MODEL_RATE)
    if name.startswith("hub:"):
        from playground.data.parquet_sounds import hub_sounds  # which stands on this module

        return hub_sounds(name, sample_rate)
    if name in SOURCES:
        return SOURCES[name](data_dir, sample_rate)
    return folder_of_sounds(Path(name), sample_rate)


def folder_of_sounds(folder: Path, sample_rate: int) -> Sounds:
    """Read every sound of a folder; those that cannot be read are left out and counted."""
    if not folder.is_dir():
        raise DataError(
            f"There are no sounds {str(folder)!r}. Name a folder of sounds, one of "
            f"{', '.join(SOURCES)}, or hub:owner/name on the Hugging Face Hub."
        )
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if len(files) > MAX_FILES:
        raise DataError(f"{folder} has {len(files)} sounds, more than {MAX_FILES}. Take fewer.")
    clips, kinds, texts, refused = [], [], [], []
    total = Total(str(folder), sample_rate)
    for file in files:
        try:
            clip = read_sound(file, sample_rate, longest_seconds=MAX_SECONDS).samples
            texts.append(_transcript(file.with_suffix(".txt")))
        except (PlaygroundError, OSError) as error:
            refused.append(f"{file.name}: {error}")
            continue
        total.add(clip)
        clips.append(clip)
        kinds.append(file.relative_to(folder).parts[0] if file.parent != folder else "")
    if len(clips) < 10:
        why = f" The first that could not be read: {refused[0]}" if refused else ""
        raise DataError(
            f"{folder} has {len(clips)} readable sounds; at least 10 are needed, of the kinds "
            f"{', '.join(sorted(SUFFIXES))}.{why}"
        )
    classes = tuple(sorted(set(kinds)))
    skipped = f" ({len(refused)} could not be read)" if refused else ""
    return split_sounds(
        folder.name, clips, sample_rate, labels=[classes.index(kind) for kind in kinds],
        classes=classes if len(classes) > 1 else (), texts=texts if all(texts) else (),
        licence="see the sounds' owner", source=f"a folder of the user's{skipped}",
    )  # fmt: skip


def examples_of(sounds: Sounds) -> tuple[list[np.ndarray], list[int], list[str]]:
    """Return at most 12 held-out clips (T_i,) of at most two seconds, their labels and texts.

    The classes come in turn: the first clip of each, then the second of each, and so on. Whole
    clips come before longer ones, which are cut and without a text.
    """
    longest, labels = EXAMPLE_SECONDS * sounds.sample_rate, sounds.test_labels
    is_cut = np.array([len(clip) > longest for clip in sounds.test], bool)
    turn = np.zeros(len(labels), np.int64)  # how many of its class stand before it
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members[np.argsort(is_cut[members], kind="stable")]] = np.arange(len(members))
    chosen = np.lexsort((labels, turn, is_cut))[:MAX_EXAMPLES]
    texts = sounds.test_texts or [""] * len(labels)
    return (
        [sounds.test[i][:longest] for i in chosen],
        labels[chosen].tolist(),
        ["" if is_cut[i] else texts[i] for i in chosen],
    )


def write_examples(folder: Path, clips: Sequence[np.ndarray], sample_rate: int) -> list[int]:
    """Write clips (T_i,), one after the other, to examples.flac; return their lengths.

    `read_examples` wants the lengths in config.json as info["examples"]["lengths"].
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{EXAMPLES}.tmp"
    temporary.write_bytes(to_flac(np.concatenate(clips), sample_rate))
    temporary.replace(folder / EXAMPLES)
    return [len(clip) for clip in clips]


def read_examples(folder: Path, tokenizer: AudioTokenizer) -> list[np.ndarray] | None:
    """Return real clips (T_i,) that the checkpoint's model has not heard.

    None if the checkpoint comes without; `info["examples"]` of its config.json has their lengths,
    labels and texts.

    Raises:
        CheckpointError: examples.flac is damaged, too large, or does not fit config.json.
    """
    path, remedy = folder / EXAMPLES, "Delete it, or train or download the checkpoint again."
    try:
        if not path.exists():
            return None
        longest = MAX_EXAMPLES * EXAMPLE_SECONDS + 1  # one more: too long a file is seen as such
        samples = read_sound(path, tokenizer.sample_rate, longest_seconds=longest).samples
        with (folder / "config.json").open("rb") as file:
            lengths = json.loads(file.read(MAX_CONFIG_BYTES))["info"]["examples"]["lengths"]
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}). {remedy}") from error
    except PromptError as error:
        raise CheckpointError(f"{path}: {error} {remedy}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{folder / 'config.json'} does not say how long the clips of {EXAMPLES} are. {remedy}"
        ) from error
    most = EXAMPLE_SECONDS * tokenizer.sample_rate
    is_list = isinstance(lengths, list) and 0 < len(lengths) <= MAX_EXAMPLES
    if not is_list or not all(type(n) is int and 0 < n <= most for n in lengths):
        raise CheckpointError(
            f"{path} must hold 1 to {MAX_EXAMPLES} clips of 1 to {most:,} samples; config.json "
            f"says {str(lengths)[:100]}. {remedy}"
        )
    if sum(lengths) != len(samples):
        raise CheckpointError(
            f"{path} has {len(samples):,} samples at {tokenizer.sample_rate:,} Hz; config.json "
            f"says {sum(lengths):,}. {remedy}"
        )
    return np.split(samples, np.cumsum(lengths)[:-1])


def _listed(folder: Path, pattern: str, package: str, also: str = "") -> list[Path]:
    files = sorted(folder.glob(pattern))
    if not files:
        raise DataError(
            f"The sounds of {folder} are not installed. Install Debian's package `{package}` "
            f"(apt-get install {package}){also}, or name other sounds."
        )
    return files


def _prompts() -> list[tuple[Path, str]]:
    """Return the files and transcripts of all prompts in which someone speaks, by path."""
    files = {
        str(file.relative_to(PROMPTS).with_suffix("")): file
        for file in _listed(PROMPTS, "**/*.wav", "asterisk-core-sounds-en-wav")
    }
    package = "asterisk-core-sounds-en"
    also = (
        "; in a slim container, which leaves documentation out, with --reinstall "
        f"-o 'Dpkg::Options::=--path-include=/usr/share/doc/{package}/*'"
    )
    [path] = _listed(TRANSCRIPTS.parent, TRANSCRIPTS.name, package, also)
    try:
        with gzip.open(path) as file:
            text = file.read(MAX_TRANSCRIPTS + 1).decode()
        if len(text) > MAX_TRANSCRIPTS:
            raise ValueError(f"it unpacks to more than {MAX_TRANSCRIPTS >> 20} MB")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}). Install the package again.") from error
    spoken = []
    for line in text.splitlines():
        name, _, said = line.partition(": ")
        if name in files and said and said[0] not in "[(<":  # those are tones and noises
            spoken.append((files[name], said.strip()[:MAX_TEXT]))
    return sorted(spoken)


def _transcript(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return " ".join(file.read(MAX_TEXT).split())


def _installed(file: Path, sample_rate: int) -> np.ndarray:
    """Return the samples (T,) of a package's file."""
    try:
        return read_sound(file, sample_rate, longest_seconds=MAX_SECONDS).samples
    except (PromptError, OSError) as error:
        raise DataError(f"{file} is damaged. Install its package again. {error}") from error
