"""Sound to tokens and back, and every kind of sound file that somebody may upload."""

import contextlib
import io
import json
import os

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import CheckpointError, ConfigError, PromptError
from playground.tokenizers import audio
from playground.tokenizers.audio import (
    AudioTokenizer,
    mel_spectrogram,
    read_sound,
    resample,
    to_flac,
    to_wav,
)

RATE = 8_000
TOKENIZER = AudioTokenizer()
LEVELS = st.sampled_from([4, 5, 16, 64, 255, 256])


def sine(hertz: float, rate: int = RATE, seconds: float = 0.25, peak: float = 0.5) -> np.ndarray:
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def file_of(samples, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(samples), rate, subtype, format=kind)
    return buffer.getvalue()


def pitch(samples: np.ndarray, rate: int) -> float:
    """Return the strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
    return float(spectrum.argmax() * rate / 2**18)


def with_rate(data: bytes, rate: int) -> bytes:
    """A WAV file whose header claims another rate."""
    return data[:24] + rate.to_bytes(4, "little") + data[28:]


@given(LEVELS, st.lists(st.floats(-1, 1, width=32)))
def test_samples_are_companded_by_the_formula_of_g711(levels, samples):
    x, mu = np.array(samples, np.float64), levels - 1
    companded = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    exact = (companded + 1) / 2 * mu
    tokens = np.array(AudioTokenizer(levels=levels).encode(np.array(samples, np.float32)))
    assert (np.abs(tokens - exact) <= 0.5 + 1e-9).all()  # the nearest level


@given(LEVELS, st.floats(-1, 1))
def test_an_amplitude_returns_within_the_step_of_its_level(levels, amplitude):
    tokenizer = AudioTokenizer(levels=levels)
    (token,) = tokenizer.encode(np.array([amplitude]))
    values = tokenizer.decode(range(levels)).astype(float)
    neighbours = values[max(0, token - 1) : token + 2]
    assert values[token] == tokenizer.value(token)
    assert abs(values[token] - amplitude) <= np.diff(neighbours).max()
    assert min(neighbours) - 1e-6 <= amplitude <= max(neighbours) + 1e-6


@given(LEVELS, st.data())
def test_tokens_survive_a_round_trip_at_any_number_of_levels(levels, data):
    tokens = data.draw(st.lists(st.integers(0, levels - 1)))
    tokenizer = AudioTokenizer(levels=levels)
    assert tokenizer.encode(tokenizer.decode(tokens)) == tokens
    assert tokenizer.decode([levels, *tokens, levels]).size == len(tokens)  # BOS is no sample


@pytest.mark.parametrize("levels", [4, 5, 255, 256])
def test_levels_go_up_from_full_scale_to_full_scale(levels):
    tokenizer = AudioTokenizer(levels=levels)
    values = tokenizer.decode(range(levels))
    assert values.dtype == np.float32
    assert (values[0], values[-1]) == (-1, 1)
    steps = np.diff(values)
    assert (steps > 0).all()
    assert steps[-1] > 1.5 * steps[len(steps) // 2]  # finest near silence
    assert np.array_equal(values, -values[::-1])
    assert (tokenizer.bos_token, tokenizer.vocab_size) == (levels, levels + 1)
    assert tokenizer.eos_token is None


def test_levels_are_bytes_and_what_is_too_loud_gets_the_outermost():
    levels = TOKENIZER.quantise(np.array([-7, -1, 0, 1, 1e30]))
    assert levels.dtype == np.uint8
    assert levels.tolist() == [0, 0, 128, 255, 255] == TOKENIZER.encode([-7.0, -1, 0, 1, 1e30])
    assert TOKENIZER.encode(np.zeros(0)) == TOKENIZER.encode([]) == []
    assert TOKENIZER.decode([]).shape == (0,)


def test_samples_that_may_not_be_written_to_or_run_backwards_are_read():
    samples = sine(440).astype(">f4")[::-1]
    samples.flags.writeable = False
    before = samples.copy()
    assert TOKENIZER.encode(samples) == TOKENIZER.encode(samples.astype(float))
    assert mel_spectrogram(samples, RATE).max() > -20
    resample(samples * 4, RATE, RATE + 1)
    assert (samples == before).all()


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.zeros((2, 9)), r"one row of floats.*\(2, 9\).*Mix the channels"),
        (np.zeros(9, np.int16), "one row of floats.*int16.*scale"),
        (np.float64(0.5), "one row"),
        (np.array(["a"]), "one row"),
        (np.array([0, np.nan, np.inf]), "2 of 3 are not"),
    ],
)
def test_what_is_no_row_of_samples_is_refused(samples, problem):
    with pytest.raises(PromptError, match=problem):
        TOKENIZER.encode(samples)


def test_labels_are_short_and_tell_levels_apart():
    labels = [TOKENIZER.label(token) for token in range(TOKENIZER.vocab_size)]
    assert labels[255:] == ["+100.0 %", "⟨start⟩"]
    assert (labels[0], labels[127], labels[128], labels[200]) == (
        "-100.0 %", "-0.01 %", "+0.01 %", "+8.79 %",
    )  # fmt: skip
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 8


def test_it_is_written_and_read():
    data = AudioTokenizer(16_000, 64).to_json()
    assert data == {"type": "audio", "sample_rate": 16_000, "levels": 64}
    again = AudioTokenizer.from_json(json.loads(json.dumps(data)))
    assert (again.sample_rate, again.levels, again.to_json()) == (16_000, 64, data)


@pytest.mark.parametrize(
    "damage",
    [{"levels": 3}, {"levels": 257}, {"levels": True}, {"levels": "256"}, {"levels": [256]},
     {"sample_rate": 0}, {"sample_rate": 999}, {"sample_rate": 48_001}, {"sample_rate": 8000.0},
     {"sample_rate": None}],
)  # fmt: skip
def test_damaged_json_is_refused(damage):
    data = TOKENIZER.to_json() | damage
    with pytest.raises(CheckpointError, match=f"damaged: {next(iter(damage))} must be"):
        AudioTokenizer.from_json(data)
    del data["levels"]
    with pytest.raises(CheckpointError, match="levels"):
        AudioTokenizer.from_json(data)
    with pytest.raises(CheckpointError, match="damaged"):
        AudioTokenizer.from_json([data])


def test_levels_out_of_range_name_the_rule():
    with pytest.raises(ConfigError, match=r"levels must be a whole number in \[4, 256\]"):
        AudioTokenizer(levels=2)


@pytest.mark.parametrize("write", [to_wav, to_flac])
@pytest.mark.parametrize("levels", [16, 256])
def test_a_file_of_decoded_tokens_reads_back_to_the_same_tokens(write, levels):
    tokenizer = AudioTokenizer(levels=levels)
    data = write(tokenizer.decode(range(levels)), RATE)
    prepared = tokenizer.prepare(data)
    assert prepared.notes == ()
    assert prepared.samples.dtype == np.float32
    assert tokenizer.encode(prepared.samples) == list(range(levels))


def test_written_files_are_of_16_bits_and_clip_instead_of_wrapping():
    samples = np.array([-9.0, -1, 0, 0.5, 9])
    for data, kind in ((to_wav(samples, 11_025), "WAV"), (to_flac(samples, 11_025), "FLAC")):
        file = soundfile.SoundFile(io.BytesIO(data))
        assert (file.format, file.subtype, file.samplerate) == (kind, "PCM_16", 11_025)
        assert file.read(dtype="int16").tolist() == [-32767, -32767, 0, 16384, 32767]
    assert to_wav([], RATE)[:4] == b"RIFF"
    assert to_flac([], RATE) == b""


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAV", "ULAW"),
     ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"),
     ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
)  # fmt: skip
def test_the_usual_formats_are_read(kind, subtype, tmp_path):
    data = file_of(sine(440), RATE, kind, subtype)
    prepared = TOKENIZER.prepare(data)
    assert abs(pitch(prepared.samples, RATE) - 440) < 3
    assert 0.4 < np.abs(prepared.samples).max() < 0.6
    assert not prepared.notes
    path = tmp_path / "sound.raw"  # whatever it is called
    path.write_bytes(data)
    assert np.array_equal(read_sound(path, RATE).samples, prepared.samples)


@pytest.mark.parametrize("rate", [1_000, 11_025, 44_100, 44_101, 96_000, 383_987, 384_000])
@pytest.mark.parametrize("target", [8_000, 22_050])
def test_any_rate_is_resampled_without_changing_the_pitch(rate, target):
    prepared = read_sound(file_of(sine(300, rate, 0.5), rate, "WAV", "FLOAT"), target)
    assert abs(pitch(prepared.samples, target) / 300 - 1) < 0.003
    assert abs(len(prepared.samples) - target / 2) <= 1 + target / 2000
    assert np.sqrt(np.mean(prepared.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert (f"Resampled from {rate:,} to {target:,} Hz." in prepared.notes) == (rate != target)


def test_what_the_new_rate_cannot_hold_is_filtered_out_instead_of_folded():
    high = read_sound(file_of(sine(11_000, 44_100), 44_100), RATE).samples
    assert np.abs(high[200:-200]).max() < 0.01


def test_channels_are_mixed():
    left, right = sine(440), sine(440, peak=0.25)
    prepared = TOKENIZER.prepare(file_of(np.stack([left, right], 1), subtype="FLOAT"))
    assert prepared.notes == ("Mixed from 2 channels to one.",)
    assert np.allclose(prepared.samples, (left + right) / 2, atol=1e-6)


def test_96_khz_stereo_and_64_channels_are_converted_with_notes():
    for channels in (2, 64):
        sound = np.repeat(sine(440, 96_000)[:, None], channels, 1)
        prepared = TOKENIZER.prepare(file_of(sound, 96_000))
        assert prepared.notes == (
            f"Mixed from {channels} channels to one.", "Resampled from 96,000 to 8,000 Hz.",
        )  # fmt: skip
        assert abs(pitch(prepared.samples, RATE) - 440) < 3


def test_an_hour_of_sound_is_cut_and_the_channels_do_not_multiply_the_memory(monkeypatch):
    hour = np.zeros((3600 * 1000, 2), np.int16)
    hour[60_000:] = 9999
    data = file_of(hour, 1000, "FLAC")
    asked = []
    read = soundfile.SoundFile.read

    def spy(file, frames, **options):
        asked.append(frames * file.channels)
        return read(file, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    prepared = read_sound(data, 1000)
    assert len(prepared.samples) == 60_000
    assert prepared.notes[1] == "Only the first 60 seconds were taken."
    assert np.abs(prepared.samples).max() == 0
    assert len(read_sound(data, 1000, longest_seconds=200).samples) == 200_000
    assert max(asked) <= audio.BLOCK_VALUES
    monkeypatch.setattr(audio, "MAX_FRAMES", 3000)  # holds for what it is resampled to as well
    assert len(read_sound(file_of(hour[:9000], 1000), 3000, longest_seconds=600).samples) == 3000
    assert len(read_sound(file_of(hour[:9000], 3000), 1000, longest_seconds=600).samples) == 1000


@pytest.mark.parametrize("longest", [0, -1, float("nan"), float("inf"), "60"])
def test_how_much_is_read_must_be_a_length(longest):
    with pytest.raises(ConfigError, match="longest_seconds"):
        TOKENIZER.prepare(file_of(sine(440)), longest_seconds=longest)


def test_one_sample_is_a_sound():
    assert TOKENIZER.prepare(file_of([0.5])).samples.tolist() == [0.5]
    prepared = TOKENIZER.prepare(file_of([0.5], 384_000), longest_seconds=1e-9)
    assert prepared.samples.shape == (1,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_few_values_that_are_not_finite_become_silence(bad):
    sound = np.stack([sine(440), sine(440)], 1)
    sound[[3, 5], 0] = bad
    sound[5, 1] = bad
    prepared = TOKENIZER.prepare(file_of(sound, subtype="FLOAT"))
    assert prepared.notes[0] == "Silence in place of 2 sample(s) that are not finite numbers."
    assert prepared.samples[3] == pytest.approx(sound[3, 1] / 2)
    assert prepared.samples[5] == 0
    for most in (sound[:6], np.full(9, bad)):
        with pytest.raises(PromptError, match=r"are not finite numbers; at most 10% may be.*Save"):
            TOKENIZER.prepare(file_of(most, subtype="FLOAT"))


@pytest.mark.parametrize(
    ("peak", "subtype", "told"),
    [(1e30, "FLOAT", "1e+30"), (1e300, "DOUBLE", "3.4e+38"), (1.5, "FLOAT", "1.5")],
)
def test_what_is_too_loud_is_turned_down(peak, subtype, told):
    stereo = np.array([[1, 1], [-1, -1], [0.25, 0.25], [0, 0]]) * peak
    prepared = TOKENIZER.prepare(file_of(stereo, subtype=subtype))
    assert prepared.notes[1] == (
        f"Louder than full scale (peak {told}): turned down to a peak of 1."
    )
    assert prepared.samples[:2].tolist() == [1, -1]
    assert np.abs(prepared.samples).max() == 1


def test_silence_is_told_of():
    for sound in (np.zeros(99), np.full(99, 1e-38), np.stack([sine(440), -sine(440)], 1)):
        prepared = TOKENIZER.prepare(file_of(sound, subtype="FLOAT"))
        assert prepared.notes[-1].startswith("Silence: no sample is louder")
        assert set(TOKENIZER.encode(prepared.samples)) == {128}


WAV, FLAC, OGG = (file_of(sine(440, 44_100, 2), 44_100, kind) for kind in ("WAV", "FLAC", "OGG"))
BAD_FILES = {
    "nothing": (b"", "empty: it has 0 bytes"),
    "text": (b"Dear listener,\nthis is no sound.\n" * 99, "text, not sound, whatever its name"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(500), "no sound or its header is damaged"),
    "noise": (np.random.default_rng(0).bytes(5000), "no sound or its header is damaged"),
    "a WAV header of 4 bytes": (WAV[:4], "4 bytes"),
    "a WAV header of 20 bytes": (WAV[:20], "header is damaged.*20 bytes"),
    "a WAV header of 40 bytes": (WAV[:40], "header is damaged.*40 bytes"),
    "a WAV header alone": (WAV[:44], "0 samples; at least one.*44 bytes"),
    "no samples": (to_wav([], RATE), "0 samples; at least one"),
    "a FLAC header cut short": (FLAC[:30], "30 bytes"),
    "a FLAC cut short": (FLAC[: len(FLAC) // 2], "damaged or cut short"),
    "an OGG header cut short": (OGG[:1000], "header is damaged"),
    "rate 0": (with_rate(WAV, 0), "rate of 0 or no channel; both must be at least 1"),
    "rate 999": (with_rate(WAV, 999), "claims 999 samples a second; 1,000 to 384,000 are read"),
    "rate 1e9": (with_rate(WAV, 10**9), "1,000,000,000 samples a second; 1,000 to 384,000"),
    "65 channels": (file_of(np.zeros((9, 65))), "65 channels; at most 64"),
    "1,000 channels": (file_of(np.zeros((9, 1000))), "1,000 channels; at most 64"),
    "another format": (file_of([0.5], kind="MAT5"), "is MAT5; only WAV, "),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_what_is_wrong_and_what_to_do(name):
    data, problem = BAD_FILES[name]
    with pytest.raises(PromptError, match=problem) as refused:
        TOKENIZER.prepare(data)
    assert "Save it " in str(refused.value)
    assert "BytesIO" not in str(refused.value)


def test_a_header_that_claims_more_than_there_is_takes_no_memory():
    size = WAV.index(b"data") + 4
    claimed = WAV[:size] + (2**32 - 2).to_bytes(4, "little") + WAV[size + 4 :]
    assert np.array_equal(TOKENIZER.prepare(claimed).samples, TOKENIZER.prepare(WAV).samples)
    assert len(TOKENIZER.prepare(WAV[:1000]).samples) < 100  # what there is
    # The number of samples in a FLAC's header: 36 bits from the middle of byte 21.
    claimed = FLAC[:21] + bytes([FLAC[21] | 15]) + b"\xff" * 4 + FLAC[26:]
    with pytest.raises(PromptError, match="damaged or cut short"):
        TOKENIZER.prepare(claimed)
    assert len(TOKENIZER.prepare(claimed, longest_seconds=1).samples) == RATE


def test_a_file_that_ends_early_is_read_as_far_as_it_goes():
    mp3 = file_of(sine(440, 44_100, 2), 44_100, "MP3")
    prepared = TOKENIZER.prepare(mp3[: len(mp3) // 2])
    assert 0.5 * RATE < len(prepared.samples) < 1.5 * RATE
    assert "The file is cut short" in prepared.notes[0]
    assert "missing" in prepared.notes[0]


@given(st.sampled_from([WAV[:3000], FLAC[:3000], OGG[:6000]]), st.data())
def test_damage_of_any_kind_is_refused_or_read(data, draw):
    damaged = bytearray(data)
    for place in draw.draw(st.lists(st.integers(0, 120), min_size=1, max_size=4)):
        damaged[place] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(PromptError):  # any other error fails
        samples = TOKENIZER.prepare(bytes(damaged), longest_seconds=1).samples
        assert np.abs(samples).max() <= 1
        assert 1 <= len(samples) <= RATE * 1.01


def test_large_files_are_refused_before_they_are_decoded(monkeypatch, tmp_path):
    monkeypatch.setattr(audio, "MAX_BYTES", 2**20)
    with pytest.raises(PromptError, match="at most 1 MB"):
        TOKENIZER.prepare(WAV[:44] + bytes(2**20))
    path = tmp_path / "large.wav"
    path.touch()
    os.truncate(path, 2**40)  # takes no room, and would take a terabyte of memory
    with pytest.raises(PromptError, match="at most 1 MB"):
        read_sound(path, RATE)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path, tmp_path / "none.wav", tmp_path / "pipe.wav"):
        with pytest.raises(PromptError, match="There is no file"):
            read_sound(path, RATE)


@pytest.mark.parametrize("rate", [1_000, 8_000, 44_100, 48_000])
@pytest.mark.parametrize("n_mels", [1, 40, 64, 128])
@pytest.mark.parametrize("length", [0, 1, 7, 3_000])
def test_a_spectrogram_of_any_length_has_its_shape_and_floor(rate, n_mels, length):
    samples = np.random.default_rng(0).uniform(-1, 1, length)
    picture = mel_spectrogram(samples, rate, n_mels)
    assert picture.shape == (n_mels, 1 + max(length, 1) // round(rate * 0.008))
    assert picture.dtype == np.float32
    assert audio.FLOOR_DB <= picture.min() <= picture.max() < 20
    if length == 3_000:
        assert picture.min() > audio.FLOOR_DB  # no band is empty


@pytest.mark.parametrize("hertz", [100, 440, 1_000, 3_000])
def test_a_spectrogram_shows_a_sine_where_and_as_loud_as_it_is(hertz):
    picture = mel_spectrogram(sine(hertz, seconds=1, peak=1), RATE)
    edges = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), 66)
    centres = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    column = picture[:, 60]
    assert abs(int(column.argmax()) - int(np.abs(centres - hertz).argmin())) <= 1
    assert -5 < column.max() < 1
    quiet = mel_spectrogram(sine(hertz, seconds=1, peak=0.1), RATE)[:, 60]
    assert column.max() - quiet.max() == pytest.approx(20, abs=0.1)
    assert (mel_spectrogram(np.zeros(900), RATE) == audio.FLOOR_DB).all()


def test_a_spectrogram_shows_when_a_sound_starts():
    late = np.concatenate([np.zeros(4_000), sine(1_000, seconds=0.5)])
    loudness = mel_spectrogram(late, RATE).max(0)
    starts = int((loudness > -20).argmax()) * 0.008
    assert abs(starts - 0.5) <= 0.016
