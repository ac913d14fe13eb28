"""The Arena: two continuations without names, a vote, and only then who was who."""

from __future__ import annotations

import streamlit as st

from playground.errors import PlaygroundError
from playground.registry import ModelCard
from playground.ui import arena_actions as actions
from playground.ui import arena_controls, arena_results, arena_state, controls
from playground.ui.arena_data import counted
from playground.ui.arena_pairs import Arena, Side, name_of
from playground.ui.arena_state import ArenaSession
from playground.ui.compare_picture_data import scale_of
from playground.ui.picture_components import picture_sheet, sheet_data
from playground.ui.sound_components import player_card
from playground.votes.vote import BAD, CRITERIA, FIRST, MEANS, SECOND, TIE

TICK_S = 0.35
PICTURE = 280  # pixels on the screen
PROMPT_SHOWN = 240  # characters
ANSWERS = (  # verdict, label, key
    (FIRST, "A is better", "A"), (SECOND, "B is better", "B"), (TIE, "Equally good", "E"),
    (BAD, "Both are bad", "X"),
)  # fmt: skip
SAID = {FIRST: "A", SECOND: "B", TIE: "tie", BAD: "both bad"}
VIEWS = ("Vote", "Results")


def section() -> None:
    """Draw the Arena; the Evaluate page calls it."""
    session = arena_state.arena_session()
    with st.sidebar:
        try:
            arena, cards = arena_controls.settings(session)
        except PlaygroundError as error:
            st.error(controls.plain(str(error)))
            return
    view = st.segmented_control("View", VIEWS, default=VIEWS[0], required=True, key="arena_view",
                                label_visibility="collapsed")  # fmt: skip
    if view == "Results":
        arena_results.section(session, arena.modality)
        return
    if session.pair is not None and session.pair.arena != arena:
        session.forget_pair()
        session.told = "The settings have changed, so the pair was put away."
    making = session.stage == "making"

    @st.fragment(run_every=TICK_S if making else None)
    def booth() -> None:
        actions.tick(session)
        if (session.stage == "making") != making:
            st.rerun()
        _booth(session, arena, cards)

    booth()


def _booth(session: ArenaSession, arena: Arena, cards: dict[str, ModelCard]) -> None:
    if session.problem:
        st.error(controls.plain(session.problem))
    if session.stage == "idle":
        _welcome(session, arena, cards)
    elif session.stage == "making":
        st.progress(session.pair.share, f"Making pair {session.pair.number + 1}: both at once")
        st.button("Stop", icon=":material/stop:", key="arena_stop", shortcut="Esc",
                  on_click=actions.stop, args=(session,))  # fmt: skip
    else:
        if session.stage == "voting":
            _question(session)
        else:
            _next(session, arena, cards)
        _sides(session)
        if session.stage == "voting":
            st.caption("The order is random, and nothing is told of who made what until you have "
                       "voted.")  # fmt: skip


def _welcome(session: ArenaSession, arena: Arena, cards: dict[str, ModelCard]) -> None:
    criteria = CRITERIA[arena.modality]
    told = "  \n".join(f"**{name.capitalize()}**: {MEANS[name]}." for name in criteria)
    st.markdown(f"Two of the contestants make something of the same beginning, and you say which "
                f"is better, not knowing whose it is:\n\n{told}")  # fmt: skip
    if session.told:
        st.info(session.told)
    st.button(
        "Make a pair",
        type="primary",
        icon=":material/swords:",
        key="arena_begin",
        shortcut="Ctrl+Enter",
        on_click=actions.begin,
        args=(session, arena, cards),
    )
    st.caption(
        "A vote is kept here with what was shown and a random number in this page's address, which "
        "says nothing of you; anyone may download all votes. So write nothing private into the "
        "prompt."
    )


def _question(session: ArenaSession) -> None:
    """Ask by one criterion after the other; keys answer as the buttons do."""
    asked = CRITERIA[session.pair.arena.modality]
    criterion, mark = actions.open_criterion(session), session.pair.mark()
    said = " · ".join(f"{n}: **{SAID[v]}**" for n, v in session.verdicts.items())
    if criterion is None:  # all is said, and could not be kept
        st.markdown(said)
        with st.container(horizontal=True):
            st.button("Send again", type="primary", key="arena_send", on_click=actions.send,
                      args=(session,))  # fmt: skip
            st.button("Skip this pair", key="arena_skip", on_click=actions.skip, args=(session,))
        return
    st.subheader(f"{criterion.capitalize()}: {MEANS[criterion]}?", anchor=False)
    if session.pair.arena.modality != "text":
        told = session.pair.arena.told
        st.caption(f"What was told: **{controls.plain(told)}**" if told else "Nothing was told.")
    with st.container(horizontal=True, key="arena_answers"):
        for verdict, label, key in ANSWERS:
            st.button(label, key=f"arena_{SAID[verdict].replace(' ', '_')}", shortcut=key,
                      on_click=actions.say, args=(session, mark, criterion, verdict))  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Question {len(session.verdicts) + 1} of {len(asked)}. {said}")
        if session.verdicts:
            st.button(
                "Back",
                icon=":material/undo:",
                key="arena_back",
                type="tertiary",
                shortcut="Backspace",
                on_click=actions.take_back,
                args=(session,),
            )
        st.button("Skip this pair", icon=":material/skip_next:", key="arena_skip", type="tertiary",
                  on_click=actions.skip, args=(session,))  # fmt: skip


def _next(session: ArenaSession, arena: Arena, cards: dict[str, ModelCard]) -> None:
    said = " · ".join(f"{name}: {SAID[verdict]}" for name, verdict in session.verdicts.items())
    st.success(f"{session.told} {said}", icon=":material/how_to_vote:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Next pair", type="primary", icon=":material/arrow_forward:", key="arena_next",
                  shortcut="N", on_click=actions.begin, args=(session, arena, cards))  # fmt: skip
        st.caption(f"{counted(session.given, 'vote')} of yours kept in this visit.")


def _sides(session: ArenaSession) -> None:
    """Draw both beside each other, the names only once the vote is kept."""
    shown = session.pair.as_shown(session.judge)
    for place, letter, side in zip(st.columns(2), "AB", shown, strict=True):
        with place, st.container(border=True, key=f"arena_side_{letter}"):
            if session.stage == "revealed":
                st.markdown(f"**{letter} was {controls.plain(name_of(side.spec))}**")
                st.caption(f"Under its own model: {side.likelihood()}.")
            else:
                st.markdown(f"**{letter}**")
            _content(side, letter, session.pair.arena)


def _content(side: Side, letter: str, arena: Arena) -> None:
    content = side.content
    if isinstance(content, str):
        st.markdown(_lines(arena.prompt[-PROMPT_SHOWN:], ":gray[{}]") + _lines(content))
        if not content.strip():
            st.caption("Nothing that can be seen.")
    elif arena.modality == "image":
        picture_sheet(f"arena_picture_{letter}",
                      sheet_data([content], scale=scale_of(side.tokenizer, PICTURE)))  # fmt: skip
    else:
        player_card(content, side.tokenizer.sample_rate, key=f"arena_sound_{letter}",
                    title="sound", border=False)  # fmt: skip


def _lines(text: str, form: str = "{}") -> str:
    """Return a text as Markdown that shows it as it is, line breaks and all."""
    lines = []
    for line in text.split("\n"):
        kept = line.rstrip()  # blanks at the end would be lost within a colour
        lines.append(form.format(controls.plain(kept)) + line[len(kept) :] if kept else line)
    return "  \n".join(lines)
