"""Processors without a peer in `transformers`: worked by hand, and against slow literal loops."""

import math
from collections import Counter

import pytest
import torch

from playground.decoding.context import Context
from playground.decoding.processors import Processor
from playground.errors import ConfigError
from playground.tokenizers.text import CharTokenizer
from tests.decoding.processor_cases import random_logits

V = 40
CHARS = CharTokenizer("abcdefghijklmnopqrstuvwxyz .,:\n")


def logits_of(*probs: float) -> torch.Tensor:
    return torch.tensor([probs], dtype=torch.float64).log()


def where(tokens: list[int] | None = None, prompt_length: int = 1, **others) -> Context:
    return Context(torch.tensor([tokens or [0]]), prompt_length, **others)


def kept_by(processor: Processor, probs: list[float], context: Context | None = None) -> list[int]:
    shaped = processor(logits_of(*probs), context or where())
    return shaped[0].isfinite().nonzero().flatten().tolist()


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    weights = [math.exp(v - top) for v in values]
    return [w / sum(weights) for w in weights]


def ranked(probs: list[float]) -> list[int]:
    return sorted(range(len(probs)), key=lambda i: (-probs[i], i))


# --- slow, literal references: logits and one setting in, what is kept (or the new logits) out


def slow_top_a(values, share):
    probs = softmax(values)
    return {i for i, p in enumerate(probs) if p >= share * max(probs) ** 2}


def slow_top_n_sigma(values, n):
    mean = sum(values) / len(values)
    sigma = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    return {i for i, v in enumerate(values) if v >= max(values) - n * sigma}


def slow_tfs(values, z):
    probs = softmax(values)
    order = ranked(probs)
    p = [probs[i] for i in order]
    first = [p[i + 1] - p[i] for i in range(len(p) - 1)]
    second = [abs(first[i + 1] - first[i]) for i in range(len(first) - 1)]
    kept, total = {order[0]}, 0.0
    for i, bend in enumerate(second):
        total += bend / sum(second)
        if total > z:
            break
        kept.add(order[i + 1])
    return kept


def slow_epsilon(values, epsilon):
    probs = softmax(values)
    return {i for i, p in enumerate(probs) if p >= epsilon or p == max(probs)}


def slow_eta(values, epsilon):
    probs = softmax(values)
    entropy = -sum(p * math.log(p) for p in probs)
    return slow_epsilon(values, min(epsilon, math.sqrt(epsilon) * math.exp(-entropy)))


def slow_mirostat(values, tau):
    bits = [-math.log2(p) for p in softmax(values)]
    return {i for i, b in enumerate(bits) if b <= 2 * tau or b == min(bits)}


REFERENCES = [
    *(("top_a", slow_top_a, v) for v in (0.05, 0.3, 1.0)),
    *(("top_n_sigma", slow_top_n_sigma, v) for v in (0.1, 0.7, 2.0)),
    *(("tfs_z", slow_tfs, v) for v in (0.1, 0.5, 0.9, 0.99)),
    *(("epsilon_cutoff", slow_epsilon, v) for v in (0.001, 0.05)),
    *(("eta_cutoff", slow_eta, v) for v in (0.001, 0.05)),
    *(("mirostat", slow_mirostat, v) for v in (0.5, 1.5, 3.0)),
]


@pytest.mark.parametrize(("name", "slow", "value"), REFERENCES)
def test_what_is_kept_is_what_the_definition_says(name, slow, value):
    for seed in range(10):
        logits = random_logits(4, V, seed)
        shaped = Processor(name, value)(logits, Context(torch.zeros(4, 1, dtype=torch.long)))
        for row in range(4):
            kept = set(shaped[row].isfinite().nonzero().flatten().tolist())
            assert kept == slow(logits[row].tolist(), value)


