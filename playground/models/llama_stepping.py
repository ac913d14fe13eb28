"""From a Llama-like decoder to `llama_kernel.py` and back: plans, room, checks.

Llama, Mistral, Qwen2 and Qwen3 differ in options alone: biases, norms of queries and keys, the
size of a head, an output layer of its own. Whatever else a config asks for is left to torch.
Weights that bfloat16 or float16 hold exactly, as published ones mostly are, are copied in it: half
the memory to read, for the same sums. Others are read where they are, without a copy.

Kernels are imported when first used, as in `stepping.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from playground.models.base import check_room
from playground.models.kv_cache import KVCache
from playground.models.packing import ALIGNMENT, MAX_CHUNK, Memory, Packed, aligned, packed
from playground.models.sharing import any_helper

ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")  # those that are tested
FIXED_ROTARY = ("default", "linear", "llama3", "yarn")  # whose frequencies depend on no length
NO_LIMIT = 2**31

_longest: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
_held: list[tuple] = []  # what a helper that has lost its core may still read; under its lock


def compile_kernels() -> None:
    """Compile the kernels if that was not done yet on this machine; it takes some ten seconds."""
    importlib.import_module("playground.models.llama_kernel")


def plan_for(model: nn.Module, tokens: Tensor, state: Any) -> Packed | None:
    """Return the weights of `model.inner` for a kernel that can read these tokens, or None."""
    if tokens.shape[1] > MAX_CHUNK or not isinstance(state, KVCache) or state.buffer.array is None:
        return None
    if (longest := _longest.get(model.inner)) is None:
        longest = _longest[model.inner] = longest_context(model.inner)
    if state.length + tokens.shape[1] > longest:
        return None
    return packed(model.inner, lay_out)


def longest_context(inner: nn.Module) -> int:
    """Return how many tokens a kernel can read, 0 if the architecture is not one of its own."""
    config = inner.config
    is_known = (
        config.model_type in ARCHITECTURES
        and type(inner).__name__.endswith("ForCausalLM")
        and config.hidden_act == "silu"
        and inner.model.rotary_emb.rope_type in FIXED_ROTARY
        and inner.lm_head.weight.shape == inner.model.embed_tokens.weight.shape
        and all(fits(layer) for layer in inner.model.layers)
    )
    if not is_known:
        return 0
    windows = [getattr(layer.self_attn, "sliding_window", None) for layer in inner.model.layers]
    if config.model_type == "mistral":
        windows.append(config.sliding_window)
    return min((window for window in windows if window), default=NO_LIMIT)


def fits(layer: nn.Module) -> bool:
    """Return whether a layer is made of what the kernel computes."""
    from playground.models.vector_code import LANES

    attention, perceptron = layer.self_attn, layer.mlp
    linears = [getattr(attention, f"{name}_proj", None) for name in "qkvo"]
    linears += [getattr(perceptron, f"{name}_proj", None) for name in ("gate", "up", "down")]
    return (
        all(type(m) is nn.Linear and m.in_features % LANES == 0 for m in linears)
        and attention.scaling == attention.head_dim**-0.5
    )


def read_chunk(
    model: nn.Module, plan: Packed, tokens: Tensor, state: KVCache, logits: Tensor
) -> KVCache:
    """Read tokens (B, N), fill logits (B or B * N, V), and return the State that has read them.

    Raises:
        ContextFullError: the context has no room for N more tokens.
        IndexError: a token is not of the vocabulary.
    """
    from playground.models.llama_jobs import BUSY, llama_helper
    from playground.models.llama_kernel import llama_step

    check_room(model, state, tokens.shape[1])
    cache = state.reserve(tokens.shape[1])
    room, places = room_for(plan.plan, tokens.numel(), len(logits), cache.length)
    with any_helper(llama_helper) as mailbox:
        is_fine = llama_step(
            plan.plan,
            tokens.contiguous().numpy(),
            cache.buffer.array,
            state.length,
            logits.numpy(),
            places,
            mailbox,
        )
        if mailbox.size and mailbox[BUSY]:
            _held.append((plan, room, cache.buffer.array))
        elif mailbox.size:
            _held.clear()
    if not is_fine:
        raise IndexError(f"tokens must be from 0 to {model.vocab_size - 1}")
    return cache


def room_for(plan: np.ndarray, rows: int, logits: int, length: int) -> tuple[np.ndarray, ...]:
    """Return memory for what `rows` rows need while they pass, and the `places` in it."""
    from playground.models import llama_kernel as kernel

    C, V, H, Hk, D, inner = map(int, plan[1:7])
    wide = max((H + 2 * Hk) * D, 2 * inner)
    sizes = [rows * n for n in (C, C, wide, inner, H * D, D)]
    sizes += [length, max(rows * max(wide, C), logits * V), length]
    ends = np.cumsum([-(-size // ALIGNMENT) * ALIGNMENT for size in sizes])
    room = aligned((int(ends[-1]),), np.float32)
    places = np.empty(kernel.N_PLACES, np.int64)
    places[0] = 0
    places[1:] = ends[:-1]
    return room, places * 4 + room.ctypes.data


def lay_out(inner: nn.Module, memory: Memory) -> list[int]:
    """Return the plan of `llama_step`; what it points to is in `memory`, or the model's own."""
    from playground.models import llama_kernel as kernel

    c, body, head, rotary = inner.config, inner.model, inner.lm_head, inner.model.rotary_emb
    attention = body.layers[0].self_attn
    D = attention.head_dim
    layers = [
        [getattr(layer.self_attn, f"{name}_proj") for name in "qkvo"]
        + [getattr(layer.mlp, f"{name}_proj") for name in ("gate", "up", "down")]
        for layer in body.layers
    ]
    matrices = [linear.weight for layer in layers for linear in layer] + [head.weight]
    kind, places = stored(matrices, memory)
    at = dict(zip(map(id, matrices), places, strict=True))
    numbers = torch.tensor([c.rms_norm_eps, rotary.attention_scaling])
    plan = [c.num_hidden_layers, c.hidden_size, c.vocab_size, c.num_attention_heads]
    plan += [c.num_key_value_heads, D, c.intermediate_size, kind]
    plan += [body.embed_tokens.weight.data_ptr(), memory.copy_of(rotary.inv_freq)]
    plan += [memory.copy_of(numbers), body.norm.weight.data_ptr()]
    plan += [at[id(head.weight)], address(head, "bias")]
    for layer, (q, k, v, o, gate, up, down) in zip(body.layers, layers, strict=True):
        plan += [layer.input_layernorm.weight.data_ptr()]
        plan += [at[id(linear.weight)] for linear in (q, k, v)]
        plan += [address(linear, "bias") for linear in (q, k, v)]
        norms = (getattr(layer.self_attn, f"{name}_norm", None) for name in "qk")
        plan += [address(norm, "weight") for norm in norms]
        plan += [at[id(o.weight)], address(o, "bias")]
        plan += [layer.post_attention_layernorm.weight.data_ptr()]
        plan += [at[id(gate.weight)], at[id(up.weight)], address(gate, "bias"), address(up, "bias")]
        plan += [at[id(down.weight)], address(down, "bias")]
    assert len(plan) == kernel.LAYERS + kernel.LAYER_SIZE * len(layers)
    return plan


