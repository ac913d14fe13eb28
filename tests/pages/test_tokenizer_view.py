"""How a text is cut, on the Text page: pieces, marks, two tokenizers, and what cannot be cut."""

import csv
import io
import json
import re

import pytest
from streamlit.testing.v1 import AppTest

from playground.inspection.tokenization import cut, side_by_side
from playground.registry import available
from playground.tokenizers.pretrained import PretrainedTokenizer
from playground.ui.inside_data import table_csv
from playground.ui.tokenizer_view_data import (
    DRAWN,
    boxes,
    cut_tokens,
    table,
    tokenizer_of_card,
)
from tests.helpers import ROOT
from tests.tiny_models import CHAT_TEMPLATE, SPECIAL, VOCAB_SIZE, tiny_tokenizer

TEXT = "Naïve café 🙂\nIn the beginning"


@pytest.fixture(scope="module")
def bpe():
    return tokenizer_of_card(available("text")["prose-bpe-transformer"])


@pytest.fixture(scope="module")
def chatting() -> PretrainedTokenizer:
    settings = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "chat_template": CHAT_TEMPLATE}
    return PretrainedTokenizer(tiny_tokenizer(), VOCAB_SIZE, settings)


def page(**query: str) -> AppTest:
    shown = AppTest.from_file(str(ROOT / "pages" / "1_Text.py"), default_timeout=60)
    for key, value in {"do": "How it is cut", **query}.items():
        shown.query_params[key] = value
    shown.run()
    assert not shown.exception
    return shown


def drawn(shown: AppTest, place: int = 0) -> dict:
    """What a component of the page was given."""
    found = [json.loads(part.proto.json) for part in shown.get("bidi_component")]
    return [data for data in found if "kinds" in data][place]


def messages(shown: AppTest) -> str:
    said = " ".join(e.value for e in [*shown.error, *shown.warning, *shown.info])
    return re.sub(r"\\(\W|_)", r"\1", said)


def test_boxes_spell_the_text_and_mark_what_is_special(bpe):
    found = cut(bpe, TEXT)
    data = boxes(found, "one", bos=(bpe.bos_token, "⟨start⟩"))
    assert data["tokens"] == [bpe.bos_token, *bpe.encode(TEXT)]
    assert data["kinds"][0] == "s"
    parts = [t for t, kinds in zip(data["tokens"], data["kinds"], strict=True) if "p" in kinds]
    spelled = b"".join(bpe.token_bytes(t) for t in parts)
    assert spelled.decode() == "ïé🙂"  # what has no token of its own, and nothing else
    assert sum("n" in kinds for kinds in data["kinds"]) == 1
    assert not any("d" in kinds for kinds in data["kinds"])


def test_borders_that_only_one_has_are_marked(bpe, chatting):
    both = side_by_side(bpe, chatting, TEXT)
    for own, other in ((both.a, both.b), (both.b, both.a)):
        data = boxes(own, "one", other=other)
        marked = {p.start for p, kinds in zip(own.pieces, data["kinds"], strict=True)
                  if "d" in kinds}  # fmt: skip
        assert marked == own.boundaries - other.boundaries


def test_a_long_text_is_not_sent_whole_but_the_table_has_all_of_it(bpe):
    found = cut(bpe, "one two " * DRAWN)
    data = boxes(found, "long")
    assert len(data["texts"]) == DRAWN
    assert f"{len(found.pieces) - DRAWN:,} more" in data["more"]
    assert len(table(found)) == len(found.pieces)


def test_the_table_can_be_read_by_a_spreadsheet(bpe):
    found = cut(bpe, '=1+1,"a"\nb 🙂')
    rows = list(csv.DictReader(io.StringIO(table_csv(table(found)))))
    assert [int(row["token"]) for row in rows] == bpe.encode(found.text)
    assert not any(row["piece"].startswith("=") for row in rows)
    assert {row["is"] for row in rows} >= {"", "part of a character"}


def test_a_chat_is_cut_as_it_is_read(chatting):
    _, tokens = chatting.chat([{"role": "user", "content": "café 🙂"}])
    found = cut_tokens(chatting, tokens)
    assert found.text == "café 🙂"
    assert [p.token for p in found.pieces] == tokens
    assert [p.label for p in found.pieces if p.is_special] == ["<|user|>", "<|assistant|>"]
    plain = cut(chatting, "café 🙂").pieces
    assert [p for p in found.pieces if not p.is_special] == list(plain)


def test_the_page_cuts_the_prompt_or_another_text():
    shown = page(model="kjv-char-ngram", prompt="And he ")
    assert drawn(shown)["texts"][1:] == list("And␣he␣")
    shown.text_area(key="cut_text").set_value("Lord").run()
    assert drawn(shown)["texts"][1:] == list("Lord")
    shown = page(model="prose-bpe-transformer", cut_text="the whale", beside="kjv-char-ngram")
    assert len(drawn(shown, 0)["texts"]) - 1 < len(drawn(shown, 1)["texts"]) == len("the whale")
    assert "prose-bpe-transformer needs fewer tokens" in messages(shown)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "kjv-char-ngram", "cut_text": "caf\u00e9"}, "U+00E9"),
        ({"model": "kjv-char-ngram", "cut_text": "x" * 30_000}, "30,000 characters"),
        ({"model": "prose-bpe-transformer", "cut_text": "\u00e9", "beside": "kjv-char-lstm"},
         "has never seen"),
        ({"beside": "gpt-9"}, "names the beside “gpt-9”"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_explained(query, says):
    assert says in messages(page(**query))
