"""Chat templates: from messages to the one text that a chat model was trained to go on from.

The template is rendered with stand-ins that nobody can guess in place of what people say, and
their words are put in afterwards. So a template cannot act on the words, words cannot act on the
template, and it is known which part of the text comes from whom: special tokens are read in the
template's parts alone.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from playground.errors import CheckpointError, PromptError

MAX_TEMPLATE = 2**16  # characters
MAX_MESSAGES = 256
DEADLINE_S = 10.0
ROLES = ("system", "user", "assistant", "tool")
KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG")  # of the environment, which has tokens
_SCRIPT = Path(__file__).with_name("chat_rendering.py")
_MARK = secrets.token_hex(12)


def parts_of_chat(
    template: str, messages: Sequence[dict[str, str]], names: dict[str, str]
) -> list[tuple[str, bool]]:
    """Return (text, is it of the template?) for the parts of a rendered chat, in order.

    Args:
        messages: {"role", "content"} each; where the last is not the assistant's, the template
            opens its answer.
        names: the special tokens that templates know by name, such as bos_token.

    Raises:
        PromptError: the messages are none that this template takes.
        CheckpointError: the template fails, is too large, or takes too long.
    """
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise PromptError(f"A chat has 1 to {MAX_MESSAGES} messages, got {len(messages)}.")
    for message in messages:
        if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            raise PromptError(
                f"A message has a role ({', '.join(ROLES)}) and a text as its content, got "
                f"{str(message)[:100]}."
            )
    roles = tuple(message["role"] for message in messages)
    rendered = _rendered(template, roles, tuple(sorted(names.items())))
    pieces = re.split(f"{_MARK}x([0-9]+)x", rendered)  # text, number, text, ..., text
    if [int(n) for n in pieces[1::2]] != list(range(len(messages))):
        raise PromptError(
            "The model's chat template leaves out, repeats or changes a message (their roles are "
            f"{', '.join(roles)}). Use other roles, or write the prompt yourself."
        )
    parts = [(pieces[0], True)]
    for message, after in zip(messages, pieces[2::2], strict=True):
        parts += [(message["content"], False), (after, True)]
    return [(text, own) for text, own in parts if text]


@lru_cache(256)
def _rendered(template: str, roles: tuple[str, ...], names: tuple[tuple[str, str], ...]) -> str:
    """Return the template's text for messages of these roles, stand-ins in place of contents."""
    if len(template) > MAX_TEMPLATE:
        raise CheckpointError(
            f"The chat template has {len(template):,} characters; at most {MAX_TEMPLATE:,} are "
            "rendered. Write the prompt yourself."
        )
    asked = {
        "template": template,
        "messages": [{"role": r, "content": f"{_MARK}x{i}x"} for i, r in enumerate(roles)],
        "add_generation_prompt": roles[-1] != "assistant",
        "tools": None,
        "documents": None,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_SCRIPT)],
            input=json.dumps(asked | dict(names)).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            timeout=DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckpointError(
            f"The chat template took longer than {DEADLINE_S:g} s and was stopped. Write the "
            "prompt yourself, or choose another model."
        ) from None
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = {"error": "it was stopped for the memory or time that it took"}
    if "text" not in told:
        raise CheckpointError(
            f"The model's chat template cannot be used: {told['error']}. Its messages had the "
            f"roles {', '.join(roles)}. Use other roles, or write the prompt yourself."
        )
    return told["text"]