@pytest.mark.parametrize("settings", [(0.5, 1.0, 1.0), (0.7, 0.4, 0.7), (3.0, 2.0, 1.5)])
def test_dynatemp_is_that_of_llama_cpp(settings):
    spread, exponent, middle = settings
    for seed in range(5):
        values = random_logits(1, V, seed)[0]
        values[seed] = -torch.inf  # removed before: it does not count as a candidate
        left = [v for v in values.tolist() if v > -math.inf]
        entropy = -sum(p * math.log(p) for p in softmax(left))
        low, high = max(0.0, middle - spread), middle + spread
        warmth = low + (high - low) * (entropy / math.log(len(left))) ** exponent
        processor = Processor("dynatemp", spread, dynatemp_exponent=exponent, temperature=middle)
        torch.testing.assert_close(processor(values[None], where())[0], values / warmth)


def test_dynatemp_at_the_ends():
    even = torch.zeros(1, 8, dtype=torch.float64)
    even[0, 0] = 1e-9
    hot = Processor("dynatemp", 0.5)(even, where())
    torch.testing.assert_close(hot, even / 1.5)  # full entropy: 1 + 0.5
    sure = logits_of(1 - 3e-12, 1e-12, 1e-12, 1e-12)
    torch.testing.assert_close(Processor("dynatemp", 0.5)(sure, where()), sure / 0.5)


@pytest.mark.parametrize("curve", [1.0, 1.7, 3.0])
def test_smoothing_is_a_square_that_turns_into_a_cube(curve):
    logits = random_logits(1, V)
    shaped = Processor("smoothing", 0.4, smoothing_curve=curve)(logits, where())
    best = logits.max().item()
    for value, bent in zip(logits[0].tolist(), shaped[0].tolist(), strict=True):
        d = value - best
        square, cube = (3 - curve) / 2, (curve - 1) / 2
        assert bent == pytest.approx(best - 0.4 * square * d * d + 0.4 * cube * d**3)
    assert torch.equal(shaped.argsort(), logits.argsort())


# --- by hand


def test_top_k_keeps_exactly_k_of_tied_tokens_and_all_if_there_are_fewer():
    assert len(kept_by(Processor("top_k", 3), [0.1] * 10)) == 3
    assert kept_by(Processor("top_k", 1000), [0.5, 0.3, 0.2]) == [0, 1, 2]


def test_top_p_keeps_the_token_that_crosses_the_threshold():
    assert kept_by(Processor("top_p", 0.6), [0.5, 0.3, 0.2]) == [0, 1]
    assert kept_by(Processor("top_p", 0.49), [0.5, 0.3, 0.2]) == [0]
    assert kept_by(Processor("top_p", 0.01), [0.2, 0.5, 0.3]) == [1]
    assert kept_by(Processor("top_p", 0.45), [0.25, 0.25, 0.25, 0.25]) == [0, 1]


def test_min_p_keeps_what_is_likely_enough_beside_the_best():
    assert kept_by(Processor("min_p", 0.3), [0.5, 0.3, 0.14, 0.06]) == [0, 1]
    assert kept_by(Processor("min_p", 1.0), [0.4, 0.4, 0.2]) == [0, 1]


def test_typical_p_may_remove_the_most_likely_token():
    # 60 rare tokens carry the entropy (4.0 nats); theirs is -ln(0.8/60) = 4.3, the peak's 1.6.
    assert 0 not in kept_by(Processor("typical_p", 0.5), [0.2] + [0.8 / 60] * 60)


def test_top_a_squares_the_best_probability():
    # 0.5 * 0.5² = 0.125: 0.13 stays, 0.12 goes. Flatter, 0.5 * 0.3² = 0.045: all stay.
    assert kept_by(Processor("top_a", 0.5), [0.5, 0.25, 0.13, 0.12]) == [0, 1, 2]
    assert kept_by(Processor("top_a", 0.5), [0.3, 0.3, 0.2, 0.15, 0.05]) == [0, 1, 2, 3, 4]


