"""Sounds by name: what is there is read whole, what is not says how to get it."""

import gzip
import io
import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from huggingface_hub import constants

from playground.data import clips, parquet_sounds, sounds
from playground.data.clips import DIGITS, NUMBERS, hold_out, plain_words, split_sounds, trimmed
from playground.data.sounds import (
    EXAMPLES,
    examples_of,
    load_sounds,
    read_examples,
    write_examples,
)
from playground.errors import CheckpointError, ConfigError, DataError
from playground.tokenizers.audio import AudioTokenizer, to_flac, to_wav
from tests.hub_server import serve

NAME = "somebody/bells"


def tone(pitch: float = 440.0, seconds: float = 0.05, rate: int = 8000) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * pitch * times)).astype(np.float32)


def every_clip(found: sounds.Sounds) -> list[np.ndarray]:
    return [*found.train, *found.test]


@pytest.fixture(scope="module")
def instruments():
    return load_sounds("instruments")


@pytest.fixture(scope="module")
def words():
    return load_sounds("words")


@pytest.fixture(scope="module")
def speech():
    return load_sounds("speech")


# -- what Debian has -------------------------------------------------------------------------------


def test_instruments_are_short_loud_and_of_every_class_on_both_sides(instruments):
    assert instruments.sample_rate == 8000
    assert len(instruments.train) == len(instruments.train_labels) > 90
    assert len(instruments.test) == len(instruments.test_labels) >= 9
    for label, name in enumerate(instruments.classes):
        assert (instruments.train_labels == label).sum() >= 4, name
        assert (instruments.test_labels == label).sum() >= 1, name
    for clip in every_clip(instruments):
        assert clip.dtype == np.float32
        assert 0 < len(clip) <= 2 * 8000
        assert np.abs(clip).max() == pytest.approx(0.9, abs=1e-6)
        loud = np.flatnonzero(np.abs(clip) > 0.009)
        assert loud[0] <= 0.005 * 8000
        assert len(clip) - 1 - loud[-1] <= 0.05 * 8000  # silence after it
    assert instruments.train_texts == ()
    assert instruments.licence == "CC0"


def test_instruments_are_told_apart_by_their_sound(instruments):
    """A kick is low and a cymbal is high, so the classes' names are those of the sounds."""
    centres = {}
    for label, name in enumerate(instruments.classes):
        members = [c for c, k in zip(instruments.train, instruments.train_labels, strict=True)
                   if k == label]  # fmt: skip
        powers = [np.abs(np.fft.rfft(clip)) ** 2 for clip in members]
        centres[name] = np.median(
            [(np.linspace(0, 4000, len(p)) * p).sum() / p.sum() for p in powers]
        )
    assert centres["Kick"] < centres["Tom"] < centres["Snare"] < centres["Cymbal"]


def test_the_npm_package_holds_the_same_instruments(instruments, tmp_path, monkeypatch):
    folder = tmp_path / "node_modules" / sounds.NPM_PACKAGE / "samples"
    folder.mkdir(parents=True)
    for file in sounds.SONIC_PI.glob("*.flac"):
        shutil.copy(file, folder)
    for name in ("bd_jazz", "bd_chip", "hat_bdu"):  # in that package alone
        (folder / f"{name}.flac").write_bytes(to_flac(tone(), 8000))
    monkeypatch.setattr(sounds, "SONIC_PI", tmp_path / "nowhere")
    other = load_sounds("instruments", tmp_path)
    assert other.test_labels.tolist() == instruments.test_labels.tolist()
    for mine, theirs in zip(every_clip(instruments), every_clip(other), strict=True):
        assert np.array_equal(mine, theirs)


def test_speech_comes_with_what_is_said(speech):
    assert 500 < len(speech.train) + len(speech.test) < 600
    assert len(speech.train_texts) == len(speech.train)
    assert 1400 < sum(map(len, every_clip(speech))) / 8000 < 1500
    texts = speech.train_texts + speech.test_texts
    assert "Goodbye!" in texts
    assert not [text for text in texts if text[0] in "[(<"]  # tones, silence and monkeys
    assert not set(speech.train_texts) & set(speech.test_texts)  # a text said twice stays whole
    assert speech.licence.startswith("CC-BY-SA-3.0")
    assert "Allison Smith" in speech.licence
    # Long texts take long to say: transcripts belong to their clips.
    lengths = np.array([(len(t), len(c)) for t, c in zip(texts, every_clip(speech), strict=True)])
    assert np.corrcoef(lengths.T)[0, 1] > 0.8


