"""How texts are cut: what pieces say must put the text together again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.checkpoints import load
from playground.errors import PromptError
from playground.inspection import tokenization as module
from playground.inspection.tokenization import cut, ends_of, side_by_side
from playground.tokenizers.pretrained import PretrainedTokenizer
from playground.tokenizers.text import CharTokenizer
from tests.helpers import ROOT
from tests.tiny_models import tiny_folder

BPE = load(ROOT / "checkpoints" / "prose-bpe-draft")[1]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HARD = "Hello, wörld – 日本 👩‍👧 the garden\n"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tiny_folder("gpt2", tmp_path_factory.mktemp("tiny") / "gpt2")
    return PretrainedTokenizer.from_folder(folder, 300)


def check(tokenizer, text):
    found = cut(tokenizer, text)
    assert [piece.token for piece in found.pieces] == tokenizer.encode(text)
    assert sum(piece.num_bytes for piece in found.pieces) == found.num_bytes == len(text.encode())
    whole = [piece for piece in found.pieces if not piece.is_part]
    for piece in whole:
        assert text[piece.start : piece.end].encode() == tokenizer.token_bytes(piece.token)
    assert {0, len(text)} <= found.boundaries
    ends = ends_of(tokenizer, text)
    assert len(ends) == len(found.pieces) + 1
    assert ends == sorted(ends)
    assert ends[-1] == len(text)


@given(TEXT)
def test_pieces_of_bytes_make_up_the_text(text):
    check(BPE, text)


def test_pieces_of_other_tokenizers_do_too(pretrained):
    check(CharTokenizer.train(HARD), HARD)
    for text in (HARD, "", "the cat"):
        check(pretrained, text)


def test_parts_of_a_character_name_all_of_it():
    found = cut(BPE, "a日b")
    parts = [piece for piece in found.pieces if piece.is_part]
    assert {(piece.start, piece.end) for piece in parts} == {(1, 2)}
    assert found.parts == len(parts) == 3
    assert found.boundaries == {0, 1, 2, 3}
    assert (found.characters_per_token, found.bytes_per_token) == (3 / 5, 1)


@given(TEXT)
def test_side_by_side_both_cover_every_segment(text):
    characters = CharTokenizer.train(text or "a")
    found = side_by_side(characters, BPE, text)
    assert "".join(text[s.start : s.end] for s in found.segments) == text
    assert [p for s in found.segments for p in s.a] == list(found.a.pieces)
    assert [p for s in found.segments for p in s.b] == list(found.b.pieces)
    for segment in found.segments:
        assert segment.a
        assert segment.b
        for piece in (*segment.a, *segment.b):
            assert segment.start <= piece.start <= piece.end <= segment.end
    assert 0 <= found.agreement <= 1


def test_agreement_counts_the_boundaries_in_common():
    text = "in the garden"
    same = side_by_side(BPE, BPE, text)
    assert same.agreement == 1
    assert all(segment.is_alike for segment in same.segments)
    letters = side_by_side(CharTokenizer.train(text), BPE, text)
    inner = len(letters.b.pieces) - 1
    assert letters.agreement == pytest.approx(inner / (len(text) - 1))


def test_texts_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_TEXT", 10)
    with pytest.raises(PromptError, match="has 11 characters, and at most 10 are cut"):
        cut(BPE, "a" * 11)
