"""The widgets that make the one lane of a stepper; each is bound to the address bar.

They are made from the tables of the core. A processor beyond the usual three is on if it was
chosen from the list, or if the link sets it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from playground.decoding.kinds import Parameter
from playground.decoding.lane import Lane
from playground.decoding.offered import TEXTS, Offer
from playground.decoding.processors import (
    LLAMA_CPP_ORDER,
    PROCESSORS,
    TRANSFORMERS_ORDER,
    Processor,
    check,
    in_order,
)
from playground.decoding.strategy_catalogue import STRATEGIES, make_strategy
from playground.ui import state
from playground.ui.controls import name_bad_number, name_strangers, plain

USUAL = ("temperature", "top_k", "top_p")
SLIDER_HIGH = {"temperature": 2.0, "top_k": 100}
SINGLE = tuple(name for name, kind in STRATEGIES.items() if kind.is_single)
ORDERS = {"transformers": TRANSFORMERS_ORDER, "llama.cpp": LLAMA_CPP_ORDER}
ORDER_HELP = (
    "Each processor changes what the next one sees. **transformers**: temperature, then the "
    "filters. **llama.cpp**: the filters, then temperature, so a high temperature lets in no "
    "token that was cut. **by hand**: the order in which you choose them."
)


def key_of(processor: str, parameter: Parameter) -> str:
    """Return what a link calls a parameter: its own name unless two processors share it."""
    first = PROCESSORS[processor].parameters[0]
    if parameter is not first and parameter.name in PROCESSORS:
        return f"{processor}_{parameter.name}"
    return parameter.name


def lane_controls(
    tokenizer: Any,
    kin: Sequence[str] = (),
    draft_of: Callable[[str], Any] | None = None,
    offer: Offer = TEXTS,
) -> Lane:
    """Choose strategy, processors, their order and the seed.

    `kin` names the models that share the tokens of the chosen one; `draft_of` loads one of them.

    Raises:
        ConfigError: settings do not fit each other, or the tokenizer.
    """
    _name_refused(offer)
    strategy = _strategy(kin, draft_of, offer)
    values = {(name, name): _slider(name) for name in USUAL}
    chosen = [*USUAL, *_more(offer)]
    processors = [Processor(name, values[name, name]) for name in USUAL]
    processors += [_processor(name, offer) for name in chosen if name not in USUAL]
    processors = _ordered([p for p in processors if not p.is_off])
    check(processors, tokenizer)
    name_bad_number("seed", 0, 2**31)
    seed = st.number_input(
        "Seed", 0, 2**31, 0, key="seed", bind="query-params",
        help="The same seed, settings and beginning give the same tokens.",
    )  # fmt: skip
    return Lane(strategy, processors, seed=int(seed))


def _name_refused(offer: Offer) -> None:
    """Say so if the link sets what means nothing for these tokens, and take it out."""
    for name, why in offer.refused.items():
        if name in PROCESSORS and _is_linked(name):
            state.tell(f"The link sets {name}, which does nothing here: {why}")
            for key in {key_of(name, p) for p in PROCESSORS[name].parameters}:
                st.query_params.pop(key, None)


def _strategy(kin: Sequence[str], draft_of: Callable[[str], Any] | None, offer: Offer):
    single = [name for name in SINGLE if name in offer.strategies]
    name_strangers("strategy", single)
    name = st.pills(
        "Strategy", single, default="sample", required=True, key="strategy",
        bind="query-params",  # which holds what is shown, so the names are those of the code
        help="  \n".join(f"**{plain(n)}**: {STRATEGIES[n].effect} {plain(STRATEGIES[n].source)}"
                         for n in single)
        + "  \nBeam search and others that keep several at once are on the Compare page.",
    )  # fmt: skip
    kind = STRATEGIES[name]
    settings = {p.name: _widget(p, f"{name}_{p.name}", p.default) for p in kind.parameters}
    draft_name = ""
    if kind.needs == "draft":
        name_strangers("draft", kin)
        draft_name = st.selectbox(
            "Draft", kin, key="draft", bind="query-params",
            placeholder="No other model shares these tokens",
            help="A smaller model with the same tokens, which guesses ahead.",
        )  # fmt: skip
    draft = draft_of(draft_name) if draft_name else None
    return make_strategy(name, draft=draft, draft_name=draft_name or "", **settings)


def _slider(name: str) -> float:
    kind = PROCESSORS[name]
    number = int if kind.is_whole else float
    limits = (kind.low, SLIDER_HIGH.get(name, kind.high), kind.off, kind.step)
    low, high, off, step = (number(limit) for limit in limits)
    name_bad_number(name, low, high)
    return st.slider(
        name, low, high, off, step, key=name, bind="query-params",
        help=f"{kind.effect}  \nRange {low} to {high}; {off} changes nothing.  \n{kind.source}",
    )  # fmt: skip


def _more(offer: Offer) -> list[str]:
    """Choose among the other processors; those that the link sets are chosen already."""
    others = [name for name in offer.processors if name not in USUAL]
    state.begin_widget("more", [name for name in others if _is_linked(name)])
    groups = "penalties, filters" if offer.refused else "penalties, filters, constraints"
    return st.multiselect(
        "More processors", others, key="more", on_change=_switch_on,
        format_func=lambda n: f"{n} · {PROCESSORS[n].group}",
        placeholder=f"{groups} …",
        help="  \n".join(f"**{n}**: {PROCESSORS[n].effect}" for n in others),
    )  # fmt: skip


def _is_linked(name: str) -> bool:
    return any(key_of(name, p) in st.query_params for p in PROCESSORS[name].parameters)


def _switch_on() -> None:
    """Give a processor that was just chosen a telling value; one that was dropped has none."""
    for name, kind in PROCESSORS.items():
        key = key_of(name, kind.parameters[0])
        if name in USUAL:
            continue
        if name not in state.value("more"):
            state.forget_widget(key)
        elif state.value(key) is None:
            state.set_widget(key, kind.start)


def _processor(name: str, offer: Offer) -> Processor:
    """Draw the widgets of one processor; what is text is only asked for where tokens are text."""
    kind = PROCESSORS[name]
    asked = [p for p in kind.parameters if offer is TEXTS or not p.is_text]
    with st.container(border=True):
        st.caption(f"**{plain(name)}**: {plain(kind.effect)} {plain(kind.source)}")
        values = {p.name: _widget(p, key_of(name, p), p.default) for p in asked}
    return Processor(name, **values)


def _widget(parameter: Parameter, key: str, value: Any) -> Any:
    """Draw the widget that fits a parameter and return what it holds."""
    label, p = parameter.name.replace("_", " "), parameter
    if set(p.options) == {True, False}:
        return st.toggle(label, bool(value), key=key, help=p.help, bind="query-params")
    if p.is_text:
        return st.text_area(label, value, key=key, help=p.help or None, height=80,
                            max_chars=int(p.high), bind="query-params")  # fmt: skip
    number = int if p.is_whole else float
    low, high = number(p.low), number(p.high)
    step = max(1, int(p.step)) if p.is_whole else float(p.step)
    digits = "%d" if p.is_whole else f"%.{max(1, -math.floor(math.log10(step)))}f"
    name_bad_number(key, low, high)
    told = f"{p.help} From {low:g} to {high:g}; default {p.default:g}.".strip()
    return st.number_input(label, low, high, number(value), step, key=key, format=digits,
                           help=told, bind="query-params")  # fmt: skip


def _ordered(processors: list[Processor]) -> tuple[Processor, ...]:
    """Choose the order of application, once there is anything to order."""
    if len(processors) < 2:
        return tuple(processors)
    options = [*ORDERS, "by hand"]
    name_strangers("order", options)
    order = st.segmented_control(
        "Order of the processors", options, default=options[0], required=True, key="order",
        bind="query-params", help=ORDER_HELP,
    )  # fmt: skip
    names = [p.name for p in processors]
    if order in ORDERS:
        ordered = in_order(processors, ORDERS[order])
        st.caption(" → ".join(plain(p.name) for p in ordered))
        return ordered
    by_hand = st.multiselect(
        "Applied in this order", names, names, key="by_hand", bind="query-params",
        help="Clear the list and choose the processors anew, in your order.",
    )  # fmt: skip
    rest = [name for name in names if name not in by_hand]
    return in_order(processors, [*by_hand, *rest])
