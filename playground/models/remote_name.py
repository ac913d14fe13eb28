"""What the model of a server is called, without waiting long for one that is not there."""

from __future__ import annotations

import threading
import time

from playground.errors import RemoteError
from playground.models.remote_answers import models
from playground.models.remote_client import Client, RemoteSettings

KNOWN_S, UNKNOWN_S = 60.0, 15.0  # seconds for which an answer holds, and none
SHORT_S = 1.0  # that a list of models waits for a server
LONGEST = 80  # characters of a name

_names: dict[RemoteSettings, tuple[float, str]] = {}  # until when, and the name
_lock = threading.Lock()


def model_name(settings: RemoteSettings) -> str:
    """Return the name that is set, or that the server tells; the last known one if it is silent."""
    if settings.model:
        return short(settings.model)
    until, name = _names.get(settings, (0.0, ""))
    if time.monotonic() >= until and _lock.acquire(blocking=False):  # one asks for all
        try:
            asked = Client(settings, connect_s=SHORT_S, read_s=SHORT_S).get("/v1/models")
            name, holds = short(models(asked)[0]["id"]), KNOWN_S
        except RemoteError:
            holds = UNKNOWN_S
        finally:
            _lock.release()
        _names[settings] = (time.monotonic() + holds, name)
    return name


def short(name: str) -> str:
    """Return a name without the folders of the server's machine."""
    is_path = name.startswith(("/", "\\", ".", "~")) or name[1:2] == ":"
    name = name.replace("\\", "/").rsplit("/", 1)[-1] if is_path else name
    return " ".join(name.split())[:LONGEST]
