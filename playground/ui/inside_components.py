"""Components that draw what goes on inside a model: tokens with arcs, heads, matrices, layers.

Their data is made by `inside_data`; bytes travel as base64 of uint8.
"""

from __future__ import annotations

import streamlit as st

from playground.ui.components import source

_TITLES = '<p class="title"></p><p class="facts"></p>'
_TIP = '<p class="spoken" aria-live="polite"></p><div class="tip" hidden></div>'
_RAMP = '<span><span class="low"></span><i class="ramp"></i><span class="high"></span></span>'
_LEGEND = f'<div class="legend" aria-hidden="true">{_RAMP}</div>'
_CSS = source("pixels.css") + source("tip.css") + source("inside.css")
_JS = source("color.js") + source("pixels.js") + source("time_axis.js") + source("inside.js")

token_arcs = st.components.v2.component(
    "playground_token_arcs",
    html=f'<div class="host">{_TITLES}<div class="sheet"></div>{_LEGEND}{_TIP}</div>',
    css=_CSS + source("arcs.css"),
    js=_JS + source("arcs.js"),
)

head_grid = st.components.v2.component(
    "playground_head_grid",
    html=f'<div class="host">{_TITLES}<div class="scroll"><div class="grid"></div></div>{_LEGEND}'
    f'<p class="hint"></p>{_TIP}</div>',
    css=_CSS + source("head_grid.css"),
    js=_JS + source("head_grid.js"),
)

matrix_map = st.components.v2.component(
    "playground_matrix_map",
    html=f'<div class="host">{_TITLES}<canvas></canvas>{_LEGEND}<p class="hint"></p>{_TIP}</div>',
    css=_CSS + source("matrix.css"),
    js=_JS + source("matrix.js"),
)

lens_table = st.components.v2.component(
    "playground_lens_table",
    html=f"""<div class="host">{_TITLES}<div class="scroll" role="region" aria-label="Layers">
<table></table></div><div class="legend" aria-hidden="true">{_RAMP}
<span><i class="key same"></i>as the last layer</span>
<span><i class="key chosen"></i>in the chart</span></div>{_TIP}</div>""",
    css=_CSS + source("lens_table.css"),
    js=_JS + source("lens_table.js"),
)
