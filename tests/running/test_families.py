"""The table of the Train page beside what `train.text` knows."""

import shlex
from dataclasses import fields

import pytest
import torch

from playground.errors import ConfigError
from playground.models.base import count_parameters
from playground.running.families import COUNTED_AT, FAMILIES, NUMBERS, SIZES
from playground.running.settings import SETTINGS, flags_of, settings_of
from train import families
from train.config import parse_config
from train.schedules import DECAYS
from train.text import Config

LEARNING = [name for name in FAMILIES if name != "ngram"]


def config_of(family: str, flags: str) -> Config:
    return parse_config(Config, ["--family", family, *shlex.split(flags)])


def field_of(flag: str) -> str:
    return flag[2:].replace("-", "_")


def test_the_page_offers_every_family_that_can_be_trained():
    assert tuple(FAMILIES) == families.FAMILIES


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_size_has_as_many_parameters_as_it_says(name, size):
    told = FAMILIES[name].sizes[size]
    config = config_of(name, told.flags)
    if name == "ngram":
        assert told.parameters == 0
        return
    for vocab_size in (COUNTED_AT, 1024):
        with torch.device("meta"):
            model = families.build(config, vocab_size)
        assert count_parameters(model) == told.parameters_at(vocab_size)


@pytest.mark.parametrize("name", LEARNING)
def test_every_choice_and_every_own_number_is_one_of_the_family(name):
    for flag, setting in settings_of(name).items():
        for value in setting.choices:
            with torch.device("meta"):
                config = config_of(name, shlex.join(flags_of(name, {flag: value})))
                families.build(config, COUNTED_AT)
            told = {"yes": True, "no": False}.get(value, value)
            assert getattr(config, field_of(flag)) == told
    for flag in FAMILIES[name].own:
        number = NUMBERS[flag]
        assert number.least <= number.default <= number.most
        config = config_of(name, f"{flag} {number.default}")
        assert getattr(config, field_of(flag)) == number.default


def test_a_setting_that_is_not_told_is_what_the_script_takes_by_itself():
    untold = {f.name: f.default for f in fields(Config)}
    for flag, setting in SETTINGS.items():
        taken = setting.default if setting.untold is None else setting.untold
        told = {"yes": True, "no": False}.get(taken, taken)
        assert untold[field_of(flag)] == told
        for family in setting.families or LEARNING:
            assert flag in settings_of(family)
    assert SETTINGS["--scheduled-sampling"].choices == DECAYS
    assert not settings_of("ngram")
    assert "--positions" not in settings_of("lstm")


def test_a_setting_that_is_told_reaches_the_script_and_keeps_to_its_range():
    chosen = {"--clip": 0.5, "--warmup": 100, "--learning-rate": 1e-6, "--curriculum": 200}
    config = config_of("gru", shlex.join(flags_of("gru", chosen)))
    told = {flag: getattr(config, field_of(flag)) for flag in chosen}
    assert told == chosen
    assert config.batch_size == SETTINGS["--batch-size"].default
    for flag, value in (("--dropout", 1.5), ("--batch-size", 0), ("--warmup", 0.5)):
        with pytest.raises(ConfigError, match=SETTINGS[flag].label):
            flags_of("gru", {flag: value})
