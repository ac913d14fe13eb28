"""When a visitor waits no longer for a server that computes."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.runtime.scriptrunner import get_script_run_ctx

PATIENCE_S = 1.0  # that a click waits for an answer that is on its way


def stopped_by_visitor() -> Callable[[float], bool]:
    """Return what says whether this visitor waits no longer: gone, or has clicked elsewhere.

    The timer of a fragment that plays asks for the next run too, and ends no wait.
    """
    requests = getattr(get_script_run_ctx(suppress_warning=True), "script_requests", None)

    def stopped(waited_s: float) -> bool:
        asked = getattr(getattr(requests, "_state", None), "value", None)
        if asked == "STOP":
            return True
        is_timer = getattr(getattr(requests, "_rerun_data", None), "is_auto_rerun", False)
        return asked == "RERUN" and not is_timer and waited_s > PATIENCE_S

    return stopped
