"""Pictures to tokens and back, and every kind of picture that somebody may upload."""

import contextlib
import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from playground.checkpoints import tokenizer_of
from playground.errors import CheckpointError, ConfigError, PromptError
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.orders import ORDERS

SIDE = 28
FIRST_AT_RANDOM = [31, 50, 15, 18, 51, 17, 43, 63]  # of 8x8 pixels with seed 1


def picture(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def file_of(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_claims(
    width: int, height: int, mode: int = 0, depth: int = 8, data: bytes = b"\0" * 100
) -> bytes:
    """A PNG whose header claims any size, over almost no data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, mode, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@given(st.integers(2, 256), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_tokens_survive_a_round_trip_at_any_number_of_levels(levels, channels, seed):
    tokenizer = ImageTokenizer(4, 5, channels, levels)
    tokens = np.random.default_rng(seed).integers(0, levels, tokenizer.size).tolist()
    assert tokenizer.encode(tokenizer.decode(tokens)) == tokens


@pytest.mark.parametrize("levels", [2, 4, 17, 256])
def test_a_picture_returns_within_one_step_of_brightness(levels):
    tokenizer = ImageTokenizer(16, 16, 1, levels)
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    error = tokenizer.decode(tokenizer.encode(pixels))[:, :, 0].astype(int) - pixels
    assert np.abs(error).max() <= 256 / levels
    assert tokenizer.value(0) == 0
    assert tokenizer.value(levels - 1) == 255


def test_pixels_go_row_by_row_and_colours_in_turn():
    tokenizer = ImageTokenizer(2, 2, 3)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert tokenizer.encode(pixels) == list(range(12))
    assert tokenizer.encode(Image.fromarray(pixels)) == list(range(12))
    assert [tokenizer.position(i) for i in (0, 1, 3, 11)] == [
        (0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 1, 2),
    ]  # fmt: skip


GRIDS = {  # when each pixel of a picture of three rows and four columns is decided
    "raster": [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]],
    "column": [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]],
    "spiral": [[0, 1, 2, 3], [9, 10, 11, 4], [8, 7, 6, 5]],
    "random": [[3, 11, 6, 7], [1, 5, 0, 8], [10, 4, 9, 2]],  # by sha256: never another
}


@pytest.mark.parametrize("order", GRIDS)
def test_an_order_says_when_each_pixel_is_decided(order):
    tokenizer = ImageTokenizer(3, 4, 1, 16, order=order)
    when = np.argsort(tokenizer.pixels_in_order).reshape(3, 4)
    assert when.tolist() == GRIDS[order]
    assert [[tokenizer.index(y, x) for x in range(4)] for y in range(3)] == GRIDS[order]
    for index in range(12):
        row, column, channel = tokenizer.position(index)
        assert (GRIDS[order][row][column], channel) == (index, 0)


@given(
    st.sampled_from(list(ORDERS)), st.integers(1, 7), st.integers(1, 7),
    st.sampled_from([1, 3]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_every_order_tells_the_same_picture(order, height, width, channels, seed):
    tokenizer = ImageTokenizer(height, width, channels, 256, order, order_seed=seed)
    pixels = picture(height, width, channels, seed=seed)
    tokens = tokenizer.encode(pixels)
    assert sorted(tokenizer.pixels_in_order) == list(range(height * width))
    assert (tokenizer.decode(tokens) == pixels).all()
    assert [pixels[tokenizer.position(i)] for i in range(tokenizer.size)] == tokens
    assert [tokenizer.index(*tokenizer.position(i)) for i in range(tokenizer.size)] == list(
        range(tokenizer.size)
    )


@pytest.mark.parametrize("order", GRIDS)
def test_the_colours_of_a_pixel_stay_together_and_the_rest_is_filled_wherever_it_is(order):
    tokenizer = ImageTokenizer(3, 4, 3, 256, order=order)
    pixels = np.maximum(picture(3, 4, 3), 1)
    known = tokenizer.encode(pixels)[: 5 * 3 + 1]
    shown = tokenizer.decode([tokenizer.bos_token, *known], unknown=0)
    when = np.array(GRIDS[order])
    assert (shown[when < 5] == pixels[when < 5]).all()
    assert (shown[when == 5] == pixels[when == 5] * [1, 0, 0]).all()
    assert (shown[when > 5] == 0).all()
    row, column, _ = tokenizer.position(15)
    image = tokenizer.to_image(known)
    assert image.getpixel((column, row)) == (pixels[row, column, 0], 0, 0)


def test_the_random_order_is_one_for_a_seed_and_cannot_be_written_to():
    first, again, other = (
        ImageTokenizer(8, 8, order="random", order_seed=seed).pixels_in_order for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()
    assert first[:8].tolist() == FIRST_AT_RANDOM
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0


def test_a_partial_picture_shows_what_is_known():
    tokenizer = ImageTokenizer(2, 2, 1, 4)
    assert tokenizer.decode([4, 0, 3, 1], unknown=99).ravel().tolist() == [0, 255, 85, 99]
    assert tokenizer.to_image([4], unknown=7).getpixel((1, 1)) == 7
    assert tokenizer.label(4) == "⟨start⟩"
    assert tokenizer.label(3) == "3"
    assert (tokenizer.bos_token, tokenizer.vocab_size, tokenizer.eos_token) == (4, 5, None)


def test_a_picture_of_another_size_is_refused():
    tokenizer = ImageTokenizer(2, 2)
    for pixels in (picture(2, 3), picture(2, 2, 3), picture(2, 2).astype(float)):
        with pytest.raises(PromptError, match=r"2x2 pixels of 1 channel.*Resize"):
            tokenizer.encode(pixels)


def test_it_is_written_and_read():
    data = ImageTokenizer(9, 7, 3, 16).to_json()
    assert ImageTokenizer.from_json(data).to_json() == data
    assert tokenizer_of(data).to_json() == data
    assert "order" not in data  # as checkpoints have it that know of no other
    assert ImageTokenizer.from_json(data).order == "raster"


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_is_written_and_read(order):
    tokenizer = ImageTokenizer(9, 7, 3, 16, order, order_seed=5)
    again = tokenizer_of(json.loads(json.dumps(tokenizer.to_json())))
    assert (again.order, again.to_json()) == (order, tokenizer.to_json())
    assert (again.pixels_in_order == tokenizer.pixels_in_order).all()
    assert ("order_seed" in tokenizer.to_json()) == (order == "random")


@pytest.mark.parametrize(
    "damage",
    [{"levels": 1}, {"levels": 257}, {"channels": 4}, {"height": 0}, {"width": "9"},
     {"height": 512, "width": 512}, {"channels": None}, {"channels": [1]},
     {"order": "zigzag"}, {"order": None}, {"order": ["random"]}, {"order": {}},
     {"order": "random", "order_seed": -1}, {"order": "random", "order_seed": 2**32},
     {"order": "random", "order_seed": "0"}, {"order": "random", "order_seed": True}],
)  # fmt: skip
def test_damaged_json_is_refused(damage):
    data = ImageTokenizer(9, 7).to_json() | damage
    with pytest.raises(CheckpointError):
        ImageTokenizer.from_json(data)
    del data["levels"]
    with pytest.raises(CheckpointError, match="levels"):
        ImageTokenizer.from_json(data)


def test_levels_out_of_range_name_the_rule():
    with pytest.raises(ConfigError, match=r"levels must be a whole number in \[2, 256\]"):
        ImageTokenizer(2, 2, 1, 1)


GREY, COLOUR = ImageTokenizer(SIDE, SIDE), ImageTokenizer(32, 32, 3)


def test_a_picture_that_fits_is_taken_as_it_is():
    pixels = picture(SIDE, SIDE)
    prepared = GREY.prepare(file_of(Image.fromarray(pixels)))
    assert not prepared.notes
    assert np.array_equal(prepared.pixels[:, :, 0], pixels)
    assert len(GREY.encode(prepared.pixels)) == 784


def wide(mode: str) -> Image.Image:
    return Image.fromarray(picture(40, 60, 3)).convert(mode)


FRAMES = [Image.fromarray(picture(40, 60, 3, seed=s)) for s in (1, 2, 3)]


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (file_of(Image.fromarray(picture(9, 9).astype(np.uint16) * 257)), "16 bits to 8"),
        (file_of(wide("P")), "palette"),
        (file_of(wide("1")), "palette"),
        (file_of(wide("RGB"), "GIF"), "palette"),
        (file_of(wide("CMYK"), "JPEG"), "CMYK"),
        (file_of(wide("RGBA")), "background, grey 255"),
        (file_of(wide("LA")), "background"),
        (file_of(wide("P"), transparency=0), "background"),
        (file_of(wide("RGB"), "GIF", save_all=True, append_images=FRAMES), "first of 4"),
        (file_of(wide("RGB")), "its middle only"),
        (file_of(Image.new("L", (1, 1), 77)), "from 1x1 to"),
        (file_of(wide("RGB"), "WEBP"), "Resized"),
        (file_of(wide("RGB"), "BMP"), "Resized"),
    ],
)
def test_unusual_pictures_are_converted_with_a_note(data, note):
    for tokenizer in (GREY, COLOUR):
        prepared = tokenizer.prepare(data)
        assert note in " ".join(prepared.notes) or "its middle" in note
        assert prepared.pixels.dtype == np.uint8
        assert len(tokenizer.encode(prepared.pixels)) == tokenizer.size


def test_sixteen_bits_keep_their_brightness():
    values = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    prepared = ImageTokenizer(2, 2).prepare(file_of(Image.fromarray(values)))
    assert prepared.pixels.ravel().tolist() == [0, 100, 200, 255]


@pytest.mark.parametrize(("mode", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_any_kind_are_told_of_once(mode, channels):
    row = b"\0" + bytes(range(12 * channels)) * 2  # a filter, then 12 pixels of two bytes a value
    data = png_that_claims(12, 2, mode, 16, row * 2)
    for tokenizer in (ImageTokenizer(2, 12, 1), ImageTokenizer(2, 12, 3)):
        assert sum("16 bits to 8" in note for note in tokenizer.prepare(data).notes) == 1
    eight = png_that_claims(12, 2, mode, 8, (b"\0" + bytes(12 * channels)) * 2)
    assert "16 bits" not in " ".join(ImageTokenizer(2, 12, 3).prepare(eight).notes)


def test_what_is_see_through_shows_the_background():
    data = file_of(Image.new("RGBA", (32, 32), (255, 0, 0, 0)))
    assert (COLOUR.prepare(data).pixels == 255).all()
    assert (COLOUR.prepare(data, background=0).pixels == 0).all()


def test_a_photograph_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    prepared = GREY.prepare(file_of(wide("L"), "JPEG", exif=exif))
    assert "upright" in " ".join(prepared.notes)
    assert "40x60" in " ".join(prepared.notes)


WHOLE = file_of(Image.fromarray(picture(50, 50, 3)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (WHOLE[: len(WHOLE) // 2], "damaged or cut short"),
        (WHOLE[:40], "damaged or cut short|not a picture"),
        (file_of(wide("RGB"), "JPEG")[:300], "damaged or cut short|not a picture"),
        (b"this is a text, named .png", "not a picture, whatever its name"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (file_of(Image.new("L", (4000, 1))), r"4,000 x 1 pixels; one side may be at most 16"),
        (png_that_claims(100_000, 100_000), r"at most 16,777,216 pixels are read.*smaller"),
        (png_that_claims(10_000, 10_000), r"at most 16,777,216 pixels are read.*smaller"),
        (png_that_claims(5_000, 5_000), r"claims 5,000 x 5,000 pixels; at most 16,777,216"),
        (png_that_claims(0, 5), "damaged|not a picture"),
        (png_that_claims(50, 50, mode=5), "damaged|not a picture"),
        (bytes(20 * 2**20 + 1), "20.0 MB; at most 20 MB"),
    ],
)
def test_what_cannot_be_a_picture_is_refused_with_a_reason(data, says):
    with pytest.raises(PromptError, match=says):
        GREY.prepare(data)


def test_a_claimed_size_costs_no_memory():
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(PromptError):
        GREY.prepare(png_that_claims(100_000, 100_000))
    with pytest.raises(PromptError):
        GREY.prepare(png_that_claims(6_000, 6_000))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_file_raises_anything_but_a_message(junk, at):
    data = bytearray(WHOLE[:600])
    data[at : at + len(junk)] = junk
    for candidate in (junk, bytes(data)):
        with contextlib.suppress(PromptError):
            GREY.prepare(candidate)