def test_prompts_are_as_they_are_in_the_package(speech):
    samples, rate = soundfile.read(sounds.PROMPTS / "vm-goodbye.wav", dtype="float32")
    assert rate == speech.sample_rate
    assert any(np.array_equal(samples, clip) for clip in every_clip(speech))


def test_words_are_short_and_plain_and_all_numbers_are_trained_on(words):
    assert len(words.train) > 240
    assert len(words.test) > 20
    for text in words.train_texts + words.test_texts:
        assert re.fullmatch(r"[a-z']+( [a-z']+)?", text)
    assert max(map(len, every_clip(words))) <= 1.6 * 8000
    assert set(DIGITS) <= set(words.train_texts)
    assert not NUMBERS & set(words.test_texts)
    assert not set(words.train_texts) & set(words.test_texts)
    assert set("abcdefghijklmnopqrstuvwxyz") <= set(words.train_texts + words.test_texts)
    assert words.train_texts.count("extension") > 1  # said twice, kept twice
    assert "numbers are trained on" in words.split
    for clip in every_clip(words):
        loud = np.flatnonzero(np.abs(clip) > 0.01 * np.abs(clip).max())
        assert max(loud[0], len(clip) - 1 - loud[-1]) <= 0.02 * 8000


def test_letters_are_named_in_several_languages():
    letters = load_sounds("letters")
    assert "".join(letters.classes) == "abcdefghijklmnopqrstuvwxyz"
    assert np.bincount(letters.train_labels).min() >= 5
    assert np.bincount(letters.test_labels).tolist() == [1] * 26
    assert letters.licence == "GPL-2+"


def test_another_rate_is_asked_for_and_kept(words):
    double = load_sounds("words", sample_rate=16000)
    assert double.sample_rate == 16000
    assert double.test_texts == words.test_texts
    assert len(double.train[0]) == pytest.approx(2 * len(words.train[0]), abs=200)


def test_a_rate_that_no_model_has_is_refused_before_anything_is_read():
    for name in ("words", "folder", f"hub:{NAME}"):
        with pytest.raises(ConfigError, match="sample_rate must be a whole number"):
            load_sounds(name, sample_rate=10)


def test_what_is_missing_names_its_package(tmp_path, monkeypatch):
    for place in ("SONIC_PI", "LETTERS"):
        monkeypatch.setattr(sounds, place, tmp_path)
    monkeypatch.setattr(sounds, "TRANSCRIPTS", tmp_path / "core-sounds-en.txt.gz")
    cases = [
        ("instruments", "apt-get install sonic-pi-samples.*npm install --prefix .* supersonic"),
        ("speech", r"apt-get install asterisk-core-sounds-en\).*slim.*--path-include"),
        ("letters", "apt-get install klettres-data"),
        ("no-such", "Name a folder of sounds, one of instruments, speech, words, letters, or hub:"),
    ]
    for name, says in cases:
        with pytest.raises(DataError, match=says):
            load_sounds(name, tmp_path)
    monkeypatch.setattr(sounds, "PROMPTS", tmp_path)
    for name in ("speech", "words"):
        with pytest.raises(DataError, match="apt-get install asterisk-core-sounds-en-wav"):
            load_sounds(name, tmp_path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no gzip", r"core-sounds-en.txt.gz is damaged \(Not a gzipped file"),
        (gzip.compress(b"\xff\xfe: x"), r"is damaged \(.*can't decode"),
        (gzip.compress(b"hello: Hello." * 1000)[:40], r"is damaged \(Compressed file ended"),
        (gzip.compress(bytes(2**20 + 1)), "unpacks to more than 1 MB"),
    ],
    ids=["no gzip", "no text", "cut", "bomb"],
)
def test_damaged_transcripts_say_so(data, says, tmp_path, monkeypatch):
    path = tmp_path / "core-sounds-en.txt.gz"
    path.write_bytes(data)
    monkeypatch.setattr(sounds, "TRANSCRIPTS", path)
    with pytest.raises(DataError, match=says):
        load_sounds("speech")


def test_a_damaged_sound_of_a_package_is_named(tmp_path, monkeypatch):
    shutil.copy(sounds.SONIC_PI / "bd_ada.flac", tmp_path)
    (tmp_path / "bd_fat.flac").write_bytes(b"no sound")
    monkeypatch.setattr(sounds, "SONIC_PI", tmp_path)
    with pytest.raises(DataError, match=r"bd_fat.flac is damaged. Install its package again"):
        load_sounds("instruments")


# -- clips and texts -------------------------------------------------------------------------------


