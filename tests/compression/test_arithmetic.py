"""The coder gives back what was written, at the ideal length."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.compression.arithmetic import TOTAL, Decoder, Encoder
from playground.compression.frequencies import Expectation
from playground.errors import CompressionError


def written(parts) -> bytes:
    encoder = Encoder()
    for start, size in parts:
        encoder.write(start, size)
    return encoder.finish()


def assert_read(data: bytes, parts) -> None:
    decoder = Decoder(data)
    for start, size in parts:
        assert start <= decoder.target() < start + size
        decoder.read(start, size)


EDGES = (0, 1, 255, TOTAL // 2, TOTAL - 1, TOTAL)  # more often than chance has them
NUMBERS = st.sampled_from(EDGES) | st.integers(0, TOTAL)
PARTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=25).map(
    lambda pairs: [(min(pair), abs(pair[0] - pair[1])) for pair in pairs if pair[0] != pair[1]]
)


@given(PARTS)
def test_any_parts_come_back(parts):
    data = written(parts)
    assert_read(data, parts)
    ideal = sum(-math.log2(size / TOTAL) for _, size in parts)
    assert ideal - 8.1 <= 8 * len(data) <= ideal + 16


def test_a_carry_runs_through_many_full_bytes():
    """Parts that all hold 0x80 keep it open whether the bytes are 7F FF FF … or 80 00 00 …."""
    decoder, parts = Decoder(b"\x80"), []
    for _ in range(100):
        parts.append((max(0, decoder.target() - 1), 3))
        decoder.read(*parts[-1])
    below, above = [*parts, (0, 1)], [*parts, (TOTAL - 1, 1)]
    assert written(below).startswith(b"\x7f" + b"\xff" * 200)
    assert written(above).startswith(b"\x80" + b"\x00" * 200)
    assert_read(written(below), below)
    assert_read(written(above), above)


@given(st.binary(max_size=40), st.lists(st.integers(1, TOTAL - 1), max_size=25))
def test_damaged_bytes_are_read_without_an_error(data, cuts):
    decoder = Decoder(data)
    for cut in cuts:
        target = decoder.target()
        assert 0 <= target < TOTAL
        decoder.read(*((0, cut) if target < cut else (cut, TOTAL - cut)))


@pytest.mark.parametrize("part", [(0, 0), (-1, 2), (TOTAL, 1), (TOTAL - 1, 2), (0, TOTAL + 1)])
def test_what_is_no_part_is_refused(part):
    with pytest.raises(ValueError, match="no part"):
        Encoder().write(*part)


def test_nothing_takes_no_bytes():
    assert written([]) == b""


def test_the_loss_is_below_a_thousandth():
    """Against the entropy of what was written, over skewed and flat expectations."""
    random = np.random.default_rng(0)
    for scale in (0.0, 1.0, 4.0):
        logits = scale * random.standard_normal((1000, 257)).astype(np.float32)
        expectations = [Expectation(row, 256) for row in logits]
        probs = np.exp(logits[:, :256].astype(np.float64))
        probs /= probs.sum(1, keepdims=True)
        tokens = [int((p.cumsum() < random.random()).sum()) for p in probs]
        ideal = sum(-math.log2(p[t]) for p, t in zip(probs, tokens, strict=True))
        parts = [e.part_of(t) for e, t in zip(expectations, tokens, strict=True)]
        assert 8 * len(written(parts)) <= 1.001 * ideal + 16
        decoder = Decoder(written(parts))
        for expectation, token in zip(expectations, tokens, strict=True):
            found, start, size = expectation.at(decoder.target())
            assert found == token
            decoder.read(start, size)


@pytest.mark.parametrize("vocab_size", [2, 5, 257, 4097, 60_000])
@pytest.mark.parametrize("scale", [0.0, 3.0, 300.0])
def test_frequencies_share_out_all_and_no_token_is_impossible(vocab_size, scale):
    logits = scale * np.random.default_rng(1).standard_normal(vocab_size).astype(np.float32)
    logits[0] = -np.inf  # all that could be coded, where there are two
    alphabet = vocab_size - 1
    sizes = Expectation(logits, alphabet).sizes
    assert sizes.sum() == TOTAL
    assert sizes.min() >= 1
    if alphabet > 1:
        exact = np.exp(logits[:alphabet].astype(np.float64) - logits[:alphabet].max())
        exact /= exact.sum()
        assert (sizes >= exact * (TOTAL - alphabet) - 1e-3).all()


def test_every_target_finds_the_token_whose_part_it_is():
    expectation = Expectation(np.random.default_rng(2).standard_normal(12).astype(np.float32), 11)
    for token in range(11):
        start, size = expectation.part_of(token)
        for target in (start, start + size - 1):
            assert expectation.at(target) == (token, start, size)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(bad):
    with pytest.raises(CompressionError, match="no number"):
        Expectation(np.array([0.0, bad, 1.0], np.float32), 2)


def test_a_token_costs_what_the_model_says():
    logits = np.log(np.array([0.5, 0.25, 0.125, 0.125], np.float32))
    assert [Expectation(logits, 3).bits(t) for t in range(3)] == pytest.approx([1, 2, 3], abs=1e-6)
