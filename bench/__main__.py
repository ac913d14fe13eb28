"""Measure ours beside a peer: python -m bench TASK [--json] [--quick]; --help names the tasks.

A ratio above 1 is better for ours, whatever the unit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator

from bench.audio import audio
from bench.audio_page import audio_page
from bench.compare import compare_task
from bench.decode import Options, decode, lanes, prefix
from bench.hub import hub
from bench.image import image
from bench.image_page import image_page
from bench.kills import kills
from bench.measure import Row
from bench.page import page
from bench.train import train
from bench.votes import votes_task


def pages(options: Options) -> Iterator[Row]:
    """The Text page by its clicks, then the Image and the Audio page while they play."""
    yield from page(options)
    yield from image_page(options)
    yield from audio_page(options)


TASKS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "decode": decode,  # full traces beside transformers' generate
    "prefix": prefix,  # one step as the prefix grows
    "lanes": lanes,  # lockstep beside one after the other
    "compare": compare_task,  # lanes, beams and drafts
    "image": image,  # pictures by cached steps beside a forward a pixel
    "audio": audio,  # sound from queues beside a forward a sample
    "hub": hub,  # SmolLM2-135M: traced beside generate, attention, loading
    "train": train,  # one optimizer step, and its memory
    "votes": votes_task,  # what kills lose of the votes, and how long one takes
    "page": pages,  # from a click to the redrawn page, in a browser
}
KILLS = 20  # of each training
COLUMNS = ("row", "unit", "ours", "theirs", "ratio", "spread", "runs", "threads", "peer")
WIDTHS = (46, 9, 9, 9, 7, 7, 5, 8, 0)


def table_line(cells: list) -> str:
    """Lay cells out under the columns, figures to the right."""
    laid = (
        f"{c:>{w}.4g}" if isinstance(c, float) else f"{c:<{w}}"
        for c, w in zip(cells, WIDTHS, strict=True)
    )
    return " ".join(laid).rstrip()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("task", choices=[*TASKS, "kills"])
    parser.add_argument("--json", action="store_true", help="one JSON line a row")
    parser.add_argument("--threads", type=int, nargs="+", help="thread counts to try (1 and all)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    given = parser.parse_args(argv)
    if given.task == "kills":  # has no peer: what a training loses when it is killed
        return kills(2 if given.quick else KILLS, given.json)
    tried = tuple(given.threads or sorted({1, os.cpu_count() or 1}))
    options = Options(given.device, tried, given.quick)
    if not given.json:
        print(table_line(list(COLUMNS)))
    for row in TASKS[given.task](options):
        facts = row.as_dict()
        print(
            json.dumps(facts) if given.json else table_line([facts[c] for c in COLUMNS]), flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
