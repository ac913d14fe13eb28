"""Lanes of pictures: whole or completed, told a class or not, alone or together the same."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from playground.checkpoints import load, read_config
from playground.comparison import Comparison, kind_of
from playground.comparison.conditions import classes_of
from playground.comparison.pictures import drawn, kept_part, sheet_png
from playground.decoding.offered import PICTURES, TEXTS
from playground.decoding.presets import PICTURE_DEFAULT, PICTURE_PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec
from playground.errors import ConfigError, DataError, PlaygroundError
from playground.evaluation.judge import Judge
from playground.models.conditioned import as_drawn
from tests.picture_checkpoints import CLASSES, TOKENIZER, examples, write_checkpoint

SIZE = TOKENIZER.size
MODELS = {  # name: family and sizes
    "told": ("gated-pixelcnn", {"n_class": 4}),
    "untold": ("pixelcnn", {}),
    "rows": ("row-lstm", {}),
}


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
        options = {"model": "told", "load": loader, "seed": 3} | options
        return Comparison(specs, prompt, **options)

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


def test_every_preset_draws_whole_pictures_alone_and_beside_others(run):
    specs = [s.but(second="untold" if s.needs_second else "") for s in PICTURE_PRESETS.values()]
    for first in range(0, len(specs), 7):
        some = specs[first : first + 7]
        together = run(*some, condition="dog").results()
        for spec, result in zip(some, together, strict=True):
            alone = run(spec, condition="dog").results()[0]
            assert alone.traces == result.traces, spec.label
            for tokens in tokens_of(result):
                assert len(tokens) == 1 + SIZE, spec.label
                assert max(tokens[1:]) < TOKENIZER.levels, spec.label


@pytest.mark.parametrize("name", PICTURE_DEFAULT)
def test_the_usual_lanes_need_no_class_and_no_second_model(compare, name):
    compare(PICTURE_PRESETS[name], model="untold").advance()


def test_a_class_changes_the_pictures_and_each_lane_may_have_its_own(run):
    lanes = (
        LaneSpec("all"),
        LaneSpec("by name", condition="Dog"),
        LaneSpec("by number", condition=1),
        LaneSpec("any", condition="any"),
    )
    running = run(*lanes, condition="cat")
    cat, dog, one, untold = (tokens_of(r)[0] for r in running.results())
    assert dog == one
    assert len({cat, dog, untold}) == 3
    assert [running.label_of(spec) for spec in lanes] == [0, 1, 1, None]
    assert tokens_of(run(LaneSpec("x"), condition=0).results()[0])[0] == cat
    assert tokens_of(run(LaneSpec("x")).results()[0])[0] == untold


def test_other_models_of_the_same_tokens_stand_beside_and_need_no_classes(run):
    names = ("told", "untold", "rows")
    running = run(*(LaneSpec(name, model=name, samples=2) for name in names), condition=2)
    assert [result.traces[0].model for result in running.results()] == list(names)
    assert [running.label_of(spec) for spec in running.specs] == [2, None, None]
    assert len({tokens_of(result)[0] for result in running.results()}) == 3


def test_guidance_of_1_is_the_model_and_more_leads_towards_the_class(run, loader):
    def guided(scale):
        settings = {"guidance_scale": scale}
        return LaneSpec(f"{scale}", combination="guided", combination_settings=settings)

    plain, one, three = run(LaneSpec("x"), guided(1.0), guided(3.0), condition="fish").results()
    assert tokens_of(plain) == tokens_of(one)
    assert tokens_of(plain) != tokens_of(three)
    (step, *_) = three.traces[0].steps
    told, untold = (
        as_drawn(loader("told").model, TOKENIZER.bos_token, c)
        .forward(torch.tensor([[TOKENIZER.bos_token]]))[0, 0, :-1]
        .log_softmax(-1)
        for c in (3, None)
    )
    expected = (untold + 3 * (told - untold)).log_softmax(-1)[step.token].item()
    assert step.logprob == pytest.approx(expected, abs=1e-4)


def test_lanes_complete_one_picture(run):
    picture = examples()[3]
    kept = kept_part(TOKENIZER, picture, 4)
    assert len(kept) == 4 * 7
    running = run(PICTURE_PRESETS["sample"], LaneSpec("greedy", "greedy"), prompt=kept)
    for result in running.results():
        for trace in result.traces:
            assert trace.prompt == (TOKENIZER.bos_token, *kept)
            assert len(trace.steps) == SIZE - len(kept)
    shown = drawn(TOKENIZER, running.results())
    assert all((p[:4] == picture[:4]).all() for lane in shown for p in lane)
    assert kept_part(TOKENIZER, picture, None) == kept[: 3 * 7]


def test_figures_are_those_of_the_plain_model_told_the_class(run, loader):
    running = run(
        PICTURE_PRESETS["sample"], PICTURE_PRESETS["guidance 2"], condition="bird"
    )  # fmt: skip
    own = as_drawn(loader("told").model, TOKENIZER.bos_token, 2)
    for result in running.results():
        rows = torch.tensor(tokens_of(result))
        logprobs = own.forward(rows[:, :-1]).log_softmax(-1)
        found = logprobs.gather(2, rows[:, 1:, None]).mean().item()
        figures = running.figures(result)
        assert figures.bits_per_dim == pytest.approx(-found / np.log(2), abs=1e-4)
        assert figures.samples == 4
        assert 0 < figures.pairwise_distance < 255


def test_a_judge_of_the_same_tokens_is_told_the_class_if_it_knows_some(run, loader):
    running = run(LaneSpec("x", model="untold", samples=2), condition="bird")
    (result,) = running.results()
    for name, condition in (("told", 2), ("rows", None)):
        judge = Judge(loader(name).model, TOKENIZER, name)
        found = running.figures(result, judge).judge_bits_per_dim
        rows = torch.tensor(tokens_of(result))
        model = as_drawn(loader(name).model, TOKENIZER.bos_token, condition)
        logprobs = model.forward(rows[:, :-1]).log_softmax(-1).gather(2, rows[:, 1:, None])
        assert found == pytest.approx(-logprobs.mean().item() / np.log(2), abs=1e-4)


def test_real_pictures_are_those_of_the_class_judged_where_lanes_decided(run, folders, loader):
    running = run(LaneSpec("x", samples=2), condition="dog", prompt=kept_part(
        TOKENIZER, examples()[0], 2))  # fmt: skip
    real = running.kind.real(folders["told"], loader("told"))
    assert real.tokens.shape == (10, SIZE)
    figures = running.real_figures(real)
    assert figures.samples == 3  # of dogs
    assert figures.mean_length == SIZE - 14
    own = as_drawn(loader("told").model, TOKENIZER.bos_token, 1)
    rows = torch.tensor([(TOKENIZER.bos_token, *row) for row in real.of(1).tolist()])
    logprobs = own.forward(rows[:, :-1]).log_softmax(-1).gather(2, rows[:, 1:, None])[:, 14:]
    assert figures.bits_per_dim == pytest.approx(-logprobs.mean().item() / np.log(2), abs=1e-4)
    near = running.figures(running.results()[0], real=real).histogram_distance
    assert 0 < near < 255
    assert run(LaneSpec("x")).real_figures(real).samples == 10


def test_a_checkpoint_without_examples_says_so(tmp_path, loader):
    with pytest.raises(DataError, match="no example pictures"):
        kind_of(TOKENIZER).real(tmp_path, loader("told"))


def test_stopped_pictures_have_figures_too(compare):
    running = compare(LaneSpec("x", samples=3))
    for _ in range(10):
        running.advance()
    figures = running.figures(running.results()[0])
    assert figures.mean_length == 10
    assert figures.pairwise_distance is not None


def test_classes_are_named_by_the_checkpoint_or_numbered(loader):
    assert classes_of(loader("told")) == CLASSES
    assert classes_of(loader("untold")) == ()
    nameless = Loaded.__new__(Loaded)
    nameless.model, nameless.info = loader("told").model, {"classes": "abcd"}
    assert classes_of(nameless) == ("0", "1", "2", "3")


def test_a_trace_is_the_same_alone_and_beside_a_hundred_others(loader):
    def traces(samples):
        spec = LaneSpec("few", samples=samples)
        others = [LaneSpec("many", samples=16)] * (samples > 1)
        compared = Comparison([spec, *others], "", model="told", load=loader, seed=4)
        while compared.advance():
            pass
        return compared.results()[0].traces

    assert traces(16)[0] == traces(1)[0]


def test_a_contact_sheet_has_a_row_a_lane():
    pictures = examples()
    png = sheet_png([[pictures[0], pictures[1]], [pictures[2]]], scale=3)
    image = np.asarray(Image.open(io.BytesIO(png)))
    assert image.shape == (3 * (2 * 7 + 1), 3 * (2 * 8 + 1))
    assert (image[3:21:3, 3:24:3] == pictures[0][..., 0]).all()
    assert (image[24:42, 27:48] == 128).all()


@pytest.mark.parametrize(
    ("specs", "options", "message"),
    [
        ([LaneSpec("x", condition="horse")], {}, "'x' cannot run: .*no class 'horse'"),
        ([LaneSpec("x", condition=4)], {}, "no class '4'"),
        ([LaneSpec("x", condition="dog", model="untold")], {}, "knows no classes"),
        ([LaneSpec()], {"condition": "horse"}, "no class 'horse'"),
        ([LaneSpec()], {"condition": "9" * 5000}, "no class '9+'"),  # no number that int() reads
        ([LaneSpec()], {"condition": "dog", "model": "untold"}, "knows no classes"),
        ([LaneSpec(processors=(Processor("regex", "x"),))], {}, "regex is not for pictures"),
        ([LaneSpec(strategy="contrastive_search")], {}, "not for pictures"),
        ([LaneSpec(combination="dola")], {}, "dola is not for pictures"),
        ([PICTURE_PRESETS["guidance 2"]], {}, "Guidance leads towards a class"),
        (
            [LaneSpec(combination="guided", combination_settings={"negative_prompt": "a"})],
            {"condition": 1},
            "negative_prompt is text",
        ),
        (
            [LaneSpec(combination="guided", combination_settings={"scale": 1})],
            {"condition": 1},
            "guided has no such setting",
        ),
        (
            [LaneSpec(combination="guided", combination_settings={"guidance_scale": 100.0})],
            {"condition": 1},
            "guidance_scale must be",
        ),
        ([LaneSpec(samples=16)] * 5, {}, "At most 64 pictures"),
        ([LaneSpec()], {"prompt": "a cat"}, "not with the text 'a cat'"),
        ([LaneSpec()], {"prompt": [0] * SIZE}, "nothing is left to decide"),
        ([LaneSpec()], {"prompt": [TOKENIZER.bos_token]}, "levels 0 to 4"),
        ([LaneSpec()], {"prompt": [-1]}, "levels 0 to 4"),
    ],
)
def test_what_cannot_be_is_refused_before_work_starts(compare, specs, options, message):
    with pytest.raises(PlaygroundError, match=message):
        compare(*specs, **options)


def test_rows_to_keep_leave_something_to_decide():
    for rows in (-1, 6, True):
        with pytest.raises(ConfigError, match="rows to keep"):
            kept_part(TOKENIZER, examples()[0], rows)


def test_what_is_offered_can_be_made_and_what_is_not_says_why():
    for offer in (TEXTS, PICTURES):
        for spec in offer.presets.values():
            offer.check(spec)
        assert set(offer.usual) <= set(offer.presets)
    assert "regex" not in PICTURES.processors
    assert "beam_search" in PICTURES.strategies
    assert PICTURES.combinations == ("guided", "contrastive_decoding", "ensemble")
