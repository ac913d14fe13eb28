"""Sounds: what Debian's packages hold, or a folder that the user names.

A part is held out that depends on the sounds' names alone, so every run and every page judges by
the same ones. All sounds are mono, at the sample rate that is asked for.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from playground.data.text import DATA_DIR
from playground.errors import DataError, PlaygroundError, PromptError, check_whole

SONIC_PI = Path("/usr/share/sonic-pi/samples")
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TRANSCRIPTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
LETTERS = Path("/usr/share/klettres")
LANGUAGES = ("en", "en_GB", "de", "nds", "es", "it", "pt_BR")  # those with a to z, a file each

MAX_TRANSCRIPTS = 2**20  # bytes, unpacked
MAX_FILES = 20_000  # of a folder
MAX_SECONDS = 60  # of one sound; what is longer is cut
MAX_TOTAL_SECONDS = 7200
MAX_TEXT = 500  # characters of a transcript
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
PEAK = 0.9
ONE_SHOT_SECONDS = 2.0
WORD_SECONDS = 1.6

FAMILIES = {  # class: how its names begin; the first that fits counts
    "Bass": r"bass_|glitch_bass",
    "Cymbal": r"drum_cymbal|drum_splash|elec_cymbal|elec_triangle",
    "Kick": r"bd_|drum_bass|drum_heavy_kick|elec_\w+_kick",
    "Snare": r"sn_|drum_snare|elec_(\w+_)?snare",
    "Tom": r"drum_tom|elec_fuzz_tom",
    "Tabla": r"tabla_",
    "Percussion": r"perc_|glitch_perc|drum_cowbell",
    "Robot or phone": r"(glitch|mehackit)_(robot|phone)",
    "Electronic": r"elec_",  # those that are none of the above
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBERS = {
    *DIGITS, "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty",
    "ninety", "hundred", "thousand", "million", "billion",
}  # fmt: skip
MISSPELT = {"exclaimation": "exclamation", "fourtieth": "fortieth"}


@dataclass(frozen=True, eq=False)
class Sounds:
    """Clips (T_i,) of float32 in [-1, 1], with what a model card must say about them."""

    name: str
    train: tuple[np.ndarray, ...]
    train_labels: np.ndarray  # (N,) of `classes`
    train_texts: tuple[str, ...]  # what is said in each; () where nothing says so
    test: tuple[np.ndarray, ...]
    test_labels: np.ndarray
    test_texts: tuple[str, ...]
    classes: tuple[str, ...]  # empty: all of one kind
    sample_rate: int
    split: str  # how the test clips were chosen
    licence: str
    source: str


def instruments(data_dir: Path, sample_rate: int) -> Sounds:
    """About a hundred single sounds of at most two seconds, by instrument: Sonic Pi's."""
    files = _listed(SONIC_PI, "*.flac", "sonic-pi-samples")
    clips, labels = [], []
    for kind, pattern in enumerate(FAMILIES.values()):
        for file in [f for f in files if re.match(pattern, f.stem)]:
            files.remove(file)
            clip = trimmed(_read(file, sample_rate), sample_rate, before=0.005, after=0.05)
            if 0 < len(clip) <= ONE_SHOT_SECONDS * sample_rate:
                clips.append(clip * (PEAK / np.abs(clip).max()))
                labels.append(kind)
    return _split(
        "Sonic Pi one-shots", clips, sample_rate, labels=labels, classes=tuple(FAMILIES),
        licence="CC0", source="Debian package sonic-pi-samples",
    )  # fmt: skip


def speech(data_dir: Path, sample_rate: int) -> Sounds:
    """Some 550 telephone prompts of one speaker, Allison Smith, with what she says."""
    spoken = _prompts()
    return _split(
        "Asterisk prompts", [_read(path, sample_rate) for path, _ in spoken], sample_rate,
        texts=[text for _, text in spoken], **ASTERISK,
    )  # fmt: skip


