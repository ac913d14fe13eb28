"""What the tests of processors share: a setting or more of every kind, logits and contexts."""

from __future__ import annotations

import torch

from playground.decoding.context import Context
from playground.decoding.processors import PROCESSORS, Processor
from playground.tokenizers.text import BPETokenizer

PAIRS = BPETokenizer.train(['the cat sat on the mat, then the hat. a man ate that {"a": 1}'], 280)
V = PAIRS.vocab_size
START = [PAIRS.bos_token, *PAIRS.encode("I:")]
WORDS = ["the cat", "a man a", "xyxyxyx", "ha ha h", "mat mat"]


def tokens_of(word: str) -> list[int]:
    return [PAIRS.encode(c)[0] for c in word]


ROWS = torch.tensor([START + tokens_of(word) for word in WORDS])  # (5, 3 + 7)
SETTINGS: list[Processor] = [
    Processor("logit_bias", f'#5: -3\nt: 2.5\n#{PAIRS.eos_token}: -100\n"a ": 1\n#120 #121: 9'),
    *(Processor("repetition_penalty", v) for v in (0.5, 1.2, 3.0)),
    Processor("repetition_penalty", 1.3, penalty_last_n=2),
    *(Processor("presence_penalty", v) for v in (-2.0, 0.5, 2.0)),
    *(Processor("frequency_penalty", v) for v in (-1.0, 0.3, 2.0)),
    Processor("dry", 0.8),
    Processor("dry", dry_multiplier=5.0, dry_base=4.0, dry_allowed_length=1, dry_penalty_last_n=-1),
    *(Processor("no_repeat_ngram_size", n) for n in (1, 2, 3, 20)),
    Processor("bad_words", ' the\ncat\n#7\n"a man"'),
    Processor("min_length", 10),
    Processor("min_length", 4000),
    Processor("min_new_tokens", 7),
    Processor("min_new_tokens", 8),
    Processor("choice", "the cats\na man ate\nxyxyxyx\nha ha ha"),
    Processor("regex", "[a-z ]+[.]?"),
    Processor("json_schema", '{"type": "integer"}'),
    Processor("exponential_decay_length_penalty", 1.5, start_index=3),
    Processor("exponential_decay_length_penalty", 2.0),
    Processor("suppress_tokens", f"e\n#{PAIRS.eos_token}"),
    Processor("smoothing", 0.3),
    Processor("smoothing", 2.0, smoothing_curve=3.0),
    *(Processor("temperature", v) for v in (0.05, 0.5, 1.5, 5.0)),
    Processor("dynatemp", 0.5),
    Processor("dynatemp", 5.0, dynatemp_exponent=0.3, temperature=0.7),
    *(Processor("top_n_sigma", v) for v in (0.01, 1.0, 3.0)),
    *(Processor("top_h", v) for v in (0.01, 0.4, 1.0)),
    *(Processor("top_k", v) for v in (1, 2, 10, 1000)),
    *(Processor("top_p", v) for v in (0.01, 0.1, 0.5, 0.9, 0.999)),
    *(Processor("min_p", v) for v in (0.01, 0.1, 0.5, 1.0)),
    *(Processor("typical_p", v) for v in (0.01, 0.2, 0.5, 0.95)),
    *(Processor("epsilon_cutoff", v) for v in (0.0003, 0.01, 0.9)),
    *(Processor("eta_cutoff", v) for v in (0.0003, 0.01, 0.9)),
    *(Processor("top_a", v) for v in (0.01, 0.2, 1.0)),
    *(Processor("tfs_z", v) for v in (0.01, 0.5, 0.95)),
    Processor("xtc", 1.0, xtc_threshold=0.0),
    Processor("xtc", 0.5, xtc_threshold=0.05),
    Processor("mirostat", 3.0),
    Processor("mirostat", 1.0, mirostat_eta=1.0),
]
assert {p.name for p in SETTINGS} == set(PROCESSORS)


def random_logits(rows: int = 5, vocab_size: int = V, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(rows, vocab_size, generator=generator, dtype=torch.float64)


def context(rows: slice | list[int] = slice(None), seed: int = 0) -> Context:
    """Return the context of some of the five rows; what is random belongs to the row."""
    generator = torch.Generator().manual_seed(seed)
    logprobs = -3 * torch.rand(5, 7, generator=generator, dtype=torch.float64)
    logprobs[1, 2] = -torch.inf  # a token that was forced although removed
    coins = torch.rand(5, 1, generator=generator, dtype=torch.float64)
    return Context(
        ROWS[rows],
        prompt_length=3,
        logprobs=logprobs[rows],
        eos_token=PAIRS.eos_token,
        tokenizer=PAIRS,
        uniform=lambda use: coins[rows],
    )


def one(name: str) -> torch.Tensor:
    """Return logits (1, V) of a hard case."""
    return HARD[name].clone()


def _at(base: float, **values: float) -> torch.Tensor:
    logits = torch.full((1, V), base)
    for token, value in values.items():
        logits[0, int(token[1:])] = value
    return logits


HARD = {
    "all equal": _at(0.0),
    "all but one removed": _at(-torch.inf, t7=1.0),
    "all but the end removed": _at(-torch.inf, **{f"t{PAIRS.eos_token}": -2.0}),
    "all but two removed": _at(-torch.inf, t7=1.0, t9=-1.0),
    "one certain": _at(0.0, t7=1e4),
    "two tied": _at(0.0, t7=5.0, t9=5.0),
    "very negative": _at(-1e30),
    "very large": _at(1e30, t3=2e30),
    "far apart": torch.linspace(-1e4, 1e4, V)[None],
    "removed and tied": _at(-torch.inf, **{f"t{i}": 0.0 for i in range(90, 110)}),
}
