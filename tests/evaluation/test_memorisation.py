"""Copies from a training text, against brute force and worked by hand."""

import random

import pytest

from playground.errors import DataError
from playground.evaluation.memorisation import CHUNK, MAX_CHARACTERS, copied


def look(texts: list[str], training: str):
    return list(copied(texts, training))[-1]


def brute(text: str, training: str) -> tuple[int, ...]:
    return tuple(
        max((n for n in range(1, i + 2) if text[i + 1 - n : i + 1] in training), default=0)
        for i in range(len(text))
    )


@pytest.mark.parametrize("seed", range(20))
def test_lengths_are_those_of_brute_force(seed):
    draw = random.Random(seed)
    kinds = "ab" if seed % 2 else "abcd"
    training = "".join(draw.choices(kinds, k=60))
    texts = ["".join(draw.choices(kinds + "z", k=draw.randrange(1, 30))) for _ in range(3)]
    for text, found in zip(texts, look(texts, training), strict=True):
        assert found.lengths == brute(text, training)


def test_pieces_are_as_long_as_they_can_be():
    (found,) = look(["xx the cat zz sat on"], "the cat sat on the mat")
    assert found.longest == "the cat "
    long = [found.text[a:b] for a, b in found.pieces if b - a > 1]
    assert long == [" the ", "the cat ", " sat on"]
    assert found.share_in(7) == pytest.approx((8 + 7) / 20)
    assert found.share_in(8) == pytest.approx(8 / 20)


def test_no_copy_reaches_from_one_text_into_the_next():
    first, second = look(["the ca", "t sat"], "the cat sat")
    assert first.longest == "the ca"
    assert second.longest == "t sat"


def test_a_copy_across_two_parts_of_the_training_text_is_found():
    training = "." * (CHUNK - 5) + "in the beginning" + "." * 20
    *progress, (found,) = copied(["and in the beginning was"], training)
    assert found.longest == "in the beginning"
    assert progress == [CHUNK / len(training), 1.0]


def test_too_much_is_refused():
    with pytest.raises(DataError, match="0 characters"):
        look([""], "abc")
    with pytest.raises(DataError, match="looked for at once"):
        look(["a" * (MAX_CHARACTERS + 1)], "abc")
