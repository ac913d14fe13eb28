"""What can be trained from the page: the families of `train.text`, their sizes and their options.

A page may not import `train`, so this is a table of its own; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from playground.models.recurrent import CONNECTIONS
from playground.models.transformer import POSITIONS

SIZES = ("small", "medium", "large")
WINDOWS = "--context-length 128 --batch-size 16"
COUNTED_AT = 100  # tokens of the vocabulary for which parameters are told


@dataclass(frozen=True)
class Size:
    """Flags of train.text, and the parameters they come to at a vocabulary of COUNTED_AT."""

    flags: str
    parameters: int


@dataclass(frozen=True)
class Family:
    """What a page says and asks of one family; `options` are of OPTIONS, by their flags."""

    title: str
    summary: str
    sizes: Mapping[str, Size]
    options: tuple[str, ...] = ()
    own: tuple[str, ...] = ()  # numbers that may be set freely instead of a size, of NUMBERS


@dataclass(frozen=True)
class Number:
    """A whole number that a visitor may set: its name, its range, where it begins."""

    label: str
    least: int
    most: int
    default: int


OPTIONS: Mapping[str, tuple[str, ...]] = {  # flag: what it may be, the default first
    "--positions": POSITIONS,
    "--connection": CONNECTIONS,
    "--layer-norm": ("no", "yes"),
}
NUMBERS: Mapping[str, Number] = {
    "--n-layer": Number("Layers", 1, 12, 2),
    "--n-head": Number("Attention heads", 1, 16, 4),
    "--n-embd": Number("Width", 8, 512, 128),
    "--n-hidden": Number("Width of the hidden state", 8, 2048, 256),
    "--order": Number("Order (tokens, the next one counted)", 2, 8, 5),
}
CELL = ("--layer-norm", "--connection")
CELL_NUMBERS = ("--n-layer", "--n-embd", "--n-hidden")
GATED = {  # sizes of cells with gates
    "small": "--n-layer 1 --n-embd 64 --n-hidden 192",
    "medium": "--n-layer 1 --n-embd 128 --n-hidden 384",
    "large": "--n-layer 2 --n-embd 128 --n-hidden 512",
}


def _sizes(flags: Mapping[str, str], *parameters: int) -> dict[str, Size]:
    counted = zip(flags.items(), parameters, strict=True)
    return {name: Size(text, count) for (name, text), count in counted}


FAMILIES: Mapping[str, Family] = {
    "transformer": Family(
        "Transformer", "Weighs every token of its window by attention.",
        _sizes(
            {
                "small": "--n-layer 4 --n-head 4 --n-embd 64",
                "medium": "--n-layer 4 --n-head 4 --n-embd 128",
                "large": "--n-layer 4 --n-head 4 --n-embd 256",
            },
            203_584, 800_384, 3_173_632,
        ),
        ("--positions",), ("--n-layer", "--n-head", "--n-embd"),
    ),
    "causal-conv": Family(
        "Causal convolution", "Gated, dilated convolutions over what came before.",
        _sizes(
            {
                "small": "--n-layer 6 --n-embd 64",
                "medium": "--n-layer 8 --n-embd 128",
                "large": "--n-layer 10 --n-embd 192",
            },
            179_648, 933_504, 2_605_632,
        ),
        (), ("--n-layer", "--n-embd"),
    ),
    "lstm": Family(
        "LSTM", "One memory of fixed size, with gates that keep and forget.",
        _sizes(GATED, 216_996, 851_684, 3_494_628), CELL, CELL_NUMBERS,
    ),
    "gru": Family(
        "GRU", "A memory of fixed size with two gates.",
        _sizes(GATED, 167_460, 654_308, 2_640_612), CELL, CELL_NUMBERS,
    ),
    "rnn": Family(
        "Vanilla RNN", "A memory without gates: what is long ago fades.",
        _sizes(
            {
                "small": "--n-layer 1 --n-embd 64 --n-hidden 384",
                "medium": "--n-layer 2 --n-embd 128 --n-hidden 512",
                "large": "--n-layer 2 --n-embd 256 --n-hidden 1024",
            },
            203_940, 932_580, 3_700_068,
        ),
        CELL, CELL_NUMBERS,
    ),
    "neural-ngram": Family(
        "Neural n-gram", "A network over the embeddings of the last six tokens.",
        _sizes(
            {
                "small": "--n-embd 48 --n-hidden 512",
                "medium": "--n-embd 96 --n-hidden 1024",
                "large": "--n-embd 256 --n-hidden 2048",
            },
            232_868, 760_548, 3_531_876,
        ),
        (), ("--order", "--n-embd", "--n-hidden"),
    ),
    "ngram": Family(
        "n-gram", "Counts what followed the last tokens; there is nothing to wait for.",
        _sizes({"small": "--order 3", "medium": "--order 5", "large": "--order 7"}, 0, 0, 0),
        (), ("--order",),
    ),
}  # fmt: skip
