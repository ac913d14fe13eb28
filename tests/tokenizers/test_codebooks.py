import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import ConfigError, PromptError
from playground.tokenizers.codebooks import CodecTokenizer, DelayPattern
from tests.tiny_musicgen import HOP, N_CODEBOOKS, N_CODES, RATE, tiny_musicgen

PADDING = 99


def codes_of(pattern: DelayPattern) -> np.ndarray:
    """Return codes (K, T) that are all different."""
    return np.arange(pattern.size).reshape(pattern.n_codebooks, pattern.n_frames)


def test_codebooks_are_delayed_by_a_step_each():
    pattern = DelayPattern(3, 4)
    codes = np.array([[10, 11, 12, 13], [20, 21, 22, 23], [30, 31, 32, 33]])
    P = PADDING
    assert pattern.to_steps(codes, P).tolist() == [
        [P, 10, 11, 12, 13, P, P],
        [P, P, 20, 21, 22, 23, P],
        [P, P, P, 30, 31, 32, 33],
    ]
    flat = [10, 11, 20, 12, 21, 30, 13, 22, 31, 23, 32, 33]
    assert pattern.flatten(codes).tolist() == flat
    assert pattern.books.tolist() == [0, 0, 1, 0, 1, 2, 0, 1, 2, 1, 2, 2]
    assert pattern.steps.tolist() == [1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6]


def test_the_layout_is_that_of_transformers():
    decoder = tiny_musicgen().decoder
    pattern = DelayPattern(N_CODEBOOKS, 9)
    codes = codes_of(pattern) % N_CODES
    given_ids = torch.from_numpy(np.pad(codes, ((0, 0), (1, 0)), constant_values=N_CODES))
    _, mask = decoder.build_delay_pattern_mask(given_ids, N_CODES, pattern.n_steps)
    assert pattern.to_steps(codes, N_CODES).tolist() == mask.tolist()


@given(st.integers(1, 8), st.integers(1, 30))
def test_every_layout_goes_back(n_codebooks, n_frames):
    pattern = DelayPattern(n_codebooks, n_frames)
    codes = codes_of(pattern)
    assert (pattern.to_codes(pattern.to_steps(codes, PADDING)) == codes).all()
    flat = pattern.flatten(codes)
    assert sorted(flat.tolist()) == list(range(pattern.size))
    assert (pattern.unflatten(flat, -1) == codes).all()
    for n_tokens in range(pattern.size + 1):
        part = pattern.unflatten(flat[:n_tokens], -1)
        whole = int((part >= 0).all(axis=0).sum())
        assert pattern.whole_frames(n_tokens) == whole
        assert pattern.tokens_of(whole) <= n_tokens
    assert [pattern.whole_frames(pattern.tokens_of(n)) for n in range(n_frames + 1)] == list(
        range(n_frames + 1)
    )


def test_codes_of_another_size_are_refused():
    with pytest.raises(PromptError, match="must be 3 codebooks of 4 codes"):
        DelayPattern(3, 4).flatten(np.zeros((4, 3), int))
    with pytest.raises(ConfigError, match="n_codebooks must be a whole number"):
        DelayPattern(0, 4)
    with pytest.raises(ConfigError, match="n_frames must be a whole number"):
        DelayPattern(3, 10**9)


def tokenizer(n_frames: int = 20) -> CodecTokenizer:
    return CodecTokenizer(tiny_musicgen().audio_encoder, DelayPattern(N_CODEBOOKS, n_frames))


def tone(seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * math.pi * 440 * time)).astype(np.float32)


def test_tokens_are_heard_as_the_codec_decodes_their_codes():
    t = tokenizer()
    codes = np.random.default_rng(0).integers(0, N_CODES, (N_CODEBOOKS, 20))
    tokens = t.pattern.flatten(codes).tolist()
    samples = t.decode([t.bos_token, *tokens])
    assert samples.shape == (20 * HOP,)
    assert samples.dtype == np.float32
    with torch.inference_mode():
        told = t.codec.decode(torch.from_numpy(codes)[None, None], [None]).audio_values[0, 0]
    assert np.array_equal(samples, told.clamp(-1, 1).numpy())
    assert samples.std() > 1e-4
    begun = t.pattern.tokens_of(7) + 1  # a code more, of a frame that is not whole
    assert t.decode(tokens[:begun]).shape == (7 * HOP,)
    assert (t.codes(tokens[:begun]) == codes[:, :7]).all()
    assert t.decode([]).shape == (0,)
    assert t.decode(tokens[:2]).shape == (0,)
    other = codes.copy()
    other[0, 3] = (other[0, 3] + 1) % N_CODES
    assert not np.array_equal(t.decode(t.pattern.flatten(other).tolist()), samples)


def test_a_sound_becomes_the_codes_that_the_codec_makes_of_it():
    t = tokenizer()
    with torch.inference_mode():
        told = t.codec.encode(torch.from_numpy(tone(0.2))[None, None], bandwidth=1.5)
    codes = told.audio_codes[0, 0, :N_CODEBOOKS].numpy()
    whole = t.encode(tone(0.2))  # as long as the pattern
    assert codes.shape == (N_CODEBOOKS, 20)
    assert whole == t.pattern.flatten(codes).tolist()
    part = t.encode(tone(0.1))
    assert len(part) < t.pattern.size
    assert (t.codes(part) == t.codes(t.encode(tone(0.1)))).all()
    assert t.codes(part).shape == (N_CODEBOOKS, 10 - (N_CODEBOOKS - 1))
    assert len(t.encode(tone(9.0))) == t.pattern.size  # what is longer is cut
    assert t.encode(tone(0.001)) == []
    with pytest.raises(PromptError, match="one row of floats"):
        t.encode(np.zeros((2, 100), np.float32))


def test_what_a_token_is_called_and_where_it_stands():
    t = tokenizer()
    assert t.vocab_size == N_CODES + 1
    assert t.label(t.bos_token) == "⟨start⟩"
    assert t.label(7) == "7"
    assert t.place(0) == (0, 0)
    assert t.place(5) == (0, 2)
    assert t.frame_rate == RATE / HOP
    assert t.to_json() != tokenizer(21).to_json()
