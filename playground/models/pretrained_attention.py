"""A look at the attention of a `transformers` model that everybody shares, without switching it.

transformers lets one register an attention function by name; architectures that use that interface
call it in place of their own. Ours computes what theirs does, and where the thread that is running
asks for it, it also tells the weights of some rows, or leaves out some heads. Architectures of
before that interface attend by themselves: those that compute the weights (Bloom, MPT, GPT-Neo)
are read by hooks, set once, and those that call torch's fused attention (Falcon) by a mode of
torch that sees the calls of one thread. What is asked for is a thread's own, so sessions that step
the same model at the same time see nothing of it; `output_attentions=True`, the usual way, would
be an empty answer with fused attention, and asking for another kind of attention a change for all
(a wrong one, too: transformers 5.24 adds Falcon's ALiBi twice in its eager attention).
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FUSED, EAGER = "playground", "playground_eager"  # names that transformers knows our function by
PROJECTIONS = ("o_proj", "out_proj", "dense", "c_proj")  # what follows the heads


@dataclass
class Look:
    """What one pass through a model is asked, and what it has told so far."""

    first: int | None = None  # tell the weights of the queries from this position on
    keep: Callable[[Tensor], Tensor] | None = None  # what is kept of a layer's weights
    without: Collection[tuple[int, int]] = ()  # (layer, head) that count as 0
    n_head: int = 1
    by_itself: bool = False  # the model does not use the interface
    kept: list[Tensor] = field(default_factory=list)  # of each layer (B, n_head, T - first, T)
    layer: int = -1  # that attends at the moment; layers without attention are not counted

    def take(self, weights: Tensor) -> None:
        self.kept.append(weights if self.keep is None else self.keep(weights))

    @property
    def silent(self) -> list[int]:
        """The heads to leave out of the present layer."""
        return sorted(head for layer, head in self.without if layer == self.layer)


_thread = threading.local()


@contextmanager
def looking(look: Look) -> Iterator[Look]:
    """Have the passes of this thread answer `look` meanwhile."""
    before, _thread.look = getattr(_thread, "look", None), look
    asks = look.by_itself and look.first is not None
    try:
        with _SeeFused(look) if asks else nullcontext():
            yield look
    finally:
        _thread.look = before


def attach(inner: PreTrainedModel) -> bool:
    """Prepare `inner`, once and for good, so that `looking` works on it; True if by itself."""
    namespace = vars(sys.modules[type(inner).__module__])
    if "ALL_ATTENTION_FUNCTIONS" in namespace and "eager_attention_forward" in namespace:
        _register()
        is_fused = inner.config.get_text_config()._attn_implementation == "sdpa"
        for config in {id(c): c for c in _configs(inner)}.values():
            config._attn_implementation = FUSED if is_fused else EAGER
        return False
    for layer, (module, projection) in enumerate(_attentions(inner)):
        module.register_forward_hook(_tell)
        projection.register_forward_pre_hook(partial(_silence, layer=layer))
    return True


def _configs(inner: PreTrainedModel) -> Iterator[Any]:
    from transformers import PreTrainedModel

    for module in inner.modules():
        if isinstance(module, PreTrainedModel):
            yield module.config
            yield module.config.get_text_config()


@cache
def _register() -> None:
    """Let transformers know our attention; masks are made as for their own."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask, sdpa_mask

    AttentionInterface.register(FUSED, partial(_attend, is_fused=True))
    AttentionInterface.register(EAGER, partial(_attend, is_fused=False))
    AttentionMaskInterface.register(FUSED, sdpa_mask)
    AttentionMaskInterface.register(EAGER, eager_mask)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    is_fused: bool,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Return what the heads read (B, T, n_head, D), and weights where they had to be computed.

    The architecture's own eager function knows its soft caps, sinks and biases. Fused attention
    is used where the architecture would, and never holds the weights: those of the rows that are
    asked for are computed beside it.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    eager = sys.modules[type(module).__module__].eager_attention_forward
    read = sdpa_attention_forward if is_fused else eager
    heads, weights = read(module, query, key, value, attention_mask, **kwargs)
    look: Look | None = getattr(_thread, "look", None)
    if look is None:
        return heads, weights
    look.layer += 1
    if look.first is not None:
        if weights is None:
            mask = _additive(attention_mask, query, key)[..., look.first :, :]
            if (bias := kwargs.get("position_bias")) is not None:
                kwargs = kwargs | {"position_bias": bias[..., look.first :, :]}
            rows = query[:, :, look.first :]
            weights = eager(module, rows, key, value, mask, **kwargs)[1]
            look.take(weights)
        else:
            look.take(weights[:, :, look.first :])
    if silent := look.silent:
        heads = heads.index_fill(2, torch.tensor(silent, device=heads.device), 0)
    return heads, None


def _additive(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
    """Return the mask (.., T, S) as numbers to add, as eager attention wants it."""
    if mask is None:  # fused attention was told that it is causal, or that it sees everything
        T, S = query.shape[2], key.shape[2]
        mask = torch.ones(T, S, dtype=torch.bool, device=query.device).tril(S - T)
    if mask.dtype != torch.bool:
        return mask
    return query.new_zeros(mask.shape).masked_fill_(~mask, torch.finfo(query.dtype).min)


class _SeeFused(TorchFunctionMode):
    """Take the weights behind every call of torch's fused attention in this thread."""

    def __init__(self, look: Look):
        super().__init__()
        self.look = look

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention:
            with torch._C.DisableTorchFunction():
                self.look.take(_weights(self.look.first, *args, **kwargs))
        return function(*args, **kwargs)


def _weights(
    first: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **options: Any,
) -> Tensor:
    """Return the weights (B, n_head, T - first, S) of a call of fused attention."""
    mask = attn_mask if attn_mask is not None or is_causal else query.new_zeros(())
    rows = query[:, :, first:] * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    mask = _additive(mask, query, key).expand(*query.shape[:-1], key.shape[2])[:, :, first:]
    return (rows @ key.transpose(-1, -2) + mask).float().softmax(-1)


def _attentions(inner: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Yield each module that attends by itself, and the projection behind its heads."""
    for module in inner.modules():
        if "Attention" in type(module).__name__:
            for name in PROJECTIONS:
                if name in module._modules:
                    yield module, module._modules[name]
                    break


def _tell(module: nn.Module, inputs: tuple, output: Any) -> None:
    """Take the weights (B, n_head, T, T) that an attention module returns second."""
    look: Look | None = getattr(_thread, "look", None)
    if look is not None and look.first is not None and isinstance(output, tuple):
        weights = next((x for x in output[1:] if isinstance(x, Tensor)), None)
        if weights is not None and weights.dim() == 4:
            look.take(weights[:, :, look.first :])


def _silence(module: nn.Module, inputs: tuple, layer: int) -> tuple | None:
    """Put 0 in place of what the heads to leave out have read, (B, T, n_head * D)."""
    look: Look | None = getattr(_thread, "look", None)
    if look is None or not look.without:
        return None
    look.layer = layer
    if not (silent := look.silent):
        return None
    rows = inputs[0].clone().unflatten(-1, (look.n_head, -1))
    rows[..., silent, :] = 0
    return (rows.flatten(-2), *inputs[1:])
