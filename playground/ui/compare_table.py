"""The figures of a comparison as rows of one table: for the page, the CSV file and the report."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from playground.comparison import LaneResult
from playground.evaluation.figures import Figures
from playground.evaluation.picture_figures import PictureFigures
from playground.ui.compare_charts import HUMAN, PICTURES
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
SPEED = (
    Column("tokens_per_second", "tokens/s", ".0f",
           "All samples of the lane; lanes of one model run in lockstep and share their time."),
    Column("calls", "model calls", ".0f", "Calls of the model for one sample, after the prompt."),
    Column("accepted", "drafts accepted", ".0%", "Share of the drafts looked at that were kept."),
    Column("saved", "calls saved", ".0f", "Fewer calls than tokens, thanks to drafts."),
)  # fmt: skip

TEXT_COLUMNS, PICTURE_COLUMNS = TEXT + SPEED, PICTURE + SPEED


def columns_of(rows: Sequence[dict]) -> tuple[Column, ...]:
    """Return all columns of a table that `table_rows` made."""
    return PICTURE_COLUMNS if rows and "bits_per_dim" in rows[0] else TEXT_COLUMNS


def table_rows(
    results: Sequence[LaneResult],
    labels: Sequence[str],
    figures: Sequence[Figures | PictureFigures],
    human: Figures | PictureFigures | None,
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
        label = PICTURES if isinstance(human, PictureFigures) else HUMAN
        rows.append(_row(label, human.to_dict()))
    return rows


def _row(label: str, known: dict) -> dict:
    columns = PICTURE_COLUMNS if "bits_per_dim" in known else TEXT_COLUMNS
    return {"lane": label} | {column.name: known.get(column.name) for column in columns}


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
