"""The section of the Image page that enlarges: what it says, draws and refuses."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.checkpoints import save
from playground.data.images import EXAMPLES, examples_sheet
from playground.models.super_resolution import area_average
from playground.tokenizers.image import ImageTokenizer
from playground.ui import image_completion_run as completion
from playground.ui import image_super_resolution as section
from playground.ui import image_super_resolution_run as actions
from tests.helpers import ENLARGED, picture_model, random_tokens

HEIGHT, WIDTH, SIZE = 6, 8, 48
TOKENIZER = ImageTokenizer(HEIGHT, WIDTH, 1, 5)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A registry without the models of this machine."""
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    return tmp_path


def write_enlarger(house: Path, name: str = "larger") -> np.ndarray:
    """Write a small model of 6x8 pictures and its examples; return those (3, 6, 8, 1)."""
    info = {"examples": {"labels": [0, 1, 0], "classes": ["bag", "boot"]}}
    folder = house / "runs" / name
    save(folder, picture_model("super-resolution", **ENLARGED), TOKENIZER, info=info)
    pictures = random_tokens(3, HEIGHT, WIDTH, 1, vocab_size=256).to(torch.uint8).numpy()
    examples_sheet(pictures).save(folder / EXAMPLES)
    return pictures


def page(**query) -> AppTest:
    def script():
        from playground.decoding.lane import Lane
        from playground.ui import image_super_resolution

        image_super_resolution.section(3, Lane())

    app = AppTest.from_function(script, default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def told(app: AppTest) -> str:
    shown = " ".join(e.value for e in [*app.info, *app.error, *app.warning, *app.caption])
    return re.sub(r"\\(\W|_)", r"\1", shown)


def finished(app: AppTest) -> actions.Enlarged:
    """Press Enlarge and let the fragment tick until nothing goes on."""
    app.button(key="enlarge_start").click().run()
    for _ in range(200):
        assert not app.exception
        session = app.session_state["_enlarging"]
        if session.pace == "still":
            return session.outcome
        app.run()
    raise AssertionError("it did not end")


def test_without_a_model_it_says_how_to_train_one(house):
    app = page()
    assert "python -m train.image --model super-resolution" in told(app)
    assert not app.button


def test_the_command_that_it_names_is_one_that_train_knows():
    from train.config import parse_config
    from train.image import Config

    flags = section.TRAIN.split()[3:]
    assert section.TRAIN.startswith("python -m train.image ")
    assert parse_config(Config, flags).model == "super-resolution"


def test_large_pictures_are_drawn_of_the_chosen_small_one(house):
    pictures = write_enlarger(house)
    app = page(enlarge_count="3", picture_example="2 · boot")
    assert "larger draws 8 × 6 pixels in 5 levels from 4 × 3 pixels" in told(app).replace("*", "")
    outcome = finished(app)
    assert np.array_equal(outcome.small, area_average(pictures[1], 2))
    assert outcome.made == SIZE
    tokens = [trace.tokens[1:] for trace in outcome.traces()]
    assert len(set(tokens)) == 3
    assert all(len(own) == SIZE and max(own) < 5 for own in tokens)
    assert f"48 of 48 values · the original needs {outcome.bits:.3f} bits" in told(app).replace(
        "*", ""
    )
    assert len(app.metric) == 3
    again = finished(page(enlarge_count="3", picture_example="2 · boot"))
    assert [trace.tokens[1:] for trace in again.traces()] == tokens


def test_a_sample_is_the_same_alone_and_beside_others(house):
    write_enlarger(house)
    alone = finished(page(enlarge_count="1")).traces()
    assert alone[0].tokens == finished(page(enlarge_count="5")).traces()[0].tokens


def test_the_bits_of_the_original_are_those_of_the_model_that_was_told(house):
    pictures = write_enlarger(house)
    outcome = finished(page(enlarge_count="1"))
    model = picture_model("super-resolution", **ENLARGED)
    tokens = torch.tensor([TOKENIZER.encode(pictures[0])])
    small = torch.from_numpy(area_average(pictures[:1], 2))
    bits = model.nats(tokens, small).mean().item() / np.log(2)
    assert outcome.bits == pytest.approx(bits, abs=1e-4)
    assert outcome.bits_untold == pytest.approx(model.nats(tokens).mean().item() / np.log(2))


def test_distances_are_measured_in_the_levels_of_the_model(house):
    write_enlarger(house)
    outcome = finished(page(enlarge_count="2"))
    pixels = [TOKENIZER.decode(trace.tokens[1:]) for trace in outcome.traces()]
    found = actions.distances_of(outcome, pixels)
    of_each = [actions.distance(own, outcome.original) for own in pixels]
    assert found.samples == pytest.approx(np.mean(of_each))
    assert found.mean <= found.samples  # the mean of two is never farther than both on average
    perfect = actions.distances_of(outcome, [outcome.original])
    assert (perfect.samples, perfect.mean) == (0, 0)
    assert perfect.again == perfect.original_again
    cubic = actions.bicubic(outcome.small, TOKENIZER)
    seen = TOKENIZER.decode(TOKENIZER.encode(cubic))
    assert found.bicubic == actions.distance(seen, outcome.original)


def test_stop_stops_and_what_was_drawn_stays(house, monkeypatch):
    for tick in ("TICK_S", "FIRST_TICK_S"):
        monkeypatch.setattr(completion, tick, 0.0)  # one value a tick
    write_enlarger(house)
    app = page()
    app.button(key="enlarge_start").click().run()
    session = app.session_state["_enlarging"]
    assert session.pace == "run"
    app.button(key="enlarge_stop").click().run()
    made = session.outcome.made
    app.run()
    assert session.pace == "still"
    assert 0 < session.outcome.made == made < SIZE
    assert app.button(key="enlarge_start")
    assert not app.metric  # what is not finished is not compared


def test_changed_settings_are_told_and_nothing_is_drawn_anew(house):
    write_enlarger(house)
    app = page(enlarge_count="2")
    outcome = finished(app)
    app.slider(key="enlarge_count").set_value(4).run()
    assert not app.exception
    assert "Settings have changed since" in told(app)
    assert app.session_state["_enlarging"].outcome is outcome


def test_guidance_changes_what_is_drawn_and_off_it_is_the_model(house):
    write_enlarger(house)
    plain = finished(page(enlarge_count="1")).traces()[0].tokens
    assert finished(page(enlarge_count="1", enlarge_guidance="1.0")).traces()[0].tokens == plain
    assert finished(page(enlarge_count="1", enlarge_guidance="3.0")).traces()[0].tokens != plain


def test_a_damaged_model_and_a_link_with_nonsense_are_told(house):
    write_enlarger(house)
    write_enlarger(house, "torn")
    weights = house / "runs" / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    assert "'torn' cannot be used" in told(page(enlarger="torn"))
    app = page(enlarger="none such", enlarge_count="99", enlarge_guidance="x")
    assert app.slider(key="enlarge_count").value == 4
    assert app.slider(key="enlarge_guidance").value == 1.0
    assert app.selectbox(key="enlarger").value == "larger"


def test_bicubic_and_the_distances_are_what_they_say():
    small = np.full((3, 4, 1), 90, np.uint8)
    assert (actions.bicubic(small, TOKENIZER) == 90).all()
    assert actions.bicubic(small, TOKENIZER).shape == (HEIGHT, WIDTH, 1)
    colour = np.zeros((3, 4, 3), np.uint8)
    assert actions.bicubic(colour, ImageTokenizer(HEIGHT, WIDTH, 3, 5)).shape == (HEIGHT, WIDTH, 3)
    near = actions.nearest(small + np.arange(4, dtype=np.uint8)[:, None], TOKENIZER)
    assert near[0, :, 0].tolist() == [90, 90, 91, 91, 92, 92, 93, 93]
    assert actions.distance(near, near) == 0
    assert actions.distance(small, small - 3) == 3


def test_the_contact_sheet_shows_what_was_told_the_samples_and_the_original(house):
    write_enlarger(house)
    outcome = finished(page(enlarge_count="2"))
    pixels = [TOKENIZER.decode(trace.tokens[1:]) for trace in outcome.traces()]
    scale = section.SHEET // WIDTH
    with Image.open(io.BytesIO(section.sheet_png(outcome, pixels))) as sheet:
        cells = np.asarray(sheet)[scale::scale, scale::scale]
    shown = [cells[:HEIGHT, 9 * i : 9 * i + WIDTH] for i in range(4)]
    assert np.array_equal(shown[0], actions.nearest(outcome.small, TOKENIZER)[:, :, 0])
    assert np.array_equal(shown[1], pixels[0][:, :, 0])
    assert np.array_equal(shown[3], outcome.original[:, :, 0])
