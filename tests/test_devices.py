"""Devices by name."""

import pytest
import torch

from playground.devices import available_devices, check_device, describe_device, memory_in_use
from playground.errors import ConfigError


def test_the_cpu_is_always_there_and_the_best_device_is_the_default():
    devices = available_devices()
    assert devices[-1] == "cpu"
    assert check_device("") == devices[0]
    assert check_device("cpu") == "cpu"
    assert all(torch.zeros(1, device=name).numel() for name in devices)


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "CPU", "cpu; rm"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(name):
    with pytest.raises(ConfigError, match=r"no device .* here; there is .*cpu"):
        check_device(name)


def test_memory_and_names_can_be_told():
    assert describe_device("cpu") == "CPU"
    assert memory_in_use("cpu") > 10 * 2**20
