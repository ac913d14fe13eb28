"""Which texts are looked at: pasted ones, or samples that a model writes now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import streamlit as st

from playground.comparison import Comparison
from playground.decoding.presets import PRESETS
from playground.errors import ConfigError, PlaygroundError
from playground.registry import ModelCard
from playground.ui import evaluate_models as models
from playground.ui import resources
from playground.ui.controls import name_bad_number, name_strangers
from playground.ui.jobs import buttons, job, ticking

WRITE, PASTE = "Written now", "Pasted"
WAYS = ("greedy", "pure sampling", "temperature 0.7", "top-k 20", "nucleus 0.9", "min-p 0.1",
        "typical 0.9", "repetition penalty", "beam search")  # fmt: skip
MOST_SAMPLES, MOST_TOKENS = 16, 1000
MOST_IN_ALL = 8_000  # tokens of all samples
MAX_PASTED = 20_000  # characters


@dataclass(frozen=True)
class Texts:
    """Texts, and what is known of where they are from."""

    texts: tuple[str, ...]
    model: str = ""  # that wrote them; "": pasted
    way: str = ""


def choose(key: str, cards: dict[str, ModelCard], samples: int, length: int) -> Texts | None:
    """Let the visitor paste texts or have them written; None until there are some."""
    name_strangers(f"{key}_from", (WRITE, PASTE))
    source = st.segmented_control(
        "Which texts?", (WRITE, PASTE), default=WRITE, required=True, key=f"{key}_from",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    if source == PASTE:
        return _pasted(key)
    return _written(key, cards, samples, length)


def _pasted(key: str) -> Texts | None:
    text = st.text_area(
        "Texts, with an empty line between two", key=f"{key}_pasted", height=220,
        max_chars=MAX_PASTED, placeholder="Paste one text, or several",
    )  # fmt: skip
    found = tuple(part.strip() for part in text.split("\n\n") if part.strip())
    if not found:
        st.caption("Nothing is pasted yet.")
        return None
    return Texts(found)


def _written(key: str, cards: dict[str, ModelCard], samples: int, length: int) -> Texts | None:
    model = models.model_select(f"{key}_model", cards)
    name_strangers(f"{key}_way", WAYS)
    way = st.selectbox("Way to decode", WAYS, WAYS.index("pure sampling"), key=f"{key}_way",
                       bind="query-params")  # fmt: skip
    prompt = st.text_input("Prompt", key=f"{key}_prompt", bind="query-params", max_chars=500,
                           placeholder="empty: from the start token alone")  # fmt: skip
    with st.container(horizontal=True):
        name_bad_number(f"{key}_samples", 1, MOST_SAMPLES)
        samples = st.number_input("Samples", 1, MOST_SAMPLES, samples, key=f"{key}_samples",
                                  bind="query-params")  # fmt: skip
        name_bad_number(f"{key}_length", 1, MOST_TOKENS)
        length = st.number_input("Tokens of each", 1, MOST_TOKENS, length, key=f"{key}_length",
                                 bind="query-params")  # fmt: skip
        name_bad_number(f"{key}_seed", 0, 2**31)
        seed = st.number_input("Seed", 0, 2**31, 0, key=f"{key}_seed", bind="query-params")
    written = job(f"{key}_texts")
    identity = (model, way, prompt, int(samples), int(length), int(seed))

    def begin() -> None:
        try:
            parts = write(cards, *identity)
            written.begin(identity, parts, int(length))
        except PlaygroundError as error:
            written.refuse(str(error))

    buttons(written, "Write", partial(begin), f"{key}_write")
    ticking(written, lambda: None, "tokens of each")
    if not written.found or written.going is not None:
        return None
    if written.identity != identity:
        st.caption(":material/update: The settings have changed since. Press Write for new texts.")
    return Texts(tuple(texts_of(written.found[-1])), written.identity[0], written.identity[1])


def write(
    cards: Mapping[str, ModelCard], model: str, way: str, prompt: str, samples: int, length: int,
    seed: int,
) -> Iterator[Comparison]:  # fmt: skip
    """Return what writes samples of a model, all of them a token further at each step.

    Raises:
        PlaygroundError: before any work, if the model cannot be used or that is too much.
    """
    if samples * length > MOST_IN_ALL:
        raise ConfigError(
            f"{samples} samples of {length} tokens are {samples * length:,}; at most "
            f"{MOST_IN_ALL:,} are written here at once. Take fewer or shorter ones."
        )

    def load(name: str) -> resources.Loaded:
        return models.load(cards[name])

    spec = PRESETS[way].but(samples=samples)
    comparison = Comparison(
        [spec], prompt, model=model, load=load, seed=seed, max_new_tokens=length, slide=True
    )
    return _advancing(comparison)


def _advancing(comparison: Comparison) -> Iterator[Comparison]:
    going = True
    while going:
        going = comparison.advance()
        yield comparison


def texts_of(comparison: Comparison) -> list[str]:
    """Return the samples as text, the prompt left out; different ones of a way without chance."""
    decode: Callable = comparison.tokenizer.decode
    start = len(comparison.prompt)
    (result,) = comparison.results()
    return [decode(trace.tokens[start:]) for trace in result.traces]
