"""A comparison as files: JSON with every trace, and a report that is one page of HTML.

The report needs no script and no network: styles and charts are inside, everything that a visitor
or a model wrote is escaped. It can be opened, printed and sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from playground.comparison import LaneResult
from playground.ui import report_pictures, report_sounds
from playground.ui.compare_data import piece, result_rows, score_name, summary
from playground.ui.compare_table import told_columns, written
from playground.ui.report_story import Story

FORMAT = "playground-comparison/1"
HIGH_BITS = 8
SHOWN = {"image": report_pictures, "audio": report_sounds}  # what tells of others than texts
STOPS = ((255, 255, 255), (214, 230, 244), (150, 194, 226), (74, 146, 200), (8, 81, 156))
STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a202c; background: #fff; max-width: 66rem;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin: 0 0 0.2rem; } h2 { font-size: 1.2rem; margin: 2rem 0 0.6rem; }
h3 { font-size: 1rem; margin: 0; }
.quiet { color: #4a5568; font-size: 0.86rem; margin: 0.1rem 0 0.5rem; }
pre, .text { font: 14px/1.65 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: 0; }
.lanes { display: grid; gap: 0.9rem; grid-template-columns: 
  repeat(auto-fit, minmax(14.5rem, 1fr)); }
.lane { border: 1px solid #d5dbe3; border-radius: 8px; padding: 0.7rem 0.9rem;
  break-inside: avoid; }
.sample { color: #4a5568; font-size: 0.8rem; margin: 0.6rem 0 0.1rem; }
.prompt { color: #718096; } .draft { border-bottom: 3px solid #009e73; }
s { color: #4a5568; font-size: 0.8em; text-decoration: line-through #d55e00 2px; }
.link { font-size: 0.7rem; line-height: 1.35; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.3rem 0.6rem; text-align: right; border-bottom: 1px solid #d5dbe3;
  font-variant-numeric: tabular-nums; } th:first-child, td:first-child { text-align: left; }
td { vertical-align: top; } .meaning { text-align: left; color: #4a5568; font-size: 0.75rem; }
thead th { vertical-align: bottom; border-bottom: 2px solid #a0aec0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.15rem 1rem; margin: 0.6rem 0; }
dt { color: #4a5568; } dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.picture { image-rendering: pixelated; max-width: 100%; height: auto; margin: 0.3rem 0; }
.maps { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; }
.sounds { display: grid; gap: 0.6rem; grid-template-columns:
  repeat(auto-fill, minmax(13rem, 1fr)); }
.sound audio { width: 100%; display: block; } .sound img { width: 100%; display: block; }
.sound .spectrum { height: 96px; background: #080916; border-radius: 2px; }
figcaption { color: #4a5568; font-size: 0.8rem; }
.chart svg { max-width: 100%; height: auto; } .chart { break-inside: avoid; }
.ramp { display: inline-block; width: 8rem; height: 0.7rem; border: 1px solid #d5dbe3;
  border-radius: 3px; vertical-align: middle; }
@media print { body { margin: 0; max-width: none; font-size: 12px; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""


def to_json(story: Story) -> str:
    """Return settings, lanes, figures and every trace with the names of its tokens."""
    label = story.tokenizer.label
    lanes = [
        {
            "spec": result.spec.but(label=name).to_json(),
            "figures": row,
            "seconds": result.seconds,
            "calls": result.calls,
            "traces": [json.loads(trace.to_json(label)) for trace in result.traces],
        }
        for name, result, row in zip(story.labels, story.results, story.rows, strict=False)
    ]
    data = {
        "format": FORMAT,
        "settings": asdict(story.settings),
        "link": story.link,
        "lanes": lanes,
        "human": story.rows[-1] if len(story.rows) > len(lanes) else None,
    }
    return json.dumps(data, ensure_ascii=False, allow_nan=False)


def to_html(story: Story) -> str:
    """Return the report."""
    settings = asdict(story.settings)
    told = [
        (name, str(value))
        for name, value in settings.items()
        if name not in ("prompt", "modality") and value
    ]
    told += [("ran on", story.device)] if story.device else []
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in told)
    lanes = "".join(
        _lane(label, result, story)
        for label, result in zip(story.labels, story.results, strict=True)
    )
    others = "".join(
        _alternatives(label, result, story)
        for label, result in zip(story.labels, story.results, strict=True)
    )
    charts = "".join(
        f'<h2>{escape(title)}</h2><div class="chart">{svg}</div>' for title, svg in story.charts
    )
    shown = SHOWN.get(story.kind)
    head, beginning, title, more = (
        shown.words(story)
        if shown
        else (f"One prompt, {len(story.labels)} ways to decode", _prompt(story), "Texts", "")
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'{
        "; img-src data:; media-src data:" if shown else ""
    }">
<title>Comparison of ways to decode</title><style>{STYLE}</style></head><body>
<h1>{head}</h1>
{beginning}{facts}</dl>
<h2>{title}</h2><div class="lanes">{lanes}</div>
<h2>Figures</h2>{_table(story.rows)}
{more}
{charts}
{others}
{_link(story.link)}
</body></html>
"""


