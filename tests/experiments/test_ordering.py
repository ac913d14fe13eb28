"""The ordering experiment: its arithmetic, and that what it says is what was measured."""

import json
import math
import shlex
from dataclasses import replace

import numpy as np
import pytest

from playground.checkpoints import load, read_config
from playground.data.images import load_pictures
from playground.errors import DataError
from playground.evaluation.bits_per_dim import bits_per_dim
from playground.experiments.ordering import (
    RESULT,
    Ordered,
    Ordering,
    Trained,
    independent_pixels,
    interval,
    load_ordering,
)
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.orders import ORDERS
from tests.helpers import ROOT
from train.config import parse_config
from train.image import Config, encode

NOISE = (-0.01, 0.0, 0.01)


def made_up(**bits: float) -> Ordering:
    """An experiment in which chance moves every order alike, from seed to seed and by picture."""
    orders = tuple(
        Ordered(
            order,
            tuple(
                Trained(seed, value + noise, ((50, value + 1), (100, value + noise)), 60, "train")
                for seed, noise in enumerate(NOISE)
            ),
            tuple(value + 0.1 * (i % 3) + 0.001 * (i % 2) * value for i in range(12)),
            (value,) * 64,
        )
        for order, value in bits.items()
    )
    baselines = {"uniform": math.log2(17), "independent pixels": 2.4}
    return Ordering("run", "digits", 9, 12, 17, 100, 100, "here", baselines, orders)


def test_an_interval_is_students_t():
    told = interval([1.0, 2.0, 3.0])
    assert told.mean == 2
    assert told.half_width == pytest.approx(4.303 / math.sqrt(3))
    assert not told.excludes_zero
    assert interval([1.0, 1.1, 1.2]).excludes_zero
    assert interval([5.0]).half_width == math.inf
    for count, t in ((10, 2.262), (12, 2.201), (22, 2.080), (100, 1.984)):  # as tables have it
        values = [0.0, 1.0] * (count // 2)
        spread = np.std(values, ddof=1) / math.sqrt(count)
        assert interval(values).half_width == pytest.approx(t * spread, rel=1e-3)


def test_differences_are_judged_pair_by_pair():
    found = made_up(raster=1.80, random=1.81)
    gap = found.difference("random", "raster")
    assert gap.over_seeds.mean == pytest.approx(0.01)
    assert gap.over_seeds.half_width < 1e-9  # though each mean's own interval is 0.025 wide
    assert found["raster"].bits_per_dim.half_width > 0.02
    assert gap.is_clear
    assert not found.difference("raster", "raster").is_clear


def test_a_difference_is_clear_only_if_seeds_and_pictures_both_show_it():
    found = made_up(raster=1.80, random=1.85)
    raster = found["raster"].picture_bits
    other_way = tuple(bits + (0.3 if i % 2 else -0.2) for i, bits in enumerate(raster))
    random = replace(found["random"], picture_bits=other_way)
    found = replace(found, orders=(found["raster"], random))
    gap = found.difference("random", "raster")
    assert gap.over_seeds.excludes_zero
    assert not gap.over_pictures.excludes_zero
    assert not gap.is_clear
    assert "as far as this experiment can see" in found.finding()


def test_the_finding_names_what_is_clear_and_what_is_not():
    found = made_up(raster=1.80, column=1.801, spiral=1.9, random=2.0)
    shaken = tuple(
        replace(run, bits_per_dim=run.bits_per_dim + shift)
        for run, shift in zip(found["column"].trained, (0.03, -0.03, 0.0), strict=True)
    )
    column = replace(found["column"], trained=shaken)
    found = replace(found, orders=(found["raster"], column, found["spiral"], found["random"]))
    assert [ordered.order for ordered in found.best_first] == list(ORDERS)
    text = found.finding()
    assert text.startswith("From 1.800 bits per dimension (raster) to 2.000 (random)")
    assert "spiral by 0.100 and random by 0.200; not to be told from it: column." in text
    assert text.count(". ") == 1  # two sentences


def test_one_seed_says_nothing_of_chance():
    found = made_up(raster=1.80, random=1.85)
    alone = tuple(replace(o, trained=o.trained[:1]) for o in found.orders)
    found = replace(found, orders=alone)
    assert not found.difference("random", "raster").is_clear
    assert "cannot be said. Train more seeds." in found.finding()


def test_histograms_of_single_pixels_are_counted_by_hand():
    train = np.array([[0, 1], [0, 1], [1, 1]])
    test = np.array([[0, 0], [1, 1]])
    expected = -np.mean([math.log2(p) for p in (3 / 5, 1 / 5, 2 / 5, 4 / 5)])
    assert independent_pixels(train, test, 2) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"orders": 3}', '{"orders": {"raster": {}}}'])
