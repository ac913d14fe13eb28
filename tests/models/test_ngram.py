"""The packed arrays against plain dictionaries, and against numbers worked out by hand."""

import math
from collections import Counter, defaultdict

import pytest
import torch

from playground.errors import ConfigError
from playground.models.ngram import NGramConfig, fit_ngram
from tests.helpers import random_tokens

TEXT = "the cat sat on the mat and the rat sat on the hat that the cat had " * 3 + "at last"


class SlowKneserNey:
    """Interpolated modified Kneser-Ney (Chen & Goodman 1998, eq. 26-28), by the book.

    As in `fit_ngram`, what follows the last complete n-gram window is what is counted, and the
    start of the stream is no context of its own.
    """

    def __init__(self, tokens: list[int], vocab_size: int, order: int):
        self.vocab_size, self.order = vocab_size, order
        grams = [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]
        self.counts = {order: Counter(grams)}
        for n in range(order - 1, 0, -1):  # N1+(. gram): different tokens seen before it
            before = defaultdict(set)
            for gram in self.counts[n + 1]:
                before[gram[1:]].add(gram[0])
            self.counts[n] = Counter({gram: len(tokens) for gram, tokens in before.items()})
        self.discounts = {n: self.discount(counts) for n, counts in self.counts.items()}

    @staticmethod
    def discount(counts: Counter) -> list[float]:
        n1, n2, n3, n4 = (
            max(1, sum(1 for count in counts.values() if count == k)) for k in (1, 2, 3, 4)
        )
        y = n1 / (n1 + 2 * n2)
        raw = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        return [min(max(d, 0.05), k - 0.05) for k, d in enumerate(raw, start=1)]

    def probability(self, token: int, context: tuple[int, ...]) -> float:
        context = context[len(context) - min(len(context), self.order - 1) :]
        n = len(context) + 1
        shorter = self.probability(token, context[1:]) if context else 1 / self.vocab_size
        followers = {g: c for g, c in self.counts[n].items() if g[:-1] == context}
        total = sum(followers.values())
        if not total:
            return shorter
        freed = sum(self.discounts[n][min(c, 3) - 1] for c in followers.values())
        count = followers.get((*context, token), 0)
        kept = count - self.discounts[n][min(count, 3) - 1] if count else 0.0
        return kept / total + freed / total * shorter


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_equal_those_of_plain_dictionaries(order):
    symbols = sorted(set(TEXT))
    tokens = [symbols.index(c) for c in TEXT]
    vocab_size = len(symbols) + 1
    model = fit_ngram(torch.tensor(tokens), vocab_size, order)
    slow = SlowKneserNey(tokens, vocab_size, order)
    probe = [vocab_size - 1, *tokens[40:60], vocab_size - 1, *tokens[3:9]]  # unseen ones too
    probs = model.forward(torch.tensor([probe]))[0].double().exp()
    for i in range(len(probe)):
        wanted = [slow.probability(t, tuple(probe[: i + 1])) for t in range(vocab_size)]
        assert sum(wanted) == pytest.approx(1)
        torch.testing.assert_close(probs[i], torch.tensor(wanted).double(), rtol=1e-5, atol=1e-9)


def test_probabilities_of_a_toy_text_are_those_worked_out_by_hand():
    # "aabab": bigrams aa, ab, ba, ab, so c(aa) = 1, c(ab) = 2, c(ba) = 1: n1 = 2, n2 = 1.
    # D1 = 1 - 2 * (2/4) * 1/2 = 1/2; D2 = 2 - 3 * (2/4) * 1/1 = 1/2 with n3 taken as 1.
    # Unigrams count different predecessors: a after {a, b}: 2; b after {a}: 1: n1 = n2 = 1.
    # D1 = 1 - 2 * (1/3) = 1/3; D2 = 2 - 3 * (1/3) = 1.
    model = fit_ngram(torch.tensor([0, 0, 1, 0, 1]), 3, 2)
    a = (2 - 1) / 3 + (1 + 1 / 3) / 3 / 3
    b = (1 - 1 / 3) / 3 + (1 + 1 / 3) / 3 / 3
    never = (1 + 1 / 3) / 3 / 3
    assert a + b + never == pytest.approx(1)
    freed = (1 / 2 + 1 / 2) / 3
    after_a = [(1 - 1 / 2) / 3 + freed * a, (2 - 1 / 2) / 3 + freed * b, freed * never]
    after_b = [(1 - 1 / 2) / 1 + 1 / 2 * a, 1 / 2 * b, 1 / 2 * never]
    probs = model.forward(torch.tensor([[0, 1, 2]]))[0].exp()
    torch.testing.assert_close(probs, torch.tensor([after_a, after_b, [a, b, never]]))


def test_a_context_never_seen_leaves_everything_to_the_shorter_one():
    model = fit_ngram(torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 0, 1]), 5, 3)
    unseen_then_1, just_1 = torch.tensor([[4, 1]]), torch.tensor([[1]])
    torch.testing.assert_close(model.forward(unseen_then_1)[:, -1], model.forward(just_1)[:, -1])


def test_only_the_last_tokens_matter():
    model = fit_ngram(random_tokens(2000, vocab_size=5), 5, 3)
    one, other = torch.tensor([[0, 3, 1, 2]]), torch.tensor([[4, 4, 1, 2]])
    assert torch.equal(model.forward(one)[:, -1], model.forward(other)[:, -1])


def test_no_probability_is_zero_and_a_common_follower_is_likely():
    model = fit_ngram(torch.tensor([0, 1] * 50), 200, 4)
    logprobs = model.forward(torch.tensor([[0, 1, 0]]))[0, -1]
    assert logprobs.isfinite().all()
    assert logprobs[1].exp() > 0.95
    assert logprobs.double().exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_order_one_ignores_the_context():
    model = fit_ngram(torch.tensor([0, 0, 0, 1]), 3, 1)
    rows = model.forward(torch.tensor([[0, 1, 2]]))[0]
    assert torch.equal(rows[0], rows[1])
    assert rows[0, 0] > rows[0, 1] > rows[0, 2] > -math.inf


def test_a_text_shorter_than_one_ngram_is_refused():
    with pytest.raises(ConfigError, match="The text has 3 tokens, order 4 needs more"):
        fit_ngram(torch.tensor([0, 1, 0]), 2, 4)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"vocab_size": 1}, "vocab_size must be a whole number"),
        ({"vocab_size": 64, "order": 11}, "order is at most 10, got 11"),
        ({"vocab_size": 64, "order": 2, "sizes": (1, 2, 3)}, "sizes must have order = 2 entries"),
        ({"vocab_size": 64, "order": 1, "sizes": (-1,)}, "each of sizes must be"),
    ],
)
def test_a_config_out_of_range_names_the_rule_and_the_value(sizes, message):
    with pytest.raises(ConfigError, match=message):
        NGramConfig(**sizes)
