"""What each experiment found, in two sentences computed from its rows, and no more than they allow.

A finding is reported as it is, whether or not it is what the lesson says.
"""

from __future__ import annotations

from collections.abc import Callable

from playground.errors import DataError
from playground.experiments import findings_of_models, findings_of_training
from playground.experiments.results import Result
from playground.experiments.summaries import Finding

TELLERS: dict[str, Callable[[Result], Finding]] = {  # by the experiment's name
    "families": findings_of_models.families,
    "quality": findings_of_models.quality,
    "scaling": findings_of_models.scaling,
    "lengths": findings_of_models.lengths,
    "transfer": findings_of_training.transfer,
    "exposure": findings_of_training.exposure,
    "gradients": findings_of_training.gradients,
    "helps": findings_of_training.helps,
}


def finding(result: Result) -> Finding:
    """Say what a result shows.

    Raises:
        DataError: it has not the rows that its experiment makes.
    """
    try:
        return TELLERS[result.name](result)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"The result of {result.name} has not the rows of that experiment ({error!r}). "
            f"Make it again: python -m train.experiment {result.name}."
        ) from error
