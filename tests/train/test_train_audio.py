"""python -m train.audio: real runs in real processes, killed and started again."""

import json

import numpy as np
import pytest
import torch

from playground.checkpoints import load
from playground.data.sounds import load_sounds, read_examples
from playground.errors import ConfigError
from playground.tokenizers.audio import AudioTokenizer, read_sound
from tests.train.runs import Script, assert_same_weights, records
from train.audio import Config, Crops
from train.told import ToldClass, ToldText, told_by

SCRIPT = Script("train.audio", (
    *("--channels", "8", "--skip-channels", "8", "--n-layer", "3", "--dilation-cycle", "3"),
    *("--frame-size", "4", "--n-hidden", "8", "--n-embd", "8", "--n-head", "2"),
    *("--context-length", "64", "--crop", "800", "--batch-size", "4", "--threads", "1"),
    *("--steps", "20", "--warmup", "2", "--save-every", "4", "--eval-every", "10"),
    *("--eval-seconds", "1", "--precision", "float32", "--draws", "1"),
))  # fmt: skip


def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    flags = ("--gain", "0.5", "--flip", "--steps", "40", "--eval-every", "40")
    SCRIPT.run(tmp_path / "unbroken", *flags)
    out = tmp_path / "killed"
    SCRIPT.run_in_spite_of_kills(out, *flags, kills=2)
    assert_same_weights(tmp_path / "unbroken", out)
    sounds = [(f / "samples-000040.wav").read_bytes() for f in (tmp_path / "unbroken", out)]
    assert sounds[0] == sounds[1]


@pytest.mark.parametrize(
    ("model", "data", "told"),
    [
        ("wavenet", "instruments", "auto"),
        ("wavenet", "words", "text"),
        ("samplernn", "instruments", "auto"),
        ("transformer", "instruments", "auto"),
    ],
)
def test_a_finished_run_leaves_a_checkpoint_with_its_card_and_sounds(model, data, told, tmp_path):
    output = SCRIPT.run(tmp_path, "--model", model, "--data", data, "--told", told)
    assert "left" in output
    trained, tokenizer = load(tmp_path)
    assert isinstance(tokenizer, AudioTokenizer)
    measured = [r["test_bits_per_sample"] for r in records(tmp_path) if "test_bits_per_sample" in r]
    assert len(measured) == 2
    assert measured[1] < 8.05
    info = json.loads((tmp_path / "config.json").read_text())["info"]
    assert info["test_bits_per_sample"] < 8.05
    assert list(info["baselines"].values()) == sorted(info["baselines"].values(), reverse=True)
    card = (tmp_path / "README.md").read_text()
    assert "python -m train.audio" in card
    assert "**bits per sample**" in card
    assert "n-gram, 2 samples back" in card
    sounds = load_sounds(data)
    assert info["classes"] == (list(sounds.classes) if model == "wavenet" else [])
    assert getattr(trained.config, "n_class", 0) == len(info["classes"])
    if told == "text":
        assert set(trained.config.alphabet) >= set("zero one two")
        assert [total for _, total, _ in info["recognised"].values()] == [10] * 3
        assert "| 0.8, 2.0 |" in card
    heard = read_sound(tmp_path / "samples.wav", 8000, longest_seconds=60)
    assert len(heard.samples) > 8000
    examples = read_examples(tmp_path, tokenizer)
    assert [len(clip) for clip in examples] == info["examples"]["lengths"]
    for clip, label in zip(examples, info["examples"]["labels"], strict=True):
        kin = [s for s, other in zip(sounds.test, sounds.test_labels, strict=True)
               if other == label and len(s) >= len(clip)]  # fmt: skip
        assert any(np.abs(s[: len(clip)] - clip).max() < 1e-3 for s in kin)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--data", "no-such-folder"), "Name a folder of sounds"),
        (("--model", "gan"), "must be one of wavenet, samplernn, transformer"),
        (("--kernel-size", "1"), "kernel_size must be a whole number"),
        (("--crop", "801"), "--crop must be a multiple of --hop 80"),
        (("--told", "text"), "no transcripts"),
        (("--told", "song"), "--told must be class, text, nothing or auto"),
        (("--model", "samplernn", "--told", "class"), "A samplernn is told nothing"),
        (("--sample-rate", "7"), "sample_rate"),
    ],
)
def test_settings_that_cannot_be_are_explained(flags, says, tmp_path):
    assert says in SCRIPT.refusal(tmp_path, *flags)


@pytest.mark.parametrize(
    "wrong", [{"told_dropout": 2.0}, {"start_share": -1.0}, {"gain": 0.0}, {"tail": -1.0},
              {"crop": 0}, {"eval_seconds": 0.0}]
)  # fmt: skip
def test_settings_are_checked_before_anything_is_read(wrong):
    with pytest.raises(ConfigError, match="--" + next(iter(wrong)).replace("_", "-")):
        Config(**wrong)


