"""The table of the Train page beside what `train.text` knows."""

import shlex

import pytest
import torch

from playground.models.base import count_parameters
from playground.running.families import (
    COUNTED_AT,
    FAMILIES,
    NUMBERS,
    OPTIONS,
    SIZES,
    WINDOWS,
)
from train import families
from train.config import parse_config
from train.text import Config


def config_of(family: str, flags: str) -> Config:
    return parse_config(Config, ["--family", family, *shlex.split(f"{WINDOWS} {flags}")])


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
    with torch.device("meta"):
        model = families.build(config, COUNTED_AT)
    assert count_parameters(model) == told.parameters


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "ngram"])
def test_every_option_and_every_own_number_is_one_of_the_family(name):
    family = FAMILIES[name]
    for flag in family.options:
        for value in OPTIONS[flag][1:]:
            given = flag if value == "yes" else f"{flag} {value}"
            with torch.device("meta"):
                families.build(config_of(name, given), COUNTED_AT)
    for flag in family.own:
        number = NUMBERS[flag]
        assert number.least <= number.default <= number.most
        field = flag[2:].replace("-", "_")
        assert getattr(config_of(name, f"{flag} {number.default}"), field) == number.default
