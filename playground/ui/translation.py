"""A text about another one: what an encoder-decoder translates or summarises, and where it looks.

The source is the model's condition; what is written is stepped like any text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
import torch

from playground.errors import PromptError
from playground.models.base import ARModel, device_of
from playground.models.conditioned import Conditioned, unwrapped
from playground.models.pretrained_seq2seq import PretrainedSeq2Seq
from playground.models.pretrained_source import Source
from playground.ui import inside_charts, inside_data, state, views
from playground.ui.controls import MAX_PROMPT, name_strangers
from playground.ui.inside_components import head_grid, token_arcs
from playground.ui.inside_data import head_name, looked
from playground.ui.inside_views import Seen, choose_head, forget_head
from playground.ui.resources import Loaded, turn
from playground.ui.text_setting import Beginning

EXAMPLE = "The house is wonderful."
NO_TASK = "none: the text as it is"
MAX_TASKS = 20  # of a config, and letters of one
MAX_PREFIX = 100


@dataclass
class Kept:
    """The source that one visitor's model has read, so that a rerun does not read it again."""

    of: tuple = ()  # model and tokens
    source: Source | None = None


def has_source(model: Any) -> bool:
    """True if the model, or the one inside of what binds it, is told another text."""
    return isinstance(unwrapped(model)[0], PretrainedSeq2Seq)


def begin(loaded: Loaded) -> tuple[ARModel, Beginning]:
    """Write the source, and how the text about it begins; return the model told it.

    Raises:
        PromptError: the source is too long for the page or for the model.
    """
    tokenizer = loaded.tokenizer
    text = st.text_area(
        "Text to translate or summarise", EXAMPLE, key="source", bind="query-params", height=120,
        help="The model's encoder reads it once, all of it; what is written is about it.",
    )  # fmt: skip
    if len(text) > MAX_PROMPT:
        raise PromptError(
            f"The text has {len(text):,} characters; at most {MAX_PROMPT:,} are read. Shorten it, "
            "or work through it part by part."
        )
    prefix = _task(tasks_of(loaded.model.config))
    read, written = _languages(tokenizer)
    first = st.text_input(
        "What is written begins with", "", key="begin", bind="query-params", max_chars=1000,
        help="Tokens that are given, not chosen. Empty: the model begins.",
    )  # fmt: skip
    source = source_of(loaded, tokenizer.encode_source(prefix + text, read))
    bos = tokenizer.bos_token
    excluded = () if bos == tokenizer.eos_token else (bos,)  # the end may follow, a start may not
    start = (tokenizer.languages[written],) if written else tokenizer.start
    begin = Beginning(
        (source.tokens, start, first),
        text or " ",
        lambda: (*start, *tokenizer.encode(first)),
    )
    return Conditioned(loaded.model, source, excluded), begin


def source_of(loaded: Loaded, tokens: Sequence[int]) -> Source:
    """Return what the encoder makes of a source; a visitor's last one is kept."""
    kept = st.session_state.setdefault("_source", Kept())
    of = (loaded.card.name, id(loaded.model), tuple(tokens))
    if kept.of != of:
        with turn():
            kept.source = loaded.model.encode(tokens)
        kept.of = of
    return kept.source


def tasks_of(config: Any) -> dict[str, str]:
    """Return the tasks that a model was trained for, and what a source of each begins with.

    T5 (Raffel et al. 2020, arXiv:1910.10683) is told what to do in words before the source; its
    config lists them.
    """
    told = getattr(config, "task_specific_params", None)
    found = {}
    for name, settings in list(told.items())[:MAX_TASKS] if isinstance(told, dict) else ():
        prefix = settings.get("prefix") if isinstance(settings, dict) else None
        if isinstance(prefix, str) and 0 < len(prefix) <= MAX_PREFIX:
            found[str(name)[:MAX_PREFIX].replace("_", " ")] = prefix
    return found


def _task(tasks: dict[str, str]) -> str:
    """Choose what the source begins with, where the model knows tasks."""
    if not tasks:
        return ""
    names = [*tasks, NO_TASK]
    if state.value("task") not in (None, *names):
        state.forget_widget("task")
    name_strangers("task", names)
    name = st.selectbox(
        "Task", names, key="task", bind="query-params",
        help="What the model is told to do, in words before the text, as it was trained.",
    )  # fmt: skip
    prefix = tasks.get(name, "")
    if prefix:
        st.caption(f"The model reads “{prefix.strip()} …”.")
    return prefix


