"""Components of our own: tokens as text, candidates and timeline as charts.

Each is mounted once with a key and fed compact data; all text goes through `textContent`, so
nothing a model or a visitor writes is ever read as markup.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent


def source(name: str) -> str:
    """Return the text of a file of this folder."""
    return (_HERE / name).read_text(encoding="utf-8")


token_strip = st.components.v2.component(
    "playground_token_strip",
    html='<div class="legend"></div><div class="strip"></div><div class="tip" hidden></div>',
    css=source("strip.css") + source("tip.css"),
    js=source("color.js") + source("strip.js"),
)

_TITLES = '<p class="title"></p><p class="facts"></p>'
_TIP = '<div class="tip" hidden></div>'

candidate_bars = st.components.v2.component(
    "playground_candidate_bars",
    html=f"""<div class="host">{_TITLES}
<div class="heads" aria-hidden="true"></div><div class="chart" role="group"></div>
<div class="legend" aria-hidden="true">
<span><i class="key taken"></i>the choice</span><span><i class="key kept"></i>possible</span>
<span><i class="key removed"></i>✕ removed</span><span><i class="key rest"></i>others</span>
</div>{_TIP}</div>""",
    css=source("candidates.css") + source("tip.css"),
    js=source("candidates.js"),
)

timeline_bars = st.components.v2.component(
    "playground_timeline_bars",
    html=f"""<div class="host">{_TITLES}<div class="drawing" hidden>
<canvas role="img"></canvas>
<div class="legend" aria-hidden="true">
<span><i class="key s"></i>the strategy</span><span><i class="key p"></i>prompt</span>
<span><i class="key u"></i>you</span>
<span class="guessed" hidden><i class="key d"></i>a draft</span>
<span><i class="key here"></i>at the cursor</span>
<span><i class="key line"></i>entropy</span>
</div></div>{_TIP}</div>""",
    css=source("timeline.css") + source("tip.css"),
    js=source("timeline.js"),
)
