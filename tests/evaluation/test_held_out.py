"""What models need for windows, pictures and sounds, against one reading of the whole."""

import math

import numpy as np
import pytest
import torch

from playground.checkpoints import load
from playground.data.images import read_examples
from playground.data.text import held_out_excerpt
from playground.errors import DataError
from playground.evaluation.bits_per_dim import bits_of_pictures
from playground.evaluation.held_out import (
    Measured,
    picture_units,
    sound_units,
    text_units,
    units_of,
    why_not,
    windows_of,
)
from playground.evaluation.judge import judge
from playground.tokenizers.image import ImageTokenizer
from tests.helpers import ROOT

CHECKPOINTS = ROOT / "checkpoints"


def test_windows_are_the_text_and_end_before_blanks():
    text = held_out_excerpt(CHECKPOINTS / "kjv-char-ngram")[:3000]
    windows = windows_of(text, 400)
    assert "".join(windows) == text
    assert all(window[0] in " \n" for window in windows[1:])
    assert max(map(len, windows)) <= 500
    assert windows_of("abc", 400) == ["abc"]
    assert windows_of("x" * 1000, 400) == ["x" * 400, "x" * 400, "x" * 200]


@pytest.mark.parametrize(("text", "says"), [("", "no text"), ("a" * 40_001, "at most 40,000")])
def test_texts_that_cannot_be_measured_are_told(text, says):
    with pytest.raises(DataError, match=says):
        windows_of(text)


def test_windows_add_up_to_the_whole_where_the_memory_is_short():
    """A 7-gram sees six characters, so a window before is as good as all that came before."""
    model, tokenizer = load(CHECKPOINTS / "kjv-char-ngram")
    text = held_out_excerpt(CHECKPOINTS / "kjv-char-ngram")[:1500]
    found = Measured(tuple(text_units(model, tokenizer, windows_of(text, 200))))
    whole = judge(model, [[tokenizer.bos_token, *tokenizer.encode(text)]], 1)
    assert found.per_size().value == pytest.approx(whole.bits_per_token, rel=1e-5)
    assert found.perplexity().value == pytest.approx(whole.perplexity, rel=1e-4)
    assert found.size == found.tokens == 1500
    interval = found.perplexity()
    assert interval.low < interval.value < interval.high


def test_windows_of_byte_pairs_are_cut_where_tokens_are():
    model, tokenizer = load(CHECKPOINTS / "prose-bpe-draft")
    text = held_out_excerpt(CHECKPOINTS / "prose-bpe-draft")[:1200]
    windows = windows_of(text, 300)
    assert [t for window in windows for t in tokenizer.encode(window)] == tokenizer.encode(text)
    units = list(text_units(model, tokenizer, windows))
    assert sum(unit.size for unit in units) == 1200
    assert sum(unit.tokens for unit in units) == len(tokenizer.encode(text))


def test_pictures_are_units_and_one_picture_is_its_rows():
    folder = CHECKPOINTS / "digits-transformer-spiral"
    model, tokenizer = load(folder)
    pictures = read_examples(folder, tokenizer)[:3]
    units = list(picture_units(model, tokenizer, pictures))
    tokens = torch.tensor([tokenizer.encode(picture) for picture in pictures])
    bits = bits_of_pictures(model, tokens, tokenizer.bos_token) * 64
    np.testing.assert_allclose([unit.bits for unit in units], bits, rtol=1e-5)
    rows = list(picture_units(model, tokenizer, pictures[:1]))
    assert len(rows) == 8 == units_of("image", 1, tokenizer, [])
    assert sum(row.bits for row in rows) == pytest.approx(units[0].bits)


def test_one_sound_is_cut_into_quarters_of_a_second():
    model, tokenizer = load(CHECKPOINTS / "words-wavenet")
    samples = np.sin(np.arange(5000) / 20).astype(np.float32) / 2
    parts = list(sound_units(model, tokenizer, [samples]))
    assert [part.size for part in parts] == [2000, 2000, 1000]
    assert units_of("audio", 1, tokenizer, [5000]) == 3
    whole = list(sound_units(model, tokenizer, [samples, samples[:800]]))
    assert whole[0].bits == pytest.approx(sum(part.bits for part in parts), rel=1e-6)
    assert math.isclose(whole[1].size, 800)


def test_why_a_model_cannot_take_part_is_told():
    _, characters = load(CHECKPOINTS / "kjv-char-ngram")
    assert why_not("text", characters, characters, "And God said") == ""
    assert "U+00E9" in why_not("text", characters, characters, "caf\u00e9")
    coarse, fine = ImageTokenizer(28, 28, 1, 4), ImageTokenizer(28, 28, 1, 256)
    assert "do not compare" in why_not("image", fine, coarse)
    assert why_not("image", ImageTokenizer(28, 28, 1, 4, "spiral"), coarse) == ""
