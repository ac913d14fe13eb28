"""What a report tells of sounds: players with spectrograms in the page, and all as WAV files."""

from __future__ import annotations

import base64
from html import escape

import numpy as np

from playground.comparison import LaneResult
from playground.comparison.sounds import heard, zipped
from playground.tokenizers.audio import AudioTokenizer, mel_spectrogram, to_flac
from playground.traces.trace import Trace
from playground.ui.report_story import Story
from playground.ui.sound_pictures import spectrogram_picture, waveform_picture

MOST_OTHERS = 8


def words(story: Story) -> tuple[str, str, str, str]:
    """Return what is said of sounds: heading, beginning, title of the lanes, and real ones."""
    more = ""
    if story.real is not None:
        clips = [story.tokenizer.decode(row.tolist()) for row in story.real.of(story.label)]
        more = f"<h2>Real sounds</h2>{_players(clips, story.tokenizer, 'real')}"
    return (
        f"One model of sound, {len(story.labels)} ways to decode",
        '<p class="quiet">Made with the autoregressive playground. Spectrograms: low sounds below, '
        "0 Hz to half of the sample rate on the mel scale, the brighter the louder.</p>\n<dl>",
        "Sounds",
        more,
    )


def lane(result: LaneResult, story: Story) -> str:
    """Return the sounds of a lane."""
    (sounds,) = heard(story.tokenizer, [result])
    return _players(sounds, story.tokenizer, "sound")


def others(trace: Trace, tokenizer: AudioTokenizer) -> str:
    """Return all results of a search."""
    found = trace.alternatives[:MOST_OTHERS]
    sounds = [tokenizer.decode((*trace.prompt, *other.tokens)) for other in found]
    return _players(sounds, tokenizer, "result")


def archive(story: Story) -> bytes:
    """Return the sounds of all lanes, each as a WAV file of a ZIP archive."""
    return zipped(story.tokenizer, story.labels, heard(story.tokenizer, story.results))


def _players(sounds: list[np.ndarray], tokenizer: AudioTokenizer, name: str) -> str:
    made = "".join(
        _player(sound, tokenizer.sample_rate, f"{name} {i}")
        for i, sound in enumerate(sounds, start=1)
    )
    return f'<div class="sounds">{made}</div>'


def _player(samples: np.ndarray, rate: int, name: str) -> str:
    """Return one sound as an element of the page; it is inside, as FLAC, bit for bit."""
    told = f"{escape(name)}, {len(samples) / rate:.2f} s"
    spectrum = _data("image/png", spectrogram_picture(mel_spectrogram(samples, rate)))
    audio = ""
    if len(samples):
        audio = f'<audio controls src="{_data("audio/flac", to_flac(samples, rate))}"></audio>'
    return (
        f'<figure class="sound"><img alt="Waveform of {told}" '
        f'src="{_data("image/png", waveform_picture(samples, 360, 48))}">'
        f'<img class="spectrum" alt="Mel spectrogram of {told}" src="{spectrum}">'
        f"{audio}<figcaption>{told}</figcaption></figure>"
    )


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
