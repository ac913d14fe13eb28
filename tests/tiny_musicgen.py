"""A tiny random MusicGen with its codec, and the folder that it would be on the Hub."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tests.tiny_models import SPECIAL, VOCAB_SIZE, tiny_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

N_CODEBOOKS, N_CODES, RATE, HOP = 3, 32, 8_000, 80
TEXT = [5, 6, 7, 1]


@lru_cache(1)
def tiny_musicgen() -> PreTrainedModel:
    """Return a random model whose sound depends on its codes, the same each time."""
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    text = T5Config(
        vocab_size=VOCAB_SIZE, d_model=24, d_kv=6, d_ff=32, num_layers=2, num_heads=4
    )  # fmt: skip
    codec = EncodecConfig(
        sampling_rate=RATE, num_filters=4, hidden_size=16, codebook_size=N_CODES,
        upsampling_ratios=[4, 4, 5], target_bandwidths=[1.5], num_lstm_layers=1,
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=N_CODES, max_position_embeddings=64, num_hidden_layers=2, ffn_dim=48,
        num_attention_heads=4, hidden_size=32, num_codebooks=N_CODEBOOKS, pad_token_id=N_CODES,
        bos_token_id=N_CODES,
    )  # fmt: skip
    parts = {"text_encoder": text, "audio_encoder": codec, "decoder": decoder}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inner = MusicgenForConditionalGeneration(
            MusicgenConfig(**{name: part.to_dict() for name, part in parts.items()})
        )
        for name, parameter in inner.named_parameters():
            if parameter.dim() > 1 and "audio" not in name:
                torch.nn.init.normal_(parameter, std=0.3)
        for name, buffer in inner.audio_encoder.named_buffers():
            if name.endswith("codebook.embed"):
                buffer.normal_()
    inner.generation_config.update(decoder_start_token_id=N_CODES, guidance_scale=None)
    return inner.eval()


def musicgen_folder(folder: Path) -> Path:
    """Write the model as `transformers` does, with a tokenizer for its texts."""
    tiny_musicgen().save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": SPECIAL[1]}))
    return folder
