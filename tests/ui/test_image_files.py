"""PNG and GIF hold the picture that was drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from playground.tokenizers.image import ImageTokenizer
from playground.ui.image_files import HATCH, HOLD_MS, gif, png


def drawn(tokenizer: ImageTokenizer, count: int) -> list[int]:
    return np.random.default_rng(3).integers(0, tokenizer.levels, count).tolist()


def frames(data: bytes) -> list[np.ndarray]:
    """Return every frame (H, W, 3) as a viewer composes it."""
    image = Image.open(io.BytesIO(data))
    assert image.format == "GIF"
    found = []
    for number in range(image.n_frames):
        image.seek(number)
        found.append(np.asarray(image.convert("RGB")))
    return found


def enlarged(picture: np.ndarray, scale: int) -> np.ndarray:
    rgb = np.broadcast_to(picture, (*picture.shape[:2], 3))
    return rgb.repeat(scale, 0).repeat(scale, 1)


@pytest.mark.parametrize(
    "tokenizer",
    [
        ImageTokenizer(6, 7, 1, 4),
        ImageTokenizer(28, 28, 1, 256),
        ImageTokenizer(6, 7, 3, 16),
        ImageTokenizer(6, 7, 1, 4, order="spiral"),
    ],
)
def test_the_last_frame_is_the_picture_exactly_and_is_held(tokenizer):
    tokens = drawn(tokenizer, tokenizer.size)
    data = gif(tokenizer, tokens, scale=3)
    shown = frames(data)
    picture = tokenizer.decode(tokens)
    if tokenizer.levels < 256:  # else 256 greys and the hatch are more than a GIF has
        assert (shown[-1] == enlarged(picture, 3)).all()
    else:
        assert np.abs(shown[-1].astype(int) - enlarged(picture, 3)).max() <= 2
    assert len(shown) > 20
    last = Image.open(io.BytesIO(data))
    last.seek(len(shown) - 1)
    assert last.info["duration"] == HOLD_MS


def test_frames_grow_in_the_order_of_decision_over_a_hatch():
    tokenizer = ImageTokenizer(4, 5, 1, 3, order="column")
    tokens = drawn(tokenizer, tokenizer.size)
    picture = enlarged(tokenizer.decode(tokens), 2)
    shown = frames(gif(tokenizer, tokens, scale=2))
    assert len(shown) == 21
    for count, frame in enumerate(shown):
        known = np.zeros(20, bool)
        known[tokenizer.pixels_in_order[:count]] = True
        inside = known.reshape(4, 5).repeat(2, 0).repeat(2, 1)
        assert (frame[inside] == picture[inside]).all()
        hatch = {tuple(color) for color in frame[~inside].tolist()}
        assert hatch <= {tuple(color) for color in HATCH}


def test_a_gif_of_many_colours_stays_close_to_the_picture():
    tokenizer = ImageTokenizer(32, 32, 3, 16)
    tokens = drawn(tokenizer, tokenizer.size)
    apart = frames(gif(tokenizer, tokens, scale=1))[-1].astype(int) - tokenizer.decode(tokens)
    assert 0 < np.abs(apart).mean() < 20  # 1,000 random colours by 254


def test_a_picture_that_is_not_finished_ends_unfinished():
    tokenizer = ImageTokenizer(4, 4, 3, 4)
    last = frames(gif(tokenizer, drawn(tokenizer, 10), scale=1))[-1]  # three pixels and a colour
    assert (last[0, :3] == tokenizer.decode(drawn(tokenizer, 9))[0, :3]).all()
    assert {tuple(color) for color in last.reshape(-1, 3)[3:].tolist()} <= set(HATCH)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_is_the_picture_at_its_scale(channels):
    tokenizer = ImageTokenizer(4, 5, channels, 16)
    picture = tokenizer.decode(drawn(tokenizer, tokenizer.size))
    image = Image.open(io.BytesIO(png(picture, 4)))
    assert image.size == (20, 16)
    assert (np.asarray(image.convert("RGB")) == enlarged(picture, 4)).all()
