"""Every processor that `transformers` has, against it: random logits and hard ones."""

import pytest
import torch
from transformers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    ExponentialDecayLengthPenalty,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopHLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from playground.decoding.context import Context
from playground.decoding.processors import Processor
from tests.decoding.processor_cases import HARD, random_logits

V = 50
END = V - 1
TOKENS = torch.tensor(
    [[49, 2, 3, 4, 2, 3], [49, 7, 7, 7, 7, 7], [49, 1, 2, 1, 2, 1], [49, 40, 41, 42, 43, 44],
     [49, 3, 4, 5, 3, 4]]
)  # fmt: skip
PROMPT = 2


def _ids(*sequences: list[int]) -> str:
    return "\n".join(" ".join(f"#{i}" for i in s) for s in sequences)


WORDS = [[5], [3, 4], [7, 7, 7, 8], [END], [2, 3, 40]]
BIASES = {(5,): -3.0, (3, 4): 2.5, (7, 7, 7, 8): 10.0, (END,): -1.0, (2, 3, 40): -100.0}
BIAS_LINES = "\n".join(f"{_ids(list(s))}: {bias}" for s, bias in BIASES.items())
EXACT = [  # (ours, theirs): the same numbers, ties included
    *((Processor("temperature", v), TemperatureLogitsWarper(v)) for v in (0.05, 0.5, 1.5, 5.0)),
    *((Processor("min_p", v), MinPLogitsWarper(v)) for v in (0.01, 0.1, 0.5, 0.9)),
    *((Processor("epsilon_cutoff", v), EpsilonLogitsWarper(v)) for v in (3e-4, 0.01, 0.1, 0.9)),
    *((Processor("eta_cutoff", v), EtaLogitsWarper(v)) for v in (3e-4, 0.01, 0.1, 0.9)),
    *((Processor("top_h", v), TopHLogitsWarper(v)) for v in (0.01, 0.1, 0.4, 0.9, 1.0)),
    *(
        (Processor("repetition_penalty", v), RepetitionPenaltyLogitsProcessor(v))
        for v in (0.5, 1.2, 3.0)
    ),
    *(
        (Processor("no_repeat_ngram_size", n), NoRepeatNGramLogitsProcessor(n))
        for n in (1, 2, 3, 6, 7)
    ),
    *(
        (
            Processor("min_new_tokens", n),
            MinNewTokensLengthLogitsProcessor(PROMPT, n, END),
        )
        for n in (1, 4, 5, 20)
    ),
    *((Processor("min_length", n), MinLengthLogitsProcessor(n, END)) for n in (1, 6, 7, 20)),
    (Processor("suppress_tokens", "#3\n#49\n#7"), SuppressTokensLogitsProcessor([3, 49, 7])),
    (Processor("bad_words", _ids(*WORDS)), NoBadWordsLogitsProcessor(WORDS, END)),
    (Processor("logit_bias", BIAS_LINES), SequenceBiasLogitsProcessor(BIASES)),
    *(
        (
            Processor("exponential_decay_length_penalty", factor, start_index=start),
            ExponentialDecayLengthPenalty((start, factor), END, PROMPT),
        )
        for factor in (1.05, 1.5)
        for start in (0, 2, 3, 4, 9)
    ),
]
SORTED = [  # of tied tokens another one may be kept, or (top_k) fewer
    *((Processor("top_k", k), TopKLogitsWarper(k)) for k in (1, 2, 10, 49, 50)),
    *((Processor("top_p", v), TopPLogitsWarper(v)) for v in (0.01, 0.1, 0.5, 0.9, 0.999)),
    *((Processor("typical_p", v), TypicalLogitsWarper(v)) for v in (0.01, 0.2, 0.5, 0.95)),
]


def name_of(value: object) -> str:
    return str(value) if isinstance(value, Processor) else type(value).__name__


def where(tokens: torch.Tensor = TOKENS) -> Context:
    return Context(tokens, prompt_length=PROMPT, eos_token=END)


def hard(name: str) -> torch.Tensor:
    """Return five rows of the first tokens of a hard case."""
    logits = HARD[name][:, :V].clone()
    if (logits == -torch.inf).all():
        logits[0, 10:12] = 0.0
    return logits.double().expand(5, -1).contiguous()


@pytest.mark.parametrize(("ours", "theirs"), [*EXACT, *SORTED], ids=name_of)
def test_it_does_what_transformers_does(ours, theirs):
    for seed in range(8):
        logits = random_logits(5, V, seed)
        expected = theirs(TOKENS, logits.clone())
        torch.testing.assert_close(ours(logits, where()), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), EXACT, ids=name_of)
def test_hard_logits_come_out_the_same(ours, theirs):
    for name in HARD:
        logits = hard(name)
        expected = theirs(TOKENS, logits.clone())
        # Where theirs removes everything or divides infinities, ours leaves a distribution.
        rows = (expected > -torch.inf).any(-1) & ~expected.isnan().any(-1)
        mine = ours(logits, where())
        torch.testing.assert_close(mine[rows], expected[rows], rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize(("ours", "theirs"), SORTED, ids=name_of)
def test_of_tied_logits_the_same_values_are_kept(ours, theirs):
    """Ours keeps the smallest set; theirs all that tie (top_k, typical_p) or another of them."""
    for name in HARD:
        logits = hard(name)
        mine, expected = ours(logits, where()), theirs(TOKENS, logits.clone())
        for row in range(5):
            kept, theirs_kept = mine[row][mine[row].isfinite()], expected[row]
            theirs_kept = theirs_kept[theirs_kept.isfinite()]
            assert set(kept.tolist()) == set(theirs_kept.tolist()), name
        if ours.name == "top_k":
            n_kept = logits.isfinite().sum(-1).clamp(max=ours.value)
            assert (mine.isfinite().sum(-1) == n_kept).all(), name


@pytest.mark.parametrize("seed", range(3))
def test_top_h_looks_at_the_100_likeliest_tokens_as_transformers_does(seed):
    logits = random_logits(5, 500, seed) / 10
    for share in (0.1, 0.5, 0.99, 1.0):
        mine = Processor("top_h", share)(logits, where())
        torch.testing.assert_close(mine, TopHLogitsWarper(share)(TOKENS, logits.clone()))
    assert (mine.isfinite().sum(-1) <= 100).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_penalty_of_the_last_tokens_is_that_of_a_shorter_prefix(seed):
    logits = random_logits(5, V, seed)
    ours = Processor("repetition_penalty", 1.4, penalty_last_n=3)(logits, where())
    theirs = RepetitionPenaltyLogitsProcessor(1.4, prompt_ignore_length=3)
    torch.testing.assert_close(ours, theirs(TOKENS, logits.clone()))
    nothing = Processor("repetition_penalty", 1.4, penalty_last_n=0)
    assert torch.equal(nothing(logits, where()), logits)