def test_silence_is_cut_off_but_for_a_margin():
    clip = np.concatenate((np.zeros(500), tone(seconds=0.1), np.full(900, 1e-4))).astype("f4")
    cut = trimmed(clip, 8000, before=0.02, after=0.05)
    assert len(cut) == pytest.approx(800 + 160 + 400, abs=4)
    assert np.array_equal(cut, clip[340 + (clip[500] == 0) :][: len(cut)])
    assert len(trimmed(np.zeros(100, np.float32), 8000, before=1, after=1)) == 0
    assert len(trimmed(np.full(100, 1e-4, np.float32), 8000, before=1, after=1)) == 0
    assert len(trimmed(np.zeros(0, np.float32), 8000, before=1, after=1)) == 0


@pytest.mark.parametrize(
    ("transcript", "text"),
    [
        ("I'm sorry.", "i'm sorry"),
        ("dash [-]", "dash"),
        ("A.M.", "a m"),
        ("Press ...", "press"),
        ("folder 5", "folder five"),
        ("exclaimation-point [!]", "exclamation point"),
        ("SIP", ""),
        ("USB Radio", ""),
        ("press 42", ""),
        ("über", ""),
    ],
)
def test_texts_are_made_plain(transcript, text):
    assert plain_words(transcript) == text


def test_a_group_is_held_out_whole():
    groups = [f"text {n % 20}" for n in range(45)]
    held = hold_out(groups)
    assert {g for g, h in zip(groups, held, strict=True) if h} == {"text 9", "text 19"}
    assert held.sum() == 4
    kept = hold_out(groups, keep=["text 9"])
    assert {g for g, h in zip(groups, kept, strict=True) if h} == {"text 10"}


def test_a_part_is_held_out_of_sounds_that_say_the_same_few_words():
    clips, texts = [np.zeros(5, np.float32)] * 20, ["yes", "no"] * 10
    found = split_sounds("answers", clips, 8000, texts=texts, licence="", source="")
    assert len(found.test) == 2
    assert len(found.train) == len(found.train_texts) == 18
    assert found.split == "every tenth sound"


# -- a folder --------------------------------------------------------------------------------------


def test_a_folder_is_read_with_its_subfolders_as_classes(tmp_path):
    for kind, pitch in (("high", 2000), ("low", 200)):
        (tmp_path / kind).mkdir()
        for i in range(10):
            data, suffix = [(to_wav, "WAV"), (to_flac, "flac")][i % 2]
            (tmp_path / kind / f"{i}.{suffix}").write_bytes(
                data(tone(pitch + i, rate=16000), 16000)
            )
    (tmp_path / "low" / "noise.wav").write_text("not a sound")
    (tmp_path / "low" / "notes.md").write_text("not read")
    found = load_sounds(str(tmp_path))
    assert found.classes == ("high", "low")
    assert len(found.train) == 18
    assert sorted(found.test_labels) == [0, 1]
    assert {len(clip) for clip in every_clip(found)} == {400}  # 50 ms at 8 kHz
    assert "(1 could not be read)" in found.source
    assert found.train_texts == ()
    low = found.train[int(np.flatnonzero(found.train_labels == 1)[0])]
    assert np.abs(np.fft.rfft(low)).argmax() * 20 == pytest.approx(200, abs=20)


def test_a_folder_may_have_transcripts_and_ogg_and_mp3(tmp_path):
    for i in range(12):
        suffix = ("ogg", "mp3")[i % 2]
        soundfile.write(tmp_path / f"{i:02}.{suffix}", tone(300 + i, 0.3), 8000)
        (tmp_path / f"{i:02}.txt").write_text(f"word\n {i}")
    found = load_sounds(str(tmp_path))
    assert found.classes == ()
    assert found.train_texts == tuple(f"word {i}" for i in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11))
    assert found.test_texts == ("word 9",)
    (tmp_path / "03.txt").unlink()
    assert load_sounds(str(tmp_path)).train_texts == ()


def test_a_folder_with_too_few_or_too_many_sounds_says_so(tmp_path, monkeypatch):
    for i in range(9):
        (tmp_path / f"{i}.wav").write_bytes(to_wav(tone(), 8000))
    (tmp_path / "9.wav").write_bytes(b"RIFF")
    with pytest.raises(
        DataError, match=r"has 9 readable sounds; at least 10.*could not be read: 9"
    ):
        load_sounds(str(tmp_path))
    (tmp_path / "9.wav").write_bytes(to_wav(tone(), 8000))
    assert len(load_sounds(str(tmp_path)).train) == 9
    monkeypatch.setattr(clips, "MAX_TOTAL_SECONDS", 0.4)
    with pytest.raises(DataError, match=r"minutes of sound.*Name a smaller set"):
        load_sounds(str(tmp_path))
    monkeypatch.setattr(sounds, "MAX_FILES", 5)
    with pytest.raises(DataError, match="has 10 sounds, more than 5"):
        load_sounds(str(tmp_path))


