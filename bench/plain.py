"""Every family of `train.text` once more, as one would write it with torch's own modules.

Each is the same function of the same weights (a test compares the logits), without what ours does
for speed: the peer of "how fast is a forward pass", and the plain loop of "how fast is training".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.models import LSTM, CausalConv, NeuralNGram, Recurrent, Transformer

Forward = Callable[[Tensor], Tensor]


def plain(model: nn.Module) -> Forward:
    """Return a plain function from tokens (B, T) to logits (B, T, V), over a model's weights."""
    if isinstance(model, Transformer):
        return lambda tokens: _transformer(model, tokens)
    if isinstance(model, CausalConv):
        return lambda tokens: _causal_conv(model, tokens)
    if isinstance(model, NeuralNGram):
        return lambda tokens: _neural_ngram(model, tokens)
    assert isinstance(model, LSTM | Recurrent)
    return _recurrent(model)


def _transformer(model: Transformer, tokens: Tensor) -> Tensor:
    x, angles = model._place(model.embedding(tokens), 0)
    for block in model.blocks:
        q, k, v = block.query_key_value(x, angles)
        mask = block.mask(0, x.shape[1], x) if block.is_leaning else None
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = x + block.project(heads.transpose(1, 2).flatten(2))
        x = x + block.contract(F.relu(block.expand(block.norm_mlp(x))).square())
    return F.linear(model.norm(x), model.embedding.weight)


def _causal_conv(model: CausalConv, tokens: Tensor) -> Tensor:
    x = model.embedding(tokens)
    for layer in model.layers:
        K, C = layer.kernel_size, x.shape[-1]
        weight = layer.gates.weight.view(2 * C, K, C).transpose(1, 2)  # (2 C, C, K)
        padded = F.pad(layer.norm(x).transpose(1, 2), ((K - 1) * layer.dilation, 0))
        both = F.conv1d(padded, weight, layer.gates.bias, dilation=layer.dilation)
        passed, gate = both.transpose(1, 2).chunk(2, dim=-1)
        x = x + layer.project(passed * torch.sigmoid(gate))
    return F.linear(model.norm(x), model.embedding.weight)


def _neural_ngram(model: NeuralNGram, tokens: Tensor) -> Tensor:
    T, seen = tokens.shape[1], model.config.order - 1
    padded = F.pad(model.embedding(tokens), (0, 0, seen - 1, 0))
    window = torch.cat([padded[:, k : k + T] for k in range(seen)], dim=-1)
    logits = model.output(torch.tanh(model.hidden(window)))
    return logits if model.direct is None else logits + model.direct(window)


def _recurrent(model: LSTM | Recurrent) -> Forward:
    if isinstance(model, LSTM):
        cells = model.lstm
    else:
        c = model.config
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[c.cell]
        cells = kind(c.n_embd, c.n_hidden, c.n_layer, batch_first=True).eval()
        for i, cell in enumerate(model.cells):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(cells, f"{name}_l{i}").data = getattr(cell, name).data

    def forward(tokens: Tensor) -> Tensor:
        outputs, _ = cells(model.embedding(tokens))
        return F.linear(model.project(outputs), model.embedding.weight, model.output_bias)

    return forward