def address(module: nn.Module | None, name: str) -> int:
    """Return where a parameter is, 0 if there is none."""
    parameter = getattr(module, name, None)
    return 0 if parameter is None else parameter.data_ptr()


def stored(weights: Sequence[Tensor], memory: Memory) -> tuple[int, list[int]]:
    """Return how the kernel finds the weights (FLOAT32, FLOAT16, BFLOAT16), and where each is."""
    from playground.models.vector_code import BFLOAT16, FLOAT16, FLOAT32

    for kind, copy_of in ((BFLOAT16, as_bfloat16), (FLOAT16, as_float16)):
        if any(copy_of(weight[:8]) is None for weight in weights):
            continue  # found out quickly
        with ThreadPoolExecutor(2) as pool:
            copies = list(pool.map(copy_of, weights))
        if all(copy is not None for copy in copies):
            return kind, [memory.at(copy) for copy in copies]
    return FLOAT32, [weight.data_ptr() for weight in weights]


def as_bfloat16(weight: Tensor) -> np.ndarray | None:
    """Return float32 values as the bits of bfloat16, None if it does not hold them exactly."""
    from playground.models.llama_kernel import narrow

    out = aligned((weight.numel(),), np.uint16)
    return out if narrow(weight.detach().reshape(-1).numpy().view(np.uint32), out) else None


def as_float16(weight: Tensor) -> np.ndarray | None:
    """Return the values as float16, None if it does not hold them exactly."""
    weight = weight.detach()
    half = weight.half()
    return half.numpy() if torch.equal(half.float(), weight) else None
