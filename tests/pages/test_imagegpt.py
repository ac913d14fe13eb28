"""The Image page on ImageGPT: one token a pixel, which tells all three colours."""

import pytest

from playground import registry
from playground.registry import ModelCard
from tests.pages.opened import opened, press, run_to_end
from tests.tiny_imagegpt import N_CLUSTERS, SIDE, imagegpt_folder

IMAGE = "2_Image"


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    """Let the page have ImageGPT alone."""
    card = ModelCard("imagegpt", "ImageGPT", "image", "", "", imagegpt_folder(tmp_path))
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", (card,))


@pytest.mark.parametrize("overlay", ["surprisal", "entropy", "attention", "gradient"])
def test_a_picture_is_stepped_under_every_map(gallery, overlay):
    page = opened(IMAGE, overlay=overlay)
    press(page, "step")
    press(page, "step_row")
    stepper = page.session_state["_image"].stepper
    assert len(stepper.tokens) == 1 + SIDE
    assert stepper.tokenizer.decode(stepper.tokens).shape == (SIDE, SIDE, 3)
    assert f"one of {N_CLUSTERS} colours" in page.caption[1].value or any(
        f"one of {N_CLUSTERS} colours" in caption.value for caption in page.caption
    )


def test_a_whole_picture_is_drawn_and_every_section_takes_it(gallery):
    page = opened(IMAGE)
    run_to_end(page, "_image")
    stepper = page.session_state["_image"].stepper
    assert stepper.has_ended
    assert len(stepper.tokens) == 1 + SIDE**2
    assert N_CLUSTERS not in stepper.tokens[1:]
    picture = stepper.tokenizer.decode(stepper.tokens)
    for doing in ("Complete", "How likely?"):
        page.segmented_control(key="do").set_value(doing).run()
        page.segmented_control(key="picture_source").set_value("From the canvas").run()
        assert not page.exception, doing
        assert not page.error, (doing, [e.value for e in page.error])
        assert page.session_state["_image"].stepper.tokenizer.encode(picture) == [
            *stepper.tokens[1:]
        ]
    told = [*page.metric, *page.caption, *page.markdown]
    assert any("bits" in str(part.value) for part in told)
    page.segmented_control(key="do").set_value("Compress").run()
    assert not page.exception
    assert "Only models of brightness levels" in page.info[0].value


def test_a_picture_is_completed(gallery):
    page = opened(IMAGE)
    run_to_end(page, "_image")
    page.segmented_control(key="do").set_value("Complete").run()
    page.segmented_control(key="picture_source").set_value("From the canvas").run()
    press(page, "completion_start")
    for _ in range(40):
        page.run()
    assert not page.exception
    assert not page.error