def test_top_n_sigma_counts_deviations_from_the_best_logit():
    logits = torch.tensor([[4.0, 2.0, 0.0, -2.0, -4.0]])  # sigma = sqrt(8) = 2.83
    for n, kept in ((0.5, 1), (0.8, 2), (1.5, 3), (2.9, 5)):
        assert Processor("top_n_sigma", n)(logits, where()).isfinite().sum() == kept
        assert Processor("top_n_sigma", n)(logits / 7, where()).isfinite().sum() == kept
    logits = torch.cat((logits, torch.full((1, 9), -torch.inf)), dim=1)  # removed before
    assert Processor("top_n_sigma", 0.8)(logits, where()).isfinite().sum() == 2


def test_top_n_sigma_keeps_what_no_temperature_can_change():
    logits = random_logits(3, V)
    kept = Processor("top_n_sigma", 1.0)(logits, where()).isfinite()
    for warmth in (0.1, 0.5, 2.0, 5.0):
        warm = Processor("temperature", warmth)(logits, where())
        assert torch.equal(Processor("top_n_sigma", 1.0)(warm, where()).isfinite(), kept)


def test_tail_free_cuts_where_the_curve_stops_bending():
    # Sorted 0.4 0.3 0.2 0.05 0.05: slopes -0.1 -0.1 -0.15 0, bends 0 0.05 0.15, sums 0 0.25 1.
    probs = [0.4, 0.3, 0.2, 0.05, 0.05]
    assert kept_by(Processor("tfs_z", 0.2), probs) == [0, 1]
    assert kept_by(Processor("tfs_z", 0.3), probs) == [0, 1, 2]
    assert kept_by(Processor("tfs_z", 0.5), [0.25] * 4) == [0, 1, 2, 3]  # a line has no tail


def test_epsilon_keeps_the_best_even_below_the_bound():
    assert kept_by(Processor("epsilon_cutoff", 0.3), [0.4, 0.3, 0.2, 0.1]) == [0, 1]
    assert kept_by(Processor("epsilon_cutoff", 0.9), [0.4, 0.3, 0.3]) == [0]


def test_eta_sinks_with_the_entropy():
    # H of 16 equals is ln 16: sqrt(0.04) / 16 = 0.0125 < 1/16 keeps all, where epsilon 0.1 would
    # keep ties only; of (0.97, 0.03): H = 0.135, min(0.04, 0.2 · 0.87) = 0.04 > 0.03.
    assert len(kept_by(Processor("eta_cutoff", 0.04), [1 / 16] * 16)) == 16
    assert kept_by(Processor("eta_cutoff", 0.04), [0.97, 0.03]) == [0]


def test_top_h_by_hand():
    # -p ln p: 0.347 0.347 at 1/4, 0.347 at 1/2; together 1.04. Shares 1/3, 2/3, 1.
    assert kept_by(Processor("top_h", 0.3), [0.5, 0.25, 0.25]) == [0]
    assert kept_by(Processor("top_h", 0.7), [0.5, 0.25, 0.25]) == [0, 1]


def coin(value: float) -> Context:
    return where(uniform=lambda use: torch.tensor([[value]], dtype=torch.float64))


def test_xtc_removes_the_likely_tokens_but_the_last_of_them():
    xtc = Processor("xtc", 0.5, xtc_threshold=0.1)
    assert kept_by(xtc, [0.2, 0.4, 0.05, 0.3, 0.05], coin(0.49)) == [0, 2, 4]
    assert kept_by(xtc, [0.2, 0.4, 0.05, 0.3, 0.05], coin(0.5)) == [0, 1, 2, 3, 4]
    assert kept_by(xtc, [0.91, 0.04, 0.05], coin(0.0)) == [0, 1, 2]  # a lone likely one stays
    assert kept_by(xtc, [0.05] * 20, coin(0.0)) == list(range(20))


