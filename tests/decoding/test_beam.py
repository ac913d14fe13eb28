"""Beam search: what transformers finds, what exhaustive search finds, what a beam misses."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from playground.decoding.beam import BeamSearch
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.search import length_normalised
from playground.decoding.strategies import Greedy
from playground.errors import ConfigError
from playground.models.ngram import fit_ngram
from tests.helpers import Chain, random_tokens

PROMPT, EOS, VOCAB_SIZE, NEW = (3, 5, 1), 7, 20, 8
PROCESSORS = {
    "plain": ((), {}),
    "repetition": (
        (Processor("repetition_penalty", 1.4),),
        {"repetition_penalty": 1.4},
    ),
    "no repeat": ((Processor("no_repeat_ngram_size", 2),), {"no_repeat_ngram_size": 2}),
}


@dataclass(frozen=True)
class Read:
    """All tokens so far (B, T), as a State."""

    tokens: torch.Tensor

    @property
    def length(self) -> int:
        return self.tokens.shape[1]

    def select(self, rows):
        return Read(self.tokens[rows])


class Wrapped(nn.Module):
    """A GPT-2 of transformers as an ARModel that reads everything again at every step."""

    vocab_size, context_length = VOCAB_SIZE, 64

    def __init__(self, peer):
        super().__init__()
        self.peer = peer

    @torch.inference_mode()
    def forward(self, tokens, condition=None):
        return self.peer(tokens, use_cache=False).logits

    def initial_state(self, batch_size, condition=None):
        return Read(torch.empty(batch_size, 0, dtype=torch.int64))

    def step(self, tokens, state):
        tokens = torch.cat((state.tokens, tokens), dim=1)
        return self.forward(tokens)[:, -1], Read(tokens)


@pytest.fixture(scope="module")
def peers():
    """GPT-2s with peaked distributions, in which the end token is likely now and then."""
    from transformers import GPT2Config, GPT2LMHeadModel

    made = []
    for seed in range(4):
        config = GPT2Config(
            vocab_size=VOCAB_SIZE, n_positions=64, n_embd=32, n_layer=2, n_head=2,
            bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        peer = GPT2LMHeadModel(config)
        generator = torch.Generator().manual_seed(seed)
        for name, weight in peer.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.data = 1 + 0.1 * noise if "ln" in name else 0.35 * noise
        towards_end = peer.transformer.wte.weight.data[EOS]
        peer.transformer.ln_f.bias.data = 0.9 * towards_end / towards_end.norm()
        made.append(peer.eval().requires_grad_(False))
    return made


def theirs(peer, eos, num_beams, **options):
    """Return (tokens, score) of each result of `generate` in transformers, the best first."""
    out = peer.generate(
        torch.tensor([PROMPT]), attention_mask=torch.ones(1, len(PROMPT)), max_new_tokens=NEW,
        eos_token_id=eos, pad_token_id=0, do_sample=False, num_beams=num_beams,
        num_return_sequences=num_beams, output_scores=True, return_dict_in_generate=True,
        use_cache=False, **options,
    )  # fmt: skip
    found = []
    for row in out.sequences.tolist():
        made = row[len(PROMPT) :]
        found.append(tuple(made[: made.index(eos) + 1] if eos in made else made))
    scores = [None] if num_beams == 1 else out.sequences_scores.tolist()
    return list(zip(found, scores, strict=True))


def ours(model, eos, strategy, processors=(), new=NEW, prompt=PROMPT, **options):
    lane = Lane(strategy, processors, **options)
    return generate_trace(model, "m", prompt, lane, max_new_tokens=new, eos_token=eos)


def smallest_gap(trace) -> float:
    """Return by how little any two weighed hypotheses of a position, or two results, differ."""
    ranked = [[h.logprob for h in row] for row in trace.search]
    ranked.append([other.score for other in trace.alternatives])
    gaps = [a - b for row in ranked for a, b in itertools.pairwise(sorted(row, reverse=True))]
    return min(gaps, default=1.0)


def compare_with_transformers(peer, eos, num_beams, processors="plain", **settings) -> bool:
    """See that both find the same; return False where a near-tie makes it a matter of rounding."""
    mine, named = PROCESSORS[processors]
    expected = theirs(peer, eos, num_beams, **named, **settings)
    trace = ours(Wrapped(peer), eos, BeamSearch(num_beams, **settings), mine)
    if smallest_gap(trace) < 1e-4:
        return False
    case = (eos, num_beams, processors, settings)
    assert [other.tokens for other in trace.alternatives] == [t for t, _ in expected], case
    assert trace.tokens[len(PROMPT) :] == expected[0][0]
    for other, (_, score) in zip(trace.alternatives, expected, strict=True):
        assert other.score == pytest.approx(score, abs=1e-4, rel=1e-6), case
    return True


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [-1.5, 0.0, 0.7, 1.0, 2.0])
def test_beams_are_those_of_transformers(peers, length_penalty, early_stopping):
    settings = {"length_penalty": length_penalty, "early_stopping": early_stopping}
    compared = [
        compare_with_transformers(peer, EOS, num_beams, **settings)
        for i, peer in enumerate(peers)
        for num_beams in (2 + i % 2, 4 + i % 2)
    ]
    assert sum(compared) >= 6  # of 8: the others are near-ties


@pytest.mark.parametrize("processors", ["repetition", "no repeat"])
def test_beams_with_processors_are_those_of_transformers(peers, processors):
    compared = [
        compare_with_transformers(peer, eos, num_beams, processors, early_stopping=stopping)
        for peer, stopping in zip(peers, (False, True, "never", False), strict=True)
        for eos, num_beams in ((None, 3), (EOS, 2), (EOS, 5))
    ]
    assert sum(compared) >= 9  # of 12


def test_beams_without_an_end_token_are_those_of_transformers(peers):
    compared = [
        compare_with_transformers(peer, None, num_beams, early_stopping=stopping)
        for peer in peers
        for num_beams, stopping in [(2, False), (4, True), (5, "never")]
    ]
    assert sum(compared) >= 9  # of 12


def test_greedy_is_that_of_transformers(peers):
    for peer, eos, (mine, named) in itertools.product(peers, (None, EOS), PROCESSORS.values()):
        ((expected, _),) = theirs(peer, eos, 1, **named)
        greedy = ours(Wrapped(peer), eos, Greedy(), mine)
        assert greedy.tokens[len(PROMPT) :] == expected


def test_one_beam_is_greedy_also_where_it_ends(peers):
    """Not with repetition_penalty, which beams let shape log p and greedy decoding logits."""
    for peer, eos, name in itertools.product(peers, (None, EOS), ("plain", "no repeat")):
        greedy = ours(Wrapped(peer), eos, Greedy(), PROCESSORS[name][0])
        one = ours(Wrapped(peer), eos, BeamSearch(1), PROCESSORS[name][0])
        assert one.tokens == greedy.tokens
        assert [other.tokens for other in one.alternatives] == [one.tokens[len(PROMPT) :]]


def test_the_peers_put_the_end_into_the_comparison(peers):
    ended = [tokens[-1] == EOS for peer in peers for tokens, _ in theirs(peer, EOS, 5)]
    assert any(ended)
    assert not all(ended)


def a_chain(vocab_size: int, seed: int):
    return fit_ngram(random_tokens(60, seed=seed, vocab_size=vocab_size), vocab_size, 3)


def all_sequences(vocab_size: int, longest: int, eos: int):
    """Every sequence that ends with its first `eos`, or is `longest` tokens long."""
    for length in range(1, longest + 1):
        for tokens in itertools.product(range(vocab_size), repeat=length):
            if eos not in tokens[:-1] and (tokens[-1] == eos or length == longest):
                yield tokens


def logprob_of(model, prompt, tokens) -> float:
    logits = model.forward(torch.tensor([[*prompt, *tokens]]))[0, len(prompt) - 1 : -1]
    logprobs = logits.double().log_softmax(-1)
    return logprobs.gather(1, torch.tensor(tokens)[:, None]).sum().item()


@pytest.mark.parametrize(("vocab_size", "longest"), [(5, 3), (4, 4)])
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.5])
def test_as_many_beams_as_there_are_prefixes_find_the_best_of_all_sequences(
    vocab_size, longest, length_penalty
):
    eos, prompt = vocab_size - 1, (0, 1)
    assert (vocab_size - 1) ** (longest - 1) <= 32  # prefixes that may go on
    for seed in range(3):
        model = a_chain(vocab_size, seed)
        scores = {
            tokens: length_normalised(
                logprob_of(model, prompt, tokens), len(tokens), length_penalty
            )
            for tokens in all_sequences(vocab_size, longest, eos)
        }
        for stopping in (False, True, "never"):
            strategy = BeamSearch(32, length_penalty, stopping)
            trace = ours(model, eos, strategy, new=longest, prompt=prompt)
            found = {other.tokens: other.score for other in trace.alternatives}
            assert found.items() <= {t: pytest.approx(s) for t, s in scores.items()}.items()
            assert max(scores.values()) == pytest.approx(trace.alternatives[0].score)
            assert scores[trace.tokens[2:]] == pytest.approx(max(scores.values()))


GARDEN_PATH = Chain(
    [  # to: start, a, b, c, d
        [0.0, 0.5, 0.3, 0.2, 0.0],  # from the start
        [0.0, 0.2, 0.2, 0.3, 0.3],  # a, the likeliest, leads nowhere
        [0.0, 0.4, 0.2, 0.2, 0.2],  # b as well
        [0.0, 0.0, 0.0, 0.0, 1.0],  # c leads to d for certain
        [0.2, 0.2, 0.2, 0.2, 0.2],
    ]
)


@pytest.mark.parametrize(("num_beams", "p"), [(1, 0.15), (2, 0.15), (3, 0.2), (4, 0.2)])
def test_a_narrow_beam_misses_the_most_likely_text(num_beams, p):
    """c d has 0.2, more than any other two tokens, but c is third at first: 0.5, 0.3, 0.2."""
    trace = ours(GARDEN_PATH, None, BeamSearch(num_beams), new=2, prompt=(0,))
    assert math.exp(trace.alternatives[0].logprob) == pytest.approx(p)
    assert (trace.tokens == (0, 3, 4)) is (num_beams >= 3)


def test_a_hypothesis_that_ends_beside_a_better_one_still_replaces_a_worse():
    """With early_stopping as in transformers: all that end at one position compete at once.

    Of two beams one ends at first: p 0.2. Then two end: 0.64 * 0.9 = 0.576 and 0.16 * 0.9 = 0.144,
    whose scores by length, -0.28 and -0.97, are both above log 0.2 = -1.61.
    """
    chain = Chain(
        [  # to: start, a, b, end
            [0.0, 0.64, 0.16, 0.2],
            [0.05, 0.025, 0.025, 0.9],
            [0.05, 0.025, 0.025, 0.9],
            [0.25, 0.25, 0.25, 0.25],
        ]
    )
    trace = ours(chain, 3, BeamSearch(2, early_stopping=True), new=5, prompt=(0,))
    assert [other.tokens for other in trace.alternatives] == [(1, 3), (2, 3)]


def test_settings_that_cannot_be_are_refused():
    for stopping in (1, 0, None, "sometimes"):
        with pytest.raises(ConfigError, match="early_stopping must be one of"):
            BeamSearch(2, early_stopping=stopping)


def test_what_is_dropped_and_kept_is_told():
    """Two beams of the chain above: four continuations are weighed, two of them go on."""
    first, second = ours(GARDEN_PATH, None, BeamSearch(2), new=2, prompt=(0,)).search
    told = [(h.parent, h.token, round(math.exp(h.logprob), 3), h.fate) for h in first]
    assert told == [(0, 1, 0.5, "live"), (0, 2, 0.3, "live"), (0, 3, 0.2, "pruned")]
    told = [(h.parent, h.token, round(math.exp(h.logprob), 3), h.fate) for h in second]
    assert [(parent, p) for parent, _, p, _ in told] == [(0, 0.15), (0, 0.15), (1, 0.12), (0, 0.1)]
    assert [fate for *_, fate in told] == ["finished", "finished", "pruned", "pruned"]
    assert {token for _, token, _, _ in told[:2]} == {3, 4}
    assert second[0].score == pytest.approx(second[0].logprob / 2)
