"""The command findings: what the kept experiments found, as the Experiments page says it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from playground.errors import ConfigError, DataError
from playground.experiments.findings import finding
from playground.experiments.results import NAMES, load_result


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    told = commands.add_parser("findings", help="print what the experiments found")
    told.add_argument("names", metavar="NAME", nargs="*", default=NAMES, help=", ".join(NAMES))


def run(given: argparse.Namespace) -> None:
    """Print a paragraph an experiment: what it found, of how many seeds, and what makes it again.

    Raises:
        ConfigError: there is no experiment of that name.
        DataError: not one of them has been made.
    """
    missing = []
    for name in given.names:
        if name not in NAMES:
            raise ConfigError(f"There is no experiment {name!r}. There are {', '.join(NAMES)}.")
        try:
            result = load_result(name)
            found = finding(result)
        except DataError as error:
            missing.append(error)
            continue
        stands = f", {found.verdict}" if found.verdict else ""
        seeds = f"{result.seeds} seed{'s' if result.seeds != 1 else ''}"
        print(f"{name}{stands}: {found.text}\n    {result.command}, {seeds}\n")
    if len(missing) == len(given.names):
        raise missing[0]
    for error in missing:
        print(error, file=sys.stderr)
