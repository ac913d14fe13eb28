"""The components of the Compare page: lanes of text, and the tree of a search."""

from __future__ import annotations

import streamlit as st

from playground.ui.components import source

lanes = st.components.v2.component(
    "playground_compare_lanes",
    html="""<div class="host"><div class="legend"></div><div class="grid"></div>
<div class="tip" hidden></div></div>""",
    css=source("compare_lanes.css") + source("tip.css"),
    js=source("color.js") + source("compare_lanes.js"),
)

tree = st.components.v2.component(
    "playground_compare_tree",
    html="""<div class="host"><p class="title"></p><p class="facts"></p>
<div class="scroll" tabindex="0" role="group" aria-label="The tree. Arrow keys move in it.">
<svg role="img"></svg></div>
<div class="legend" aria-hidden="true">
<span><i class="key best"></i>the way to the result</span>
<span><i class="key"></i>goes on</span>
<span><i class="key finished"></i>✓ finished</span>
<span><i class="key pruned"></i>given up</span>
</div>
<div class="tip" hidden></div></div>""",
    css=source("compare_tree.css") + source("tip.css"),
    js=source("compare_tree.js"),
)