def words(data_dir: Path, sample_rate: int) -> Sounds:
    """Digits, letters and other prompts of one or two words, from `speech`, silence cut off."""
    clips, texts = [], []
    for path, transcript in _prompts():
        text = plain_words(transcript)
        if text and len(text.split()) <= 2:
            clip = trimmed(_read(path, sample_rate), sample_rate, before=0.02, after=0.02)
            if 0 < len(clip) <= WORD_SECONDS * sample_rate:
                clips.append(clip)
                texts.append(text)
    return _split(
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
                clip = trimmed(_read(file, sample_rate), sample_rate, before=0.02, after=0.02)
                if len(clip):
                    clips.append(clip * (PEAK / np.abs(clip).max()))
                    labels.append(ord(name) - ord("a"))
    return _split(
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
        ConfigError: there is no such sample rate.
    """
    check_whole("sample_rate", sample_rate, 1000, 48000)
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
    for file in files:
        try:
            clips.append(_read(file, sample_rate))
            texts.append(_transcript(file.with_suffix(".txt")))
            kinds.append(file.relative_to(folder).parts[0] if file.parent != folder else "")
        except (PlaygroundError, OSError) as error:
            refused.append(f"{file.name}: {error}")
        check_total(clips, sample_rate, str(folder))
    if len(clips) < 10:
        why = f" The first that could not be read: {refused[0]}" if refused else ""
        raise DataError(
            f"{folder} has {len(clips)} readable sounds; at least 10 are needed, of the kinds "
            f"{', '.join(sorted(SUFFIXES))}.{why}"
        )
    classes = tuple(sorted(set(kinds)))
    skipped = f" ({len(refused)} could not be read)" if refused else ""
    return _split(
        folder.name, clips, sample_rate, labels=[classes.index(kind) for kind in kinds],
        classes=classes if len(classes) > 1 else (), texts=texts if all(texts) else (),
        licence="see the sounds' owner", source=f"a folder of the user's{skipped}",
    )  # fmt: skip


def trimmed(
    clip: np.ndarray, sample_rate: int, *, before: float, after: float, threshold: float = 0.01
) -> np.ndarray:
    """Cut off the silence at both ends, but for `before` and `after` seconds of it.

    Silent is what stays below `threshold` of the loudest sample. Empty if all is silent.
    """
    loud = np.flatnonzero(np.abs(clip) > threshold * max(np.abs(clip).max(initial=0), 1e-3))
    if not len(loud):
        return clip[:0]
    start, end = loud[0] - round(before * sample_rate), loud[-1] + 1 + round(after * sample_rate)
    return clip[max(start, 0) : end]


def plain_words(transcript: str) -> str:
    """Return a transcript in the letters a-z, spaces and apostrophes; empty if it has others."""
    if re.search(r"\b[A-Z]{2,}\b|\d\d", transcript):  # an abbreviation: who knows how it is read
        return ""
    text = re.sub(r"\[.*?\]", " ", transcript).lower()
    text = re.sub(r"\d", lambda digit: DIGITS[int(digit[0])], text)
    found = re.sub(r"[^a-z']+", " ", text).split()
    return " ".join(MISSPELT.get(word, word) for word in found)


def check_total(clips: Sequence[np.ndarray], sample_rate: int, what: str) -> None:
    """Refuse more sound than fits in memory with all that is computed from it."""
    if sum(map(len, clips)) > MAX_TOTAL_SECONDS * sample_rate:
        raise DataError(
            f"{what} has more than {MAX_TOTAL_SECONDS // 60} minutes of sound. Take fewer files."
        )


def hold_out(groups: Sequence, keep: Iterable = ()) -> np.ndarray:
    """Return which of the sounds (N,) are held out: every tenth group, in order, whole.

    A group's sounds are told apart by nothing that a model is told (a text said twice), so they
    stay together. Those of `keep` are not counted.
    """
    kept = set(keep)
    order = [group for group in dict.fromkeys(groups) if group not in kept]
    chosen = set(order[9::10])
    return np.array([group in chosen for group in groups], bool)


def hold_out_of_classes(labels: np.ndarray) -> np.ndarray:
    """Return which of the sounds (N,) are held out: one in ten of a class, one of a small one.

    None of a class of fewer than five. Where a class begins to count depends on its number, so
    that not all are of one speaker where each has spoken every class.
    """
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= 5:
            is_test[members[(4 + label) % min(len(members), 10) :: 10]] = True
    return is_test


def _split(
    name: str,
    clips: Sequence[np.ndarray],
    sample_rate: int,
    *,
    licence: str,
    source: str,
    labels: Sequence[int] = (),
    classes: tuple[str, ...] = (),
    texts: Sequence[str] = (),
    keep: Iterable[str] = (),
) -> Sounds:
    """Hold a part of the clips out: by text where there are texts, else by class, else by order."""
    labels = np.array(labels or [0] * len(clips), np.int64)
    is_test, split = hold_out(range(len(clips))), "every tenth sound"
    if texts:
        is_test, split = hold_out(texts, keep), "every tenth text"
        split += " that is no number (all numbers are trained on)" if keep else ""
    elif classes and (by_class := hold_out_of_classes(labels)).any():
        is_test, split = by_class, "one sound in ten of each class, at least one"
    both = []
    for part in (~is_test, is_test):
        chosen = np.flatnonzero(part)
        both.append(tuple(np.asarray(clips[i], np.float32) for i in chosen))
        both.append(labels[chosen])
        both.append(tuple(texts[i] for i in chosen) if texts else ())
    return Sounds(name, *both, classes, sample_rate, split, licence, source)


def _listed(folder: Path, pattern: str, package: str) -> list[Path]:
    files = sorted(folder.glob(pattern))
    if not files:
        raise DataError(
            f"The sounds of {folder} are not installed. Install Debian's package `{package}` "
            f"(apt-get install {package}), or name other sounds."
        )
    return files


def _prompts() -> list[tuple[Path, str]]:
    """Return the files and transcripts of all prompts in which someone speaks, by path."""
    files = {
        str(file.relative_to(PROMPTS).with_suffix("")): file
        for file in _listed(PROMPTS, "**/*.wav", "asterisk-core-sounds-en-wav")
    }
    [path] = _listed(TRANSCRIPTS.parent, TRANSCRIPTS.name, "asterisk-core-sounds-en")
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


def _read(source: Path, sample_rate: int) -> np.ndarray:
    """Return a file's samples (T,), mono, at that rate, at most MAX_SECONDS of them."""
    import soundfile
    import torch
    from torchaudio.functional import resample

    try:
        with soundfile.SoundFile(source) as file:
            rate = file.samplerate
            samples = file.read(MAX_SECONDS * rate, dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.SoundFileError as error:
        raise PromptError(f"The file is no sound ({error}).") from error
    return resample(torch.from_numpy(samples), rate, sample_rate).numpy().clip(-1, 1)
