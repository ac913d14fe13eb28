"""Tiny random encoder-decoders of `transformers`, and one that turns words round."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tests.tiny_models import SPECIAL, VOCAB_SIZE, tiny_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T5 = {
    "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
    "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
BART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 3,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 40,
    "pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}  # fmt: skip
STARTS_WITH_PAD = BART | {"pad_token_id": 0, "decoder_start_token_id": 0}
CONFIGS: dict[str, tuple[str, str, dict[str, Any]]] = {  # name: config, model, sizes
    "t5": ("T5Config", "T5ForConditionalGeneration", T5),
    "t5-gated": (
        "T5Config",
        "T5ForConditionalGeneration",
        T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "mt5": ("MT5Config", "MT5ForConditionalGeneration", T5),
    "umt5": ("UMT5Config", "UMT5ForConditionalGeneration", T5),
    "bart": ("BartConfig", "BartForConditionalGeneration", BART),
    "mbart": ("MBartConfig", "MBartForConditionalGeneration", BART),
    "plbart": ("PLBartConfig", "PLBartForConditionalGeneration", BART),
    "marian": ("MarianConfig", "MarianMTModel", STARTS_WITH_PAD),
    "m2m_100": ("M2M100Config", "M2M100ForConditionalGeneration", BART),
    "pegasus": ("PegasusConfig", "PegasusForConditionalGeneration", STARTS_WITH_PAD),
    "blenderbot": ("BlenderbotConfig", "BlenderbotForConditionalGeneration", BART),
    "blenderbot-small": (
        "BlenderbotSmallConfig",
        "BlenderbotSmallForConditionalGeneration",
        BART,
    ),
}


@lru_cache(maxsize=16)
def tiny_seq2seq(name: str) -> PreTrainedModel:
    """Return a random model, the same each time; its weights are large enough to tell words."""
    import transformers

    config, model, sizes = CONFIGS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inner = getattr(transformers, model)(
            getattr(transformers, config)(vocab_size=VOCAB_SIZE, **sizes)
        )
        for parameter in inner.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    inner.generation_config.eos_token_id = None  # random texts shall not end before they are long
    return inner.eval()


LETTERS, LENGTH = 16, 8
START, END = 2, 1  # and 0 for padding; the letters are 3 and up


def random_sources(number: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return words (N, LENGTH + 1) with their end, and the same turned round."""
    words = torch.randint(3, 3 + LETTERS, (number, LENGTH), generator=generator)
    end = torch.full((number, 1), END)
    return torch.cat((words, end), 1), torch.cat((words.flip(1), end), 1)


@lru_cache(1)
def turning_round() -> PreTrainedModel:
    """Return an encoder-decoder of one head that learned in 3 s to write its source backwards."""
    from transformers import BartConfig, BartForConditionalGeneration

    sizes = BART | {
        "vocab_size": 3 + LETTERS, "d_model": 48, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 1, "decoder_attention_heads": 1, "encoder_ffn_dim": 96,
        "decoder_ffn_dim": 96, "max_position_embeddings": 12, "pad_token_id": 0,
        "bos_token_id": START, "decoder_start_token_id": START, "init_std": 0.1, "dropout": 0.0,
    }  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BartForConditionalGeneration(BartConfig(**sizes))
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=400)
    for _ in range(400):
        sources, targets = random_sources(64, generator)
        model(input_ids=sources, labels=targets).loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return model.eval()


def seq2seq_folder(name: str, path: Path) -> Path:
    """Save the model `name` with a tokenizer whose sources end with its end token."""
    from tokenizers.processors import TemplateProcessing

    tiny_seq2seq(name).save_pretrained(path)
    tokenizer = tiny_tokenizer()
    end = (SPECIAL[1], 1)
    tokenizer.post_processor = TemplateProcessing(f"$A {SPECIAL[1]}", special_tokens=[end])
    tokenizer.save(str(path / "tokenizer.json"))
    _write_settings(path, {"eos_token": SPECIAL[1]})
    return path


def turning_round_folder(path: Path) -> Path:
    """Save what turns words round, of the letters a to p, with its tokenizer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.processors import TemplateProcessing

    turning_round().save_pretrained(path)
    marks = ["<pad>", "</s>", "<s>"]
    words = [*marks, *(chr(ord("a") + i) for i in range(LETTERS))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<pad>"))
    tokenizer.add_special_tokens([AddedToken(m, special=True, normalized=False) for m in marks])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = TemplateProcessing("$A </s>", special_tokens=[("</s>", END)])
    tokenizer.save(str(path / "tokenizer.json"))
    _write_settings(path, {"eos_token": "</s>", "pad_token": "<pad>"})
    return path


def _write_settings(path: Path, settings: dict[str, str]) -> None:
    told = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (path / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
