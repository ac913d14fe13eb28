"""The section that packs and unpacks: what it computes, says and refuses."""

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from playground.checkpoints import load
from playground.compression.codec import compress, decompress
from playground.compression.report import Row
from playground.registry import available
from playground.tokenizers.audio import AudioTokenizer
from playground.ui import compression_charts as charts
from playground.ui import compression_run as run
from tests.helpers import ROOT
from tests.picture_checkpoints import TOKENIZER, examples
from tests.sound_checkpoints import write_checkpoint as write_sound_checkpoint

TEXT, IMAGE = str(ROOT / "pages" / "1_Text.py"), str(ROOT / "pages" / "2_Image.py")


def opened(script: str, **query: str) -> AppTest:
    page = AppTest.from_file(script, default_timeout=60)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def text_page(prompt: str = "And God said, ") -> AppTest:
    page = opened(TEXT, model="kjv-char-ngram", prompt=prompt)
    page.session_state["compression_open"] = True
    return page.run()


def finish(page: AppTest, key: str = "text") -> AppTest:
    for _ in range(100):
        assert not page.exception
        if session_of(page, key).job is None:
            return page
        page.run()
    raise AssertionError("it never ends")


def session_of(page: AppTest, key: str = "text") -> run.CompressionSession:
    name = f"_{key}_compression"
    return page.session_state[name] if name in page.session_state else run.CompressionSession()


def messages(page: AppTest) -> str:
    shown = " ".join(e.value for e in [*page.error, *page.success, *page.info, *page.subheader])
    return re.sub(r"\\(\W|_)", r"\1", shown)


def test_the_text_of_the_page_is_packed_and_unpacked():
    page = text_page()
    page.button(key="step").click().run()
    page.button(key="text_pack").click().run()
    finish(page)
    written = page.session_state["_text"].stepper
    raw = "".join(written.tokenizer.decode(written.tokens)).encode()
    packed = session_of(page).packed
    assert packed.content.raw == raw
    assert len(raw) == len("And God said, ") + 1
    loaded = available("text")["kjv-char-ngram"]
    assert decompress(*load(loaded.folder), packed.data).raw == raw
    assert f"{len(raw)} tokens" in messages(page)
    (table,) = [d for d in page.dataframe if "form" in d.value]
    assert list(table.value["form"])[:2] == ["as it is", "gzip"]
    assert page.get("vega_lite_chart")
    page.button(key="text_check").click().run()
    finish(page)
    assert "the same bit for bit" in messages(page)
    assert any("And God said" in code.value for code in page.code)


def test_an_upload_of_any_bytes_is_packed():
    page = text_page()
    page.segmented_control(key="text_pack_what").set_value("A file of yours").run()
    assert page.button(key="text_pack").disabled
    data = "Ωmega\r\n".encode() + b"\xff And"
    page.file_uploader(key="text_pack_file").upload("my.bin", data).run()
    page.button(key="text_pack").click().run()
    finish(page)
    assert session_of(page).packed.content.raw == data
    assert "my.bin" in messages(page)


def test_a_packed_file_is_uploaded_and_unpacked():
    model, tokenizer = load(available("text")["kjv-char-ngram"].folder)
    packed = compress(model, tokenizer, "And he went up", model_name="kjv-char-ngram")
    page = text_page()
    page.file_uploader(key="text_unpack_file").upload("a.arp", packed.data).run()
    page.button(key="text_unpack").click().run()
    finish(page)
    assert session_of(page).unpacked.raw == b"And he went up"
    assert "Unpacked: a.arp" in messages(page)


@pytest.mark.parametrize("damage", ["cut", "stranger", "other weights"])
def test_a_wrong_file_is_told_and_the_session_goes_on(damage):
    model, tokenizer = load(available("text")["kjv-char-lstm"].folder)
    data = compress(model, tokenizer, "And", model_name="kjv-char-lstm").data
    data, said = {
        "cut": (data[:-3], "damaged or cut short"),
        "stranger": (b"RIFF" + bytes(50), "no packed file"),
        "other weights": (data, "packed with the model 'kjv-char-lstm'"),
    }[damage]
    page = text_page()
    page.file_uploader(key="text_unpack_file").upload("a.arp", data).run()
    page.button(key="text_unpack").click().run()
    assert not page.exception
    assert said in messages(page)
    page.button(key="text_pack").click().run()
    finish(page)
    assert not page.error
    assert session_of(page).packed is not None


def test_stop_stops_and_another_model_starts_afresh(monkeypatch):
    page = text_page("And God said, Let there be light. " * 20)
    monkeypatch.setattr(run, "TICK_S", 0.0)
    page.button(key="text_pack").click().run()
    assert session_of(page).job is not None
    page.button(key="text_pack_stop").click().run()
    assert session_of(page).job is None
    assert session_of(page).packed is None
    monkeypatch.undo()
    page.button(key="text_pack").click().run()
    finish(page)
    assert session_of(page).packed is not None
    page.selectbox(key="model").set_value("kjv-char-lstm").run()
    assert session_of(page).packed is None


def test_what_is_too_long_for_the_page_is_told(monkeypatch):
    page = text_page()
    monkeypatch.setattr(run, "MAX_TOKENS", 5)
    page.button(key="text_pack").click().run()
    assert not page.exception
    assert "at most 5 are packed" in messages(page)


def test_a_picture_under_its_class_is_packed_and_unpacked(house):
    page = opened(IMAGE, model="animals", do="Compress", **{"class": "dog"})
    page.button(key="image_pack").click().run()
    session = session_of(page, "image")
    assert session.job is None
    assert session.packed.header.condition == 1
    assert session.packed.content.raw == bytes(TOKENIZER.encode(examples()[0]))
    assert "42 values" in messages(page)
    page.button(key="image_check").click().run()
    assert "the same bit for bit" in messages(page)


def test_a_sound_is_packed_and_unpacked(tmp_path):
    def script(folder, samples):
        from playground.registry import ModelCard
        from playground.ui.compression import compression_section
        from playground.ui.resources import load_model

        loaded = load_model(ModelCard("sounds", "Sounds", "audio", "", "", folder))
        compression_section("sounds", loaded.model, loaded.tokenizer, "audio", samples, "audio")

    folder = write_sound_checkpoint(tmp_path / "sounds")
    samples = np.sin(np.arange(60) / 3).astype(np.float32)
    page = AppTest.from_function(script, args=(folder, samples), default_timeout=60).run()
    page.button(key="audio_pack").click().run()
    finish(page, "audio")
    assert session_of(page, "audio").packed.content.tokens == tuple(
        AudioTokenizer().encode(samples)
    )
    (table,) = page.dataframe
    assert "FLAC, 8 bits" in list(table.value["form"])
    page.button(key="audio_check").click().run()
    finish(page, "audio")
    assert "the same bit for bit" in messages(page)
    assert page.get("audio")


def test_the_chart_has_a_bar_for_every_row_and_tells_ours():
    rows = [
        Row("gzip", 20, 8.0, ""), Row("this file (m)", 10, 4.0, ""),
        Row("bits", 9.5, 3.8, "", False),
    ]  # fmt: skip
    made = charts.size_rows(rows)
    assert [row["is"] for row in made] == ["another way", "this model", "a figure, no file"]
    drawn = charts.sizes_chart(made).to_dict()
    assert drawn["layer"][0]["encoding"]["x"]["field"] == "bytes"
    assert "bytes" in drawn["layer"][0]["encoding"]["x"]["title"]
    assert "data" not in charts.sizes_spec()
