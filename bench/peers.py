"""Our Transformer and transformers' GPT-2 of the same size, weights at random."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from playground.models.transformer import Transformer, TransformerConfig

GPT2 = "transformers GPT2LMHeadModel"


@dataclass(frozen=True)
class Size:
    """What two models must share to be compared."""

    name: str
    vocab_size: int
    context_length: int
    n_layer: int
    n_head: int
    n_embd: int


TINY = Size("tiny 2x32", 64, 64, 2, 2, 32)  # for --quick: shows that the task runs
CHARACTERS = Size("char 4x256", 64, 512, 4, 4, 256)  # the shipped character Transformer
PIECES = Size("bpe 6x384", 4096, 512, 6, 6, 384)
WIDE = Size("wide 8x512", 8192, 512, 8, 8, 512)


def ours(size: Size, device: str, seed: int = 0) -> Transformer:
    """Return our model of that size."""
    torch.manual_seed(seed)
    config = TransformerConfig(
        size.vocab_size, size.context_length, size.n_layer, size.n_head, size.n_embd
    )
    return Transformer(config).to(device)


def ours_shipped(size: Size, device: str) -> Transformer:
    """Return our model as a checkpoint is loaded: float16's values in float32, and frozen."""
    model = ours(size, device).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.copy_(parameter.half())
    return model


def theirs(size: Size, device: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """Return GPT-2 of that size, without dropout, its attention by torch's fused kernel."""
    from transformers import GPT2Config, GPT2LMHeadModel  # takes seconds

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=size.vocab_size,
        n_positions=size.context_length,
        n_layer=size.n_layer,
        n_head=size.n_head,
        n_embd=size.n_embd,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
        attn_implementation="sdpa",
    )
    model = GPT2LMHeadModel(config).to(device, dtype)
    model.generation_config.eos_token_id = None  # both sides make every token asked for
    return model
