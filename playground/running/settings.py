"""What else `train.text` can be told by a visitor: each setting with its standard name and range.

A page may not import `train`, so this is a table of its own; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from playground.errors import check_range, check_whole
from playground.models.recurrent import CONNECTIONS
from playground.models.transformer import POSITIONS

TRANSFORMER, CONVOLUTION, CELLS = ("transformer",), ("causal-conv",), ("lstm", "gru", "rnn")
Value = str | int | float


@dataclass(frozen=True)
class Setting:
    """One setting: a choice if it has `choices`, else a number from `least` to `most`.

    `default` is where the page begins, and `untold` what train.text takes if it is not told, if
    that is another. The setting is without effect while the one of `idle_if` has that value, and
    is then not offered; `families` are those that have it, all that learn if there are none.
    """

    label: str
    help: str
    default: Value
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = 0
    untold: Value | None = None
    families: tuple[str, ...] = ()
    idle_if: tuple[str, str] | None = None


SETTINGS: Mapping[str, Setting] = {
    "--positions": Setting(
        "Position encoding", "How the order of the tokens reaches attention.", POSITIONS[0],
        POSITIONS, families=TRANSFORMER,
    ),
    "--layer-norm": Setting(
        "Layer normalisation", "Normalise what enters a cell.", "no", ("no", "yes"),
        families=CELLS,
    ),
    "--connection": Setting(
        "Connections between cells", "What carries a step past a cell unchanged.", "plain",
        CONNECTIONS, families=CELLS,
    ),
    "--kernel-size": Setting(
        "Kernel size", "Places that one convolution looks at.", 3, least=2, most=9,
        families=CONVOLUTION,
    ),
    "--dilation-cycle": Setting(
        "Dilation cycle", "Layers until the dilation, which doubles, begins again at 1.", 6,
        least=1, most=10, families=CONVOLUTION,
    ),
    "--context-length": Setting(
        "Context length", "Tokens of a training window.", 128, least=8, most=1024, untold=512,
    ),
    "--batch-size": Setting(
        "Batch size", "Windows that one step reads.", 16, least=1, most=256, untold=12,
    ),
    "--optimizer": Setting(
        "Optimizer", "Muon for the matrices inside and AdamW for the rest, or AdamW for all.",
        "muon", ("muon", "adamw"),
    ),
    "--muon-rate": Setting(
        "Peak learning rate of Muon", "Where it is after the warm-up; too high, and it diverges.",
        0.02, least=1e-6, most=1e4, idle_if=("--optimizer", "adamw"),
    ),
    "--learning-rate": Setting(
        "Peak learning rate of AdamW", "Where it is after the warm-up; too high, and it diverges.",
        0.002, least=1e-6, most=1e4,
    ),
    # The speed of the first 20 steps decides how many fit, so the warm-up ends there.
    "--warmup": Setting(
        "Warm-up steps", "The rate climbs to its peak in so many.", 20, least=0, most=10_000,
        untold=100,
    ),
    "--clip": Setting(
        "Gradient clipping", "The largest norm of a gradient; longer ones are shortened to it.",
        1.0, least=1e-3, most=1e6,
    ),
    "--weight-decay": Setting(
        "Weight decay", "Share of the rate by which matrices shrink each step.", 0.05, least=0.0,
        most=10.0,
    ),
    "--dropout": Setting(
        "Dropout", "Share of what is between layers that is left out at random.", 0.0, least=0.0,
        most=0.9,
    ),
    "--curriculum": Setting(
        "Curriculum by length (steps)", "Windows grow from 16 tokens to their length in so many.",
        0, least=0, most=100_000,
    ),
    "--scheduled-sampling": Setting(
        "Scheduled sampling", "Ever more of what it reads is its own guess, after this decay.",
        "none", ("none", "linear", "exponential", "inverse-sigmoid"),
    ),
    "--least-true": Setting(
        "True tokens at the end", "Their share where scheduled sampling ends.", 0.5, least=0.0,
        most=1.0, idle_if=("--scheduled-sampling", "none"),
    ),
    "--precision": Setting(
        "Precision", "Of the products in a step: bfloat16 where that is faster, or as told.",
        "auto", ("auto", "float32", "bfloat16"),
    ),
    "--seed": Setting(
        "Seed", "Of weights, order of the windows and dropout.", 0, least=0, most=2**31 - 1,
    ),
}  # fmt: skip


def settings_of(family: str) -> dict[str, Setting]:
    """Return the settings that a family has, by their flags; counting has none."""
    if family == "ngram":
        return {}
    return {f: s for f, s in SETTINGS.items() if not s.families or family in s.families}


def flags_of(family: str, chosen: Mapping[str, Value]) -> list[str]:
    """Return the flags that tell what was chosen, where train.text takes another by itself.

    Raises:
        ConfigError: a number is out of its range.
    """
    flags = []
    for flag, setting in settings_of(family).items():
        value = chosen.get(flag, setting.default)
        if not setting.choices:
            check = check_whole if isinstance(setting.default, int) else check_range
            check(setting.label, value, setting.least, setting.most)
        if value == (setting.default if setting.untold is None else setting.untold):
            continue
        flags += [flag] if value == "yes" else [flag, str(value)]
    return flags
