"""Constraints: the continuation is one of some texts, matches a pattern, or is JSON of a schema.

llguidance keeps, for a text begun, which bytes may follow, and turns it into a mask over the
vocabulary. Why this library: its wheel is 3 MB and needs nothing else (xgrammar brings triton and
two more); it takes any list of byte strings as a vocabulary, ours of single characters too; it
bounds the work of hostile grammars by limits that can be set; and its automata are built as far as
texts go. On 4,096 pieces a pattern is ready in 1 to 4 ms and a step takes 0.1 to 0.2 ms, while the
index of outlines-core, all states times the vocabulary, takes 1 to 60 ms [measured] and has no
bound. The price: no look-around, no back references, and where only one text can follow, only its
usual tokens are allowed.

Where several constraints or truncations meet, a constraint has the last word: if what stood
before it removed all that it allows, the allowed tokens become equally likely. A text that can go
on in no way (complete, spoilt by a token that was forced, or at a limit of the library) is over;
its logits stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from playground.decoding.automaton import Automaton, Form, automaton_of
from playground.decoding.context import Context
from playground.decoding.grammars import read_choices
from playground.decoding.pieces import spell
from playground.errors import ConfigError


def choice(logits: Tensor, context: Context, text: str) -> Tensor:
    """Keep what leads to one of the lines of `text`."""
    return _constrain(logits, context, "choice", text)


def regex(logits: Tensor, context: Context, pattern: str) -> Tensor:
    """Keep what leads to a text that `pattern` matches as a whole."""
    return _constrain(logits, context, "regex", pattern)


def json_schema(logits: Tensor, context: Context, schema: str) -> Tensor:
    """Keep what leads to JSON that `schema` allows, separated as by Python's json.dumps."""
    return _constrain(logits, context, "json_schema", schema)


def choice_is_over(context: Context, text: str) -> list[bool]:
    return [form.is_over for form in _forms(context, "choice", text)]


def regex_is_over(context: Context, pattern: str) -> list[bool]:
    return [form.is_over for form in _forms(context, "regex", pattern)]


def json_schema_is_over(context: Context, schema: str) -> list[bool]:
    return [form.is_over for form in _forms(context, "json_schema", schema)]


def check_choice(tokenizer: Any, text: str) -> None:
    automaton = _automaton("choice", text, tokenizer)
    for line in read_choices(text):
        spell("choice", line, tokenizer)
    automaton.check()


def check_regex(tokenizer: Any, pattern: str) -> None:
    _automaton("regex", pattern, tokenizer).check()


def check_json_schema(tokenizer: Any, schema: str) -> None:
    _automaton("json_schema", schema, tokenizer).check()


def _constrain(logits: Tensor, context: Context, kind: str, text: str) -> Tensor:
    forms = _forms(context, kind, text)
    allowed = torch.stack([form.allowed(logits.shape[-1]) for form in forms]).to(logits.device)
    kept = logits.masked_fill(~allowed, -torch.inf)
    is_empty = (kept == -torch.inf).all(-1, keepdim=True)
    fallback = torch.where(allowed.any(-1, keepdim=True), kept.masked_fill(allowed, 0.0), logits)
    return torch.where(is_empty, fallback, kept)


def _forms(context: Context, kind: str, text: str) -> list[Form]:
    automaton = _automaton(kind, text, context.tokenizer)
    return [automaton.form(tuple(tokens)) for tokens in context.made.tolist()]


def _automaton(kind: str, text: str, tokenizer: Any) -> Automaton:
    if tokenizer is None or not hasattr(tokenizer, "token_bytes"):
        raise ConfigError(
            f"{kind} needs a model of text: only text can match it. Choose another model, or "
            f"empty {kind}."
        )
    return automaton_of(kind, text, tokenizer)
