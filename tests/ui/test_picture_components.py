"""Arrays to the data of the picture components, and drawings back."""

import base64
import json

import numpy as np
import pytest

from playground.errors import PromptError
from playground.ui import picture_components as pc

STAGES = ["model", "temperature=0.5", "top_k=2", "top_p=0.6"]
LOGPROBS = np.log(
    [[0.4, 0.3, 0.2, 0.1], [0.5, 0.3, 0.15, 0.05], [0.625, 0.375, 1, 1], [1, 1, 1, 1]]
)
LOGPROBS[2:, 2:] = -np.inf
LOGPROBS[3, 1] = -np.inf


def a_picture(height=3, width=4, colors=1):
    size = height * width * colors
    return (np.arange(size) * 7 % 256).astype(np.uint8).reshape(height, width, colors)


def known_of(height, width, count):
    return (np.arange(height * width) < count).reshape(height, width)


def unpack(text):
    return list(base64.b64decode(text))


@pytest.mark.parametrize("colors", [1, 3])
def test_a_canvas_gets_the_bytes_of_its_picture_row_by_row(colors):
    pixels = a_picture(colors=colors)
    data = pc.canvas_data(pixels, known_of(3, 4, 5), cursor=5)
    assert (data["height"], data["width"], data["colors"]) == (3, 4, colors)
    assert unpack(data["pixels"]) == pixels.ravel().tolist()
    assert unpack(data["known"]) == [1] * 5 + [0] * 7
    assert data["overlay"] is data["field"] is data["chosen"] is None
    assert data["alt"] == "A picture of 4 by 3 pixels, 5 of 12 decided."
    json.dumps(data, allow_nan=False)


def test_pictures_of_another_kind_are_not_cast_silently():
    known = known_of(3, 4, 5)
    with pytest.raises(ValueError, match="float64"):
        pc.canvas_data(a_picture() / 255, known)
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        pc.canvas_data(a_picture()[:, :, 0], known)
    with pytest.raises(ValueError, match="known must be of shape"):
        pc.canvas_data(a_picture(), known.T)
    with pytest.raises(ValueError, match="field must be of shape"):
        pc.canvas_data(a_picture(), known, field=known.T)


def test_an_overlay_is_strongest_at_its_most_and_clear_where_nothing_is_known():
    bits = np.array([[0.0, 1.0, 2.0, 9.0], [np.nan, -1.0, np.inf, 0.5]])
    heat = pc.overlay(bits, "surprisal", 2.0, low="0 bits", high="2 bits or more")
    assert heat["values"].tolist() == [[0, 128, 255, 255], [0, 0, 255, 64]]
    data = pc.canvas_data(a_picture(2, 4), known_of(2, 4, 8), overlay=heat)
    assert unpack(data["overlay"]["values"]) == heat["values"].ravel().tolist()
    assert data["overlay"]["title"] == data["overlay"]["kind"] == "surprisal"
    assert heat["values"].shape == (2, 4)  # what was passed in is as it was
    with pytest.raises(ValueError, match="'heat'"):
        pc.overlay(bits, "heat", 2.0)


def test_figures_come_as_arrays_or_lists_with_holes():
    figures = {
        "level": np.arange(12).reshape(3, 4),
        "entropy (bits)": [1.23456, None, float("nan"), float("inf")] + [0.5] * 8,
        "nothing": None,
    }
    data = pc.canvas_data(a_picture(), known_of(3, 4, 12), figures=figures)
    assert data["figures"]["level"] == list(range(12))
    assert all(isinstance(n, int) for n in data["figures"]["level"])
    assert data["figures"]["entropy (bits)"][:5] == [1.235, None, None, None, 0.5]
    assert "nothing" not in data["figures"]
    with pytest.raises(ValueError, match="12 pixels, got 3"):
        pc.canvas_data(a_picture(), known_of(3, 4, 12), figures={"level": [1, 2, 3]})


