"""What changes in the course of a training: the rate, the model's share of its inputs, the length.

Each is a function of the step alone, so a resumed run goes on as if it had never stopped.
"""

import math

from playground.errors import ConfigError

SCHEDULES = ("cosine", "linear", "inverse-sqrt", "constant")
DECAYS = ("none", "linear", "exponential", "inverse-sigmoid")
FLOOR = 0.02  # of the peak rate, where a schedule ends


def learning_rate_scale(
    step: int, steps: int, warmup: int, schedule: str = "cosine", floor: float = FLOOR
) -> float:
    """Return the factor of the peak rate: linear warm-up, then what the schedule says.

    cosine and linear go down to `floor` at the end (Loshchilov & Hutter 2017, arXiv:1608.03983);
    inverse-sqrt falls with the root of the step (Vaswani et al. 2017, arXiv:1706.03762, sec. 5.3).
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "cosine":
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "linear":
        return floor + (1 - floor) * (1 - progress)
    if schedule == "inverse-sqrt":
        return math.sqrt(max(1, warmup) / (step + 1))
    return 1.0


def true_share(step: int, steps: int, decay: str, least: float) -> float:
    """Return the probability that a token read in training is the true one, not the model's own.

    It falls from 1 to `least`: linearly; exponentially, so that half the way is gone after a sixth
    of the steps; or as an inverse sigmoid, late and then quickly. Bengio et al. 2015,
    arXiv:1506.03099, sec. 2.4, with their k such that each decay spans the training.
    """
    progress = step / max(1, steps - 1)
    if decay == "none":
        return 1.0
    if decay == "linear":
        left = 1 - progress
    elif decay == "exponential":
        left = 0.5 ** (6 * progress)
    else:
        left = 1 / (1 + math.exp(12 * (progress - 0.5)))
    return least + (1 - least) * left


def window_length(step: int, curriculum: int, longest: int, shortest: int = 16) -> int:
    """Return the tokens of a training window: it doubles from `shortest` to `longest`.

    In equal parts of the first `curriculum` steps; short texts are easier (Bengio et al. 2009;
    by length as in Platanios et al. 2019, arXiv:1903.09848).
    """
    if step >= curriculum or longest <= shortest:
        return longest
    doublings = math.ceil(math.log2(longest / shortest))
    return min(longest, shortest * 2 ** (step * (doublings + 1) // curriculum))


def check_one_of(flag: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ConfigError unless `value` is one of the `known`."""
    if value not in known:
        raise ConfigError(f"--{flag} must be one of {', '.join(known)}, got {value!r}.")
