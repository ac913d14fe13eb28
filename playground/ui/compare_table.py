"""The figures of a comparison as rows of one table: for the page, the CSV file and the report."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from playground.comparison import LaneResult
from playground.evaluation.figures import Figures
from playground.ui.compare_charts import HUMAN
from playground.ui.compare_data import saving

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


@dataclass(frozen=True)
class Column:
    """A figure: where it comes from, its heading, how it is written and what it means."""

    name: str
    title: str
    form: str  # of Python's format(); "%" multiplies by 100
    help: str


COLUMNS = (
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
    Column("tokens_per_second", "tokens/s", ".0f",
           "All texts of the lane; lanes of one model run in lockstep and share their time."),
    Column("calls", "model calls", ".0f", "Calls of the model for one text, after the prompt."),
    Column("accepted", "drafts accepted", ".0%", "Share of the drafts looked at that were kept."),
    Column("saved", "calls saved", ".0f", "Fewer calls than tokens, thanks to drafts."),
)  # fmt: skip


def table_rows(
    results: Sequence[LaneResult],
    labels: Sequence[str],
    figures: Sequence[Figures],
    human: Figures | None,
) -> list[dict]:
    """Return one row a lane and one of human text: its label, then what COLUMNS name or None."""
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
        rows.append(_row(HUMAN, human.to_dict()))
    return rows


def _row(label: str, known: dict) -> dict:
    return {"lane": label} | {column.name: known.get(column.name) for column in COLUMNS}


def told_columns(rows: Sequence[dict]) -> list[Column]:
    """Return the columns in which there is anything to read."""
    return [c for c in COLUMNS if any(row[c.name] is not None for row in rows)]


def written(value: float | None, column: Column) -> str:
    """Return a figure as a person reads it."""
    if value is None or not math.isfinite(value):
        return "–"
    return format(value, column.form).replace("-", "−")


def to_csv(rows: Sequence[dict]) -> str:
    """Return one line a lane, every figure in full."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["lane", *(column.name for column in COLUMNS)])
    for row in rows:
        label = row["lane"]
        label = "'" + label if label.startswith(FORMULA) else label
        writer.writerow([label, *(_plain(row[column.name]) for column in COLUMNS)])
    return out.getvalue()


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
