"""The beginning of a picture or a sound as a text for links, whatever comes back in one."""

import numpy as np
import pytest

from playground.errors import PromptError
from playground.tokenizers.image import ImageTokenizer
from playground.ui.kept_link import MAX_CHARACTERS, pack_tokens, unpack_tokens

GREY = ImageTokenizer(6, 7, 1, 5)


def some_tokens(tokenizer: ImageTokenizer, count: int) -> list[int]:
    return np.random.default_rng(count).integers(0, tokenizer.levels, count).tolist()


def unpack(text: str, tokenizer: ImageTokenizer) -> tuple[int, ...]:
    return unpack_tokens(text, tokenizer, tokenizer.size, "picture")


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 16, 100, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_packed_comes_back(levels, channels):
    tokenizer = ImageTokenizer(6, 7, channels, levels)
    for count in (0, 1, 7, 8, 9, tokenizer.size):
        tokens = some_tokens(tokenizer, count)
        assert unpack(pack_tokens(tokens, tokenizer), tokenizer) == tuple(tokens)


def test_a_whole_colour_picture_of_the_shipped_kind_fits_into_a_link():
    tokenizer = ImageTokenizer(32, 32, 3, 16)
    text = pack_tokens(some_tokens(tokenizer, tokenizer.size), tokenizer)
    assert len(text) <= MAX_CHARACTERS
    assert text.isascii()
    assert not set(text) & set("%+/=&#? ")  # nothing that a link would have to escape


def test_what_is_too_long_is_refused_with_both_lengths():
    tokenizer = ImageTokenizer(32, 32, 3, 256)
    with pytest.raises(PromptError, match=r"3,072 values need 4,\d+ characters.*2,100"):
        pack_tokens(some_tokens(tokenizer, tokenizer.size), tokenizer)


@pytest.mark.parametrize(
    "other",
    [
        ImageTokenizer(7, 6, 1, 5),
        ImageTokenizer(6, 7, 1, 6),
        ImageTokenizer(6, 7, 3, 5),
        ImageTokenizer(6, 7, 1, 5, order="spiral"),
    ],
)
def test_tokens_of_another_kind_of_picture_are_refused(other):
    text = pack_tokens(some_tokens(GREY, 9), GREY)
    with pytest.raises(PromptError, match="another kind of picture"):
        unpack(text, other)


KIND = pack_tokens([0], GREY).split(".")[0]


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "<script>alert(1)</script>",
        "x" * 1_000_000,
        f"{KIND}.0.",
        f"{KIND}.43.AAAA",  # more than the picture has
        f"{KIND}.99999.AAAA",
        f"{KIND}.8.AAA",  # three bytes and no bit are needed
        f"{KIND}.8.AAAAAAAA",
        f"{KIND}.8.A",
        f"{KIND}.8.AA=A",
        f"{KIND}.8.Äaaa",
        f"{KIND}.1.____"[: len(KIND) + 5],  # level 7 of 5
        f"{KIND}.٨.AAAA",  # a digit, but not one of ours
    ],
)
def test_a_text_that_was_never_packed_is_refused(text):
    with pytest.raises(PromptError, match="link"):
        unpack(text, GREY)
