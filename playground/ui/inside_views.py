"""Lenses on one decision: what heads read, what mattered, and what each layer would have said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from playground.decoding.window import dropped_tokens
from playground.inspection.attention import MATRIX_TOKENS, Overview, matrix
from playground.inspection.logit_lens import Lens, logit_lens
from playground.inspection.rollout import rollout
from playground.inspection.saliency import saliency
from playground.models.conditioned import without_wrappers
from playground.traces.trace import Step
from playground.ui import actions, inside_charts, inside_data, state, views
from playground.ui.controls import plain
from playground.ui.inside_components import head_grid, lens_table, matrix_map, token_arcs
from playground.ui.inside_data import START, arcs_data, head_name, looked, strongest_of
from playground.ui.resources import Loaded
from playground.ui.state import Session

ARCS, MATRIX, ROLLOUT = "arcs", "matrix of a head", "through all layers"
ROLLOUT_SHOWN, SALIENCY_SHOWN = 512, 512  # newest tokens that are read for it
NEXT = "the token that comes next"


@dataclass(frozen=True)
class Seen:
    """What a lens looks at: one position of one visitor's text."""

    session: Session
    loaded: Loaded
    step: Step  # the decision at the cursor

    @property
    def prefix(self) -> tuple[int, ...]:
        return self.session.stepper.prefix

    @property
    def model(self) -> Any:
        return self.session.stepper.model

    @property
    def first(self) -> int:
        """Position of the oldest token after BOS that the model still sees."""
        return 1 + dropped_tokens(len(self.prefix), self.model.context_length)

    @property
    def field(self) -> int | None:
        """Tokens that the model's receptive field holds, None if nothing bounds what it reads."""
        return getattr(without_wrappers(self.model), "receptive_field", None)

    def label(self, token: int) -> str:
        return self.loaded.tokenizer.label(token)

    def names(self, tokens: tuple[int, ...]) -> list[str]:
        """Return the names of the newest tokens."""
        of_start = len(tokens) == len(self.prefix)
        return [START if of_start and i == 0 else self.label(t) for i, t in enumerate(tokens)]


def attention(seen: Seen) -> None:
    """Draw where all heads look, and one of them or their mean large."""
    session = seen.session
    found = inside_data.attention_seen(session)
    n_layer, n_head, _ = found.row.shape
    head = inside_data.chosen_head(session, n_layer, n_head)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        how = st.segmented_control(
            "How to draw it", [ARCS, MATRIX, ROLLOUT], default=ARCS, required=True,
            key="inside_attention", label_visibility="collapsed",
        )  # fmt: skip
        st.button("Mean of all heads", key="mean_of_heads", type="tertiary", disabled=head is None,
                  on_click=forget_head, args=(session,))  # fmt: skip
    left, right = st.columns([2, 3], gap="large")
    with left:
        head_grid(
            key="maps",
            data=inside_data.grid_data(
                n_layer, n_head, inside_data.bins_of(found.row), inside_data.overview_tips(found),
                chosen=head, title="All heads",
                facts="Each box is one head: the oldest token at its left, the newest at its "
                "right. Click one to enlarge it.",
                scale=inside_data.rests_aside(found.row),
            ),
            on_head_change=lambda: choose_head(session, "maps"),
        )  # fmt: skip
    with right:
        if how == MATRIX:
            files = _matrix(seen, head or (session.layer, session.head))
        elif how == ROLLOUT:
            files = _rollout(seen)
        else:
            files = _arcs(seen, found, head)
    views.offer(
        files
        | {"All heads (JSON)": ("attention.json", lambda: attention_json(seen, found, seen.label))},
        seen.loaded.card.name,
    )


def _arcs(seen: Seen, found: Overview, head: tuple[int, int] | None) -> views.Files:
    weights = inside_data.weights_of(found, len(seen.prefix), head)
    facts = "The text before the cursor; arcs lead to the strongest. Click a token to look from it."
    return _tokens(seen, weights, f"Where the last token looks: {head_name(head)}", "attention",
                   facts=facts, says="looked at with")  # fmt: skip


