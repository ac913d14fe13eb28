"""Problems that a user can mend; each message says what is wrong, the rule, and what to do next."""


class PlaygroundError(Exception):
    """Base of everything a page shows as a message instead of a traceback."""


class PromptError(PlaygroundError):
    """The prompt cannot be read by this model's tokenizer, or is too long for it."""


class ContextFullError(PlaygroundError):
    """The model's context holds no further token."""


class ConfigError(PlaygroundError):
    """A setting is outside its range."""


class CheckpointError(PlaygroundError):
    """A checkpoint folder is missing, damaged, too large or of another shape than it says."""


class DataError(PlaygroundError):
    """A corpus cannot be found or read."""


class TraceError(PlaygroundError):
    """A trace file is not what `Trace.to_json` writes."""


class RemoteError(PlaygroundError):
    """A model server cannot be reached, refuses, or answers with what is no answer."""


class CompressionError(PlaygroundError):
    """A packed file is damaged or was made with another model, or something cannot be packed."""


def check_range(name: str, value: float, low: float, high: float, *, open_low: bool = False):
    """Return `value` if it lies in [low, high] ((low, high] with `open_low`).

    Raises:
        ConfigError: it does not, or it is not a number.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (low < value <= high if open_low else low <= value <= high):
        bracket = "(" if open_low else "["
        raise ConfigError(f"{name} must be in {bracket}{low:g}, {high:g}], got {value!r}.")
    return value


def check_whole(name: str, value: int, low: int, high: int) -> int:
    """Return `value` if it is a whole number in [low, high].

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} must be a whole number in [{low}, {high}], got {value!r}.")
    return value
