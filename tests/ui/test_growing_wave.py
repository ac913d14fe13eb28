"""The waveform of a sound that grows stands where it will stand when it is whole."""

import io

import numpy as np
import pytest
from PIL import Image

from playground.ui.sound_pictures import wave_data, waveform_picture


def drawn(count: int, whole: int, width: int = 40) -> np.ndarray:
    """Return which columns of a square wave's picture have anything in them."""
    samples = np.tile([0.9, -0.9], count)[:count].astype(np.float32)
    data = waveform_picture(samples, width, 20, whole=whole)
    return np.asarray(Image.open(io.BytesIO(data)))[..., 3].any(axis=0)


@pytest.mark.parametrize(
    ("count", "columns"), [(0, 0), (1, 1), (200, 1), (201, 2), (4000, 20), (8000, 40)]
)
def test_as_much_is_drawn_as_there_is(count, columns):
    found = drawn(count, whole=8000)
    assert found.sum() == columns
    assert found[:columns].all()


def test_a_longer_sound_than_there_is_room_for_is_whole():
    assert drawn(9000, whole=8000).all()


def test_a_growing_sound_has_no_spectrogram_and_says_how_long_it_is():
    data = wave_data(np.zeros(2000, np.float32), 8000, whole=4000, kept=400)
    assert data["png"] == ""
    assert data["waves"].keys() == {"light", "dark"}
    assert "0.25 s" in data["alt"]
