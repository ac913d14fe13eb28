"""What a model keeps of the text: the State and what it weighs, and the units of recurrent ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from playground.errors import PromptError
from playground.inspection.cache import Held, held
from playground.inspection.recurrent import (
    PROPERTIES,
    Internals,
    Trackers,
    at_tokens,
    internals,
    trackers,
)
from playground.ui import inside_charts, inside_data, state, views
from playground.ui.controls import plain
from playground.ui.inside_components import matrix_map
from playground.ui.inside_data import looked, pack
from playground.ui.inside_views import Seen
from playground.ui.resources import turn

UNITS_SHOWN = 64  # rows of the heat map: those that move most
TOKENS_SHOWN = 160  # newest tokens of it
PROPERTY_TOKENS = 1000  # newest tokens that a property is looked for in
GROWS = "It grows with every token: attention looks back at all of them."
FIXED = "It has one size, however long the text: all that was read is in the same numbers."
SAYS = {  # what a gate does where it is open, and where it is shut
    "input gate": "1 writes the new value to the cell, 0 keeps it out.",
    "forget gate": "1 keeps what the cell held, 0 clears it.",
    "output gate": "1 tells what the cell holds, 0 hides it.",
    "reset gate": "1 makes the new value with regard to the past, 0 of the token alone.",
    "update gate": "1 keeps the output before, 0 takes the new value.",
}
SHARED = "Branches and undone steps share it, and copy only what they add."


def memory(seen: Seen) -> None:
    """Tell what the State before the cursor holds, part by part, and how it grows."""
    with turn():
        found = held(seen.session.stepper.state)
    limit = seen.model.context_length
    columns = st.columns(4)
    columns[0].metric("holds now", size(found.used), help=f"After {found.length:,} tokens.")
    columns[1].metric(
        "set aside",
        size(found.reserved),
        help="Memory grows in steps, so that a token need not copy what was.",
    )
    columns[2].metric("one more token", size(found.per_token) if found.per_token else "nothing")
    if limit is not None and found.per_token:
        columns[3].metric(f"full context, {limit:,} tokens", size(found.at(limit)))
    else:
        columns[3].metric("any length", size(found.used) if not found.per_token else "grows on")
    rows, growth = memory_rows(found), memory_growth(found, limit)
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", key="inside_memory")
    st.caption(
        " ".join([GROWS if found.per_token else FIXED, SHARED if found.is_shared else ""]).strip()
    )
    if found.per_token:
        st.vega_lite_chart(
            pd.DataFrame(growth), inside_charts.as_spec(inside_charts.memory_chart([{}])),
            key="inside_growth", width="stretch",
            alt=f"{size(found.used)} after {found.length} tokens, {size(growth[-1]['bytes'])} "
            f"after {growth[-1]['tokens']}",
        )  # fmt: skip
    files: views.Files = {
        "Memory (CSV)": ("memory.csv", lambda: inside_data.table_csv(rows)),
    }
    files |= views.chart_files("Memory", lambda: inside_charts.memory_chart(growth))
    views.offer(files, seen.loaded.card.name)


def size(count: int) -> str:
    """Return bytes as they are read."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return (
                f"{count:,.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.3g} {unit}"
            )
        count /= 1000
    return f"{count:.3g} GB"


def memory_rows(found: Held) -> list[dict]:
    """Return one row a kind of number that a State holds."""
    return [
        {
            "what": part.name,
            "layers": part.layers,
            "each": " × ".join(map(str, part.shape)),
            "numbers": part.dtype,
            "bytes": part.used,
            "bytes a layer": part.used // part.layers,
            "a token adds": part.per_token,
        }
        for part in found.parts
    ]


def memory_growth(found: Held, limit: int | None) -> list[dict]:
    """Return bytes after so many tokens, up to the full context."""
    end = max(found.length, limit or 4 * found.length, 2)
    lengths = sorted({1, found.length, *np.linspace(1, end, 33).astype(int).tolist()})
    return [{"tokens": n, "bytes": found.at(n), "now": n == found.length} for n in lengths]


def recurrent(seen: Seen) -> None:
    """Draw what units hold over time, and the unit that goes along with a property."""

    def make() -> Internals:
        return internals(seen.model, seen.prefix, PROPERTY_TOKENS)

    found = looked(seen.session, "internals", make)
    kinds = list(found.values)
    n_layer, T, _ = found.values[kinds[0]].shape
    with st.container(horizontal=True):
        kind = _one_of("What is shown", kinds, kinds[0], "inside_kind")
        layer = _one_of("Layer", list(range(1, n_layer + 1)), n_layer, "inside_layer") - 1
    values = found.values[kind]
    left, right = st.columns([3, 2], gap="large")
    names = seen.names(seen.prefix[found.first :])
    with left:
        order = np.argsort(-values[layer].std(axis=0), kind="stable")[:UNITS_SHOWN]
        _units(seen, values[layer][-TOKENS_SHOWN:], names[-TOKENS_SHOWN:], order, kind, layer)
    with right:
        tracked = _tracker(seen, found, kind, names)
    rows = [
        {"position": found.first + t, "token": names[t], "unit": int(u) + 1,
         "value": float(values[layer, t, u])}
        for t in range(max(0, T - TOKENS_SHOWN), T) for u in order
    ]  # fmt: skip

    def chart():
        shown = values[layer][-TOKENS_SHOWN:, order].T
        return inside_charts.units_chart(shown, names[-TOKENS_SHOWN:], f"{kind}, layer {layer + 1}")

    files = views.chart_files("Units", chart)
    files["Units (CSV)"] = ("units.csv", lambda: inside_data.table_csv(rows))
    views.offer(files | tracked, seen.loaded.card.name)


