"""The sizes beside others' are those of the same content."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from playground.checkpoints import load
from playground.compression.codec import compress
from playground.compression.content import of_tokens
from playground.compression.report import png_of, report
from playground.data.images import read_examples
from playground.models import FAMILIES
from playground.tokenizers.audio import AudioTokenizer
from playground.tokenizers.text import CharTokenizer
from tests.helpers import ROOT, ngram, with_weights


def sizes(rows) -> dict[str, float]:
    return {row.name: row.bytes for row in rows}


def test_a_text_beside_gzip_and_the_models_bits():
    chars = CharTokenizer("abcdefghijklmnopqrstu ")
    text = "a bad cat had a cab and a dad " * 3
    packed = compress(ngram(), chars, text, model_name="counts")
    rows = report(packed, chars)
    found = sizes(rows)
    assert list(found) == [
        "as it is", "gzip", "this file (counts)", "its content alone", "the model's own bits",
    ]  # fmt: skip
    assert found["as it is"] == 90
    assert found["gzip"] == len(gzip.compress(text.encode(), 9, mtime=0))
    assert found["this file (counts)"] == len(packed.data)
    assert found["its content alone"] == pytest.approx(found["the model's own bits"], abs=2)
    assert [row.is_file for row in rows] == [True, True, True, False, False]
    assert rows[0].bits_per_token == 8
    assert report(compress(ngram(), chars, ""), chars)[0].bits_per_token is None


def test_a_picture_beside_png():
    folder = ROOT / "checkpoints" / "fashion-gated-8bit"
    model, tokenizer = load(folder)
    pixels = read_examples(folder, tokenizer)[1]
    found = sizes(report(compress(model, tokenizer, pixels, model_name="m"), tokenizer))
    assert found["PNG"] == len(png_of(pixels))
    assert found["this file (m)"] < found["PNG"]
    assert found["its content alone"] == pytest.approx(found["the model's own bits"], rel=0.01)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("colours", [1, 2, 4, 16, 200, 3000])
def test_a_png_holds_the_picture(channels, colours):
    random = np.random.default_rng(0)
    palette = random.integers(0, 256, (colours, channels), np.uint8)
    pixels = palette[random.integers(0, colours, (40, 30))]
    image = Image.open(io.BytesIO(png_of(pixels))).convert("L" if channels == 1 else "RGB")
    assert (np.asarray(image).reshape(pixels.shape) == pixels).all()


def test_a_sound_beside_flac():
    import soundfile

    config_class, model_class = FAMILIES["wavenet"]
    sizes_ = {"channels": 8, "skip_channels": 8, "n_layer": 4, "dilation_cycle": 3}
    model, tokenizer = with_weights(model_class(config_class(**sizes_))), AudioTokenizer()
    samples = np.sin(np.arange(400) / 5).astype(np.float32)
    packed = compress(model, tokenizer, samples)
    found = sizes(report(packed, tokenizer))
    assert {"FLAC, 8 bits", "FLAC, 16 bits"} <= set(found)
    from playground.compression.report import _flac, raw_codes

    file = _flac(raw_codes(packed.content.raw), 8000, "PCM_S8")
    again, _ = soundfile.read(io.BytesIO(file))
    assert (again * 128 + 128 == np.frombuffer(packed.content.raw, np.uint8)).all()
    silent = report(compress(model, tokenizer, of_tokens(tokenizer, [])), tokenizer)
    assert "FLAC, 8 bits" not in sizes(silent)