def _languages(tokenizer: Any) -> tuple[str, str]:
    """Choose the languages of both texts, where the tokenizer names some."""
    names = list(getattr(tokenizer, "languages", {}))
    if len(names) < 2:
        return "", ""
    for key in ("from", "to"):
        if state.value(key) not in (None, *names):
            state.forget_widget(key)
        name_strangers(key, names)
    left, right = st.columns(2)
    default = {token: name for name, token in tokenizer.languages.items()}
    to = default.get(tokenizer.start[0]) if tokenizer.start else None
    english = next((i for i, name in enumerate(names) if name.strip("_").startswith("en")), 0)
    read = left.selectbox("From", names, english, key="from", bind="query-params")
    index = names.index(to) if to in names else 0
    written = right.selectbox("To", names, index, key="to", bind="query-params")
    return read, written


# -- where it looks in the source ------------------------------------------------------------------


@torch.inference_mode()
def weights_of(model: ARModel, prefix: Sequence[int]) -> np.ndarray:
    """Return how every head weighs the source (n_layer, n_head, S) before the next decision."""
    inner, source = unwrapped(model)
    tokens = torch.tensor([list(prefix)], device=device_of(inner))
    rows = inner.cross_attention_rows(tokens, source, len(prefix) - 1)
    return rows[:, 0, :, 0].float().cpu().numpy()


def look(seen: Seen) -> None:
    """Draw the source, coloured by how the heads weigh it, and all heads small."""
    session, tokenizer = seen.session, seen.loaded.tokenizer
    _, source = unwrapped(seen.model)
    found = looked(session, "source", lambda: weights_of(seen.model, seen.prefix))
    n_layer, n_head, _ = found.shape
    head = inside_data.chosen_head(session, n_layer, n_head)
    weights = found.mean(axis=(0, 1)) if head is None else found[head]
    names = [tokenizer.label(token) for token in source.tokens]
    data = strip_data(source.tokens, tokenizer, weights, head_name(head))
    left, right = st.columns([2, 3], gap="large")
    with left:
        head_grid(
            key="source_heads",
            data=inside_data.grid_data(
                n_layer, n_head, inside_data.bins_of(found), head_tips(found, names), chosen=head,
                title="All heads on the source",
                facts="Each box is one head: the source's first token at its left, the last at "
                "its right. Click one to enlarge it.",
            ),
            on_head_change=lambda: choose_head(session, "source_heads"),
        )  # fmt: skip
        st.button("Mean of all heads", key="mean_of_source_heads", type="tertiary",
                  disabled=head is None, on_click=forget_head, args=(session,))  # fmt: skip
    with right:
        token_arcs(key="source_strip", data=data)
    _offer(seen, found, weights, names, data)


def strip_data(
    tokens: Sequence[int], tokenizer: Any, weights: np.ndarray, heads: str
) -> dict[str, Any]:
    """Return what `token_arcs` draws of a source: its tokens, coloured by `weights` (S,)."""
    texts = [inside_data.drawn(token, tokenizer) for token in tokens]
    names = {text: tokenizer.label(token) for text, token in zip(texts, tokens, strict=True)}
    strongest = int(np.argmax(weights))
    return {
        "texts": texts, "names": {t: n for t, n in names.items() if t != n},
        "weights": [round(float(w), 6) for w in weights], "arcs": [], "first": 0, "source": True,
        "title": f"Where in the source it looks: {heads}",
        "facts": f"For the decision at the cursor; most at {texts[strongest].strip()} "
        f"({weights[strongest]:.0%}).",
        "says": "looked at with", "unit": "percent", "leads": False,
        "low": "none", "high": "strongest",
        "alt": f"The source, {len(texts)} tokens; the strongest is {texts[strongest]!r} at "
        f"position {strongest + 1}. Arrow keys read.",
    }  # fmt: skip


def head_tips(found: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return what is said of each head, layer by layer: the token that it weighs most."""
    rows = found.reshape(-1, found.shape[-1])
    return [f"most at {names[int(row.argmax())]}, {row.max():.0%}" for row in rows]


def _offer(
    seen: Seen, found: np.ndarray, weights: np.ndarray, names: Sequence[str], data: dict
) -> None:
    def table() -> str:
        rows = zip(names, weights, strict=True)
        return inside_data.table_csv(
            [{"position": i + 1, "token": n, "weight": float(w)} for i, (n, w) in enumerate(rows)]
        )

    def chart() -> Any:
        return inside_charts.tokens_chart(data["texts"], data["weights"], [], data["title"])

    def every() -> str:
        return inside_data.plain_json({"source": list(names), "weights": found.round(6)})

    files = views.chart_files("Source", chart)
    files |= {"Source (CSV)": ("source.csv", table), "All heads (JSON)": ("source.json", every)}
    views.offer(files, seen.loaded.card.name)
