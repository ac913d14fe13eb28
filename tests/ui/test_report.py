"""The report is one page that needs nothing else, and whatever was written stays text."""

import json
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser

from playground.comparison import LaneResult
from playground.decoding.spec import LaneSpec
from playground.evaluation.figures import figures
from playground.tokenizers.text import CharTokenizer
from playground.traces.trace import Alternative, Candidate, Draft, Step, Trace
from playground.ui import charts, compare_charts, report
from playground.ui.compare_table import table_rows
from playground.ui.report import Story

HOSTILE = "<script>alert(1)</script> \"'&<img src=x onerror=alert(2)>"
TOKENIZER = CharTokenizer("".join(sorted(set(HOSTILE + "</style>"))))


@dataclass(frozen=True)
class Settings:
    model: str
    prompt: str
    seed: int


def a_story() -> Story:
    tokens = TOKENIZER.encode(HOSTILE)
    rejected = Draft(tokens[0], -1.0, False, (tokens[1],))
    steps = tuple(
        Step(i + 1, t, -2.0, -2.0, 2, 1.0, 3, candidates=(Candidate(t, (-2.0,)),),
             draft=rejected if i == 3 else None)
        for i, t in enumerate(tokens)
    )  # fmt: skip
    others = tuple(Alternative(tuple(tokens), -float(i), -float("inf")) for i in range(2))
    trace = Trace("model", (TOKENIZER.bos_token,), 0, steps, alternatives=others)
    label = HOSTILE[:60]
    result = LaneResult(LaneSpec(label), (trace, trace), 1.0, 10, True)
    own = figures(result.traces, tokenizer=TOKENIZER)
    rows = table_rows([result], [label], [own], own)
    points = compare_charts.scatter_rows([label], [own], own, by_judge=False)
    chart = compare_charts.scatter_chart(points, [label], "it")
    svg = charts.render(chart, "svg").decode()
    return Story(
        Settings(HOSTILE, HOSTILE, 3), [label], [result], rows, TOKENIZER, HOSTILE,
        f"http://here/?prompt={HOSTILE}", HOSTILE, [(HOSTILE, svg)],
    )  # fmt: skip


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    return tags


def test_nothing_that_was_written_becomes_markup():
    tags = parsed(report.to_html(a_story()))
    assert not tags.seen & {"script", "img", "iframe", "object", "link", "form", "b"}
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert "".join(tags.text).count(HOSTILE) >= 4  # prompt, settings, texts


def test_only_a_link_of_the_web_becomes_one():
    story = a_story()
    assert '<a href="http://here/' in report.to_html(story)
    for link in ("javascript:alert(1)", "data:text/html,x", ""):
        assert "<a " not in report.to_html(replace(story, link=link))


def test_the_report_fetches_nothing():
    html = report.to_html(a_story())
    assert "default-src 'none'" in html
    assert not re.search(r"src\s*=\s*[\"']?\s*(?:https?:)?//", html)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_the_report_tells_texts_table_chart_settings_and_link():
    html = report.to_html(a_story())
    text = "".join(parsed(html).text)
    assert "<svg" in html
    assert "sample 2" in text
    assert "perplexity" in text
    assert "http://here/" in text
    assert "human text" in text
    assert "<s>" in html  # the rejected draft


def test_the_json_carries_specs_and_whole_traces():
    story = a_story()
    data = json.loads(report.to_json(story))
    assert data["format"] == report.FORMAT
    assert data["settings"]["seed"] == 3
    assert data["human"]["lane"] == "human text"
    (lane,) = data["lanes"]
    assert LaneSpec.from_json(lane["spec"]).label == story.labels[0]
    again = Trace.from_json(json.dumps(lane["traces"][0]))
    assert again == story.results[0].traces[0]


def test_an_empty_comparison_is_a_report_too():
    trace = Trace("model", (TOKENIZER.bos_token,), 0)
    result = LaneResult(LaneSpec("x"), (trace,), 0.0, 0, False)
    html = report.to_html(Story(Settings("m", "", 0), ["x"], [result], [], TOKENIZER, ""))
    assert "nothing was written" in html
    assert "(empty)" in html
