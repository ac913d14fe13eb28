"""Every kind of processor: name, parameters, ranges, effect and source."""

from __future__ import annotations

from playground.decoding import adaptive, penalties, truncation
from playground.decoding.kinds import Parameter, ProcessorKind

PROCESSORS: dict[str, ProcessorKind] = {  # in the order in which transformers applies them
    "repetition_penalty": ProcessorKind(
        penalties.repetition_penalty,
        "penalties",
        (Parameter("repetition_penalty", 1.0, 0.5, 3.0, 1.2, 0.05),),
        "Makes every token that already occurred less likely (above 1) or more (below 1).",
        "Keskar et al. 2019, arXiv:1909.05858",
    ),
    "temperature": ProcessorKind(
        adaptive.temperature,
        "temperature",
        (Parameter("temperature", 1.0, 0.05, 5.0, 0.8, 0.05),),
        "Below 1 sharpens the distribution, above 1 flattens it.",
        "Ackley et al. 1985",
    ),
    "top_k": ProcessorKind(
        truncation.top_k,
        "truncation",
        (Parameter("top_k", 0, 0, 1000, 20, 1),),
        "Keeps the k most likely tokens. 0: off.",
        "Fan et al. 2018, arXiv:1805.04833",
    ),
    "top_p": ProcessorKind(
        truncation.top_p,
        "truncation",
        (Parameter("top_p", 1.0, 0.01, 1.0, 0.9),),
        "Keeps the smallest set of most likely tokens that holds this probability. 1: off.",
        "Holtzman et al. 2020, arXiv:1904.09751",
    ),
    "min_p": ProcessorKind(
        truncation.min_p,
        "truncation",
        (Parameter("min_p", 0.0, 0.0, 1.0, 0.1),),
        "Keeps tokens at least this many times as likely as the best one. 0: off.",
        "Nguyen et al. 2024, arXiv:2407.01082",
    ),
    "typical_p": ProcessorKind(
        truncation.typical_p,
        "truncation",
        (Parameter("typical_p", 1.0, 0.01, 1.0, 0.9),),
        "Keeps tokens about as surprising as the average, up to this probability. 1: off.",
        "Meister et al. 2022, arXiv:2202.00666",
    ),
}
