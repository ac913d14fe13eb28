"""The figures of a comparison as rows of one table: for the page, the CSV file and the report."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.comparison import LaneResult
from playground.comparison.contract import AnyFigures
from playground.ui.compare_charts import REAL
from playground.ui.compare_data import saving

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


@dataclass(frozen=True)
class Column:
    """A figure: where it comes from, its heading, how it is written and what it means."""

    name: str
    title: str
    form: str  # of Python's format(); "%" multiplies by 100
    help: str


TEXT = (
    Column("mean_length", "tokens", ".0f", "Tokens of a text, the mean of the samples."),
    Column("log_likelihood", "log p", ".1f",
           "Log-likelihood of a text in nats under the model itself, before any processor. "
           "Nearer to 0 is likelier."),
    Column("perplexity", "perplexity", ".2f",
           "Between how many equally likely tokens the model hesitates. Low: predictable."),
    Column("judge_log_likelihood", "log p, judge", ".1f", "Log-likelihood under the judge."),
    Column("judge_perplexity", "perplexity, judge", ".2f",
           "Perplexity under the judge, over the judge's own tokens."),
    Column("judge_bits_per_character", "bits/char, judge", ".2f",
           "Under the judge; can be compared where tokens differ."),
    Column("distinct_1", "distinct-1", ".2f", "Share of different tokens. Li et al. 2016."),
    Column("distinct_2", "distinct-2", ".2f", "Share of different pairs of tokens."),
    Column("distinct_3", "distinct-3", ".2f", "Share of different triples of tokens."),
    Column("self_bleu", "self-BLEU", ".1f",
           "How alike the samples are, 0 to 100; needs two samples. Zhu et al. 2018."),
    Column("seq_rep_4", "repetition", ".1%",
           "Share of 4-grams that came before in the text. Welleck et al. 2019."),
    Column("loop_length", "loop", ".0f", "Tokens at the end that are a loop."),
)  # fmt: skip
PICTURE = (
    Column("bits_per_dim", "bits/dim", ".3f",
           "Bits for each value (a pixel has one for each colour) under the model itself, told "
           "the class, before any processor. Low: predictable."),
    Column("log_likelihood", "log p", ".1f",
           "Log-likelihood of a picture in nats. Nearer to 0 is likelier."),
    Column("judge_bits_per_dim", "bits/dim, judge", ".3f", "Bits for each value under the judge."),
    Column("pairwise_distance", "distance", ".1f",
           "How far two pictures of the lane are apart: the mean difference of their values 0 to "
           "255, over all pairs. 0: all are the same."),
    Column("differing", "values that differ", ".1%",
           "Share of the values in which two pictures differ, over all pairs."),
    Column("duplicates", "duplicates", ".0f", "Pictures that are the same as one before them."),
    Column("brightness", "brightness", ".1f", "Mean value, 0 (black) to 255 (white)."),
    Column("histogram_distance", "off in brightness", ".1f",
           "How far brightness must be moved, on average, to have as much dark and bright as the "
           "real pictures have. 0: none."),
)  # fmt: skip
SOUND = (
    Column("bits_per_sample", "bits/sample", ".3f",
           "Bits for each sample under the model itself, told the class or text, before any "
           "processor. Low: predictable, as silence is."),
    Column("entropy", "entropy", ".3f",
           "Bits of the model's own distributions, the mean: what samples cost that are drawn from "
           "them. A lane that costs less takes likelier levels than the model would draw."),
    Column("log_likelihood", "log p", ".0f",
           "Log-likelihood of a sound in nats. Nearer to 0 is likelier."),
    Column("judge_bits_per_sample", "bits/sample, judge", ".3f",
           "Bits for each sample under the judge."),
    Column("loudness", "loudness, dB", ".1f",
           "Root mean square: 0 dB is full scale, a sine has −3, and −40 is a hundredth of it."),
    Column("silent_share", "nearly silent", ".1%",
           "Share of samples below a hundredth of full scale. Greedy takes the likeliest level "
           "each time, which is near zero even where the model is far from sure."),
    Column("spectral_distance", "variety, dB", ".1f",
           "How far two sounds of the lane are apart: the mean difference of their mel "
           "spectrograms, over all pairs. 0: all are the same."),
    Column("real_distance", "from real ones, dB", ".1f",
           "The same between a sound of the lane and a real one. Real sounds are as far from each "
           "other as their own variety says."),
)  # fmt: skip
SPEED = (
    Column("tokens_per_second", "tokens/s", ".0f",
           "All samples of the lane; lanes of one model run in lockstep and share their time."),
    Column("calls", "model calls", ".0f", "Calls of the model for one sample, after the prompt."),
    Column("accepted", "drafts accepted", ".0%", "Share of the drafts looked at that were kept."),
    Column("saved", "calls saved", ".0f", "Fewer calls than tokens, thanks to drafts."),
)  # fmt: skip

COLUMNS = {"text": TEXT + SPEED, "image": PICTURE + SPEED, "audio": SOUND + SPEED}
OWN = {"image": "bits_per_dim", "audio": "bits_per_sample"}  # figures that only these have


def modality_of(row: Mapping[str, Any]) -> str:
    """Return of what modality a row of figures tells."""
    return next((name for name, figure in OWN.items() if figure in row), "text")


def columns_of(rows: Sequence[dict]) -> tuple[Column, ...]:
    """Return all columns of a table that `table_rows` made."""
    return COLUMNS[modality_of(rows[0] if rows else {})]


def table_rows(
    results: Sequence[LaneResult],
    labels: Sequence[str],
    figures: Sequence[AnyFigures],
    human: AnyFigures | None,
) -> list[dict]:
    """Return one row a lane and one of what people made: its label, then each column or None."""
    rows = []
    for result, label, own in zip(results, labels, figures, strict=True):
        drafts = saving(result) or {}
        rows.append(
            _row(label, own.to_dict())
            | {
                "tokens_per_second": result.tokens_per_second or None,
                "calls": result.calls,
                "accepted": drafts.get("rate"),
                "saved": drafts.get("saved"),
            }
        )
    if human is not None:
        known = human.to_dict()
        rows.append(_row(REAL[modality_of(known)], known))
    return rows


def _row(label: str, known: dict) -> dict:
    return {"lane": label} | {c.name: known.get(c.name) for c in COLUMNS[modality_of(known)]}


def told_columns(rows: Sequence[dict]) -> list[Column]:
    """Return the columns in which there is anything to read."""
    return [c for c in columns_of(rows) if any(row[c.name] is not None for row in rows)]


def written(value: float | None, column: Column) -> str:
    """Return a figure as a person reads it."""
    if value is None or not math.isfinite(value):
        return "–"
    return format(value, column.form).replace("-", "−")


def to_csv(rows: Sequence[dict]) -> str:
    """Return one line a lane, every figure in full."""
    out = io.StringIO()
    writer = csv.writer(out)
    columns = columns_of(rows)
    writer.writerow(["lane", *(column.name for column in columns)])
    for row in rows:
        label = row["lane"]
        label = "'" + label if label.startswith(FORMULA) else label
        writer.writerow([label, *(_plain(row[column.name]) for column in columns)])
    return out.getvalue()


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