def _rollout(seen: Seen) -> views.Files:
    def make() -> np.ndarray:
        return rollout(seen.model, seen.prefix, ROLLOUT_SHOWN).over(len(seen.prefix))

    weights = looked(seen.session, "rollout", make)
    facts = (
        "Attention of all layers multiplied, heads averaged, half of each for the stream that "
        "passes by (rollout: Abnar & Zuidema 2020): along which paths a token could have come here."
    )
    return _tokens(seen, weights, "Connected through all layers", "rollout", facts=facts,
                   says="connected with", newest=ROLLOUT_SHOWN)  # fmt: skip


def mattered(seen: Seen) -> None:
    """Draw how much a small change of each token would change the choice."""
    step = seen.step

    def make() -> np.ndarray:
        return saliency(seen.model, seen.prefix, step.token, SALIENCY_SHOWN)

    weights = looked(seen.session, ("saliency", step.token), make)
    name = seen.label(step.token)
    facts = f"The length of the gradient of log p({name}) by each token's embedding."
    newest, field = SALIENCY_SHOWN, seen.field
    if field is not None and field < min(newest, len(seen.prefix)):
        facts += f" The receptive field holds the newest {field} tokens: no other can matter."
        newest = None
    views.offer(
        _tokens(seen, weights, f"What mattered to {name}", "saliency", unit="plain", facts=facts,
                says="gradient", newest=newest, field=field),
        seen.loaded.card.name,
    )  # fmt: skip


def _tokens(
    seen: Seen,
    weights: np.ndarray,
    title: str,
    name: str,
    *,
    facts: str,
    says: str,
    unit: str = "percent",
    newest: int | None = None,
    field: int | None = None,
) -> views.Files:
    """Draw tokens with arcs, and return what offers them."""
    first = seen.first if field is None else max(seen.first, len(seen.prefix) - field)
    if unit == "percent" and weights[0] > strongest_of(weights):
        facts += (
            f" The start token, where heads rest, has {weights[0]:.0%}; colours are of the rest."
        )
    if newest is not None and len(seen.prefix) > newest:
        facts += f" The newest {newest} tokens are read."
        first = max(first, len(seen.prefix) - newest)
    data = arcs_data(seen.prefix, seen.loaded.tokenizer, weights, title=title, facts=facts,
                     says=says, unit=unit, first=first)  # fmt: skip
    token_arcs(key=f"read_{name}", data=data,
               on_go_change=lambda: _go(seen.session, f"read_{name}"))  # fmt: skip

    def table() -> str:
        pairs = zip(seen.prefix, seen.names(seen.prefix), weights, strict=True)
        return inside_data.table_csv(
            [
                {"position": i, "token": token, "label": label, name: float(weight)}
                for i, (token, label, weight) in enumerate(pairs)
            ]
        )

    def chart():
        return inside_charts.tokens_chart(data["texts"], data["weights"], data["arcs"], title)

    return views.chart_files(name.capitalize(), chart) | {
        f"{name.capitalize()} (CSV)": (f"{name}.csv", table)
    }


def _matrix(seen: Seen, head: tuple[int, int]) -> views.Files:
    def make() -> np.ndarray:
        return matrix(seen.model, seen.prefix, *head)

    weights = looked(seen.session, ("matrix", head), make)
    shown = weights[-inside_data.MATRIX_SHOWN :, -inside_data.MATRIX_SHOWN :]
    names = seen.names(seen.prefix[-len(weights) :] if len(weights) < len(seen.prefix)
                       else seen.prefix)  # fmt: skip
    title = f"Layer {head[0] + 1}, head {head[1] + 1}: each row is a token"
    could = len(seen.prefix) - seen.first + 1  # BOS stays in every window
    matrix_map(key="inside_matrix",
               data=inside_data.matrix_data(shown, names[-len(shown) :], title, could))  # fmt: skip

    def chart():
        return inside_charts.matrix_chart(weights, names, title, could)

    def table() -> str:
        return inside_data.plain_json(
            {"layer": head[0], "head": head[1], "tokens": names, "weights": weights.round(6)}
        )

    newest = f"newest {inside_charts.MATRIX_DRAWN}, " if len(shown) > inside_charts.MATRIX_DRAWN \
        else ""  # fmt: skip
    files = views.chart_files("Matrix", chart)
    return {title.replace("(", f"({newest}"): file for title, file in files.items()} | {
        f"Matrix (JSON, newest {min(MATRIX_TOKENS, len(weights))})": ("matrix.json", table)
    }


