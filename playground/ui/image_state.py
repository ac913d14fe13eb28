"""What the Image page remembers of one visitor's picture."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from playground.ui.kept_state import KeptSession


@dataclass
class ImageSession(KeptSession):
    """The picture that one visitor steps through."""


def image_session() -> ImageSession:
    """Return this visitor's picture."""
    return st.session_state.setdefault("_image", ImageSession())
