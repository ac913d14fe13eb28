"""Search the Hub for models that write text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from huggingface_hub import ModelInfo

from playground.data.hub import NAME, UnreachableError, explained, in_time
from playground.errors import check_whole
from playground.hub.remote import ask

MAX_TEXT = 100  # characters
MAX_FOUND = 100
SECONDS = 15.0
FILTERS = ("text-generation", "safetensors")
EXPANDED = ["downloads", "likes", "safetensors", "gated", "lastModified", "tags"]


@dataclass(frozen=True)
class Found:
    """A model that the Hub lists; whether it can be loaded says `plan`."""

    name: str  # owner/name
    downloads: int  # in the last 30 days
    likes: int
    parameters: int | None
    gated: bool
    updated: str  # YYYY-MM-DD, or ""
    licence: str


def search(text: str, limit: int = 20) -> list[Found]:
    """Return the language models whose names contain a text, the most downloaded first.

    Raises:
        DataError: the Hub cannot be asked, or does not answer in time.
        ConfigError: `limit` is not in [1, 100].
    """
    check_whole("limit", limit, 1, MAX_FOUND)
    word = text.strip()[:MAX_TEXT]
    try:
        with explained("model", word or "(any)", None):
            infos = in_time(lambda: _ask(word, limit), SECONDS)
            found = [_found(info) for info in infos]
    except UnreachableError as error:
        raise UnreachableError(
            f"The Hub cannot be searched now: {error} What was fetched before can still be used."
        ) from error
    return [model for model in found if NAME.fullmatch(model.name)]


def _ask(word: str, limit: int) -> list[ModelInfo]:
    """Ask once: the client's own `list_models` asks for up to a minute where nobody answers."""
    params = {"filter": FILTERS, "sort": "downloads", "limit": limit, "expand": EXPANDED}
    if word:
        params["search"] = word
    return [ModelInfo(**model) for model in ask("/api/models", params, SECONDS)[:limit]]


def _found(info: ModelInfo) -> Found:
    total = getattr(info.safetensors, "total", None)
    licences = [tag for tag in info.tags or () if tag.startswith("license:")]
    updated = info.last_modified
    return Found(
        name=str(info.id),
        downloads=int(info.downloads or 0),
        likes=int(info.likes or 0),
        parameters=int(total) if isinstance(total, int) else None,
        gated=bool(info.gated),
        updated=updated.date().isoformat() if isinstance(updated, datetime) else "",
        licence=licences[0].removeprefix("license:")[:60] if licences else "",
    )
