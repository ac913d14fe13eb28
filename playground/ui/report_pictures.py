"""What a report tells of pictures: contact sheets inside the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from playground.comparison import LaneResult
from playground.comparison.pictures import drawn, sheet_png
from playground.tokenizers.image import ImageTokenizer
from playground.traces.trace import Trace
from playground.ui.compare_picture_data import scale_of, spread
from playground.ui.report_story import Story

SHOWN = 84  # pixels of a picture in the report, about


def words(story: Story) -> tuple[str, str, str, str]:
    """Return what is said of pictures: heading, beginning, title of the lanes, and maps."""
    tokenizer, maps = story.tokenizer, []
    for label, result in zip(story.labels, story.results, strict=True):
        if len(result.traces) > 1:
            rows = [[step.token for step in trace.steps] for trace in result.traces]
            picture = spread(tokenizer, rows, result.traces[0].prompt[1:])
            maps.append(_figure([[picture]], label, tokenizer))
    more = ""
    if maps:
        more += (
            '<h2>Where the pictures of a lane differ</h2><p class="quiet">Standard deviation of '
            "each value over the pictures of the lane: black where all are the same.</p>"
            f'<div class="maps">{"".join(maps)}</div>'
        )
    if story.real is not None:
        rows = [tokenizer.decode(row) for row in story.real.of(story.label).tolist()]
        sheet = [rows[i : i + 10] for i in range(0, len(rows), 10)]
        more += f"<h2>Real pictures</h2>{_figure(sheet, '', tokenizer)}"
    return (
        f"One model of pictures, {len(story.labels)} ways to draw",
        '<p class="quiet">Made with the autoregressive playground. Grey: not decided.</p>\n<dl>',
        "Pictures",
        more,
    )


def _figure(pictures: Sequence[Sequence[Any]], caption: str, tokenizer: ImageTokenizer) -> str:
    """Return a contact sheet as an element of the page; the picture is inside."""
    data = base64.b64encode(sheet_png(pictures, scale_of(tokenizer, SHOWN))).decode()
    told = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    count = sum(map(len, pictures))
    alt = escape(f"{caption}: {count} pictures", quote=True)
    return (
        f'<figure><img class="picture" alt="{alt}" src="data:image/png;base64,{data}">{told}'
        "</figure>"
    )


def sheet_of(story: Story) -> bytes:
    """Return the pictures of all lanes as one PNG, one row a lane."""
    return sheet_png(drawn(story.tokenizer, story.results), scale_of(story.tokenizer, SHOWN))


def lane(result: LaneResult, story: Story) -> str:
    """Return the pictures of a lane."""
    (pictures,) = drawn(story.tokenizer, [result])
    rows = [pictures[i : i + 4] for i in range(0, len(pictures), 4)]
    return _figure(rows, "", story.tokenizer)


def others(trace: Trace, tokenizer: ImageTokenizer) -> str:
    """Return all results of a search."""
    found = [tokenizer.decode((*trace.prompt, *o.tokens)) for o in trace.alternatives[:16]]
    rows = [found[i : i + 8] for i in range(0, len(found), 8)]
    return _figure(rows, "", tokenizer)
