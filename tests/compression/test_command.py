"""python -m playground compress and decompress, as a person calls them."""

import io

import numpy as np
import pytest
from PIL import Image

from playground.command_line import main
from playground.tokenizers.audio import AudioTokenizer, to_wav
from tests.helpers import ROOT
from tests.picture_checkpoints import TOKENIZER, examples, write_checkpoint
from tests.sound_checkpoints import write_checkpoint as write_sound_checkpoint

HELD_OUT = ROOT / "checkpoints" / "kjv-char-ngram" / "held_out.txt"


def call(command: str, source, out, *flags: str) -> int:
    return main([command, "--in", str(source), "--out", str(out), *flags])


def test_a_text_is_packed_and_unpacked(capsys, tmp_path):
    text = HELD_OUT.read_bytes()[:400] + "Ω\r\n".encode() + b"\xff"
    (tmp_path / "a.txt").write_bytes(text)
    assert (
        call("compress", tmp_path / "a.txt", tmp_path / "a.arp", "--model", "kjv-char-ngram") == 0
    )
    table = capsys.readouterr().out
    for name in ("as it is", "gzip", "this file (kjv-char-ngram)", "the model's own bits"):
        assert name in table
    assert call("decompress", tmp_path / "a.arp", tmp_path / "b.txt") == 0
    assert (tmp_path / "b.txt").read_bytes() == text


def test_a_picture_under_a_class_is_packed_and_unpacked(capsys, tmp_path):
    model = str(write_checkpoint(tmp_path / "told", n_class=4))
    picture = TOKENIZER.decode(TOKENIZER.encode(examples()[2]))[:, :, 0]
    Image.fromarray(picture).save(tmp_path / "a.png")
    flags = ("--model", model)
    assert call("compress", tmp_path / "a.png", tmp_path / "a.arp", *flags, "--class", "bird") == 0
    assert "PNG" in capsys.readouterr().out
    assert call("decompress", tmp_path / "a.arp", tmp_path / "b.png", *flags) == 0
    again = Image.open(io.BytesIO((tmp_path / "b.png").read_bytes())).convert("L")
    assert (np.asarray(again) == picture).all()
    assert call("decompress", tmp_path / "a.arp", tmp_path / "c.png") == 2
    assert "'told'" in capsys.readouterr().err


def test_a_sound_is_packed_and_unpacked(capsys, tmp_path):
    model = str(write_sound_checkpoint(tmp_path / "sounds"))
    tokenizer = AudioTokenizer()
    samples = np.sin(np.arange(300) / 7).astype(np.float32)
    (tmp_path / "a.wav").write_bytes(to_wav(samples, 8000))
    assert call("compress", tmp_path / "a.wav", tmp_path / "a.arp", "--model", model) == 0
    assert "FLAC, 8 bits" in capsys.readouterr().out
    tokens = tokenizer.encode(tokenizer.prepare((tmp_path / "a.wav").read_bytes()).samples)
    for name in ("b.wav", "b.flac"):
        assert call("decompress", tmp_path / "a.arp", tmp_path / name, "--model", model) == 0
        again = tokenizer.prepare((tmp_path / name).read_bytes()).samples
        assert tokenizer.encode(again) == tokens
    assert call("decompress", tmp_path / "a.arp", tmp_path / "b.txt", "--model", model) == 2
    assert "no name for a sound" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("compress", ["--model", "nowhere"], "cannot be used"),
        ("compress", ["--model", "kjv-char-ngram", "--class", "dog"], "Leave it out"),
        ("decompress", [], "no packed file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, tmp_path, command, flags, message):
    (tmp_path / "a").write_bytes(b"a text")
    assert call(command, tmp_path / "a", tmp_path / "b", *flags) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert not out
    assert not (tmp_path / "b").exists()


def test_a_file_that_is_not_there_or_cannot_be_written_is_told(capsys, tmp_path):
    flags = ("--model", "kjv-char-ngram")
    assert call("compress", tmp_path / "none", tmp_path / "b", *flags) == 2
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "a").write_bytes(b"And")
    assert call("compress", tmp_path / "a", tmp_path / "a" / "b", *flags) == 2
    assert "cannot be written" in capsys.readouterr().err
