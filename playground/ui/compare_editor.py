"""The dialog that edits one lane: strategy, processors and their order, combined models.

Every widget is made from the tables of the core. After each change the whole lane is read from
the widgets again, so settings that must fit each other can be changed one after the other; until
they fit, the lane stays as it was and the dialog says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from playground.decoding.kinds import Parameter
from playground.decoding.processors import (
    LLAMA_CPP_ORDER,
    PROCESSORS,
    TRANSFORMERS_ORDER,
    Processor,
    in_order,
)
from playground.decoding.spec import ANY, MAX_LABEL, MAX_SAMPLES, MAX_WORDS, LaneSpec
from playground.decoding.strategy_catalogue import STRATEGIES
from playground.errors import ConfigError, PlaygroundError
from playground.ui import compare_actions as actions
from playground.ui import compare_state as state
from playground.ui import controls
from playground.ui.compare_combinations import settings_of
from playground.ui.compare_controls import strategy_help
from playground.ui.compare_data import COMBINED
from playground.ui.compare_state import NONE, CompareSession, Entry

ORDERS = {
    "transformers'": TRANSFORMERS_ORDER,
    "llama.cpp's": LLAMA_CPP_ORDER,
}
ORDER_HELP = (
    "Processors are applied one after the other. **transformers** sets the temperature before it "
    "cuts the tail, **llama.cpp** after it: with a temperature above 1 the first keeps more "
    "tokens. The arrows make an order of your own."
)
GROUPS = ("temperature", "truncation", "penalties", "bias", "constraint")  # the usual ones first
AS_PAGE = "as the page"


def lane_dialog(
    session: CompareSession, entry: Entry, kin: list[str], classes: Sequence[str] = (),
    speaks: bool = False,
) -> None:  # fmt: skip
    """Open the dialog of a lane; closing it draws the page again."""
    shown = st.dialog(
        "Change this lane", width="large", on_dismiss=lambda: actions.close_editor(session)
    )
    shown(_body)(session, entry, kin, classes, speaks)


def _body(
    session: CompareSession, entry: Entry, kin: list[str], classes: Sequence[str], speaks: bool
) -> None:
    if session.editing != entry.number or entry not in session.entries:
        st.rerun()
    form = Form(session, entry)
    if session.edit_problem:
        st.error(f"{controls.plain(session.edit_problem)} The lane is as it was before.")
    left, right = st.columns(2, gap="large")
    with left:
        _what(form, kin, classes, speaks)
    with right:
        _processors(form)
    at = session.entries.index(entry)
    with st.container(horizontal=True):
        st.button("Done", type="primary", key="lane.done", on_click=actions.close_editor,
                  args=(session,))  # fmt: skip
        st.button("Duplicate", icon=":material/content_copy:", key="lane.duplicate",
                  on_click=actions.duplicate, args=(session, entry))  # fmt: skip
        st.button("Remove", icon=":material/delete:", key="lane.remove",
                  on_click=actions.remove, args=(session, entry))  # fmt: skip
        st.button("Move left", icon=":material/arrow_back:", key="lane.left", disabled=at == 0,
                  on_click=actions.move, args=(session, entry, -1))  # fmt: skip
        st.button("Move right", icon=":material/arrow_forward:", key="lane.right",
                  disabled=at == len(session.entries) - 1,
                  on_click=actions.move, args=(session, entry, 1))  # fmt: skip


class Form:
    """The widgets of one lane: what they are called, and the lane that they say."""

    def __init__(self, session: CompareSession, entry: Entry):
        self.session, self.entry = session, entry

    @property
    def spec(self) -> LaneSpec:
        return self.entry.spec

    def key(self, *parts: str) -> str:
        return ".".join(("lane", str(self.entry.number), *parts))

    def value(self, *parts: str, otherwise: Any) -> Any:
        return state.widget(self.key(*parts), otherwise)

    def apply(self, processors: tuple[Processor, ...] | None = None) -> None:
        """Read the lane from its widgets; one that does not fit is told and not taken."""
        session = self.session
        session.edit_problem = ""
        try:
            self.entry.spec = self.read(processors)
        except PlaygroundError as error:
            session.edit_problem = str(error)

    def read(self, processors: tuple[Processor, ...] | None = None) -> LaneSpec:
        spec, value = self.spec, self.value
        label = value("label", otherwise=spec.label)
        if label in self.session.labels(besides=self.entry):
            raise ConfigError(f"There is another {label!r} already. Choose another name.")
        strategy = value("strategy", otherwise=spec.strategy)
        combination = value("combination", otherwise=spec.combination or NONE)
        combination = "" if combination == NONE else combination
        own = spec.settings if strategy == spec.strategy else {}
        mixed = spec.combination_settings if combination == spec.combination else {}
        if processors is None:
            processors = tuple(
                Processor(
                    p.name, **self._values("processor", p.name, p.kind.parameters, p.settings)
                )
                for p in spec.processors
            )
        return LaneSpec(
            label=label,
            strategy=strategy,
            settings=self._values("strategy", strategy, STRATEGIES[strategy].parameters, own),
            processors=processors,
            samples=int(value("samples", otherwise=spec.samples)),
            model=self._model("model", spec.model),
            combination=combination,
            combination_settings=self._values(
                "combination", combination, self.settings_of(combination), mixed
            ),
            second=self._model("second", spec.second),
            words=value("words", otherwise=spec.words),
            condition=self._class(spec.condition),
        )

    def settings_of(self, combination: str) -> tuple[Parameter, ...]:
        return settings_of(combination, self.session.kind.name)

    def _class(self, otherwise: str | int) -> str | int:
        name = self.value("class", otherwise=None)
        return otherwise if name is None else "" if name == AS_PAGE else name

    def _model(self, which: str, otherwise: str) -> str:
        name = self.value(which, otherwise=otherwise or AS_PAGE)
        return "" if name == AS_PAGE else name

    def _values(self, *where_parameters_given: Any) -> dict[str, Any]:
        where, name, parameters, given = where_parameters_given
        found = {}
        for parameter in parameters:
            known = given.get(parameter.name, parameter.default)
            value = self.value(where, name, parameter.name, otherwise=known)
            if value is None:
                value = known
            if not parameter.is_text and not parameter.options:
                value = int(value) if parameter.is_whole else float(value)
            if value != parameter.default or parameter.name in given:
                found[parameter.name] = value
        return found


def _what(form: Form, kin: list[str], classes: Sequence[str], speaks: bool) -> None:
    """Name, strategy with its settings, samples, the class or text, and the models."""
    spec, offer = form.spec, form.session.kind.offer
    st.text_input("Name", spec.label, MAX_LABEL, key=form.key("label"), on_change=form.apply)
    names = _with(offer.strategies, spec.strategy)
    strategy = st.selectbox(
        "Strategy", names, names.index(spec.strategy), key=form.key("strategy"),
        format_func=lambda name: name.replace("_", " "), on_change=form.apply,
    )  # fmt: skip
    st.caption(strategy_help(strategy))
    own = spec.settings if strategy == spec.strategy else {}
    _parameters(form, "strategy", strategy, STRATEGIES[strategy].parameters, own)
    if STRATEGIES[strategy].needs == "words":
        st.text_area(
            "Words that must come, one a line", spec.words, max_chars=MAX_WORDS,
            key=form.key("words"), on_change=form.apply, height=80,
            placeholder="and the\nheaven", help="Blanks count: a byte-pair model has other tokens "
            "for “ peace” than for “peace”.",
        )  # fmt: skip
    st.number_input("Samples", 1, MAX_SAMPLES, spec.samples, key=form.key("samples"),
                    on_change=form.apply, help="Of this lane.")  # fmt: skip
    if classes:
        options = _with((AS_PAGE, ANY, *classes), str(spec.condition) or AS_PAGE)
        st.selectbox("Class of this lane", options, options.index(str(spec.condition) or AS_PAGE),
                     key=form.key("class"), on_change=form.apply)  # fmt: skip
    elif speaks:
        st.text_input("Text of this lane", str(spec.condition), MAX_LABEL, key=form.key("class"),
                      on_change=form.apply, help=f"Empty: as the page. “{ANY}”: it is told "
                      "nothing.")  # fmt: skip
    options = _with((NONE, *offer.combinations), spec.combination or NONE)
    combination = st.selectbox(
        "Combined with", options, options.index(spec.combination or NONE),
        key=form.key("combination"), on_change=form.apply,
        format_func=lambda name: name.replace("_", " "),
        help="Changes the model itself, so it works with every strategy.",
    )  # fmt: skip
    if combination != NONE:
        st.caption(
            controls.plain(COMBINED[combination][:1].upper() + COMBINED[combination][1:] + ".")
        )
    mixed = spec.combination_settings if combination == spec.combination else {}
    _parameters(form, "combination", combination, form.settings_of(combination), mixed)
    if spec.needs_second:
        _model(form, "second", "Second model of this lane", spec.second, kin)
    if kin:
        _model(form, "model", "Model of this lane", spec.model, kin)


def _with(offered: Sequence[str], chosen: str) -> list[str]:
    """Return what is offered, and what a link has chosen besides: a run says why it cannot be."""
    return list(dict.fromkeys((*offered, chosen)))


def _model(form: Form, which: str, label: str, chosen: str, kin: list[str]) -> None:
    options = list(dict.fromkeys((AS_PAGE, *kin, *filter(None, [chosen]))))
    st.selectbox(label, options, options.index(chosen or AS_PAGE), key=form.key(which),
                 on_change=form.apply)  # fmt: skip


def _processors(form: Form) -> None:
    """The processors in their order, and a list to add one from."""
    chosen = form.spec.processors
    st.markdown("**Processors, in the order of their application**")
    if len(chosen) > 1:
        now = _order_of(chosen)
        st.segmented_control(
            "Order", [*ORDERS, "by hand"], default=now, key=form.key("order", now),
            help=ORDER_HELP, on_change=_sort, args=(form, form.key("order", now)),
        )  # fmt: skip
    if not chosen:
        st.caption("None: the strategy sees the model's own distribution.")
    for at, processor in enumerate(chosen):
        _processor(form, at, processor)
    names = [p.name for p in chosen]
    offered = form.session.kind.offer.processors
    free = [n for group in GROUPS for n in offered if PROCESSORS[n].group == group
            and n not in names]  # fmt: skip
    st.selectbox(
        "Add a processor", free, index=None, key=form.key("add"), on_change=_add, args=(form,),
        format_func=lambda n: f"{PROCESSORS[n].group} · {n}: {PROCESSORS[n].effect}",
        placeholder="Add a processor", label_visibility="collapsed",
    )  # fmt: skip


def _processor(form: Form, at: int, processor: Processor) -> None:
    kind, chosen = processor.kind, form.spec.processors
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{at + 1}. {controls.plain(processor.name)}**")
            for name, icon, by in (("up", "arrow_upward", -1), ("down", "arrow_downward", 1)):
                edge = at + by not in range(len(chosen))
                st.button(f":material/{icon}:", key=form.key(name, processor.name),
                          type="tertiary", disabled=edge, help=f"Apply {processor.name} "
                          f"{'earlier' if by < 0 else 'later'}", on_click=_shift,
                          args=(form, at, by))  # fmt: skip
            st.button(":material/close:", key=form.key("remove", processor.name), type="tertiary",
                      help=f"Remove {processor.name}", on_click=_drop, args=(form, at))  # fmt: skip
        st.caption(f"{controls.plain(kind.effect)} {controls.plain(kind.source)}")
        _parameters(form, "processor", processor.name, kind.parameters, processor.settings)


def _parameters(
    form: Form, where: str, name: str, parameters: tuple[Parameter, ...], given: Any
) -> None:
    """One widget a parameter, two side by side."""
    columns = st.columns(2) if len(parameters) > 1 else [st.container()]
    for i, parameter in enumerate(parameters):
        with columns[i % len(columns)]:
            value = given.get(parameter.name, parameter.default)
            _parameter(form, form.key(where, name, parameter.name), parameter, value)


def _parameter(form: Form, key: str, parameter: Parameter, value: Any) -> None:
    label = parameter.name.replace("_", " ")
    if parameter.options:
        st.segmented_control(
            label, parameter.options, default=value, key=key, required=True, help=parameter.help,
            format_func=lambda v: {True: "yes", False: "no"}.get(v, str(v)), on_change=form.apply,
        )  # fmt: skip
    elif parameter.is_text:
        st.text_area(label, value, key=key, help=parameter.help or None, height=90,
                     max_chars=int(parameter.high), on_change=form.apply)  # fmt: skip
    else:
        low, high, step = parameter.low, parameter.high, parameter.step
        told = f"{parameter.help} From {low:g} to {high:g}; default {parameter.default:g}.".strip()
        if parameter.is_whole:
            low, high, value, step = int(low), int(high), int(value), max(1, int(step))
            digits = "%d"
        else:
            low, high, value, step = float(low), float(high), float(value), float(step)
            digits = f"%.{max(1, -math.floor(math.log10(step)))}f"
        st.number_input(label, low, high, value, step, key=key, format=digits, help=told,
                        on_change=form.apply)  # fmt: skip


def _order_of(processors: tuple[Processor, ...]) -> str:
    for name, order in ORDERS.items():
        if in_order(processors, order) == processors:
            return name
    return "by hand"


def _sort(form: Form, key: str) -> None:
    order = ORDERS.get(state.widget(key))
    if order:
        form.apply(in_order(form.read().processors, order))


def _add(form: Form) -> None:
    name = state.take_widget(form.key("add"))
    if name is None:
        return
    chosen = form.read().processors
    try:
        made = (*chosen, Processor(name, PROCESSORS[name].start))
    except PlaygroundError as error:
        form.session.edit_problem = str(error)
        return
    order = ORDERS.get(_order_of(chosen))
    form.apply(in_order(made, order) if order else made)


def _shift(form: Form, at: int, by: int) -> None:
    chosen = list(form.read().processors)
    chosen.insert(at + by, chosen.pop(at))
    form.apply(tuple(chosen))


def _drop(form: Form, at: int) -> None:
    chosen = form.read().processors
    form.apply(chosen[:at] + chosen[at + 1 :])
