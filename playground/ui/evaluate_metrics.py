"""Metrics: what can be measured of a model or of texts, one measure at a time."""

from __future__ import annotations

import streamlit as st

from playground.ui import (
    evaluate_bleu,
    evaluate_calibration,
    evaluate_likelihood,
    evaluate_memory,
    evaluate_variety,
)
from playground.ui.controls import name_strangers

MEASURES = {
    "Likelihood": evaluate_likelihood.section,
    "BLEU and chrF": evaluate_bleu.section,
    "Variety": evaluate_variety.section,
    "Calibration": evaluate_calibration.section,
    "Memorisation": evaluate_memory.section,
}


def section() -> None:
    """Choose a measure, and draw its section."""
    name_strangers("measure", list(MEASURES))
    measure = st.segmented_control(
        "Measure", list(MEASURES), default=next(iter(MEASURES)), required=True, key="measure",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    MEASURES[measure]()