def test_xtc_strikes_as_often_as_it_is_told_to():
    generator = torch.Generator().manual_seed(0)
    coins = torch.rand(4000, 1, generator=generator, dtype=torch.float64)
    asked = []
    context = Context(
        torch.zeros(4000, 1, dtype=torch.long), uniform=lambda use: (asked.append(use), coins)[1]
    )
    shaped = Processor("xtc", 0.3)(logits_of(0.5, 0.3, 0.2).expand(4000, -1), context)
    struck = (shaped[:, 0] == -torch.inf).double().mean().item()
    assert struck == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / 4000))
    assert asked == ["xtc"]
    assert (shaped[:, 2].isfinite()).all()


def test_a_repeated_token_is_penalised_once():
    logits = torch.tensor([[2.0, -2.0, 1.0]])
    shaped = Processor("repetition_penalty", 2.0)(logits, where([0, 1, 0, 0]))
    assert torch.equal(shaped, torch.tensor([[1.0, -4.0, 1.0]]))


def test_presence_and_frequency_count_what_was_made_and_not_the_prompt():
    logits = torch.zeros(1, 5)
    context = where([4, 4, 1, 1, 2, 1], prompt_length=2)
    presence = Processor("presence_penalty", 0.5)(logits, context)
    assert torch.equal(presence, torch.tensor([[0.0, -0.5, -0.5, 0.0, 0.0]]))
    frequency = Processor("frequency_penalty", 0.5)(logits, context)
    assert torch.equal(frequency, torch.tensor([[0.0, -1.5, -0.5, 0.0, 0.0]]))


@pytest.mark.parametrize("seed", range(5))
def test_penalties_against_a_count_in_a_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(V, (4, 30), generator=generator)
    logits = random_logits(4, V, seed)
    context = Context(tokens, prompt_length=10)
    for name, weight in (("presence_penalty", lambda n: n > 0), ("frequency_penalty", lambda n: n)):
        shaped = Processor(name, 0.7)(logits, context)
        for row in range(4):
            counts = Counter(tokens[row, 10:].tolist())
            expected = [z - 0.7 * weight(counts[i]) for i, z in enumerate(logits[row].tolist())]
            assert shaped[row].tolist() == pytest.approx(expected)


# --- DRY


def slow_dry(tokens, multiplier, base, allowed, last_n, breakers):
    """Try every earlier place and every length; (token: penalty)."""
    if last_n >= 0:
        tokens = tokens[len(tokens) - min(last_n, len(tokens)) :]
    since = 0
    while since < len(tokens) and tokens[-1 - since] not in breakers:
        since += 1
    penalties = {}
    for place in range(1, len(tokens)):  # tokens[place] followed some run before
        n = 0
        while n < min(since, place) and tokens[place - 1 - n] == tokens[-1 - n]:
            n += 1
        if n >= allowed:
            penalty = multiplier * base ** (n - allowed)
            penalties[tokens[place]] = max(penalty, penalties.get(tokens[place], 0.0))
    return penalties


@pytest.mark.parametrize("n_symbols", [2, 3, 6])
@pytest.mark.parametrize("settings", [(0.8, 1.75, 2, 64), (2.0, 1.1, 1, -1), (1.0, 3.0, 4, 20)])
def test_dry_finds_what_a_search_by_brute_force_finds(settings, n_symbols):
    multiplier, base, allowed, last_n = settings
    processor = Processor(
        "dry", multiplier, dry_base=base, dry_allowed_length=allowed, dry_penalty_last_n=last_n,
        dry_sequence_breakers=":\n\"\\n\"",
    )  # fmt: skip
    symbols = [*range(n_symbols), CHARS.encode(":")[0]]
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        draws = torch.randint(0, 6 * len(symbols), (2, 50), generator=generator)
        tokens = draws.clamp(max=len(symbols) * 6 - 1) % (len(symbols) if seed % 2 else n_symbols)
        tokens = torch.tensor([[symbols[t] for t in row] for row in tokens.tolist()])
        logits = random_logits(2, CHARS.vocab_size, seed)
        shaped = processor(logits, Context(tokens, tokenizer=CHARS))
        for row in range(2):
            expected = logits[row].clone()
            found = slow_dry(
                tokens[row].tolist(), multiplier, base, allowed, last_n, CHARS.encode(":\n")
            )
            for token, penalty in found.items():
                expected[token] -= min(penalty, 1e9)
            torch.testing.assert_close(shaped[row], expected)


