"""How it is cut: a text as the model's tokenizer cuts it, and beside it as another one does."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from playground.data.hub import PREFIX
from playground.errors import PlaygroundError, PromptError
from playground.inspection.tokenization import Cut, cut, side_by_side
from playground.registry import ModelCard
from playground.ui import views
from playground.ui.components import source
from playground.ui.controls import MAX_PROMPT, name_strangers, plain
from playground.ui.inside_data import table_csv
from playground.ui.text_setting import TextSetting
from playground.ui.tokenizer_view_data import boxes, cut_tokens, table, tokenizer_of_card

NONE = "none"
TABLE_ROWS = 5000  # more are in the file

token_pieces = st.components.v2.component(
    "playground_token_pieces",
    html="""<div class="host"><p class="title"></p><div class="pieces"></div><p class="more"></p>
<div class="legend" aria-hidden="true">
<span class="has-part" hidden><i class="key part"></i>part of a character: bytes</span>
<span class="has-special" hidden><i class="key special"></i>special: stands for no text</span>
<span class="has-differs" hidden><i class="key differs"></i>a border that the other does not
have</span></div><div class="tip" hidden></div></div>""",
    css=source("pieces.css") + source("tip.css"),
    js=source("pieces.js"),
)


def section(setting: TextSetting, cards: dict[str, ModelCard]) -> None:
    """Draw the whole section; `cards` are the models whose tokenizers can stand beside it."""
    loaded = setting.loaded
    st.caption(
        "A model reads no letters but numbers: its tokenizer cuts the text into pieces that it "
        "has a number for. Frequent words are one piece, rare ones several, and what the "
        "vocabulary lacks is spelled in bytes. This shows what the model reads, not how well it "
        "learned each piece: one that it hardly ever met means little to it."
    )
    left, right = st.columns([3, 1], gap="medium")
    with left:
        own = st.text_area(
            "Text to cut", key="cut_text", bind="query-params", height=90,
            placeholder="Empty: the prompt. Write or paste another text here.",
        )  # fmt: skip
    others = [NONE, *(n for n, c in cards.items() if n != loaded.card.name and c.remote is None)]
    with right:
        name_strangers("beside", others)
        beside = st.selectbox("Beside it", others, key="beside", bind="query-params",
                              help="The tokenizer of another model, on the same text.")  # fmt: skip
        ids = st.toggle("Show the numbers", True, key="cut_ids")
    try:
        is_chat = setting.begin.is_chat and not own
        text = own or setting.begin.text
        if is_chat:  # as it is read: the template's special tokens among the others
            read = cut_tokens(loaded.tokenizer, setting.begin.tokens())
            text = read.text
        if len(text) > MAX_PROMPT:
            raise PromptError(f"The text has {len(text):,} characters; at most {MAX_PROMPT:,} are "
                              "cut here. Shorten it.")  # fmt: skip
        if beside == NONE:
            cuts = {title_of(loaded.card): read if is_chat else cut(loaded.tokenizer, text)}
            agreement = None
        else:
            second = _tokenizer(beside, str(cards[beside].folder), cards[beside])
            if is_chat:
                st.caption("The words of the chat alone are compared: special tokens are the "
                           "model's own.")  # fmt: skip
            both = side_by_side(loaded.tokenizer, second, text)
            cuts = {title_of(loaded.card): both.a, title_of(cards[beside]): both.b}
            agreement = both.agreement
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return
    _draw(setting, cuts, agreement, ids)


def title_of(card: ModelCard) -> str:
    """Return the name of a model; of one of the Hub with the beginning of its commit alone."""
    name, at, commit = card.name.removeprefix(PREFIX).partition("@")
    return f"{name}{at}{commit[:7]}"


@st.cache_resource(max_entries=4, show_spinner=False)
def _tokenizer(name: str, folder: str, _card: ModelCard):
    return tokenizer_of_card(_card)


def _draw(setting: TextSetting, cuts: dict[str, Cut], agreement: float | None, ids: bool) -> None:
    tokenizer = setting.loaded.tokenizer
    bos = (tokenizer.bos_token, tokenizer.label(tokenizer.bos_token))
    columns = st.columns(len(cuts), gap="large")
    for place, (column, (name, found)) in enumerate(zip(columns, cuts.items(), strict=True)):
        other = next((c for n, c in cuts.items() if n != name), None)
        with column:
            _figures(found)
            data = boxes(found, name, bos=bos if place == 0 else None, other=other, ids=ids)
            token_pieces(key=f"pieces_{place}", data=data)
    if agreement is not None:
        st.info(_told(cuts, agreement), icon=":material/compare_arrows:")
    with st.expander("Table, and files", key="cut_table", on_change="rerun") as part:
        if part.open:
            _tables(cuts)


def _figures(found: Cut) -> None:
    with st.container(horizontal=True, gap="small"):
        for label, value, told in (
            ("Tokens", f"{len(found.pieces):,}", "The start token is not counted."),
            ("Characters", f"{len(found.text):,}", f"{found.num_bytes:,} bytes in UTF-8."),
            ("… a token", f"{found.characters_per_token:.2f}",
             f"{found.bytes_per_token:.2f} bytes a token. The more, the further a context of so "
             "many tokens reaches, and the fewer steps a text takes."),
            ("Bytes alone", f"{found.parts:,}",
             "Tokens that are bytes of a character which has no token of its own."),
        ):  # fmt: skip
            st.metric(label, value, width="content", help=told)


def _told(cuts: dict[str, Cut], agreement: float) -> str:
    (a, first), (b, second) = cuts.items()
    few, many = sorted(((a, first), (b, second)), key=lambda named: len(named[1].pieces))
    ratio = len(many[1].pieces) / max(1, len(few[1].pieces))
    told = (
        f"{plain(few[0])} needs fewer tokens: {len(few[1].pieces):,} against "
        f"{len(many[1].pieces):,} ({ratio:.2f} times as many)."
        if len(few[1].pieces) != len(many[1].pieces)
        else f"Both need {len(first.pieces):,} tokens."
    )
    return f"{told} Of all borders inside the text, {agreement:.0%} are the same in both."


def _tables(cuts: dict[str, Cut]) -> None:
    for place, (name, found) in enumerate(cuts.items()):
        rows = table(found)
        st.markdown(f"**{plain(name)}**")
        st.dataframe(pd.DataFrame(rows[:TABLE_ROWS]), hide_index=True, width="stretch",
                     key=f"cut_rows_{place}")  # fmt: skip
        file = (f"tokens-{place + 1}.csv", partial(table_csv, rows))
        views.offer({f"Tokens of {name} (CSV)": file}, "text")
