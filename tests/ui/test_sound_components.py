"""Levels, distributions and dilations to the data of the components that draw sound."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from playground.tokenizers.audio import AudioTokenizer, mel_spectrogram
from playground.ui import sound_data as sd
from playground.ui import sound_pictures as sp
from playground.ui.picture_components import levels_data
from playground.ui.sound_components import samples_read

RATE = 8000
CYCLES = [2**i for i in range(9)] * 2  # the dilations of the shipped WaveNets


def unpack(text):
    return list(base64.b64decode(text))


def wave(levels=range(256), cursor=3, **options):
    data = sd.waveform_data(levels, sample_rate=RATE, cursor=cursor, **options)
    json.dumps(data, allow_nan=False)
    return data


@pytest.mark.parametrize("make", [bytes, list, tuple, np.array, lambda v: np.array(list(v), "u1")])
def test_levels_of_any_kind_travel_as_one_byte_each(make):
    data = wave(make(range(256)))
    assert unpack(data["levels"]) == list(range(256))
    assert (data["count"], data["mu"]) == (256, 255)
    assert data["alt"] == "Waveform of 256 samples, 32.0 ms; sample 3 is chosen."


def test_four_seconds_are_less_than_50_kilobytes():
    assert len(json.dumps(wave(bytes(32_000)))) < 50_000


@pytest.mark.parametrize(
    ("levels", "problem"),
    [
        ([0, 256], "got 0 to 256. BOS is none"),
        ([-1], "got -1 to -1"),
        ([0.5], "float64"),
        ([[1, 2]], r"\(1, 2\)"),
    ],
)
def test_what_is_no_level_is_refused(levels, problem):
    with pytest.raises(ValueError, match=problem):
        wave(levels)
    with pytest.raises(ValueError, match="0 to 15"):
        wave([16], level_count=16)


def test_a_sound_without_samples_is_drawn():
    data = wave(b"", cursor=0, colours=[], marks=[], dilation=[-1])
    assert (data["levels"], data["count"], data["reads"]) == ("", 0, [])
    assert data["colours"]["values"] == data["marks"]["values"] == ""


def test_colours_are_strongest_at_their_most_and_clear_where_nothing_is_known():
    data = wave(colours=[None, 0, 4, 8, 80, float("nan")], colours_most=8, colours_title="bits")
    assert unpack(data["colours"]["values"]) == [255, 0, 127, 254, 254, 255]
    assert data["colours"]["title"] == "bits"
    with pytest.raises(ValueError, match=r"colours must be up to 2 numbers, got \(3,\)"):
        wave([1, 2], colours=[1, 2, 3])


def test_marks_are_roots_of_shares_of_the_strongest():
    data = wave(marks=np.array([0.0, 0.25, -1.0, 4.0]))
    assert unpack(data["marks"]["values"]) == [0, 64, 128, 255]
    assert unpack(wave(marks=[0.0, 0.0])["marks"]["values"]) == [0, 0]


def test_only_samples_that_there_are_can_be_read():
    assert wave([1, 2, 3], dilation=[-5, 0, 2, 3])["reads"] == [0, 2]
    assert wave(window=(2, 9))["window"] == [2, 9]


@pytest.mark.parametrize(
    ("event", "sample"),
    [
        ({"sample": 0}, 0),
        ({"sample": 8}, 8),
        ({"sample": 9}, None),
        ({"sample": -1}, None),
        ({"sample": True}, None),
        ({"sample": 1.0}, None),
        ({"sample": "1"}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
def test_only_samples_come_back(event, sample):
    assert sd.sample_of(event, 8) == sample


@pytest.mark.parametrize("levels", [16, 256])
def test_amplitudes_are_those_of_the_tokenizer(levels):
    tokenizer = AudioTokenizer(RATE, levels)
    told = [tokenizer.value(level) for level in range(levels)]
    assert sp.amplitudes(levels) == pytest.approx(told, abs=1e-6)


def test_ticks_stand_at_the_level_that_is_nearest():
    ticks = sp.amplitude_ticks()
    assert list(ticks) == sorted(ticks)
    assert (ticks[0], ticks[128], ticks[255]) == ("\N{MINUS SIGN}1", "0", "1")
    tokenizer = AudioTokenizer(RATE)
    for level, text in ticks.items():
        amplitude = float(text.replace("\N{MINUS SIGN}", "-"))
        assert abs(level - tokenizer.encode(np.array([amplitude]))[0]) <= 1
    spaces = np.diff(list(ticks))
    assert spaces.min() > 30  # room for words


def test_bars_of_levels_may_say_amplitudes():
    logprobs = np.full((1, 256), -np.log(256))
    swatches, ticks = sp.amplitude_swatches(256), sp.amplitude_ticks()
    told = levels_data(["model"], logprobs, 0, swatches, 1, ticks=ticks)
    assert told["ticks"] == [[level, text] for level, text in ticks.items()]
    assert levels_data(["model"], logprobs, 0, swatches, 1)["ticks"] is None


def test_swatches_are_grey_at_silence_and_stronger_outwards():
    swatches = sp.amplitude_swatches(256)
    assert (swatches[0], swatches[255]) == ("rgb(118 42 131)", "rgb(27 120 55)")
    middle = [int(n) for n in swatches[128][4:-1].split()]
    assert max(middle) - min(middle) < 12


def test_a_heat_map_is_of_logarithms_of_probabilities():
    logprobs = np.log([[1.0, 1e-2, 1e-4, 1e-9]])
    logprobs = np.vstack([logprobs, np.full((1, 4), -np.inf)])
    data = sd.heat_data(logprobs, [0, None], sample_rate=RATE, first_index=80, cursor=81)
    assert unpack(data["values"]) == [255, 128, 0, 0, 0, 0, 0, 0]
    assert (data["count"], data["levels"], data["first"]) == (2, 4, 80)
    assert data["taken"] == [0, None]
    assert data["alt"] == "Distributions over 4 levels at 2 samples, 10.0 to 10.2 ms."
    json.dumps(data, allow_nan=False)
    for shape in [(3, 4), (4,)]:
        with pytest.raises(ValueError, match="2, levels"):
            sd.heat_data(np.zeros(shape), [0, 1], sample_rate=RATE, first_index=0)


def test_the_tree_of_the_paper_reads_16_samples_in_four_layers():
    rows = sd.tree_levels((1, 2, 4, 8))
    assert [row.tolist() for row in rows[:4]] == [
        [0],
        [0, 8],
        [0, 4, 8, 12],
        [0, 2, 4, 6, 8, 10, 12, 14],
    ]
    assert rows[4].tolist() == list(range(16))


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_the_tree_reads_what_convolutions_read(kernel_size):
    dilations = (1, 3, 5, 2)
    seen = {0}
    for dilation in dilations:  # sums do not care for the order
        seen = {offset + tap * dilation for offset in seen for tap in range(kernel_size)}
    assert sd.tree_levels(dilations, kernel_size)[-1].tolist() == sorted(seen)


def test_a_wavenet_of_18_layers_reads_its_receptive_field():
    rows = sd.tree_levels(CYCLES)
    assert len(rows) == 19
    assert rows[-1].tolist() == list(range(1 + sum(CYCLES)))
    assert samples_read(CYCLES, 2, 5000) == list(range(5000 - 1023, 5000))
    assert samples_read(CYCLES, 2, 3) == [0, 1, 2]  # nothing lies before the first
    assert samples_read(CYCLES, 2, 0) == []
    assert samples_read((4,), 3, 20) == [11, 15, 19]


def test_the_caption_counts_samples_and_milliseconds():
    whole = sd.tree_caption(CYCLES, CYCLES, 2, RATE, 5000)
    assert whole == "Receptive field of all 18 layers: 1,023 samples, 127.9 ms."
    part = sd.tree_caption(CYCLES, CYCLES[:4], 2, RATE, 10)
    assert part.startswith("The 4 layers drawn reach over 16 samples, 2.0 ms. Receptive field")
    assert part.endswith("Faint: before the sound begins, where there is nothing to read.")
    assert "Receptive field of the one layer: 2 samples" in sd.tree_caption([1], [1], 2, RATE, 9)
    data = sd.tree_data(CYCLES[-2:], 2, cursor=7, sample_rate=RATE, top=18)
    assert data["dilations"] == [256, 128]
    assert data["rows"] == [[0], [0, 256], [0, 128, 256, 384]]


def test_an_envelope_holds_every_sample():
    samples = np.random.default_rng(0).uniform(-1, 1, 1000)
    low, high = sp.envelope(samples, 77)
    assert (low.min(), high.max()) == (samples.min(), samples.max())
    edges = np.linspace(0, 1000, 78)
    for column in range(77):
        inside = samples[int(edges[column]) : int(np.ceil(edges[column + 1]))]
        assert low[column] <= inside.min() <= inside.max() <= high[column]
    assert sp.envelope(samples[:3], 9)[1].tolist()[4] == samples[1:3].max()
    assert not sp.envelope(samples[:0], 5).any()


def pixels_of(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_small_waveform_is_drawn_on_a_clear_ground(theme):
    samples = np.concatenate([np.zeros(500), np.tile([1.0, -1.0], 250)])
    pixels = pixels_of(sp.waveform_picture(samples, 100, 21, theme, kept=250))
    assert pixels.shape == (21, 100, 4)
    tall = (pixels[..., 3] > 0).sum(axis=0)
    assert (tall[:49] == 1).all()  # silence is a line
    assert (tall[51:] == 21).all()
    assert (pixels[10, :25, :3] == sp.GIVEN[theme]).all()
    assert (pixels[10, 25:, :3] == sp.INK[theme]).all()
    assert pixels_of(sp.waveform_picture(samples[:0], 10, 5)).shape == (5, 10, 4)


def test_the_colour_map_rises_in_steps_that_look_equal():
    colors = sp.colour_map()
    lab = sp.oklab(colors)
    assert (np.diff(lab[::4, 0]) > 0).all()
    steps = np.linalg.norm(np.diff(lab[::8], axis=0), axis=1)
    assert steps.max() / steps.min() < 1.5
    assert lab[0, 0] < 0.2 < 0.95 < lab[-1, 0]


def test_oklab_has_white_at_one_and_greys_without_colour():
    white, black, grey = sp.oklab(np.array([[255] * 3, [0] * 3, [119] * 3]))
    assert white == pytest.approx([1, 0, 0], abs=1e-4)
    assert black == pytest.approx([0, 0, 0], abs=1e-4)
    assert grey[1:] == pytest.approx([0, 0], abs=1e-4)


def test_a_tone_glows_where_its_tick_stands():
    t = np.arange(RATE) / RATE
    for hertz in (500, 1000, 2000):
        bands = mel_spectrogram(np.sin(2 * np.pi * hertz * t).astype(np.float32), RATE)
        pixels = pixels_of(sp.spectrogram_picture(bands)).astype(int)
        height = len(pixels)
        row = pixels[:, pixels.shape[1] // 2].sum(axis=1).argmax()
        share = dict(map(reversed, sp.hertz_ticks(RATE)))[
            f"{hertz / 1000:g} kHz" if hertz >= 1000 else f"{hertz} Hz"
        ]
        assert 1 - (row + 0.5) / height == pytest.approx(share, abs=1.1 / height)


def test_loudness_has_one_scale():
    bands = np.array([[-80.0, -90.0, 0.0, 3.0, -40.0]])
    shown = pixels_of(sp.spectrogram_picture(bands))[0]
    black, bright = sp.colour_map()[[0, -1]]
    assert (shown[:2] == black).all()
    assert (shown[2:4] == bright).all()
    assert (shown[4] == sp.colour_map()[128]).all()


def test_ticks_of_hertz_end_at_half_the_rate():
    assert sp.hertz_ticks(8000)[-1] == [1.0, "4 kHz"]
    assert sp.hertz_ticks(8000)[0] == [0.0, "0 Hz"]
    assert [text for _, text in sp.hertz_ticks(2000)] == ["0 Hz", "250 Hz", "500 Hz", "1 kHz"]


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_sounds_of_any_length_have_a_spectrogram(count):
    data = sp.spectrogram_data(np.zeros(count, np.float32), RATE, waveform=True)
    assert data["seconds"] == round(count / RATE, 6)
    assert pixels_of(base64.b64decode(data["png"])).shape[2] == 3
    assert set(data["waves"]) == {"light", "dark"}
    assert (data["low"], data["high"]) == ("\N{MINUS SIGN}80 dB", "0 dB")
    json.dumps(data, allow_nan=False)
