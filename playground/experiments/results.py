"""What `python -m train.experiment NAME` found, as it is kept beside this module.

A result is a table, one row a run or a measurement, and how it was made. Everything a page says of
it is computed from the rows.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playground.errors import DataError

FOLDER = Path(__file__).with_name("results")
MAX_BYTES = 8 * 2**20
NAMES = (  # of the experiments, as the page lists them
    "families", "quality", "scaling", "lengths", "transfer", "exposure", "gradients", "helps",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One experiment's rows, and how to make them again."""

    name: str  # one of NAMES
    command: str
    data: str  # the text it is about
    machine: str
    seconds: int  # of training and measuring, on that machine
    seeds: int
    is_reduced: bool  # made by fewer steps and seeds, as the page does to show how
    rows: tuple[dict[str, Any], ...]

    def where(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the rows that have these values."""
        return [row for row in self.rows if all(row.get(k) == v for k, v in wanted.items())]

    def values(self, column: str) -> list[Any]:
        """Return the different values of a column, in the order of their first row."""
        return list(dict.fromkeys(row[column] for row in self.rows if column in row))

    def to_csv(self) -> str:
        """Return the rows as a table; a column that is itself a list is written as JSON."""
        columns = dict.fromkeys(column for row in self.rows for column in row)
        file = io.StringIO()
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()}
            )
        return file.getvalue()

    def to_json(self) -> str:
        """Return what `load_result` reads."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")) + "\n"


def load_result(name: str, folder: Path = FOLDER) -> Result:
    """Return the result of an experiment.

    Raises:
        DataError: its file is missing, too large or damaged.
    """
    path = folder / f"{name}.json"
    again = f"Make it again: python -m train.experiment {name}."
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path.name} is larger than {MAX_BYTES >> 20} MB. {again}")
        data = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(dict(row) for row in data.pop("rows"))
        return Result(**data, rows=rows)
    except FileNotFoundError as error:
        raise DataError(f"The experiment {name} has not been made here. {again}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path.name} cannot be read ({error}). {again}") from error
