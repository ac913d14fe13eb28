"""A class-conditional model as a classifier: by Bayes, from the likelihood under every class."""

from __future__ import annotations

import numpy as np


def class_posterior(bits: np.ndarray, prior: np.ndarray | None = None) -> np.ndarray:
    """Return p(class | x) (..., K) from the bits (..., K) that x needs in all under each class.

    p(c | x) = p(x | c) p(c) / sum_k p(x | k) p(k), with a uniform prior unless `prior` (K,) says
    otherwise. A picture has hundreds of values, so the bits differ by dozens and the answer is
    nearly always 0 or 1: it is as sure as its model, which need not be right.

    Raises:
        ValueError: there is no class, or all of them exclude x.
    """
    logs = -np.asarray(bits, np.float64) * np.log(2)
    if prior is not None:
        with np.errstate(divide="ignore"):  # a class may be impossible from the start
            logs = logs + np.log(prior)
    if not logs.shape[-1] or not np.isfinite(logs.max(-1)).all():
        raise ValueError("There must be a class that x can be of.")
    weights = np.exp(logs - logs.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)