def _prompt(story: Story) -> str:
    colors = ",".join(f"rgb{stop}" for stop in STOPS)
    return (
        '<p class="quiet">Made with the autoregressive playground. Colour: surprisal of a token '
        "under the model, 0 "
        f'<span class="ramp" style="background:linear-gradient(90deg,{colors})"></span> '
        "8 bits or more.</p>\n"
        f"<dl><dt>prompt</dt><dd><pre>{escape(story.prompt) or '(empty)'}</pre></dd>"
    )


def _lane(label: str, result: LaneResult, story: Story) -> str:
    head = (
        f'<section class="lane"><h3>{escape(label)}</h3>'
        f'<p class="quiet">{escape(summary(result.spec))}</p>'
    )
    if story.kind in SHOWN:
        return f"{head}{SHOWN[story.kind].lane(result, story)}</section>"
    texts = []
    for number, trace in enumerate(result.traces, start=1):
        if len(result.traces) > 1:
            texts.append(f'<p class="sample">sample {number}</p>')
        tokens = "".join(_token(step, story.tokenizer) for step in trace.steps)
        tokens = tokens or '<span class="prompt">(nothing was written)</span>'
        texts.append(f'<div class="text">{tokens}</div>')
    return f"{head}{''.join(texts)}</section>"


def _token(step: Any, tokenizer: Any) -> str:
    share = min(1.0, step.surprisal / HIGH_BITS)
    color = _ramp(share)
    ink = "#111820" if _luminance(color) > 0.55 else "#f4f7fa"
    ghost = ""
    if step.draft is not None and not step.draft.accepted:
        texts = "".join(piece(t, tokenizer) for t in (step.draft.token, *step.draft.dropped))
        ghost = f"<s>{escape(texts)}</s>"
    kind = ' class="draft"' if step.chosen_by == "draft" else ""
    style = f' style="background:rgb{color};color:{ink}"' if share > 0.02 else ""
    title = f"{step.surprisal:.2f} bits, rank {step.rank}"
    return (
        f'{ghost}<span{kind}{style} title="{title}">{escape(piece(step.token, tokenizer))}</span>'
    )


def _alternatives(label: str, result: LaneResult, story: Story) -> str:
    """Return all results of a search's first sample, nothing if there is but one."""
    if len(result.traces[0].alternatives) < 2:
        return ""
    head = f"<h2>All results of {escape(label)}, the best first</h2>"
    if story.kind in SHOWN:
        return head + SHOWN[story.kind].others(result.traces[0], story.tokenizer)
    rows = result_rows(result.traces[0], story.tokenizer, most=16)
    body = "".join(
        f"<tr><td>{escape(row['text'][:300])}</td>"
        f"<td>{_score(row['log p'])}</td><td>{_score(row['score'])}</td></tr>"
        for row in rows
    )
    score = escape(score_name(result.spec.strategy))
    return (
        f'{head}<div class="wide"><table><thead><tr><th scope="col">text</th>'
        f'<th scope="col">log p</th><th scope="col">{score}</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _link(link: str) -> str:
    """Return where the texts can be made again; a link only if it is one of the web."""
    if not link:
        return ""
    told = escape(link)
    if link.startswith(("http://", "https://")):
        told = f'<a href="{told}">{told}</a>'
    return (
        '<h2>Make it again</h2><p class="quiet">Open this link and press Run.</p>'
        f'<p class="link">{told}</p>'
    )


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _table(rows: Sequence[dict]) -> str:
    """Return the figures, one column a lane: so they fit on paper."""
    head = "".join(f'<th scope="col">{escape(row["lane"])}</th>' for row in rows)
    body = "".join(
        f'<tr><th scope="row">{escape(c.title)}</th>'
        + "".join(f"<td>{written(row[c.name], c)}</td>" for row in rows)
        + f'<td class="meaning">{escape(c.help)}</td></tr>'
        for c in told_columns(rows)
    )
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}<th></th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _ramp(share: float) -> tuple[int, int, int]:
    place = min(0.9999, max(0.0, share)) * (len(STOPS) - 1)
    low = int(place)
    return tuple(
        round(a + (b - a) * (place - low)) for a, b in zip(STOPS[low], STOPS[low + 1], strict=True)
    )


def _luminance(color: tuple[int, int, int]) -> float:
    r, g, b = color
    return (0.299 * r + 0.587 * g + 0.114 * b) / 255
