"""Characters and byte pairs: round trips, labels, and damaged vocabularies."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from playground.errors import CheckpointError, PromptError
from playground.tokenizers.text import (
    BPETokenizer,
    CharTokenizer,
    tokenizer_from_json,
    visible,
)

TEXT = "In the beginning God created the heaven and the earth. " * 4 + "Größe, café; 日本語.\n"
CHARS = CharTokenizer.train(TEXT)
PAIRS = BPETokenizer.train([TEXT, "And the earth was without form, and void"], 300)

any_text = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.text(st.sampled_from(CHARS.symbols)))
def test_characters_come_back(text):
    tokens = CHARS.encode(text)
    assert len(tokens) == len(text)
    assert CHARS.decode(tokens) == text


@given(any_text)
def test_byte_pairs_give_any_text_back(text):
    assert PAIRS.decode(PAIRS.encode(text)) == text


@given(any_text)
def test_no_text_encodes_to_a_special_token(text):
    assert max(PAIRS.encode(text), default=0) < PAIRS.bos_token


@given(any_text)
def test_byte_pairs_are_those_of_the_tokenizers_library(text):
    data = PAIRS.to_json()
    merges = [tuple(pair.split(" ")) for pair in data["merges"]]
    plain = Tokenizer(models.BPE(vocab=data["vocab"], merges=merges))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    assert PAIRS.encode(text) == plain.encode(text).ids


def test_training_gives_the_size_that_was_asked_for():
    assert PAIRS.vocab_size == 300
    assert (PAIRS.bos_token, PAIRS.eos_token) == (298, 299)
    assert len(PAIRS.encode("In the beginning")) < len("In the beginning")


@pytest.mark.parametrize("special", ["<|bos|>", "<|endoftext|>", "⟨start⟩", "⟨end⟩", "</s>"])
def test_the_name_of_a_special_token_is_plain_text(special):
    tokens = PAIRS.encode(special)
    assert not {PAIRS.bos_token, PAIRS.eos_token} & set(tokens)
    assert PAIRS.decode(tokens) == special


@pytest.mark.parametrize("tokenizer", [CHARS, PAIRS])
def test_special_tokens_decode_to_nothing(tokenizer):
    specials = [tokenizer.bos_token, *([tokenizer.eos_token] if tokenizer.eos_token else [])]
    assert tokenizer.decode([*specials, *tokenizer.encode("the"), *specials]) == "the"


@pytest.mark.parametrize("tokenizer", [CHARS, PAIRS])
def test_json_brings_the_same_tokenizer_back(tokenizer):
    again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.encode(TEXT) == tokenizer.encode(TEXT)
    assert again.vocab_size == tokenizer.vocab_size
    assert again.bos_token == tokenizer.bos_token


def test_an_unseen_character_is_named_with_what_to_do():
    with pytest.raises(PromptError) as caught:
        CHARS.encode("the €uro\0 and 🙂")
    message = str(caught.value)
    assert "€ (U+20AC)" in message
    assert "␀ (U+0000)" in message
    assert "🙂 (U+1F642)" in message
    assert "byte-pair model" in message


def test_many_unseen_characters_make_a_short_message():
    with pytest.raises(PromptError) as caught:
        CHARS.encode("".join(map(chr, range(0x4E00, 0x4E00 + 5000))))
    assert " more" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_model_of_many_signs_makes_a_short_message():
    with pytest.raises(PromptError) as caught:
        CharTokenizer("".join(map(chr, range(0x2000, 0x4000)))).encode("a")
    assert len(str(caught.value)) < 600


def test_half_a_surrogate_pair_is_no_character():
    with pytest.raises(PromptError, match="Character 3 of the text is half of a surrogate pair"):
        PAIRS.encode("ab\ud83d")
    with pytest.raises(PromptError, match=r"U\+D83D"):
        CHARS.encode("ab\ud83d")


def test_100_000_characters_are_read():
    text = (TEXT * 1000)[:100_000]
    assert len(CHARS.encode(text)) == 100_000
    assert PAIRS.decode(PAIRS.encode(text)) == text


def test_labels_can_be_seen():
    label = {symbol: CHARS.label(token) for token, symbol in enumerate(CHARS.symbols)}
    assert (label["\n"], label[" "], label["a"]) == ("⏎", "␣", "a")
    assert CHARS.label(CHARS.bos_token) == PAIRS.label(PAIRS.bos_token) == "⟨start⟩"
    assert PAIRS.label(PAIRS.eos_token) == "⟨end⟩"
    assert visible("\u200b\u202e\x07") == "⟨U+200B⟩⟨U+202E⟩⟨U+0007⟩"


@given(any_text)
def test_the_bytes_of_the_tokens_are_those_of_the_text(text):
    assert b"".join(map(PAIRS.token_bytes, PAIRS.encode(text))) == text.encode()


@pytest.mark.parametrize("tokenizer", [CHARS, PAIRS])
def test_every_token_has_bytes_and_special_tokens_have_none(tokenizer):
    specials = {tokenizer.bos_token, tokenizer.eos_token}
    for token in range(tokenizer.vocab_size):
        spelled = tokenizer.token_bytes(token)
        assert spelled.decode(errors="replace") == tokenizer.decode([token])
        assert (spelled == b"") == (token in specials)


def test_every_byte_pair_has_a_label_and_part_of_a_character_shows_its_bytes():
    labels = [PAIRS.label(token) for token in range(PAIRS.vocab_size)]
    assert all(label and "\ufffd" not in label for label in labels)
    euro = [PAIRS.label(token) for token in PAIRS.encode("€")]
    assert "".join(euro) == "⟨E2⟩⟨82⟩⟨AC⟩"


GOOD = PAIRS.to_json()
BYTES = {piece: token for piece, token in GOOD["vocab"].items() if token < 256}


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        "characters",
        7,
        {"type": None},
        {"type": ["characters"]},
        {"type": "pickle", "symbols": "ab"},
        {"type": "characters"},
        {"type": "characters", "symbols": ""},
        {"type": "characters", "symbols": "aa"},
        {"type": "characters", "symbols": "ab\ud800"},
        {"type": "byte-pair", "vocab": {}, "merges": []},
        {"type": "byte-pair", "vocab": [], "merges": []},
        {"type": "byte-pair", "vocab": {"a": 0, "b": 1}, "merges": []},
        {"type": "byte-pair", "vocab": {"a": 1e999}, "merges": []},
        {"type": "byte-pair", "vocab": {"a": None}, "merges": []},
        {"type": "byte-pair", "vocab": BYTES, "merges": ["a"]},
        {"type": "byte-pair", "vocab": BYTES, "merges": ["a b"]},
        {"type": "byte-pair", "vocab": BYTES, "merges": [3]},
        {"type": "byte-pair", "vocab": BYTES, "merges": None},
        {"type": "byte-pair", "vocab": BYTES | {"日": 256}, "merges": []},
        {"type": "byte-pair", "vocab": BYTES | {"th": 257}, "merges": ["t h"]},
        {"type": "byte-pair", "vocab": BYTES | {"th": 255}, "merges": ["t h"]},
        {"type": "byte-pair", "vocab": BYTES | {"th": -1}, "merges": ["t h"]},
    ],
    ids=lambda data: str(data)[:40],
)
def test_a_damaged_tokenizer_is_refused_with_what_to_do(data):
    with pytest.raises(CheckpointError, match="Use another checkpoint"):
        tokenizer_from_json(data)
