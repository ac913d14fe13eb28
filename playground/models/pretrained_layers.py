"""Between the layers of a `transformers` model: the stream before its final norm, and its head.

transformers tells hidden states of which the last is already normed and the others are not. The
stream before the final norm is read by a hook that is set once and listens only for the thread
that asks. The head is the architecture's own code behind its base model, whatever scales and soft
caps it has there, run on a shallow copy whose base model hands through what it is given.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_thread = threading.local()


@contextmanager
def listening() -> Iterator[list[Tensor]]:
    """Collect what this thread gives to final norms meanwhile."""
    before, _thread.heard = getattr(_thread, "heard", None), []
    try:
        yield _thread.heard
    finally:
        _thread.heard = before


def listen_at(norm: nn.Module) -> None:
    """Set the hook; once a model."""
    norm.register_forward_pre_hook(_hear)


def _hear(module: nn.Module, inputs: tuple) -> None:
    heard = getattr(_thread, "heard", None)
    if heard is not None and inputs:
        heard.append(inputs[0])


@contextmanager
def noting_final_norm(inner: PreTrainedModel) -> Iterator[Callable[[], str | None]]:
    """Watch a pass meanwhile; yield what tells the name of the last module behind the blocks.

    It is called many names (norm, ln_f, final_layer_norm, norm_f ...); what it is known by is that
    its output is what the unembedding reads. None if there is no such module.
    """
    outputs, last = {}, []

    def note(module: nn.Module, inputs: tuple, output: Any, name: str) -> None:
        if isinstance(output, Tensor) and inputs and isinstance(inputs[0], Tensor):
            outputs[name] = output

    def name_of_norm() -> str | None:
        for name, output in reversed(outputs.items()):
            if output.numel() == last[0].numel() and torch.equal(output.view_as(last[0]), last[0]):
                return name
        return None

    blocks = {id(x) for m in inner.modules() if isinstance(m, nn.ModuleList) for x in m.modules()}
    unembedding = inner.get_output_embeddings()
    hooks = [unembedding.register_forward_pre_hook(lambda module, inputs: last.append(inputs[0]))]
    hooks += [
        module.register_forward_hook(partial(note, name=name))
        for name, module in inner.named_modules()
        if name and module is not unembedding and id(module) not in blocks
    ]
    try:
        yield name_of_norm
    finally:
        for hook in hooks:
            hook.remove()


class _Through(nn.Module):
    """In place of a base model: what comes in as embeddings goes out as its last hidden state."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.__dict__["base"] = base  # not a part of this module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["base"], name)  # multipliers and the like

    @property
    def decoder(self) -> _Through:
        return self  # of architectures whose head stands behind `model.decoder`

    def forward(self, *inputs: Any, inputs_embeds: Tensor, **options: Any) -> _Passed:
        return _Passed(inputs_embeds)


class _Passed:
    """The output of `_Through`: the hidden state, and None for anything else."""

    def __init__(self, hidden: Tensor):
        self.last_hidden_state = hidden

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None


def head_of(inner: PreTrainedModel, normed: Tensor) -> Tensor:
    """Return the logits (1, N, V) of normed hidden states (1, N, C), as `inner` makes them."""
    behind = copy.copy(inner)  # weights and all settings are shared
    table = inner.get_input_embeddings()
    name = next(n for n, child in inner.named_children() if table in child.modules())
    behind._modules = inner._modules | {name: _Through(inner._modules[name])}
    return behind(inputs_embeds=normed, use_cache=False).logits
