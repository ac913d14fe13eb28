"""Compress: a sound as a file of as many bits as the model finds it surprising."""

from __future__ import annotations

from collections.abc import Sequence

from playground.compression.content import of_tokens
from playground.ui import sound_input
from playground.ui.audio_setting import AudioSetting
from playground.ui.compression import compression_section


def section(setting: AudioSetting, canvas: Sequence[int] = ()) -> None:
    """Draw the whole section; `canvas` are the tokens, without BOS, of step by step."""
    loaded, tokenizer = setting.loaded, setting.tokenizer
    choice = sound_input.choose(tokenizer, "sound", loaded.card.folder, canvas)
    thing = None if choice is None else of_tokens(tokenizer, tokenizer.encode(choice.samples))
    compression_section(
        loaded.card.name, loaded.model, tokenizer, "audio", thing, "audio",
        condition=setting.told, default_name=choice.source if choice else "", upload=False,
    )  # fmt: skip
