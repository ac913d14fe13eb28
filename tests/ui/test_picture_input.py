"""Which picture is meant: files of every kind, examples, drawings, the canvas."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from playground.checkpoints import load
from playground.tokenizers.image import ImageTokenizer
from playground.ui import picture_input
from playground.ui.picture_components import DECIDED, PARTLY, UNDECIDED
from playground.ui.picture_input import examples_of, ground_of, known_after, per_pixel
from tests.helpers import shipped_folders
from tests.picture_checkpoints import CLASSES, LABELS, TOKENIZER, examples, write_checkpoint


def chooser(folder=None, canvas=None) -> AppTest:
    """A page that keeps the last choice in its session."""

    def script(folder, canvas):
        import streamlit as st

        from playground.ui import controls, picture_input, state
        from tests.picture_checkpoints import TOKENIZER

        controls.page_setup("Test")
        st.session_state.choice = picture_input.choose(TOKENIZER, "picture", folder, canvas)
        st.session_state.notes = list(state.notes())

    return AppTest.from_function(script, default_timeout=60, args=(folder, canvas))


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def choice_of(page: AppTest):
    return page.session_state["choice"]


def told(page: AppTest) -> str:
    """All that is said, without the backslashes that keep Markdown out."""
    shown = " ".join(e.value for e in [*page.error, *page.warning, *page.caption])
    return re.sub(r"\\(\W|_)", r"\1", shown)


def upload(page: AppTest, data: bytes, name: str = "mine.png") -> AppTest:
    page.file_uploader[0].set_value((name, data, "image/png"))
    return run(page)


def uploading(folder=None) -> AppTest:
    page = chooser(folder)
    page.query_params["picture_source"] = "Upload one"
    return run(page)


def file_of(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims any size, over almost no data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99)))


USUAL = file_of(Image.fromarray(noise(40, 60)))
FRAMES = [Image.fromarray(noise(20, 20)).convert("L").rotate(90 * n) for n in range(3)]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "The file is empty"),
        (USUAL[: len(USUAL) // 2], "damaged or cut short"),
        (b"this is a text, named .png", "not a picture, whatever its name says"),
        (b"<b>*bold*</b>", "not a picture"),
        (file_of(Image.new("L", (4000, 1))), "4,000 x 1 pixels; one side may be at most 16"),
        (claiming(100_000, 100_000), "at most 16,777,216 pixels are read"),
        (claiming(6_000, 6_000), "claims 6,000 x 6,000 pixels"),
    ],
)
def test_a_bad_file_gives_a_message_and_the_next_one_is_taken(data, says):
    page = upload(uploading(), data)
    assert choice_of(page) is None
    assert says in told(page)
    page = upload(page, USUAL)
    assert choice_of(page).pixels.shape == (6, 7, 1)
    assert not page.error


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (file_of(Image.fromarray(noise(9, 9, 1).astype(np.uint16) * 257)), "16 bits to 8"),
        (file_of(Image.fromarray(noise(30, 30)).convert("P")), "palette"),
        (file_of(Image.new("CMYK", (40, 40), (9, 20, 30, 40)), "JPEG"), "CMYK"),
        (file_of(Image.fromarray(noise(30, 30)).convert("RGBA")), "show the background, grey 0"),
        (file_of(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "first of 3 frames"),
        (file_of(Image.new("L", (1, 1), 7)), "from 1x1 to 7x6"),
        (USUAL, "Resized from 60x40 to 7x6"),
    ],
)
def test_an_unusual_file_is_converted_with_a_note(data, note):
    page = upload(uploading(), data)
    assert note in told(page)
    assert choice_of(page).pixels.dtype == np.uint8
    assert len(TOKENIZER.encode(choice_of(page).pixels)) == TOKENIZER.size


def test_dark_on_light_is_inverted_and_told_and_may_be_left_as_it_is():
    drawn = np.full((6, 7), 255, np.uint8)
    drawn[2:4, 3] = 0
    page = upload(uploading(), file_of(Image.fromarray(drawn)))
    assert np.array_equal(choice_of(page).pixels[:, :, 0], 255 - drawn)
    assert "Light and dark were swapped" in told(page)
    page.toggle(key="picture_invert").set_value(False)
    run(page)
    assert np.array_equal(choice_of(page).pixels[:, :, 0], drawn)
    assert "Left dark on light" in told(page)


def test_light_on_dark_is_left_alone():
    drawn = np.zeros((6, 7), np.uint8)
    drawn[2:4, 3] = 255
    page = upload(uploading(), file_of(Image.fromarray(drawn)))
    assert np.array_equal(choice_of(page).pixels[:, :, 0], drawn)
    assert not page.toggle
    assert not choice_of(page).notes


def test_an_upload_is_still_there_after_a_look_at_something_else(tmp_path):
    page = upload(uploading(write_checkpoint(tmp_path)), USUAL)
    before = choice_of(page).pixels
    for source in ("A real picture", "Upload one"):
        page.get_by_key("picture_source").set_value(source)
        run(page)
    assert np.array_equal(choice_of(page).pixels, before)


def test_an_example_comes_with_its_class_and_stands_in_the_link(tmp_path):
    page = chooser(write_checkpoint(tmp_path))
    page.query_params["picture_example"] = "3 · bird"
    run(page)
    assert np.array_equal(choice_of(page).pixels, examples()[2])
    assert choice_of(page).label == LABELS[2]
    page.selectbox(key="picture_example").set_value("6 · dog")
    run(page)
    assert np.array_equal(choice_of(page).pixels, examples()[5])
    assert CLASSES[choice_of(page).label] == "dog"


def test_a_link_to_an_example_that_is_not_here_is_told(tmp_path):
    page = chooser(write_checkpoint(tmp_path))
    page.query_params["picture_example"] = "99 · whale"
    run(page)
    assert "99 · whale" in " ".join(page.session_state["notes"])
    assert np.array_equal(choice_of(page).pixels, examples()[0])


def test_damaged_examples_are_told_and_other_pictures_offered(tmp_path):
    folder = write_checkpoint(tmp_path)
    (folder / "examples.png").write_bytes(b"no picture")
    page = run(chooser(folder))
    assert "No real pictures are shown" in told(page)
    assert "Draw something" in told(page)


def test_labels_that_make_no_sense_are_left_out(tmp_path):
    import json

    folder = write_checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["info"]["examples"]["labels"] = [0, 99, -1, True, "2", None, 1.5, 1, 2, 3]
    (folder / "config.json").write_text(json.dumps(config))
    assert examples_of(folder, TOKENIZER).labels == (0, *[None] * 6, 1, 2, 3)


def test_what_stands_on_the_canvas_can_be_taken_whole_or_in_part():
    tokens = tuple(TOKENIZER.encode(examples()[4]))
    for count in (len(tokens), 10):
        page = chooser(None, tokens[:count])
        page.query_params["picture_source"] = "From the canvas"
        run(page)
        choice = choice_of(page)
        assert TOKENIZER.encode(choice.pixels)[:count] == list(tokens[:count])
        assert choice.decided == (None if count == len(tokens) else count)
    assert "10 of its 42 values are decided" in told(page)


@pytest.mark.parametrize("order", ["raster", "column", "spiral", "random"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_known_follows_the_order_of_decision(order, channels):
    tokenizer = ImageTokenizer(4, 5, channels, 4, order)
    for count in range(tokenizer.size + 1):
        known = known_after(tokenizer, count)
        assert (known == DECIDED).sum() == count // channels
        assert (known == PARTLY).sum() == (count % channels > 0)
        for index in range(count // channels * channels):
            assert known[tokenizer.position(index)[:2]] == DECIDED
        if count < tokenizer.size:
            assert known[tokenizer.position(count)[:2]] in (PARTLY, UNDECIDED)


def test_numbers_of_values_are_added_up_by_pixel():
    tokenizer = ImageTokenizer(2, 3, 3, 4, "column")
    values = np.arange(10.0)
    found = per_pixel(tokenizer, values)
    for pixel in range(3):
        row, column, _ = tokenizer.position(3 * pixel)
        assert found[row, column] == values[3 * pixel : 3 * pixel + 3].sum()
    assert found[tokenizer.position(9)[:2]] == 9.0
    assert np.isnan(found).sum() == 2


def test_the_ground_is_what_most_edges_are():
    assert ground_of(np.empty((0, 6, 7, 1), np.uint8), TOKENIZER) == 0
    assert ground_of(np.empty((0, 6, 7, 3), np.uint8), ImageTokenizer(6, 7, 3)) == 255
    framed = np.full((2, 6, 7, 1), 200, np.uint8)
    framed[:, 1:-1, 1:-1] = 3
    assert ground_of(framed, TOKENIZER) == 200


@pytest.mark.parametrize("folder", shipped_folders("image"), ids=lambda folder: folder.name)
def test_every_shipped_model_of_pictures_has_examples_of_named_classes(folder):
    _, tokenizer = load(folder)
    found = examples_of(folder, tokenizer)
    assert not found.problem
    assert len(found.pixels) >= 10
    assert None not in found.labels
    assert picture_input.background(tokenizer, folder) in (0, 255)
