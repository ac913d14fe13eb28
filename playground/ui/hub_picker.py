"""Any model of the Hub: found, looked at, fetched where the visitor says so, and then chosen.

Nothing is fetched before its size has been shown and a button was pressed. Where the setting
PLAYGROUND_HUB=off is made, as for a public page, what is here can be chosen and nothing is fetched.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import streamlit as st
from huggingface_hub import constants
from streamlit.errors import StreamlitAPIException

from playground.data.hub import NAME, PREFIX, parse_address
from playground.errors import PlaygroundError
from playground.hub.plan import Plan, plan
from playground.hub.search import Found, search
from playground.registry import ModelCard, hub_card, hub_cards
from playground.ui import hub_download, resources, state
from playground.ui.controls import model_picker, plain
from playground.ui.hub_download import Download

SWITCH = "PLAYGROUND_HUB"  # "off": nothing is searched for or fetched
LISTED = 20  # results of a search
FRESH_S = 20  # the list of what is here is read again after so long
TICK_S = 0.4
KINDS = {  # of models, as plans tell them, that can be stepped on a page
    "text": ("causal", "seq2seq", "playground"), "image": ("image", "playground"),
    "audio": ("audio", "playground"),
}  # fmt: skip


@dataclass
class HubSession:
    """What one visitor has found on the Hub, and what is on its way."""

    todo: tuple[str, str] = ("", "")  # "search" or "check", and for what: done in the next run
    query: str = ""  # what `found` was searched by
    found: list[Found] = field(default_factory=list)
    plan: Plan | None = None
    download: Download | None = None
    problem: str = ""  # of the last action, shown until the next one
    linked: str = ""  # the model that the link named, once it has been seen to
    chosen: str = ""  # the model that the page shows


def hub_is_on() -> bool:
    return os.environ.get(SWITCH, "").lower() != "off"


def hub_session() -> HubSession:
    """Return what this visitor has found on the Hub."""
    return st.session_state.setdefault("_hub", HubSession())


def with_hub(cards: dict[str, ModelCard], modality: str) -> dict[str, ModelCard]:
    """Return `cards`, then the models of the Hub that are here, what has just come among them."""
    _finish(hub_session())
    return cards | cards_here(modality)


def picker(cards: dict[str, ModelCard], modality: str) -> ModelCard:
    """Choose among `cards`, which `with_hub` returned, or find another one on the Hub."""
    session = hub_session()
    _follow_link(session, cards)
    is_of_hub = st.query_params.get("model", "").startswith(PREFIX)
    card = model_picker(cards, knows_link=is_of_hub)
    if session.chosen != card.name:
        if session.chosen:
            session.problem = ""  # another model answers what went wrong with one of the Hub
        session.chosen = card.name
    if hub_is_on():
        with st.expander("Another model from the Hub", icon=":material/cloud_download:",
                         key="hub_open", on_change="rerun") as part:  # fmt: skip
            if part.open:
                _finder(session, modality)
    _progress(session)
    if session.problem:
        st.error(plain(session.problem))
    return card


def cards_here(modality: str) -> dict[str, ModelCard]:
    """Return the models of the Hub that are here, the one that was used last first, by name."""
    try:
        cards = _cards_here(constants.HF_HUB_CACHE)
    except PlaygroundError:  # one was removed while the list was made; the next run has it right
        return {}
    return {name: card for name, card in cards.items() if card.modality == modality}


@st.cache_data(ttl=FRESH_S, max_entries=4, show_spinner=False)
def _cards_here(root: str) -> dict[str, ModelCard]:
    return hub_cards()


def _follow_link(session: HubSession, cards: dict[str, ModelCard]) -> None:
    """See to a link that names a model of the Hub: choose it, or offer to fetch it."""
    linked = st.query_params.get("model", "")
    if not linked.startswith(PREFIX) or linked in cards or linked == session.linked:
        return
    session.linked = linked
    try:
        name, revision = parse_address(linked)
    except PlaygroundError as error:
        state.tell(str(error))
        return
    here = [card for card in cards if card.startswith(f"{PREFIX}{name}@")]
    if here and revision is None:  # what is here, whatever the newest is by now
        try:
            st.query_params["model"] = here[0]
        except StreamlitAPIException:  # the widget was drawn before: a link within the page
            state.set_widget("model", here[0])
            return
        st.rerun()  # before any widget is drawn, so that each begins as the link says
    elif not hub_is_on():
        state.tell(f"The link names the model “{linked[:120]}”, which is not here, and nothing is "
                   "fetched on this server. The default is shown instead.")  # fmt: skip
    else:
        state.tell(f"The link names the model “{linked[:120]}”, which is not here yet: see what it "
                   "takes to fetch it in the sidebar. The default is shown instead.")  # fmt: skip
        state.set_widget("hub_open", True)
        session.todo = ("check", linked)


def _finder(session: HubSession, modality: str) -> None:
    """Search, choose, and see what a download takes."""
    with st.form("hub_form", border=False):
        st.text_input(
            "Search, or write owner/name", key="hub_text", max_chars=300,
            placeholder="SmolLM2 · owner/name@revision",
            help="Words to search for, or the name of a model as its page on the Hub has it; a "
            "revision is a branch, a tag or a commit. Models with weights as safetensors and an "
            "architecture that `transformers` brings can be read; code of theirs is never run.",
        )  # fmt: skip
        st.form_submit_button("Find", key="hub_find", icon=":material/search:", on_click=_find,
                              args=(session,))  # fmt: skip
    if session.todo[0]:
        with st.spinner("Asking the Hub …"):
            _ask(session, *session.todo)
            session.todo = ("", "")  # only now: a run can end early at any widget
    if session.found:
        _results(session)
    elif session.query and not session.problem and session.plan is None:
        st.info(f"Nothing was found for “{plain(session.query)}”. Try fewer or other words.")
    if session.plan is not None:
        _offer(session, session.plan, modality)


def _find(session: HubSession) -> None:
    """Take what was written for a name if it looks like one, for words if not."""
    text = without_site((state.value("hub_text") or "").strip())
    is_name = bool(NAME.fullmatch(text.removeprefix(PREFIX).partition("@")[0]))
    session.todo = ("check" if is_name else "search", text)


def without_site(text: str) -> str:
    """Return owner/name@revision of a model's page on the Hub, which people copy; or `text`."""
    site = re.escape(urlsplit(constants.ENDPOINT).netloc)
    page = re.fullmatch(
        rf"(?:https?://)?(?:huggingface\.co|hf\.co|{site})/(?:datasets/)?"
        r"([^/?#]+/[^/?#]+)(?:/(?:tree|blob)/([^/?#]+))?([/?#].*)?", text,
    )  # fmt: skip
    if page is None:
        return text
    return page[1] if page[2] is None else f"{page[1]}@{unquote(page[2])}"