def test_a_long_sound_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(sounds, "MAX_SECONDS", 0.1)
    for i in range(10):
        (tmp_path / f"{i}.wav").write_bytes(to_wav(tone(seconds=0.3), 8000))
    assert {len(clip) for clip in every_clip(load_sounds(str(tmp_path)))} == {800}


# -- the Hub ---------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve() as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        pattern = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", pattern)
        yield server


def rows(count: int, first: int = 0, **columns) -> dict[str, list]:
    pitches = range(200 + first, 200 + first + count)
    found = [{"bytes": to_wav(tone(p, rate=16000), 16000), "path": f"{p}.wav"} for p in pitches]
    return {"audio": found, "label": [i % 2 for i in range(count)]} | columns


def table(columns: dict[str, list], features: dict | None = None) -> bytes:
    data = pa.table(columns)
    if features:
        info = json.dumps({"info": {"features": features}})
        data = data.replace_schema_metadata({"huggingface": info})
    file = io.BytesIO()
    pq.write_table(data, file, row_group_size=7)
    return file.getvalue()


AUDIO = {
    "audio": {"_type": "Audio", "sampling_rate": 16000},
    "label": {"names": ["ding", "dong"], "_type": "ClassLabel"},
}


def test_sounds_of_the_hub_come_with_classes_texts_licence_and_split(hub):
    texts = {"text": [f"  bell {i}" for i in range(20)]}
    files = {
        "data/train-0.parquet": table(rows(20, **texts), AUDIO),
        "data/test-0.parquet": table(rows(6, 100, text=list("abcdef")), AUDIO),
    }
    repo = hub.add(NAME, files, card={"license": "cc0-1.0"})
    found = load_sounds(f"hub:{NAME}")
    assert len(found.train) == 20
    assert len(found.test) == 6
    assert len(found.train[0]) == 400  # 50 ms at 8 kHz
    assert found.classes == ("ding", "dong")
    assert found.train_labels.tolist() == [0, 1] * 10
    assert found.train_texts[3] == "bell 3"
    assert found.test_texts == tuple("abcdef")
    assert found.split == "the split test of the data set"
    assert found.licence == "cc0-1.0"
    assert found.source == f"hub:{NAME}@{repo.commit}"


def test_a_declared_column_is_read_before_others_and_a_part_held_out(hub):
    columns = {"cover": [{"bytes": b"no sound", "path": ""}] * 20} | rows(20)
    hub.add(NAME, {"train.parquet": table(columns, AUDIO)})
    found = load_sounds(f"hub:{NAME}")
    assert len(found.train) == 18
    assert found.train_texts == ()
    assert sorted(found.test_labels) == [0, 1]


def test_a_bad_sound_is_left_out_and_counted(hub):
    columns = rows(20, label=[-1] * 20)
    columns["audio"][3]["bytes"] = b"text"
    hub.add(NAME, {"train.parquet": table(columns)})
    found = load_sounds(f"hub:{NAME}")
    assert len(found.train) + len(found.test) == 19
    assert found.classes == ()
    assert not found.train_labels.any()
    assert "1 sounds could not be read" in found.source


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"train.parquet": table({"text": ["a"] * 20})}, "no column of sounds, only text"),
        ({"train.parquet": b"PAR1 no parquet"}, "is no parquet file, or damaged"),
        ({"train.parquet": table(rows(5))}, "has 5 readable sounds to train on"),
        (
            {"train.parquet": table({"audio": [{"bytes": b"text", "path": "/etc/passwd"}] * 20})},
            "0 readable .* could not be read: row 0 of train.parquet: The file is text",
        ),
    ],
    ids=["text", "damaged", "few", "no sounds"],
)
def test_data_sets_that_cannot_be_read_say_why(files, says, hub):
    hub.add(NAME, files)
    with pytest.raises(DataError, match=says):
        load_sounds(f"hub:{NAME}")


