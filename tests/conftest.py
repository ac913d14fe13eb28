"""Every test runs offline, on one thread, and leaves the global generator as it was."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

settings.register_profile("playground", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("playground")


@pytest.fixture(autouse=True)
def _no_thread_setting_leaks():
    yield
    torch.set_num_threads(1)
