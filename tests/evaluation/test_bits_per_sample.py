"""Bits of sounds: those of the model's steps, and of every shipped checkpoint as its card says."""

import json
import math

import pytest
import torch

from playground.checkpoints import load
from playground.data.sounds import load_sounds
from playground.evaluation.bits_per_sample import (
    bits_of_sounds,
    bits_per_sample,
    surprisal_of_sound,
)
from tests.helpers import Chain, random_tokens, shipped_folders, sound_model, transformer


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_levels():
    chain = Chain([[1 / 8] * 8] * 8)
    sounds = [random_tokens(n, vocab_size=8) for n in (5, 90)]
    assert bits_per_sample(chain, sounds, 7) == pytest.approx(3.0)
    assert bits_of_sounds(chain, sounds, 7).tolist() == pytest.approx([15.0, 270.0])


@pytest.mark.parametrize("condition", [None, 2])
def test_surprisal_is_that_of_steps(condition):
    model = sound_model("wavenet", n_class=3)
    sound = random_tokens(40, vocab_size=22)
    found = surprisal_of_sound(model, sound, 22, condition)
    token, state = torch.tensor([[22]]), model.initial_state(1, condition)
    for at, level in enumerate(sound.tolist()):
        logits, state = model.step(token, state)
        wanted = -logits[0].double().log_softmax(-1)[level].item() / math.log(2)
        assert found[at].item() == pytest.approx(wanted, abs=1e-4)
        token = torch.tensor([[level]])


def test_a_long_sound_is_read_in_windows_with_half_a_context_before_each_sample():
    model, sound = transformer(), random_tokens(95, vocab_size=22)  # a context of 40
    found = surprisal_of_sound(model, sound, 22)
    inputs = torch.cat((torch.tensor([22]), sound[:-1]))
    assert len(found) == 95
    for at, first in ((0, 0), (19, 0), (25, 0), (40, 20), (59, 20), (94, 55)):
        row = model.forward(inputs[None, first : at + 1])[0, -1].double().log_softmax(-1)
        assert found[at].item() == pytest.approx(-row[sound[at]].item() / math.log(2), abs=1e-4)


@pytest.mark.parametrize("folder", shipped_folders("audio"), ids=lambda folder: folder.name)
def test_a_shipped_checkpoint_needs_the_bits_of_its_card_and_fewer_than_counts(folder):
    model, tokenizer = load(folder)
    info = json.loads((folder / "config.json").read_text())["info"]
    assert info["test_bits_per_sample"] < min(info["baselines"].values()) - 0.3
    sounds = load_sounds(info["sounds"])
    few = [torch.from_numpy(tokenizer.quantise(clip)) for clip in sounds.test[:3]]
    told = None
    if info["classes"]:
        told = sounds.test_labels[:3].tolist()
    elif getattr(model.config, "alphabet", ""):
        told = [(t, -(-len(c) // model.config.hop)) for t, c in zip(sounds.test_texts, few, strict=False)]  # fmt: skip  # noqa: E501
    percentiles = info["test_bits_percentiles"]
    for bits, sound in zip(bits_of_sounds(model, few, tokenizer.bos_token, told), few, strict=True):
        assert percentiles[0] - 0.02 <= bits / len(sound) <= percentiles[100] + 0.02
