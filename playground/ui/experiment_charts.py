"""The charts of every experiment, by its name: a result in, what is drawn out."""

from __future__ import annotations

from collections.abc import Callable

from playground.errors import DataError
from playground.experiments.results import Result
from playground.ui import experiment_model_charts as of_models
from playground.ui import experiment_scale_charts as of_scale
from playground.ui import experiment_training_charts as of_training
from playground.ui.experiment_marks import Drawn

CHARTS: dict[str, Callable[..., tuple[Drawn, ...]]] = {
    "families": of_models.families,
    "quality": of_models.quality,
    "scaling": of_scale.scaling,
    "lengths": of_scale.lengths,
    "transfer": of_training.transfer,
    "exposure": of_training.exposure,
    "gradients": of_training.gradients,
    "helps": of_training.helps,
}


def charts(result: Result, steps: int | None = None) -> tuple[Drawn, ...]:
    """Return the charts of a result; `steps` of fine-tuning are told to those that ask for them.

    Raises:
        DataError: it has not the rows that its experiment makes.
    """
    told = {} if steps is None else {"steps": steps}
    try:
        return CHARTS[result.name](result, **told)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"The result of {result.name} has not the rows of that experiment ({error!r}). "
            f"Make it again: python -m train.experiment {result.name}."
        ) from error
