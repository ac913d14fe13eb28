"""Lanes of sounds: told a class, a text or nothing, begun or not, alone or together the same."""

import io
import zipfile

import numpy as np
import pytest
import soundfile
import torch

from playground.checkpoints import load, read_config
from playground.comparison import Comparison, kind_of
from playground.comparison.conditions import classes_of, text_to_speak, told_by
from playground.comparison.kinds import SOUND
from playground.comparison.sounds import heard, kept_part, length_of, one_file, zipped
from playground.decoding.offered import SOUNDS
from playground.decoding.presets import SOUND_DEFAULT, SOUND_PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec
from playground.errors import ConfigError, DataError, PlaygroundError
from playground.evaluation.judge import Judge
from playground.models.conditioned import as_drawn
from tests.sound_checkpoints import ALPHABET, CLASSES, TOKENIZER, examples, write_checkpoint

LENGTH = 60
MODELS = {  # name: family and sizes
    "told": ("wavenet", {"n_class": 3}),
    "untold": ("wavenet", {"seed": 1}),
    "speaks": ("wavenet", {"alphabet": ALPHABET}),
    "rnn": ("samplernn", {"frame_size": 4, "n_embd": 6, "n_hidden": 12, "n_condition": 5,
                          "n_mlp": 10}),
    "looks": ("transformer", {"vocab_size": 257, "context_length": 32, "n_layer": 1, "n_head": 2,
                              "n_embd": 16}),
}  # fmt: skip


class Loaded:
    def __init__(self, folder):
        self.model, self.tokenizer = load(folder)
        self.info = read_config(folder)["info"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: write_checkpoint(root / name, f, **s) for name, (f, s) in MODELS.items()}


@pytest.fixture(scope="module")
def loader(folders):
    known = {name: Loaded(folder) for name, folder in folders.items()}
    return known.__getitem__


@pytest.fixture
def compare(loader):
    def compare(*specs, prompt="", **options) -> Comparison:
        own = {"model": "told", "load": loader, "seed": 3, "max_new_tokens": LENGTH}
        return Comparison(specs, prompt, **own | options)

    return compare


@pytest.fixture
def run(compare):
    def run(*specs, **options) -> Comparison:
        running = compare(*specs, **options)
        while running.advance():
            pass
        return running

    return run


def tokens_of(result) -> list[tuple[int, ...]]:
    return [trace.tokens for trace in result.traces]


def test_every_preset_sounds_alone_as_beside_others(run):
    specs = [s.but(second="untold" if s.needs_second else "") for s in SOUND_PRESETS.values()]
    for first in range(0, len(specs), 7):
        some = specs[first : first + 7]
        together = run(*some, condition="snare").results()
        for spec, result in zip(some, together, strict=True):
            alone = run(spec, condition="snare").results()[0]
            assert alone.traces == result.traces, spec.label
            for tokens in tokens_of(result):
                assert len(tokens) == 1 + LENGTH, spec.label
                assert max(tokens[1:]) < TOKENIZER.levels, spec.label


@pytest.mark.parametrize("model", MODELS)
def test_the_usual_lanes_need_nothing_but_a_model(run, model):
    running = run(*(SOUND_PRESETS[name] for name in SOUND_DEFAULT), model=model, slide=True)
    assert {len(t) for r in running.results() for t in tokens_of(r)} == {1 + LENGTH}


def test_half_a_second_is_usual(compare):
    assert compare(LaneSpec("x"), max_new_tokens=None).length == TOKENIZER.sample_rate // 2
    assert length_of(TOKENIZER, 2) == 16_000
    for seconds in (0, 2.1, float("nan"), True):
        with pytest.raises(ConfigError, match="the length in seconds"):
            length_of(TOKENIZER, seconds)


def test_a_class_changes_the_sounds_and_each_lane_may_have_its_own(run):
    lanes = (
        LaneSpec("all"), LaneSpec("own", condition="Bell"), LaneSpec("any", condition="any")
    )  # fmt: skip
    running = run(*lanes, condition="snare")
    assert [running.label_of(spec) for spec in lanes] == [1, 2, None]
    assert len({tokens_of(r)[0] for r in running.results()}) == 3
    assert classes_of(running.load("told")) == CLASSES


