"""What can be trained from the page: the families of `train.text` and their sizes.

A page may not import `train`, so this is a table of its own; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIZES = ("small", "medium", "large")
COUNTED_AT = 100  # tokens of the vocabulary for which parameters are told


@dataclass(frozen=True)
class Size:
    """Flags of train.text, and the parameters they come to at a vocabulary of COUNTED_AT."""

    flags: str
    parameters: int
    per_token: int  # parameters more for a token more

    def parameters_at(self, vocab_size: int) -> int:
        """Return the parameters with a vocabulary of that size."""
        return self.parameters + (vocab_size - COUNTED_AT) * self.per_token


@dataclass(frozen=True)
class Family:
    """What a page says and asks of one family."""

    title: str
    summary: str
    sizes: Mapping[str, Size]
    own: tuple[str, ...] = ()  # numbers that may be set freely instead of a size, of NUMBERS


@dataclass(frozen=True)
class Number:
    """A whole number that a visitor may set: its name, its range, where it begins."""

    label: str
    least: int
    most: int
    default: int


NUMBERS: Mapping[str, Number] = {
    "--n-layer": Number("Layers", 1, 12, 2),
    "--n-head": Number("Attention heads", 1, 16, 4),
    "--n-embd": Number("Width", 8, 512, 128),
    "--n-hidden": Number("Width of the hidden state", 8, 2048, 256),
    "--order": Number("Order (tokens, the next one counted)", 2, 8, 5),
}
CELL_NUMBERS = ("--n-layer", "--n-embd", "--n-hidden")
GATED = {  # sizes of cells with gates
    "small": "--n-layer 1 --n-embd 64 --n-hidden 192",
    "medium": "--n-layer 1 --n-embd 128 --n-hidden 384",
    "large": "--n-layer 2 --n-embd 128 --n-hidden 512",
}


def _sizes(flags: Mapping[str, str], *counts: tuple[int, int]) -> dict[str, Size]:
    counted = zip(flags.items(), counts, strict=True)
    return {name: Size(text, *count) for (name, text), count in counted}


FAMILIES: Mapping[str, Family] = {
    "transformer": Family(
        "Transformer", "Weighs every token of its window by attention.",
        _sizes(
            {
                "small": "--n-layer 4 --n-head 4 --n-embd 64",
                "medium": "--n-layer 4 --n-head 4 --n-embd 128",
                "large": "--n-layer 4 --n-head 4 --n-embd 256",
            },
            (203_584, 64), (800_384, 128), (3_173_632, 256),
        ),
        ("--n-layer", "--n-head", "--n-embd"),
    ),
    "causal-conv": Family(
        "Causal convolution", "Gated, dilated convolutions over what came before.",
        _sizes(
            {
                "small": "--n-layer 6 --n-embd 64",
                "medium": "--n-layer 8 --n-embd 128",
                "large": "--n-layer 10 --n-embd 192",
            },
            (179_648, 64), (933_504, 128), (2_605_632, 192),
        ),
        ("--n-layer", "--n-embd"),
    ),
    "lstm": Family(
        "LSTM", "One memory of fixed size, with gates that keep and forget.",
        _sizes(GATED, (216_996, 65), (851_684, 129), (3_494_628, 129)), CELL_NUMBERS,
    ),
    "gru": Family(
        "GRU", "A memory of fixed size with two gates.",
        _sizes(GATED, (167_460, 65), (654_308, 129), (2_640_612, 129)), CELL_NUMBERS,
    ),
    "rnn": Family(
        "Vanilla RNN", "A memory without gates: what is long ago fades.",
        _sizes(
            {
                "small": "--n-layer 1 --n-embd 64 --n-hidden 384",
                "medium": "--n-layer 2 --n-embd 128 --n-hidden 512",
                "large": "--n-layer 2 --n-embd 256 --n-hidden 1024",
            },
            (203_940, 65), (932_580, 129), (3_700_068, 257),
        ),
        CELL_NUMBERS,
    ),
    "neural-ngram": Family(
        "Neural n-gram", "A network over the embeddings of the last six tokens.",
        _sizes(
            {
                "small": "--n-embd 48 --n-hidden 512",
                "medium": "--n-embd 96 --n-hidden 1024",
                "large": "--n-embd 256 --n-hidden 2048",
            },
            (232_868, 849), (760_548, 1697), (3_531_876, 3841),
        ),
        ("--order", "--n-embd", "--n-hidden"),
    ),
    "ngram": Family(
        "n-gram", "Counts what followed the last tokens: a matter of seconds.",
        _sizes({"small": "--order 3", "medium": "--order 5", "large": "--order 7"}, *3 * [(0, 0)]),
        ("--order",),
    ),
}  # fmt: skip
