"""Pages as tests open them, and what tests do on each: press, wait until work is done, read."""

from __future__ import annotations

import re
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.helpers import ROOT

TURNS = 400  # that a page looks again at work that goes on


def opened(name: str, timeout: float = 60, **query: str | list[str]) -> AppTest:
    """Open a page, as "1_Text", by a link with parameters."""
    page = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=timeout)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, key: str) -> None:
    page.button(key=key).click().run()
    assert not page.exception


def done(page: AppTest, key: str) -> Any:
    """Look again until the job of a section has ended, as the page's own clock does."""
    job = page.session_state[f"_{key}_job"]
    for _ in range(TURNS):
        if job.going is None:
            break
        page.run()
        assert not page.exception
    return job


def run_to_end(page: AppTest, session: str) -> Any:
    """Press Run, and look again until the stepper of a session, as "_text", stands still."""
    press(page, "run")
    for _ in range(TURNS):
        if page.session_state[session].pace == "still":
            break
        page.run()
    assert not page.exception
    return page.session_state[session]


def messages(page: AppTest) -> str:
    """All messages as they are read: without the backslashes that keep Markdown out."""
    said = " ".join(e.value for e in [*page.error, *page.warning, *page.info])
    return re.sub(r"\\(\W|_)", r"\1", said)