class TestCrops:
    """Inputs and targets of a step."""

    config = Config(crop=80, hop=8, batch_size=64, tail=0.0, told_dropout=0.2, sample_rate=8000)
    clips = (np.linspace(-0.9, 0.9, 1000, dtype=np.float32), np.full(50, 0.5, np.float32))

    def crops(self, **changes):
        config = Config(**{**vars(self.config), **changes})
        return Crops(self.clips, ("seven", "of"), AudioTokenizer(), config)

    def test_a_target_is_the_next_input_and_what_is_told_says_where_it_is(self):
        tokenizer = AudioTokenizer()
        whole = [tokenizer.quantise(clip).tolist() for clip in self.clips]
        inputs, targets, told = self.crops().batch(3)
        assert torch.equal(inputs[:, 1:], targets[:, :-1])
        known = [(x, y, crop) for x, y, crop in zip(inputs, targets, told, strict=True) if crop]
        assert 0 < len(known) < 64
        for x, y, (number, start) in known:
            assert start % 8 == 0
            kept = min(80, len(whole[number]) - start)
            assert y[:kept].tolist() == whole[number][start : start + kept]
            assert x[0] == (whole[number][start - 1] if start else tokenizer.bos_token)
            silence = tokenizer.encode([0.0])[0]
            assert (y[kept:] == silence).all()
        assert {number for _, _, (number, _) in known} == {0, 1}
        assert any(start == 0 for *_, (_, start) in known)

    def test_digits_have_the_share_that_is_asked_for(self):
        for share in (0.2, 0.9):
            crops = self.crops(digits_share=share, told_dropout=0.0)
            numbers = [number for step in range(20) for number, _ in crops.batch(step)[2]]
            assert numbers.count(0) / len(numbers) == pytest.approx(share, abs=0.05)
        config = Config(**{**vars(self.config), "digits_share": 0.5})
        with pytest.raises(ConfigError, match="digits are spoken"):
            Crops(self.clips, ("a", "b"), AudioTokenizer(), config)

    def test_noise_is_in_the_inputs_alone(self):
        plain, noisy = self.crops(), self.crops(input_noise=4.0)
        off, silent = [], AudioTokenizer().bos_token
        for one, other in zip(plain.batch(2)[0], noisy.batch(2)[0], strict=True):
            assert torch.equal(one == silent, other == silent)
            off.append((other - one).float().std().item())
        assert torch.equal(plain.batch(2)[1], noisy.batch(2)[1])
        assert min(off) < 1 < max(off) < 6

    def test_a_batch_depends_on_its_step_alone(self):
        one, other = self.crops(), self.crops()
        one.batch(1)
        assert torch.equal(one.batch(5)[1], other.batch(5)[1])
        assert not torch.equal(one.batch(5)[1], other.batch(6)[1])

    def test_crops_are_made_quieter_and_turned_upside_down(self):
        plain, changed = self.crops().batch(0)[1], self.crops(gain=0.5, flip=True).batch(0)[1]
        tokenizer = AudioTokenizer()
        before = np.stack([tokenizer.decode(row.tolist()) for row in plain])
        after = np.stack([tokenizer.decode(row.tolist()) for row in changed])
        loud = np.abs(before).max(1) > 0.2
        factor = (after / np.where(before == 0, 1, before))[loud][:, 0]
        assert (np.abs(factor) < 1.1).all()
        assert (np.abs(factor) > 0.4).all()
        assert (factor < 0).any()
        assert (factor > 0).any()


def test_what_is_told_of_a_batch_is_what_its_sounds_are():
    sounds = load_sounds("instruments")
    told = told_by(Config(), sounds)
    assert isinstance(told, ToldClass)

    class Spy:
        def biases(self, labels, batch_size):
            return labels

    labels = told.of_batch(Spy(), [(3, 0), None, (40, 80)])
    assert labels.tolist() == [sounds.train_labels[3], len(sounds.classes), sounds.train_labels[40]]


def test_a_crop_of_a_text_is_told_its_part_of_the_text():
    from playground.models import WaveNet, WaveNetConfig

    sounds = load_sounds("words")
    told = told_by(Config(data="words", told="text", crop=1600), sounds)
    assert isinstance(told, ToldText)
    model = WaveNet(WaveNetConfig(channels=4, n_layer=2, alphabet=told.sizes["alphabet"]))
    found = told.of_batch(model, [(7, 0), (7, 1600), None])
    assert found.shape == (3, 20, 2 * 2 * 4)
    frames = told.frames[7]
    whole = model.biases((told.texts[7], frames), 1)[0]
    both = torch.cat((found[0], found[1]))[: len(whole)]
    torch.testing.assert_close(both, whole[: len(both)])
    torch.testing.assert_close(found[2], model.biases(None, 1)[0].expand(20, -1))
