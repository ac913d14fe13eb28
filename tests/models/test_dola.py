"""DoLa is the method by the letter, on layers that transformers would choose."""

import pytest
import torch

from playground.errors import ConfigError
from playground.models.dola import DoLa, premature_layers
from tests.helpers import lstm, ngram, random_tokens, transformer


def deep():
    return transformer(n_layer=6)


def dola_by_the_letter(layers: list[torch.Tensor], last: torch.Tensor, relative_top: float):
    """Return the scores of one position from logits (V,), as the method is described."""
    p = last.softmax(-1)
    divergences = []
    for early in layers:
        q = early.softmax(-1)
        m = (p + q) / 2
        divergences.append(((m * (m / p).log()).sum() + (m * (m / q).log()).sum()) / 2)
    base = layers[int(torch.stack(divergences).argmax())].log_softmax(-1)
    scores = last.log_softmax(-1) - base
    scores[p < relative_top * p.max()] = -torch.inf
    return scores


class TestDoLa:
    @pytest.mark.parametrize("which", ["low", "high", (1, 2, 3, 4), (5,)])
    def test_it_is_the_method_by_the_letter(self, which):
        model, tokens = deep(), random_tokens(2, 12)
        whole = DoLa(model, which, 0.05)
        rows = whole.forward(tokens)
        logits = model.head(model.forward_layers(tokens)).double()  # (L', B, T, V)
        for b in range(2):
            for t in range(12):
                early = [logits[layer, b, t] for layer in whole.layers]
                wanted = dola_by_the_letter(early, logits[-1, b, t], 0.05)
                torch.testing.assert_close(rows[b, t].double(), wanted, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        ("n_layer", "low", "high"),
        [  # of a Transformer with n_layer - 1 blocks: as transformers chooses for tied embeddings
            (2, (0,), (0,)),
            (3, (1,), (1,)),
            (5, (2,), (2,)),
            (7, (2,), (3, 5)),
            (13, (2, 4), (6, 8, 10)),
            (33, (2, 4, 6, 8, 10, 12, 14), tuple(range(16, 32, 2))),
            (49, tuple(range(2, 20, 2)), tuple(range(28, 48, 2))),
        ],
    )
    def test_the_layers_are_those_that_transformers_compares(self, n_layer, low, high):
        assert premature_layers(n_layer, "low") == low
        assert premature_layers(n_layer, "high") == high

    def test_where_all_layers_agree_the_plausible_are_equally_likely(self):
        agreeing = Agreeing()
        found = DoLa(agreeing, (0, 1), 0.6).forward(torch.tensor([[0, 1]]))
        torch.testing.assert_close(found[0, 1], torch.tensor([0.0, 0.0, -torch.inf]))

    def test_what_cannot_be_compared_is_refused(self):
        with pytest.raises(ConfigError, match=r"NGram has none .* Choose a Transformer or an LSTM"):
            DoLa(ngram())
        with pytest.raises(ConfigError, match="more layers"):
            DoLa(lstm(1))
        with pytest.raises(ConfigError, match=r"whole number in \[0, 5\], got 6"):
            DoLa(deep(), (2, 6))
        for wrong in ("middle", ()):
            with pytest.raises(ConfigError, match="must be low or high, or numbers"):
                DoLa(deep(), wrong)
        with pytest.raises(ConfigError, match="relative_top must be"):
            DoLa(deep(), relative_top=2.0)


class Agreeing(torch.nn.Module):
    """Three layers that all say p = (0.4, 0.4, 0.2) at once."""

    vocab_size, context_length = 3, None

    def __init__(self):
        super().__init__()
        self.register_buffer("logits", torch.tensor([0.4, 0.4, 0.2]).log())

    def forward_layers(self, tokens):
        return self.logits.expand(3, *tokens.shape, 3)

    def step_layers(self, tokens, state):
        return self.forward_layers(tokens), state

    def initial_state(self, batch_size, condition=None):
        return None

    def head(self, hidden):
        return hidden