def test_a_damaged_result_says_how_to_make_it_again(text, tmp_path):
    path = tmp_path / "ordering.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"python -m train\.ordering"):
        load_ordering(path)
    with pytest.raises(DataError, match=r"gone\.json cannot be read"):
        load_ordering(tmp_path / "gone.json")


def test_the_runs_differ_in_order_and_seed_alone():
    found = load_ordering()
    assert {ordered.order for ordered in found.orders} == set(ORDERS)
    configs = {}
    for ordered in found.orders:
        for run in ordered.trained:
            command = shlex.split(run.command)
            assert command[:3] == ["python", "-m", "train.image"]
            config = parse_config(Config, command[3:])
            assert (config.order, config.seed) == (ordered.order, run.seed)
            assert run.curve[-1][0] == config.steps == found.steps
            configs[ordered.order, run.seed] = replace(
                config, order="", seed=0, out=ROOT, threads=0
            )
    seeds = {run.seed for ordered in found.orders for run in ordered.trained}
    assert len(configs) == len(ORDERS) * len(seeds)
    assert len(set(configs.values())) == 1


def test_the_result_is_as_the_data_says():
    found, pictures = load_ordering(), load_pictures("digits")
    tokenizer = ImageTokenizer(8, 8, 1, found.levels)
    train, test = (encode(p, tokenizer).numpy() for p in (pictures.train, pictures.test))
    assert (found.train_pictures, found.test_pictures) == (len(train), len(test))
    assert found.baselines["uniform"] == pytest.approx(math.log2(17), abs=1e-4)
    by_pixel = independent_pixels(train, test, 17)
    assert found.baselines["independent pixels"] == pytest.approx(by_pixel, abs=1e-4)
    for ordered in found.orders:
        mean = ordered.bits_per_dim.mean
        assert np.mean(ordered.picture_bits) == pytest.approx(mean, abs=1e-3)
        assert np.mean(ordered.pixel_bits) == pytest.approx(mean, abs=1e-3)
        assert len(ordered.picture_bits) == len(test)
        assert len(ordered.pixel_bits) == 64
        assert mean < by_pixel - 0.3


@pytest.mark.parametrize("order", ORDERS)
def test_the_shipped_model_of_an_order_is_the_one_that_was_measured(order):
    folder = ROOT / "checkpoints" / f"digits-transformer-{order}"
    model, tokenizer = load(folder)
    assert tokenizer.order == order
    measured = load_ordering()[order].trained[0]
    test = encode(load_pictures("digits").test, tokenizer)
    bits = bits_per_dim(model, test, tokenizer.bos_token)
    assert bits == pytest.approx(measured.bits_per_dim, abs=5e-4)
    info = read_config(folder)["info"]
    assert info["command"] == measured.command
    assert str(info["test_bits_per_dim"]) in (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "model.safetensors").stat().st_size < 400_000


def test_what_is_said_of_the_orders_is_what_was_measured():
    found = load_ordering()
    raster = json.loads(RESULT.read_text())["orders"]["raster"]["trained"]
    by_hand = sum(run["bits_per_dim"] for run in raster) / len(raster)
    assert found["raster"].bits_per_dim.mean == pytest.approx(by_hand)
    text = found.finding()
    best, worst = found.best_first[0], found.best_first[-1]
    assert f"{best.bits_per_dim.mean:.3f} bits per dimension ({best.order})" in text
    assert f"{worst.bits_per_dim.mean:.3f} ({worst.order})" in text