def test_data_sets_are_bounded(hub, monkeypatch):
    hub.add(NAME, {"train.parquet": table(rows(20))})
    monkeypatch.setattr(clips, "MAX_TOTAL_SECONDS", 0.5)
    with pytest.raises(DataError, match=r"somebody/bells has more than .* minutes"):
        load_sounds(f"hub:{NAME}")
    monkeypatch.setattr(parquet_sounds, "MAX_SOUNDS", 19)
    with pytest.raises(DataError, match="has 20 sounds; at most 19 are read"):
        load_sounds(f"hub:{NAME}")
    monkeypatch.setattr(parquet_sounds, "MAX_DOWNLOAD_BYTES", 10)
    with pytest.raises(DataError, match="at most 0 MB are fetched"):
        load_sounds(f"hub:{NAME}")


# -- examples beside a checkpoint ------------------------------------------------------------------


def test_examples_take_the_classes_in_turn(instruments):
    found, labels, texts = examples_of(instruments)
    assert len(found) == 12
    assert labels[:9] == list(range(9))
    assert texts == [""] * 12
    first = [int(np.flatnonzero(instruments.test_labels == k)[0]) for k in range(9)]
    for clip, index in zip(found, first, strict=False):
        assert np.array_equal(clip, instruments.test[index])


def test_examples_of_speech_are_whole_where_they_can_be(speech, words):
    found, labels, texts = examples_of(speech)
    assert len(found) == 12
    assert set(labels) == {0}
    assert max(map(len, found)) <= 2 * 8000
    assert set(texts) <= set(speech.test_texts)
    assert examples_of(words)[2] == list(words.test_texts[:12])


def test_a_long_example_is_cut_and_says_nothing():
    clip = tone(seconds=3)
    labels = np.zeros(1, np.int64)
    found = sounds.Sounds("x", (), labels[:0], (), (clip,), labels, ("hi",), (), 8000, "", "", "")
    [cut], _, texts = examples_of(found)
    assert np.array_equal(cut, clip[:16000])
    assert texts == [""]


@pytest.fixture
def checkpoint(tmp_path, instruments):
    """A folder with examples, and the config.json that a trainer writes."""
    found, labels, _ = examples_of(instruments)
    lengths = write_examples(tmp_path, found, 8000)
    info = {"examples": {"lengths": lengths, "labels": labels}}
    (tmp_path / "config.json").write_text(json.dumps({"info": info}))
    return tmp_path


def test_examples_are_read_as_they_were_written(checkpoint, instruments):
    tokenizer = AudioTokenizer(8000)
    back = read_examples(checkpoint, tokenizer)
    for clip, written in zip(back, examples_of(instruments)[0], strict=True):
        assert np.abs(clip - written).max() < 1e-4
    assert read_examples(checkpoint / "nowhere", tokenizer) is None
    assert sorted(p.name for p in checkpoint.iterdir()) == ["config.json", EXAMPLES]


@pytest.mark.parametrize(
    ("lengths", "says"),
    [
        ([400], "says 400"),
        ([0, 400], "must hold 1 to 12 clips"),
        ([-1, 400], "must hold 1 to 12 clips"),
        ([True], "must hold 1 to 12 clips"),
        ([10**9], "must hold 1 to 12 clips of 1 to 16,000 samples"),
        ([1] * 13, "must hold 1 to 12 clips"),
        ([], "must hold 1 to 12 clips"),
        ("many", "must hold 1 to 12 clips"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(lengths, says, checkpoint):
    config = {"info": {"examples": {"lengths": lengths}}}
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=says):
        read_examples(checkpoint, AudioTokenizer(8000))


@pytest.mark.parametrize("text", ["{", "[]", '{"info": null}', "[" * 10**5, '{"info": {}}'])
def test_a_config_without_lengths_is_refused(text, checkpoint):
    (checkpoint / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="does not say how long"):
        read_examples(checkpoint, AudioTokenizer(8000))


def test_damaged_examples_are_refused(checkpoint):
    tokenizer, path = AudioTokenizer(8000), checkpoint / EXAMPLES
    with pytest.raises(CheckpointError, match="at 16,000 Hz"):
        read_examples(checkpoint, AudioTokenizer(16000))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"examples.flac.*Delete it"):
        read_examples(checkpoint, tokenizer)
    path.write_bytes(b"text")
    with pytest.raises(CheckpointError, match=r"examples.flac: The file is text"):
        read_examples(checkpoint, tokenizer)
    path.write_bytes(to_flac(np.zeros(30 * 8000), 8000))  # longer than examples can be
    with pytest.raises(CheckpointError, match="has 200,000 samples"):
        read_examples(checkpoint, tokenizer)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="There is no file"):
        read_examples(checkpoint, tokenizer)