def _one_of(label: str, options: list, default: str | int, key: str) -> Any:
    """Let one of `options` be chosen, where there are several."""
    if state.value(key) not in (None, *options):
        state.forget_widget(key)  # the last model had another one
    if len(options) == 1:
        return default
    return st.segmented_control(label, options, default=default, required=True, key=key)


def _units(
    seen: Seen, values: np.ndarray, names: list[str], order: np.ndarray, kind: str, layer: int
) -> None:
    shown = values[:, order].T  # (units, tokens)
    both = bool(shown.min(initial=0) < 0)
    most = float(np.abs(shown).max(initial=1e-6)) if kind == "cell" else 1.0
    low = -most if both else 0.0
    matrix_map(
        key="inside_units",
        data={
            "rows": len(order), "columns": len(names), "square": False, "both": both,
            "min": low, "max": most, "values": pack(shown, low, most), "column_names": names,
            "row_names": [f"unit {u + 1}" for u in order], "row": None,
            "x": f"the newest {len(names)} tokens →", "y": "units",
            "low": f"{low:.3g}", "high": f"{most:.3g}",
            "title": f"{kind} of layer {layer + 1} over time",
            "facts": f"The {len(order)} of {values.shape[1]} units that move most."
            + (f" {SAYS[kind]}" if kind in SAYS else ""),
            "hint": "Point at a cell to read it.",
            "alt": f"{kind} of {len(order)} units over {len(names)} tokens. Arrow keys read.",
        },
    )  # fmt: skip


def _tracker(seen: Seen, found: Internals, kind: str, names: list[str]) -> views.Files:
    """Choose a property, and draw the unit that goes along with it best."""
    tokenizer = seen.loaded.tokenizer
    tokens = seen.prefix[found.first :]
    pieces = [tokenizer.decode([t]) if found.first + i else "" for i, t in enumerate(tokens)]
    ends = np.cumsum([len(piece) for piece in pieces])
    known = {name: at_tokens(tell("".join(pieces)), ends) for name, tell in PROPERTIES.items()}
    changing = [name for name, values in known.items() if values.std() > 0]
    if not changing:
        st.info("Nothing that could be tracked changes in this text. Take a longer one.")
        return {}
    if state.value("inside_property") not in (None, *changing):
        state.forget_widget("inside_property")  # it is the same everywhere in this text
    asked = st.selectbox("The unit that tracks", changing, key="inside_property")
    wanted = known[asked]

    def make() -> Trackers:
        return trackers(found.values[kind], wanted)

    try:
        told = looked(seen.session, ("trackers", kind, asked), make)
    except PromptError as error:
        st.info(plain(str(error)))
        return {}
    best, chance = told.units[0], float(told.chance.max())
    st.markdown(
        f"Unit {best.unit + 1} of layer {best.layer + 1}: correlation **{best.correlation:+.2f}**; "
        f"chance reaches {chance:.2f}. "
        + ("That is beyond chance." if told.is_beyond_chance else "That is no more than chance.")
    )
    rows = inside_charts.tracker_rows(
        found.values[kind][best.layer, :, best.unit], wanted, names, found.first, TOKENS_SHOWN
    )
    st.vega_lite_chart(
        pd.DataFrame(rows), inside_charts.as_spec(inside_charts.tracker_chart([{}], asked)),
        key="inside_tracker", width="stretch",
        alt=f"Unit {best.unit + 1} beside {asked}, correlation {best.correlation:+.2f}",
    )  # fmt: skip
    others = ", ".join(f"{u.unit + 1} of layer {u.layer + 1} ({u.correlation:+.2f})"
                       for u in told.units[1:])  # fmt: skip
    constant = [name for name in PROPERTIES if name not in changing]
    st.caption(
        f"Next best: {others}. Chance is the best of all units with the property shifted in time."
        + (f" The same everywhere in this text: {', '.join(constant)}." if constant else "")
    )
    files = views.chart_files("Tracker", lambda: inside_charts.tracker_chart(rows, asked))
    return files | {"Tracker (CSV)": ("tracker.csv", lambda: inside_data.table_csv(rows))}
