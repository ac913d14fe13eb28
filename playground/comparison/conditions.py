"""What a model of pictures or sounds is told in a lane: a class, or a text to speak."""

from __future__ import annotations

from functools import lru_cache

from playground.comparison.contract import Condition, Loaded
from playground.decoding.spec import ANY, MAX_CLASS, MAX_LABEL
from playground.errors import ConfigError
from playground.models.base import ARModel
from playground.models.conditioned import as_drawn, without_wrappers

GUIDANCE = 2.0  # where a lane does not say


def classes_of(loaded: Loaded) -> tuple[str, ...]:
    """Return the names of the classes that a model is told, their numbers where it has none."""
    count = getattr(getattr(without_wrappers(loaded.model), "config", None), "n_class", 0)
    names = loaded.info.get("classes")
    is_told = isinstance(names, list) and all(isinstance(n, str) and n for n in names)
    if is_told and len(names) == count:
        return tuple(name[:MAX_LABEL] for name in names)
    return _numbers(count)


@lru_cache(8)
def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def alphabet_of(loaded: Loaded) -> str:
    """Return the letters of the texts that a model speaks; none if it is told no texts."""
    return getattr(getattr(without_wrappers(loaded.model), "config", None), "alphabet", "")


def told_by(loaded: Loaded) -> str:
    """Return what a model is told: "text", "class" or nothing."""
    return "text" if alphabet_of(loaded) else "class" if classes_of(loaded) else ""


def condition_of(loaded: Loaded, asked: str | int) -> Condition:
    """Return the number of a class, or the text to speak; None for nothing.

    Raises:
        ConfigError: the model knows no such class, or not all letters of the text.
    """
    if asked in ("", ANY):
        return None
    if alphabet_of(loaded):
        return text_to_speak(str(asked), alphabet_of(loaded))
    known = classes_of(loaded)
    if not known:
        raise ConfigError(
            f"condition names the class {asked!r}, and this model knows no classes. Choose "
            f"{ANY!r}, or a model that is told one."
        )
    if isinstance(asked, str):
        names = [name.casefold() for name in known]
        if asked.casefold() in names:
            return names.index(asked.casefold())
        is_number = asked.isascii() and asked.isdigit() and len(asked) <= len(str(MAX_CLASS))
        asked = int(asked) if is_number else asked
    if isinstance(asked, int) and 0 <= asked < len(known):
        return asked
    raise ConfigError(
        f"This model knows no class {str(asked)[:60]!r}. Choose {ANY!r}, a number from 0 to "
        f"{len(known) - 1}, or one of {', '.join(known[:20])}."
    )


def text_to_speak(text: str, alphabet: str) -> str | None:
    """Return a text as a model reads it, single blanks between words; None if it is empty.

    Raises:
        ConfigError: it is too long, or has letters that the model does not know.
    """
    if len(text) > MAX_LABEL:
        raise ConfigError(
            f"The text to speak has {len(text)} characters; at most {MAX_LABEL} are read. Shorten "
            "it to a few words."
        )
    text = " ".join((text.lower() if alphabet == alphabet.lower() else text).split())
    if strange := sorted(set(text) - set(alphabet)):
        raise ConfigError(
            f"The text to speak has {' '.join(strange[:8])}, which this model does not know. Its "
            f"letters are {alphabet.strip()}. Write numbers as words, such as “four”."
        )
    return text or None


def guided(loaded: Loaded, label: Condition, settings: dict) -> ARModel:
    """Return a model guided towards what it is told, as decoders step it.

    Raises:
        ConfigError: it is told nothing, or a setting is not accepted.
        TypeError: there is no such setting.
    """
    if label is None:
        what = "text" if alphabet_of(loaded) else "class"
        raise ConfigError(
            f"Guidance leads towards a {what}, and this lane is told none. Choose a {what} for "
            "the lane or for all, or take the guidance out."
        )
    if "negative_prompt" in settings:
        raise ConfigError(
            "negative_prompt is text, which leads no picture or sound anywhere. Leave it out."
        )
    scale = settings.pop("guidance_scale", GUIDANCE)
    if settings:
        raise TypeError(", ".join(settings))
    return as_drawn(loaded.model, loaded.tokenizer.bos_token, label, scale)
