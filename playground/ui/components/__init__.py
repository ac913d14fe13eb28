"""Two small components of our own, where Streamlit has none: tokens as text, attention maps.

Each is mounted once with a key and fed compact data; all text goes through `textContent`, so
nothing a model or a visitor writes is ever read as markup.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent


def _source(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


token_strip = st.components.v2.component(
    "playground_token_strip",
    html='<div class="legend"></div><div class="strip"></div><div class="tip" hidden></div>',
    css=_source("strip.css"),
    js=_source("strip.js"),
)

attention_maps = st.components.v2.component(
    "playground_attention_maps",
    html='<div class="maps"><div class="grid"></div><div class="large"></div></div>',
    css=_source("attention.css"),
    js=_source("attention.js"),
)
