"""Widgets of the Compare page's sidebar that the link is bound to; what is wrong in it is noted."""

from __future__ import annotations

import streamlit as st

from playground.comparison.conditions import classes_of
from playground.decoding.spec import ANY
from playground.ui import compare_state as state
from playground.ui.resources import Loaded


def class_choice(loaded: Loaded) -> str:
    """Choose the class of all lanes, ANY for none; empty where the model knows none."""
    names = classes_of(loaded)
    if not names:
        return ""
    return choice(
        "class", "Class", [ANY, *names], names[0], "What every model that knows classes is told "
        f"to make; “{ANY}”: nothing. The pencil of a lane gives it a class of its own.",
    )  # fmt: skip


def choice(
    key: str, label: str, options: list[str], default: str | None = None, help: str | None = None,
    format_func=str,
) -> str:  # fmt: skip
    asked = st.query_params.get(key)
    if asked is not None and asked not in options:
        state.tell(
            f"The link names the {key} “{asked[:60]}”, which cannot be chosen here; the default "
            f"is shown instead. Known: {', '.join(options[:8])}."
        )
    index = options.index(default) if default in options else 0
    return st.selectbox(label, options, index, key=key, bind="query-params", help=help,
                        format_func=format_func)  # fmt: skip


def number(key: str, label: str, low: int, high: int, default: int, help: str) -> float:
    name_bad_number(key, low, high)
    return st.number_input(label, low, high, default, key=key, bind="query-params", help=help)


def name_bad_number(key: str, low: int, high: int) -> None:
    asked = st.query_params.get(key)
    if asked is not None:
        try:
            fits = low <= float(asked) <= high
        except ValueError:
            fits = False
        if not fits:
            state.tell(
                f"The link sets {key} to “{asked[:60]}”; it must be a number from {low} to "
                f"{high}. The default is used instead."
            )