def dry_of(text: str, **settings) -> dict[str, float]:
    tokens = torch.tensor([CHARS.encode(text)])
    logits = torch.zeros(1, CHARS.vocab_size)
    shaped = Processor("dry", 1.0, dry_base=2.0, **settings)(
        logits, Context(tokens, tokenizer=CHARS)
    )
    return {CHARS.label(i): -z for i, z in enumerate(shaped[0].tolist()) if z}


def test_dry_by_hand():
    assert dry_of("abcdxabc") == {"d": 2.0}  # abc repeats: 1 · 2^(3 - 2)
    assert dry_of("bcdxxabc") == {"d": 1.0}  # bc repeats: 2^0
    assert dry_of("cdxxxabc") == {}  # c alone is free
    assert dry_of("abcd bce abc") == {"d": 2.0, "e": 1.0}
    assert dry_of("abcdxabc", dry_allowed_length=4) == {}
    assert dry_of("abcdxabc", dry_penalty_last_n=6) == {}  # cdxabc: ab is out of sight
    assert dry_of("abcdxabc", dry_penalty_last_n=7) == {"d": 1.0}


def test_dry_does_not_reach_over_a_breaker():
    assert dry_of("ab:cdx ab:cd", dry_allowed_length=1) == {"x": 2.0}  # only cd counts
    assert dry_of("ab:cdx ab:cd", dry_allowed_length=1, dry_sequence_breakers="") == {"x": 16.0}
    assert dry_of("ab:cdx ab:", dry_allowed_length=1) == {}
    lone = dry_of("abcdx abcd", dry_allowed_length=1, dry_sequence_breakers='"bc"')
    assert lone == {"x": 1.0}  # a breaker of several characters


def test_dry_grows_without_overflow():
    processor = Processor("dry", 5.0, dry_base=4.0, dry_penalty_last_n=-1)
    shaped = processor(torch.zeros(1, 3), where([0] * 3000))
    assert shaped[0].tolist() == [-1e9, 0.0, 0.0]


# --- mirostat


def test_mu_starts_at_twice_tau_and_moves_by_the_errors():
    # tau 1, eta 0.5; drawn with p = 1/2 (1 bit) and 1/8 (3 bits): mu = 2 - 0.5 · (0 + 2) = 1.
    probs = [0.5, 0.3, 0.15, 0.05]  # 1, 1.74, 2.74, 4.32 bits
    mirostat = Processor("mirostat", 1.0, mirostat_eta=0.5)
    assert kept_by(mirostat, probs) == [0, 1]

    def drawn(*drawn_probs: float) -> Context:
        logprobs = torch.tensor([drawn_probs]).log()
        return where([0] * (1 + len(drawn_probs)), logprobs=logprobs)

    assert kept_by(mirostat, probs, drawn(1 / 2, 1 / 8)) == [0]
    assert kept_by(mirostat, probs, drawn(1.0, 1.0)) == [0, 1, 2]  # mu = 2 + 0.5 · 2 = 3
    assert kept_by(mirostat, probs, drawn(1.0, 0.0, 1.0)) == [0, 1, 2]  # a forced one is no error
    assert kept_by(mirostat, probs, drawn(*[1 / 1024] * 50)) == [0]  # never the last one