def test_levels_say_which_stage_removed_what():
    data = pc.levels_data(STAGES, LOGPROBS, 0, pc.grey_swatches([0, 85, 170, 255]), 9)
    assert data["removed"] == [[], [], [2, 3], [1]]
    assert data["probs"][1] == [0.5, 0.3, 0.15, 0.05]
    assert data["probs"][3] == [1, 0, 0, 0]
    assert (
        data["alt"] == "Probabilities of 4 levels after top_p=0.6; the likeliest is 0 with 100.0%."
    )
    json.dumps(data, allow_nan=False)


def test_a_level_that_is_only_unlikely_does_not_count_as_removed():
    logprobs = np.array([[np.log(0.5), np.log(0.5)], [0.0, -80.0]])
    data = pc.levels_data(["model", "temperature=0.01"], logprobs, 0, ["black", "white"], 1)
    assert data["probs"][1] == [1, 0]
    assert data["removed"] == [[], []]


def test_levels_need_a_row_a_stage_and_a_swatch_a_level():
    with pytest.raises(ValueError, match="4 stages"):
        pc.levels_data(STAGES, LOGPROBS[:3], 0, ["red"] * 4, 9)
    with pytest.raises(ValueError, match="each of 4 levels"):
        pc.levels_data(STAGES, LOGPROBS, 0, ["red"] * 3, 9)
    with pytest.raises(ValueError, match="each of 4 levels"):
        pc.levels_data(STAGES, LOGPROBS, 0, ["red"] * 4, 9, names=["quiet"])


def test_swatches_are_colours_of_css():
    assert pc.grey_swatches(np.array([0, 255])) == ["rgb(0 0 0)", "rgb(255 255 255)"]
    assert pc.color_swatches([0, 170], 1) == ["rgb(0 0 0)", "rgb(0 170 0)"]


def test_a_sheet_holds_whole_pictures_and_those_that_grow():
    pictures = [a_picture(), a_picture() // 2]
    data = pc.sheet_data(
        pictures, [None, known_of(3, 4, 7)], captions=["a", "b"], chosen=1, kept=4, title="Two"
    )
    first, second = data["pictures"]
    assert unpack(first["known"]) == [1] * 12
    assert unpack(second["known"]) == [1] * 7 + [0] * 5
    assert (first["caption"], second["tip"]) == ("a", "")
    assert (data["kept"], data["chosen"]) == (4, 1)
    mask = pc.sheet_data(pictures, kept=known_of(3, 4, 2))["kept"]
    assert unpack(mask) == [1, 1] + [0] * 10
    assert pc.sheet_data([])["pictures"] == []
    with pytest.raises(ValueError, match="a picture must be of shape"):
        pc.sheet_data([a_picture(), a_picture(4, 3)])


@pytest.mark.parametrize("colors", [1, 3])
def test_a_drawing_comes_back_as_it_was_sent(colors):
    pixels = a_picture(5, 7, colors)
    start = pc.pad_data(5, 7, colors, start=pixels)["start"]
    drawn = pc.pixels_of({"pixels": start}, 5, 7, colors)
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn, pixels)
    drawn[0, 0] = 1  # it is the caller's own


def sent(count):
    return base64.b64encode(bytes(count)).decode()


@pytest.mark.parametrize(
    "event",
    [
        None,
        "AAAA",
        {},
        {"pixels": None},
        {"pixels": 12},
        {"pixels": [0] * 12},
        {"pixels": ""},
        {"pixels": sent(11)},  # as many letters as twelve bytes
        {"pixels": sent(10)},
        {"pixels": sent(13)},
        {"pixels": sent(10**6)},
        {"pixels": "\N{BLACK SQUARE}" * 16},
        {"pixels": "AAAA AAAA AAAA A"},
        {"pixels": "-_-_" * 4},
        {"pixels": "=" * 16},
    ],
)
def test_what_is_no_drawing_is_refused_with_the_way_on(event):
    with pytest.raises(PromptError, match=r"12 bytes: 4x3 pixels.*Reload the page"):
        pc.pixels_of(event, 3, 4, 1)
