"""The Audio page on a model of codes: stepped code by code, heard as whole frames."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.registry import ModelCard
from tests.pages.opened import opened, press, run_to_end
from tests.sound_checkpoints import write_checkpoint
from tests.tiny_musicgen import HOP, N_CODEBOOKS, N_CODES, musicgen_folder

AUDIO = "3_Audio"


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """Let the page have MusicGen, and a model of samples."""
    folder = tmp_path / "musicgen"
    folder.mkdir()
    card = ModelCard("musicgen", "MusicGen", "audio", "", "", musicgen_folder(folder))
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", (card,))
    write_checkpoint(tmp_path / "runs" / "samples")


def whole(page: AppTest):
    session = run_to_end(page, "_music")
    assert session.stepper.has_ended
    return session


def test_a_sound_is_stepped_by_codes_and_heard_by_frames(studio):
    page = opened(AUDIO, model="musicgen", say="drums")
    page.slider(key="music_seconds").set_value(0.4).run()
    press(page, "step")
    session = page.session_state["_music"]
    assert len(session.stepper.tokens) == 2
    assert not session.heard[2]  # no frame is whole yet
    press(page, "step_burst")
    assert len(session.stepper.tokens) == 2 + N_CODEBOOKS
    session = whole(page)
    tokens, samples, wav = session.heard
    pattern = session.stepper.tokenizer.pattern
    assert len(tokens) == pattern.tokens_of(40)
    assert samples.shape == (40 * HOP,)
    assert wav.startswith(b"RIFF")
    assert N_CODES not in tokens


def test_the_text_and_the_guidance_begin_another_sound(studio):
    sounds = {}
    for say, guidance in (("drums", "3.0"), ("a violin", "3.0"), ("drums", "1.0"), ("", "3.0")):
        page = opened(AUDIO, model="musicgen", say=say, guidance=guidance)
        page.slider(key="music_seconds").set_value(0.35).run()
        sounds[say, guidance] = whole(page).heard[1]
    found = list(sounds.values())
    assert all(not np.array_equal(a, b) for i, a in enumerate(found) for b in found[i + 1 :])


def test_a_model_of_samples_beside_it_has_its_own_page(studio):
    page = opened(AUDIO, model="musicgen")
    page.selectbox(key="model").set_value("samples").run()
    assert not page.exception
    press(page, "step")
    assert len(page.session_state["_audio"].stepper.tokens) == 2
    page.selectbox(key="model").set_value("musicgen").run()
    assert not page.exception
