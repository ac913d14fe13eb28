"""The sidebar of the Arena: what is made, who competes, and over what."""

from __future__ import annotations

import streamlit as st

from playground.comparison.conditions import alphabet_of, classes_of, text_to_speak
from playground.comparison.kinds import KINDS, USUAL_SECONDS
from playground.comparison.sounds import LEAST_SECONDS
from playground.decoding.spec import ANY, MAX_LABEL, LaneSpec
from playground.devices import available_devices
from playground.errors import ConfigError
from playground.registry import ModelCard, available
from playground.ui import arena_state as state
from playground.ui import compare_state, controls, resources
from playground.ui.arena_data import shared_model
from playground.ui.arena_pairs import MAX_CONTESTANTS, Arena, mark_of, name_of
from playground.ui.arena_state import ArenaSession
from playground.ui.compare_data import explanation, summary
from playground.ui.state import take_value, value

MAKES = {"Text": "text", "Pictures": "image", "Sounds": "audio"}  # what the link says: modality
MOST_TOKENS, USUAL_TOKENS, MOST_SECONDS = 400, 150, 1.0


def cards_of(modality: str) -> dict[str, ModelCard]:
    """Return the models that can compete: a server's draws are not told in full."""
    return {n: card for n, card in available(modality).items() if card.remote is None}


def settings(session: ArenaSession) -> tuple[Arena, dict[str, ModelCard]]:
    """Choose what competes, and over what.

    Raises:
        ConfigError: there is no model, or the text to speak cannot be spoken.
        PromptError: the prompt is too long.
    """
    controls.name_strangers("of", list(MAKES))
    made = st.segmented_control("Pairs of", list(MAKES), default="Text", required=True, key="of",
                                bind="query-params")  # fmt: skip
    modality = MAKES[made]
    cards = cards_of(modality)
    if not cards:
        raise ConfigError(f"There is no model of {made.lower()} here. Train one on the Train page.")
    specs = state.contestants(session, modality, cards)
    prompt = controls.prompt_area() if modality == "text" else ""
    told = "" if modality == "text" else _told(modality, specs, cards)
    length, seconds = 0, 0.0
    if modality == "text":
        controls.name_bad_number("tokens", 1, MOST_TOKENS)
        length = int(st.number_input("Tokens of a text", 1, MOST_TOKENS, USUAL_TOKENS,
                                     key="tokens", bind="query-params"))  # fmt: skip
    elif modality == "audio":
        controls.name_bad_number("seconds", LEAST_SECONDS, MOST_SECONDS)
        seconds = float(st.slider("Seconds of a sound", LEAST_SECONDS, MOST_SECONDS, USUAL_SECONDS,
                                  0.05, key="seconds", bind="query-params"))  # fmt: skip
    controls.name_bad_number("seed", 0, 2**31)
    seed = int(st.number_input(
        "Seed", 0, 2**31, 0, key="seed", bind="query-params",
        help="Whoever has the same settings and seed judges the same pairs, each in an order of "
        "their own.",
    ))  # fmt: skip
    _contestants(session, modality, specs, cards)
    arena = Arena(modality, tuple(specs), prompt, told, length, seconds, seed,
                  available_devices()[0])  # fmt: skip
    state.write_link(session, arena, cards)
    return arena, cards


def _told(modality: str, specs: list[LaneSpec], cards: dict[str, ModelCard]) -> str:
    """Choose what the contestants are told, where the first one is told anything; "" for nothing.

    Raises:
        ConfigError: the text cannot be spoken.
    """
    card = cards[specs[0].model] if specs else next(iter(cards.values()))
    loaded = resources.load_model(card, available_devices()[0])
    if alphabet := alphabet_of(loaded):
        text = st.text_input("Text to speak", card.example, MAX_LABEL, key="say",
                             bind="query-params", help=f"Letters: {alphabet.strip()}")  # fmt: skip
        return text_to_speak(text, alphabet) or ""
    names = classes_of(loaded)
    if not names:
        return ""
    controls.name_strangers("class", [ANY, *names])
    told = st.selectbox("Class", [ANY, *names], 1, key="class", bind="query-params",
                        help="What every model that knows such a class is told.")  # fmt: skip
    return "" if told == ANY else told


def _contestants(
    session: ArenaSession, modality: str, specs: list[LaneSpec], cards: dict[str, ModelCard]
) -> None:
    """List who competes, with a way to remove each and to add others."""
    st.markdown("**Who competes**")
    model = shared_model([name_of(spec) for spec in specs])
    if model:
        st.caption(f"All by {controls.plain(model)}")
    for index, spec in enumerate(specs):
        name = name_of(spec).removesuffix(f" · {model}")
        st.button(controls.plain(name), icon=":material/close:", type="tertiary",
                  key=f"arena_remove_{index}", on_click=_remove, args=(specs, spec),
                  help=f"Remove: {controls.plain(summary(spec.but(model='')))}")  # fmt: skip
    presets = {n: s for n, s in KINDS[modality].offer.presets.items() if not s.needs_second}
    st.selectbox("Model of the next one", list(cards), key=f"arena_model_{modality}")
    st.selectbox(
        "Add a way to decode", list(presets), index=None, key=f"arena_add_{modality}",
        format_func=lambda name: f"{name}: {explanation(presets[name])}",
        placeholder="Add a way to decode", on_change=_add, args=(session, modality, specs, presets),
        label_visibility="collapsed", disabled=len(specs) >= MAX_CONTESTANTS,
    )  # fmt: skip
    compared = compare_state.compare_session().outcome
    if compared is not None and compared.settings.modality == modality:
        st.button("Take the lanes of the Compare page", key="arena_from_compare",
                  on_click=_from_compare, args=(session, modality))  # fmt: skip


def _add(session: ArenaSession, modality: str, specs: list[LaneSpec], presets: dict) -> None:
    name, model = take_value(f"arena_add_{modality}"), value(f"arena_model_{modality}")
    if name not in presets or not model:
        return
    spec = presets[name].but(samples=1, model=model)
    if mark_of(spec) not in set(map(mark_of, specs)):
        specs.append(spec)


def _remove(specs: list[LaneSpec], spec: LaneSpec) -> None:
    if spec in specs:
        specs.remove(spec)


def _from_compare(session: ArenaSession, modality: str) -> None:
    """Let the lanes of this visitor's last comparison compete."""
    outcome = compare_state.compare_session().outcome
    if outcome is None:
        return
    found = {}
    for spec in outcome.comparison.specs:
        own = spec.but(samples=1, model=spec.model or outcome.settings.model)
        found.setdefault(mark_of(own), own)
    session.contestants[modality] = list(found.values())
