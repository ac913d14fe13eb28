"""Figures of sounds against what they are by hand."""

import math

import numpy as np
import pytest

from playground.evaluation.judge import Judge, entropies
from playground.evaluation.sound_figures import (
    QUIETEST_DB,
    loudness,
    real_sound_figures,
    silent_share,
    sound_figures,
    spectra,
    spectral_distance,
)
from playground.tokenizers.audio import AudioTokenizer, mel_spectrogram
from playground.traces.trace import Step, Trace
from tests.helpers import Chain

RATE = 8000
TOKENIZER = AudioTokenizer(RATE, levels=4)  # amplitudes -1, -0.2, 0.2, 1, about
BOS = TOKENIZER.bos_token
PROBS = [[0.5, 0.25, 0.125, 0.125, 1e-9]] * 5  # whatever came before
BITS = 0.5 * 1 + 0.25 * 2 + 2 * 0.125 * 3  # their entropy


def trace(tokens, prompt=(BOS,), bits=1.0, entropy=2.0) -> Trace:
    nats = -bits * math.log(2)
    steps = tuple(
        Step(len(prompt) + i, t, nats, nats, 1, entropy * math.log(2), 4)
        for i, t in enumerate(tokens)
    )
    return Trace("m", tuple(prompt), 0, steps)


def tone(hertz: float, length: int = 2000) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(length) / RATE).astype(np.float32)


def test_loudness_is_the_root_mean_square_in_decibels():
    assert loudness(np.array([1.0, -1.0])) == pytest.approx(0)
    assert loudness(tone(500)) == pytest.approx(-3.01, abs=0.01)
    assert loudness(0.01 * np.ones(9)) == pytest.approx(-40)
    assert loudness(np.zeros(9)) == QUIETEST_DB
    assert loudness(np.zeros(0)) is None


def test_silence_is_below_a_hundredth_of_full_scale():
    assert silent_share(np.array([0.0, 0.009, -0.009, 0.02, -1.0])) == 0.6
    assert silent_share(np.zeros(0)) is None


def test_two_sounds_are_as_far_apart_as_their_spectrograms():
    low, high = tone(200), tone(2000)
    seen = spectra([low, high], RATE, len(low))
    by_hand = np.abs(mel_spectrogram(low, RATE) - mel_spectrogram(high, RATE)).mean()
    assert spectral_distance(seen[:1], seen[1:]) == pytest.approx(by_hand, rel=1e-5)
    assert spectral_distance(seen, seen) == pytest.approx(by_hand / 2, rel=1e-5)  # 2 of 4 pairs
    assert spectral_distance(seen[:0], seen) is None


def test_after_a_shorter_sound_there_is_silence_and_a_longer_one_is_cut():
    low = tone(200)
    padded = np.concatenate([low[:500], np.zeros(500, np.float32)])
    both = spectra([low[:500], padded, low], RATE, 1000)
    assert np.array_equal(both[0], both[1])
    assert np.array_equal(both[2], spectra([low[:1000]], RATE, 1000)[0])


def test_what_the_steps_tell_is_told():
    found = sound_figures(
        [trace([0, 3, 3], bits=1), trace([1], bits=5, entropy=4)], tokenizer=TOKENIZER
    )
    assert found.samples == 2
    assert found.mean_length == 2
    assert found.bits_per_sample == pytest.approx((3 * 1 + 5) / 4)
    assert found.entropy == pytest.approx((3 * 2 + 4) / 4)
    assert found.log_likelihood == pytest.approx(-4 * math.log(2))
    heard = TOKENIZER.decode([0, 3, 3, 1])
    assert found.loudness == pytest.approx(10 * math.log10(np.square(heard).mean()), abs=1e-4)
    assert found.silent_share == 0
    assert found.judge_bits_per_sample is None
    assert found.real_distance is None


def test_a_model_and_a_judge_are_asked_anew():
    model = Chain(PROBS)
    judge = Judge(model, TOKENIZER)
    found = sound_figures([trace([0, 1, 2])], model, judge, tokenizer=TOKENIZER)
    assert found.bits_per_sample == pytest.approx(2, abs=1e-5)
    assert found.judge_bits_per_sample == pytest.approx(2, abs=1e-5)
    assert found.entropy == pytest.approx(BITS, abs=1e-4)
    ((first, *_),) = entropies(model, [(BOS, 0, 1)], 1)
    assert first == pytest.approx(BITS * math.log(2), abs=1e-4)


def test_equal_sounds_have_no_variety_and_one_has_none_to_tell():
    same = sound_figures([trace([0, 3] * 200)] * 2, tokenizer=TOKENIZER)
    assert same.spectral_distance == 0
    assert sound_figures([trace([0, 3])], tokenizer=TOKENIZER).spectral_distance is None


def test_real_sounds_are_compared_behind_what_was_given():
    loud, soft = np.array([0, 3] * 400, np.uint8), np.array([1, 2] * 400, np.uint8)
    given = tuple(soft[:400].tolist())
    made = trace(loud[:400].tolist(), prompt=(BOS, *given))
    real = np.concatenate([soft[:400], loud[:400]])
    found = sound_figures([made], tokenizer=TOKENIZER, real=[real])
    assert found.real_distance == 0
    assert sound_figures([made], tokenizer=TOKENIZER, real=[soft]).real_distance > 5
    assert sound_figures([made], tokenizer=TOKENIZER, real=[soft[:400]]).real_distance is None


def test_real_sounds_are_judged_where_lanes_decided():
    real = [np.array(row, np.uint8) for row in ([0, 1, 2, 0], [1, 1], [0], [3, 2, 1])]
    found = real_sound_figures(real, Chain(PROBS), tokenizer=TOKENIZER, given=1, length=2)
    assert found.samples == 3  # one is no longer than what is given
    assert found.mean_length == pytest.approx(5 / 3)
    assert found.bits_per_sample == pytest.approx((2 + 3 + 2 + 3 + 2) / 5, abs=1e-5)
    assert found.entropy == pytest.approx(BITS, abs=1e-4)
    assert found.real_distance is None
    assert found.spectral_distance > 0


def test_nothing_has_no_figures():
    found = sound_figures([trace([])], tokenizer=TOKENIZER)
    assert (found.mean_length, found.loudness, found.entropy) == (0, None, None)
    assert real_sound_figures([], Chain(PROBS), tokenizer=TOKENIZER).mean_length is None
    assert None in found.to_dict().values()