@pytest.mark.parametrize("tau", [1.0, 2.0, 3.0])
def test_the_mean_surprise_approaches_tau(tau):
    generator = torch.Generator().manual_seed(0)
    rows, length = 16, 300
    mirostat = Processor("mirostat", tau)
    tokens = torch.zeros(rows, 1, dtype=torch.long)
    logprobs = torch.zeros(rows, 0, dtype=torch.float64)
    for _ in range(length):
        logits = 1.5 * torch.randn(rows, 60, generator=generator, dtype=torch.float64)
        shaped = mirostat(logits, Context(tokens, logprobs=logprobs)).log_softmax(-1)
        token = torch.multinomial(shaped.exp(), 1, generator=generator)
        tokens = torch.cat((tokens, token), dim=1)
        logprobs = torch.cat((logprobs, shaped.gather(1, token)), dim=1)
    bits = -logprobs / math.log(2)
    assert bits.mean().item() == pytest.approx(tau, abs=0.15)
    free = -(logits.log_softmax(-1).exp() * logits.log_softmax(-1)).sum(-1).mean() / math.log(2)
    assert free > tau + 0.5  # without it the surprise would be another


# --- lists of tokens


def test_lines_name_text_ids_and_sequences():
    logits = torch.zeros(1, CHARS.vocab_size)

    def biased(text: str, made: str = "x") -> dict[str, float]:
        context = Context(torch.tensor([CHARS.encode(made)]), tokenizer=CHARS)
        shaped = Processor("logit_bias", text)(logits, context)
        return {CHARS.label(i): z for i, z in enumerate(shaped[0].tolist()) if z}

    assert biased("a: 2\nb: -1.5") == {"a": 2.0, "b": -1.5}
    assert biased('#2: 1\n"\\n": 3\n:: 4\n : 5') == {"c": 1.0, "⏎": 3.0, ":": 4.0, "␣": 5.0}
    assert biased("the: 2", "xt") == {}
    assert biased("the: 2", "xth") == {"e": 2.0}
    assert biased("a: 2\n\na: 3\r") == {"a": 3.0}
    assert biased("#1 #0: 7", "b") == {"a": 7.0}


def test_bad_words_stop_before_their_last_token():
    logits = torch.zeros(1, CHARS.vocab_size)
    context = Context(torch.tensor([CHARS.encode("so the")]), tokenizer=CHARS)
    shaped = Processor("bad_words", "then\nx\nhem")(logits, context)
    removed = {CHARS.label(i) for i, z in enumerate(shaped[0].tolist()) if z == -math.inf}
    assert removed == {"n", "x", "m"}


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (Processor("logit_bias", "€: 1"), r"logit_bias cannot use '€'\. This model has never seen"),
        (Processor("bad_words", "#99"), "bad_words names token #99; this model has the tokens #0"),
        (Processor("suppress_tokens", "the"), "one token a line; 'the' is 3 tokens. Use bad_words"),
    ],
)
def test_what_a_tokenizer_cannot_name_is_refused(processor, message):
    from playground.decoding.processors import check

    with pytest.raises(ConfigError, match=message):
        check([processor], CHARS)


def test_text_without_a_tokenizer_is_refused_and_ids_are_not():
    with pytest.raises(ConfigError, match="without a tokenizer, give ids"):
        Processor("suppress_tokens", "a")(torch.zeros(1, 5), where())
    shaped = Processor("suppress_tokens", "#3\n#4")(torch.zeros(1, 5), where())
    assert shaped[0].isfinite().tolist() == [True] * 3 + [False] * 2


def test_banning_everything_bans_nothing():
    everything = "\n".join(f"#{i}" for i in range(5))
    assert Processor("suppress_tokens", everything)(torch.zeros(1, 5), where()).isfinite().all()
    ngram = Processor("no_repeat_ngram_size", 1)
    assert ngram(torch.zeros(1, 3), where([0, 1, 2])).isfinite().all()