def _check(session: HubSession) -> None:
    session.todo = ("check", state.value("hub_result") or "")


def _ask(session: HubSession, what: str, text: str) -> None:
    """Search the Hub or look at one of its models; a problem leaves what was shown before out."""
    session.problem, session.plan = "", None
    try:
        if what == "search":
            session.query, session.found = text, []
            state.forget_widget("hub_result")
            session.found = search(text, LISTED)
        else:
            if not session.found:
                session.query = ""  # that nothing was found for it is no news any more
            session.plan = plan(text)
    except PlaygroundError as error:
        session.problem = str(error)


def _results(session: HubSession) -> None:
    names = [found.name for found in session.found]
    st.radio("Found", names, key="hub_result", index=None,
             captions=[_facts(found) for found in session.found])  # fmt: skip
    st.button("Check", key="hub_check", icon=":material/fact_check:", on_click=_check,
              args=(session,), disabled=state.value("hub_result") is None,
              help="See its size, licence and needs before anything is fetched.")  # fmt: skip


def _facts(found: Found) -> str:
    parts = [
        f"{_count(found.parameters)} parameters" if found.parameters else "",
        f"{_count(found.downloads)} downloads a month",
        found.licence or "no licence named",
        "gated" if found.gated else "",
    ]
    return plain(" · ".join(filter(None, parts)))


def _offer(session: HubSession, found: Plan, modality: str) -> None:
    """Show what a model takes, and fetch it if that is wanted."""
    licence = found.repository.card.get("license")
    rows = {
        "Architecture": found.architecture,
        "Parameters": _count(found.parameters),
        "To download": _size(found.missing_bytes) if found.missing_bytes else "nothing: it is here",
        "Memory needed": _size(found.memory_bytes),
        "Licence": licence if isinstance(licence, str) else "none named",
        "Commit": found.repository.commit[:12],
    }
    if found.missing_bytes and rows["To download"] != _size(found.num_bytes):
        rows["To download"] += f" of {_size(found.num_bytes)}"
    lines = "  \n".join(f"{name}: **{plain(value[:80])}**" for name, value in rows.items())
    st.markdown(f"{plain(found.repository.name)}  \n{lines}")
    if found.kind not in KINDS[modality]:
        st.info(f"This model makes no {modality}: it is of the kind “{found.kind}”. Choose another "
                "here, or open the page of its kind.")  # fmt: skip
        return
    is_going = session.download is not None
    st.button(
        "Download" if found.missing_bytes else "Use this model", type="primary", key="hub_fetch",
        icon=":material/download:" if found.missing_bytes else ":material/check:",
        on_click=_fetch, args=(session, found), disabled=is_going,
    )  # fmt: skip


def _fetch(session: HubSession, found: Plan) -> None:
    session.problem = ""
    try:
        session.download = hub_download.start(found)
    except PlaygroundError as error:
        session.problem = str(error)


def _progress(session: HubSession) -> None:
    """Show how far a download has come, in a fragment of its own."""
    if session.download is None:
        return

    @st.fragment(run_every=TICK_S)
    def going() -> None:
        download = session.download
        if download is None or not download.is_going:
            st.rerun()  # what has come can be chosen now
        share = download.done / download.total if download.total else 1.0
        st.progress(
            min(1.0, share),
            f"{plain(download.name)}: {download.done / 2**20:,.1f} of {_size(download.total)}, "
            f"{download.speed / 2**20:,.1f} MB/s",
        )

    going()
    st.button("Stop", key="hub_stop", icon=":material/stop:", on_click=_stop, args=(session,),
              help="What has come is kept: another download goes on from there.")  # fmt: skip


def _stop(session: HubSession) -> None:
    if session.download is not None:
        hub_download.leave(session.download)
    session.download = None


def _finish(session: HubSession) -> None:
    """Choose a model that has come whole, once it is seen to load; if not, all stays as it was."""
    download = session.download
    if download is None or download.is_going:
        return
    session.download = None
    _cards_here.clear()
    if not download.is_complete:
        session.problem = download.problem
        return
    try:
        card = hub_card(download.plan.address)
        resources.load_model(card)
    except PlaygroundError as error:
        session.problem = str(error)
        return
    session.plan = None
    state.set_widget("model", card.name)
    state.set_widget("hub_open", False)


def _count(number: int) -> str:
    for unit, name in ((10**9, " B"), (10**6, " M"), (10**3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


def _size(num_bytes: int) -> str:
    if num_bytes >= 2**30:
        return f"{num_bytes / 2**30:.2f} GB"
    return f"{num_bytes / 2**20:,.1f} MB" if num_bytes >= 2**20 else f"{num_bytes / 2**10:,.1f} kB"