def test_a_text_is_told_to_models_that_speak_and_to_no_others(run):
    lanes = (
        LaneSpec("all"), LaneSpec("own", condition="seven"), LaneSpec("any", condition="any"),
        LaneSpec("classes", model="told"), LaneSpec("own class", model="told", condition=1),
        LaneSpec("none", model="rnn"),
    )  # fmt: skip
    running = run(*lanes, model="speaks", condition=" Four  five")
    found = [running.label_of(spec) for spec in lanes]
    assert found == ["four five", "seven", None, None, 1, None]
    assert len({tokens_of(r)[0] for r in running.results()}) == len(lanes)
    assert [told_by(running.load(name)) for name in ("told", "speaks", "rnn")] == [
        "class", "text", "",
    ]  # fmt: skip
    assert (
        run(LaneSpec("x", model="speaks"), condition="kick").label_of(LaneSpec("x", model="speaks"))
        is None
    )  # a class is no text to speak


def test_guidance_of_1_is_the_model_and_more_leads_towards_the_text(run, loader):
    def guided(scale):
        settings = {"guidance_scale": scale}
        return LaneSpec(f"{scale}", combination="guided", combination_settings=settings)

    options = {"model": "speaks", "condition": "one"}
    plain, one, three = run(LaneSpec("x"), guided(1.0), guided(3.0), **options).results()
    assert tokens_of(plain) == tokens_of(one)
    assert tokens_of(plain) != tokens_of(three)
    (step, *_) = three.traces[0].steps
    told, untold = (
        as_drawn(loader("speaks").model, TOKENIZER.bos_token, c)
        .forward(torch.tensor([[TOKENIZER.bos_token]]))[0, 0, :-1]
        .log_softmax(-1)
        for c in ("one", None)
    )
    expected = (untold + 3 * (told - untold)).log_softmax(-1)[step.token].item()
    assert step.logprob == pytest.approx(expected, abs=1e-4)


def test_lanes_continue_one_sound(run):
    kept = kept_part(TOKENIZER, examples()[0], 0.01)
    assert kept == TOKENIZER.encode(examples()[0])[:80]
    running = run(SOUND_PRESETS["sample"], LaneSpec("greedy", "greedy"), prompt=kept)
    for result in running.results():
        for trace in result.traces:
            assert trace.prompt == (TOKENIZER.bos_token, *kept)
            assert len(trace.steps) == LENGTH
    for lane in heard(TOKENIZER, running.results()):
        for sound in lane:
            assert sound.shape == (80 + LENGTH,)
            assert np.allclose(sound[:80], TOKENIZER.decode(kept))
    assert len(kept_part(TOKENIZER, examples()[0], None)) == 1200  # all of it, which is shorter


def test_figures_are_those_of_the_plain_model_told_the_class(run, loader):
    running = run(SOUND_PRESETS["sample"], SOUND_PRESETS["guidance 2"], condition="bell")
    own = as_drawn(loader("told").model, TOKENIZER.bos_token, 2)
    for result in running.results():
        rows = torch.tensor(tokens_of(result))
        logprobs = own.forward(rows[:, :-1])[..., :-1].log_softmax(-1)
        nats = -logprobs.gather(2, rows[:, 1:, None]).mean().item()
        entropy = -(logprobs.exp() * logprobs).sum(-1).mean().item()
        figures = running.figures(result)
        assert figures.bits_per_sample == pytest.approx(nats / np.log(2), abs=1e-4)
        assert figures.entropy == pytest.approx(entropy / np.log(2), abs=1e-4)
        assert figures.spectral_distance > 0


def test_a_judge_is_told_the_same(run, loader):
    running = run(LaneSpec("x", model="untold", samples=2), condition="bell")
    (result,) = running.results()
    found = running.figures(result, Judge(loader("told").model, TOKENIZER, "told"))
    rows = torch.tensor(tokens_of(result))
    model = as_drawn(loader("told").model, TOKENIZER.bos_token, 2)
    logprobs = model.forward(rows[:, :-1]).log_softmax(-1).gather(2, rows[:, 1:, None])
    expected = -logprobs.mean().item() / np.log(2)
    assert found.judge_bits_per_sample == pytest.approx(expected, abs=1e-4)