def attention_json(seen: Seen, found: Overview, label: Callable[[int], str]) -> str:
    window = (seen.prefix[0], *seen.prefix[found.first :])
    return inside_data.plain_json(
        {
            "tokens": list(window),
            "labels": [START, *map(label, window[1:])],
            "first_position": found.first,
            "weights": found.row.round(6),
        }
    )


def layers(seen: Seen) -> None:
    """Draw what each layer finds likeliest, and how a token rises through the layers."""
    prefix, step = seen.prefix, seen.step

    inner, stepper = without_wrappers(seen.model), seen.session.stepper

    def make() -> Lens:
        n_layer = len(inside_data.layer_names(inner, 0))
        newest = inside_data.lens_columns(n_layer, inner.vocab_size)
        return logit_lens(seen.model, prefix, step.token, newest, stepper.state)

    lens = looked(seen.session, ("lens", step.token), make)
    names = inside_data.layer_names(inner, len(lens.top))
    last = len(lens.followed) - 1
    chosen = seen.session.seen[1].get("lens_column", last)
    data = inside_data.lens_data(lens, names, seen.label, prefix, chosen)
    rows = inside_data.lens_rows(lens, names, chosen, seen.label)
    left, right = st.columns([3, 2], gap="large")
    with left:
        lens_table(key="inside_lens", data=data,
                   on_column_change=lambda: _choose_column(seen.session, lens))  # fmt: skip
    with right:
        token = data["followed"][chosen]
        verb = "followed" if chosen < last or not seen.session.stepper.at_end else "comes next"
        st.markdown(f"**How {plain(token)}, which {verb}, rises through the layers**")
        st.vega_lite_chart(
            pd.DataFrame(rows), inside_charts.as_spec(inside_charts.rank_chart([{}])),
            key="inside_ranks", width="stretch",
            alt=f"Rank of {token} after each layer: " + ", ".join(str(r["rank"]) for r in rows),
        )  # fmt: skip
    files = views.chart_files("Layers", lambda: inside_charts.lens_chart(data))
    files |= views.chart_files("Ranks", lambda: inside_charts.rank_chart(rows))
    every = _lens_rows(seen, lens, names)
    files["Layers (CSV)"] = ("layers.csv", lambda: inside_data.table_csv(every()))
    views.offer(files, seen.loaded.card.name)


def _lens_rows(seen: Seen, lens: Lens, names: list[str]) -> Callable[[], list[dict]]:
    def rows() -> list[dict]:
        return [
            {"position": lens.first + column} | row
            for column in range(len(lens.followed))
            for row in inside_data.lens_rows(lens, names, column, seen.label)
        ]

    return rows


def _go(session: Session, key: str) -> None:
    """Look from the token that was clicked: the cursor stands behind it."""
    position = (state.event(key, "go") or {}).get("position")
    if isinstance(position, int | float):
        actions.go_to(session, min(int(position), len(session.stepper.tokens)))


def choose_head(session: Session, key: str) -> None:
    chosen = state.event(key, "head") or {}
    session.layer, session.head = int(chosen.get("layer", 0)), int(chosen.get("head", 0))
    session.head_is_chosen = True


def forget_head(session: Session) -> None:
    session.head_is_chosen = False


def _choose_column(session: Session, lens: Lens) -> None:
    position = (state.event("inside_lens", "column") or {}).get("position", 0)
    column = int(position) - lens.first
    if session.seen and 0 <= column < len(lens.followed):
        session.seen[1]["lens_column"] = column
