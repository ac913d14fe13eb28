"""The commands push and pull: our own checkpoints to and from the Hugging Face Hub."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playground.hub.fetch import fetch
from playground.hub.plan import plan
from playground.hub.publish import line_for, pull, push

TELL_EVERY_S = 2.0


def add_to(commands: Any) -> None:
    """Add both commands to the subparsers of the command line."""
    out = commands.add_parser("push", help="publish a checkpoint of yours on the Hub")
    out.add_argument("name", metavar="NAME", help="a model's name, or a checkpoint's folder")
    out.add_argument("repo_id", metavar="OWNER/REPO", help="what it is called there")
    out.add_argument("--private", action="store_true", help="for you and your organization alone")
    out.add_argument("--licence", default="", help="the Hub's name of it: mit, apache-2.0, …")
    back = commands.add_parser("pull", help="bring a checkpoint of the Hub to runs/")
    back.add_argument("address", metavar="OWNER/REPO[@REVISION]")
    back.add_argument("--name", default="", help="what it is called here; its own if left out")


def run(given: argparse.Namespace, folder_of: Callable[[str], Path]) -> None:
    """Do the command that was given; `folder_of` returns a model's folder by its name."""
    if given.command == "push":
        address = push(folder_of(given.name), given.repo_id, given.private, given.licence)
        print(f"published {address}")
        print(line_for(given.repo_id))
    else:
        print(f"pulled to {pull(given.address, given.name, on_progress=teller())}")


def bring(address: str) -> Path:
    """Return the folder of a model of the Hub, "hub:owner/name@revision"; fetched if need be."""
    return fetch(plan(address), teller())


def teller() -> Callable[[int, int], None]:
    """Return what tells the progress of a download on standard error, not too often."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > TELL_EVERY_S:
            last = time.monotonic()
            print(f"{done / 2**20:,.1f} of {total / 2**20:,.1f} MB", file=sys.stderr)

    return tell