def test_real_sounds_are_those_of_what_is_told(run, folders, loader):
    real = SOUND.real(folders["told"], loader("told"))
    assert [len(row) for row in real.tokens] == [len(clip) for clip in examples()]
    assert (
        len(run(LaneSpec("x"), condition=1).kind.real(folders["told"], loader("told")).of(1)) == 1
    )
    running = run(LaneSpec("x", samples=2), condition="snare")
    figures = running.real_figures(real)
    assert (figures.samples, figures.mean_length) == (1, LENGTH)
    assert running.figures(running.results()[0], real=real).real_distance > 0
    assert run(LaneSpec("x")).real_figures(real).samples == 3
    spoken = SOUND.real(folders["speaks"], loader("speaks"))
    assert len(spoken.of("bell")) == 1  # what is said in it
    assert len(spoken.of("something else")) == 3


def test_a_checkpoint_without_examples_says_so(tmp_path, loader):
    with pytest.raises(DataError, match="no example sounds"):
        kind_of(TOKENIZER).real(tmp_path, loader("told"))


def test_sounds_are_written_one_after_the_other_or_each_to_a_file(run):
    running = run(LaneSpec("a/b ", samples=2), LaneSpec("greedy", "greedy"))
    made = heard(TOKENIZER, running.results())
    for suffix in (".wav", ".FLAC"):
        samples, rate = soundfile.read(io.BytesIO(one_file(TOKENIZER, made, suffix)))
        assert rate == TOKENIZER.sample_rate
        assert len(samples) == 3 * LENGTH + 2 * rate // 4
        assert TOKENIZER.encode(samples[-LENGTH:]) == list(tokens_of(running.results()[1])[0][1:])
        assert not samples[LENGTH : LENGTH + rate // 4].any()
    data = zipped(TOKENIZER, ["a/b ", "../.."], made)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["1-a-b-1.wav", "1-a-b-2.wav", "2-lane-1.wav"]
    assert data == zipped(TOKENIZER, ["a/b ", "../.."], made)
    with pytest.raises(ConfigError, match=r"\.wav or \.flac"):
        one_file(TOKENIZER, made, ".mp3")


@pytest.mark.parametrize(
    ("specs", "options", "message"),
    [
        ([LaneSpec("x", condition="horn")], {}, "'x' cannot run: .*no class 'horn'"),
        ([LaneSpec("x", condition="kick", model="rnn")], {}, "knows no classes"),
        ([LaneSpec()], {"model": "speaks", "condition": "4"}, "has 4, which this model"),
        ([LaneSpec()], {"model": "speaks", "condition": "a" * 61}, "has 61 characters"),
        ([LaneSpec(processors=(Processor("regex", "x"),))], {}, "regex is not for sounds"),
        ([LaneSpec(strategy="speculative_decoding")], {}, "not for sounds"),
        ([SOUND_PRESETS["guidance 2"]], {}, "Guidance leads towards a class"),
        ([SOUND_PRESETS["guidance 2"]], {"model": "speaks"}, "Guidance leads towards a text"),
        ([LaneSpec(samples=16)] * 5, {}, "At most 64 sounds"),
        ([LaneSpec()], {"prompt": "four"}, "not with the text 'four'"),
        ([LaneSpec()], {"prompt": [TOKENIZER.bos_token]}, "levels 0 to 255"),
        ([LaneSpec()], {"prompt": [0] * 16_001}, "at most 16,000 can be"),
    ],
)
def test_what_cannot_be_is_refused_before_work_starts(compare, specs, options, message):
    with pytest.raises(PlaygroundError, match=message):
        compare(*specs, **options)


def test_what_is_offered_can_be_made():
    for spec in SOUNDS.presets.values():
        SOUNDS.check(spec)
    assert set(SOUNDS.usual) <= set(SOUNDS.presets)
    assert "mirostat" in SOUNDS.processors
    assert SOUNDS.combinations == ("guided", "contrastive_decoding", "ensemble")
    assert text_to_speak("  ", ALPHABET) is None
