"""Tiny random models of many architectures, as `transformers` builds them, and their tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

VOCAB_SIZE = 320  # more than the tokenizer's pieces, as in many published models
CONTEXT_LENGTH = 96
WINDOW = 6  # tokens that a sliding window sees: fewer than the tests read
SPECIAL = ("<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_LENGTH,
}
HEADS_OF_8 = LLAMA | {"head_dim": 8}
GEMMA = HEADS_OF_8 | {"sliding_window": WINDOW, "query_pre_attn_scalar": 8}
NEOX = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": CONTEXT_LENGTH}
WINDOWS = {  # every other layer
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "sliding_window": WINDOW,
}
DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
MLA = {  # keys and values of other sizes, from one low-rank projection
    "num_key_value_heads": 4,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
SSM = {"hidden_size": 32, "num_hidden_layers": 3, "state_size": 4}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {  # name: class of the config, sizes
    "gpt2": ("GPT2Config", GPT2),
    "llama": ("LlamaConfig", LLAMA),
    "qwen2": (
        "Qwen2Config",
        LLAMA | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", HEADS_OF_8),
    "smollm3": ("SmolLM3Config", LLAMA),
    "mistral": ("MistralConfig", LLAMA | {"sliding_window": WINDOW}),
    "mixtral": ("MixtralConfig", LLAMA | EXPERTS),
    "gemma": ("GemmaConfig", HEADS_OF_8),
    "gemma2": (
        "Gemma2Config",
        GEMMA | {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 9.0},
    ),
    "gemma3": ("Gemma3TextConfig", GEMMA | {"sliding_window_pattern": 2}),
    "gpt_neox": ("GPTNeoXConfig", NEOX),
    "gpt_neo": (
        "GPTNeoConfig",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": WINDOW,
            "max_position_embeddings": CONTEXT_LENGTH,
        },
    ),
    "gptj": (
        "GPTJConfig",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT_LENGTH, "rotary_dim": 4},
    ),
    "gpt_oss": ("GptOssConfig", HEADS_OF_8 | EXPERTS | {"sliding_window": WINDOW}),
    "opt": (
        "OPTConfig",
        {
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": CONTEXT_LENGTH,
            "word_embed_proj_dim": 32,
        },
    ),
    "phi": ("PhiConfig", LLAMA),
    "phi3": ("Phi3Config", LLAMA),
    "falcon": (
        "FalconConfig",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": False},
    ),
    "falcon-alibi": (
        "FalconConfig",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "alibi": True,
            "new_decoder_architecture": False,
        },
    ),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mpt": (
        "MptConfig",
        {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": CONTEXT_LENGTH},
    ),
    "olmo2": ("Olmo2Config", LLAMA),
    "cohere": ("CohereConfig", LLAMA),
    "granite": ("GraniteConfig", LLAMA | {"logits_scaling": 2.0, "embedding_multiplier": 3.0}),
    "stablelm": ("StableLmConfig", LLAMA),
    "starcoder2": ("Starcoder2Config", LLAMA),
    "mamba": ("MambaConfig", SSM),
    "mamba2": ("Mamba2Config", SSM | {"num_heads": 8, "head_dim": 8, "n_groups": 2}),
    "rwkv": (
        "RwkvConfig",
        {
            "hidden_size": 32,
            "attention_hidden_size": 32,
            "num_hidden_layers": 2,
            "context_length": CONTEXT_LENGTH,
        },
    ),
    "recurrent_gemma": (
        "RecurrentGemmaConfig",
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "lru_width": 32,
            "attention_window_size": WINDOW,
        },
    ),
    "deepseek_v3": (
        "DeepseekV3Config",
        LLAMA
        | MLA
        | {"n_routed_experts": 4, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2}
        | {"moe_intermediate_size": 16, "first_k_dense_replace": 1},
    ),
    "llama4": (
        "Llama4TextConfig",
        HEADS_OF_8
        | {"intermediate_size_mlp": 48, "num_local_experts": 2, "num_experts_per_tok": 1}
        | {"attention_chunk_size": WINDOW},
    ),
    "gemma4": (  # heads of other sizes where a layer sees everything
        "Gemma4TextConfig",
        HEADS_OF_8
        | WINDOWS
        | {"global_head_dim": 16, "num_kv_shared_layers": 0}
        | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCAB_SIZE},
    ),
    "qwen3_next": (
        "Qwen3NextConfig",
        HEADS_OF_8
        | DELTA
        | {"num_hidden_layers": 4, "num_experts": 4, "num_experts_per_tok": 2}
        | {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
    ),
    "lfm2": ("Lfm2Config", LLAMA | {"layer_types": ["conv", "full_attention", "conv"]}),
    "jamba": (
        "JambaConfig",
        LLAMA
        | {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1}
        | {"num_experts": 2, "num_experts_per_tok": 1, "mamba_d_state": 4, "mamba_dt_rank": 4}
        | {"use_mamba_kernels": False},
    ),
    "falcon_h1": (
        "FalconH1Config",
        LLAMA | {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_state": 8, "mamba_d_head": 8},
    ),
}


def build(name: str) -> PreTrainedModel:
    """Build the model `name` of `CONFIGS` with weights that are large enough to matter."""
    import transformers

    kind, sizes = CONFIGS[name]
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    config = getattr(transformers, kind)(**{"vocab_size": VOCAB_SIZE} | special | sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for module in model.modules():
                weight = getattr(module, "weight", None)
                if isinstance(weight, torch.Tensor) and weight.dim() == 2:
                    weight.normal_(std=0.7 * weight.shape[-1] ** -0.5)
    return model.eval().requires_grad_(False)


TINY: dict[str, Callable[[], PreTrainedModel]] = {name: partial(build, name) for name in CONFIGS}


def tiny_tokenizer() -> Tokenizer:
    """Return a byte-level BPE of 4 special tokens, 256 bytes and a few merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    text = "the cat sat on the mat and the dog sat on the cat; then they ate the rat. " * 4
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def tiny_folder(name: str, path: Path) -> Path:
    """Save the model `name` with its tokenizer into the new folder `path`, and return it."""
    TINY[name]().save_pretrained(path)
    tiny_tokenizer().save(str(path / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "chat_template": CHAT_TEMPLATE,
    }
    text = json.dumps(settings, indent=2)
    (path / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return path
