"""What a text begins with: a prompt as it is, or a chat through the model's own template."""

from __future__ import annotations

from typing import Any

import streamlit as st

from playground.errors import PromptError
from playground.ui.controls import MAX_PROMPT, prompt_area
from playground.ui.resources import Loaded
from playground.ui.text_setting import Beginning

USER = "What is a rainbow?"


def beginning(loaded: Loaded) -> Beginning:
    """Write the prompt, or what is said to a model that has a chat template.

    Raises:
        PromptError: it is longer than the page reads, or the template does not take it.
        CheckpointError: the template fails.
    """
    tokenizer = loaded.tokenizer
    if getattr(tokenizer, "chat_template", None) and st.toggle(
        "As a chat", key="chat", bind="query-params",
        help="The model was trained on conversations in a certain form. Its template writes what "
        "you say in that form, with special tokens that no text can spell; the model goes on with "
        "its answer, until the token that ends it.",
    ):  # fmt: skip
        return _chat(tokenizer)
    prompt = prompt_area()
    return Beginning(prompt, prompt, lambda: tokenizer.encode(prompt))


def _chat(tokenizer: Any) -> Beginning:
    system = st.text_area(
        "System", key="system", bind="query-params", height=70,
        placeholder="Empty: the template's own words, if it has any",
        help="How the model shall answer. Not every model was trained to heed it.",
    )  # fmt: skip
    user = st.text_area("You say", USER, key="user", bind="query-params", height=90)
    for name, said in (("system text", system), ("message", user)):
        if len(said) > MAX_PROMPT:
            raise PromptError(
                f"The {name} has {len(said):,} characters; at most {MAX_PROMPT:,} are read. "
                "Shorten it."
            )
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": user})
    text, tokens = tokenizer.chat(messages)
    with st.expander("The prompt as the model reads it", key="chat_text"):
        st.code(text, language=None, wrap_lines=True)
        st.caption(f"{len(tokens)} tokens after the start token. The template wrote all but your "
                   "words.")  # fmt: skip
    return Beginning(("chat", system, user), text, lambda: tokens, end_token(tokenizer), True)


def end_token(tokenizer: Any) -> int | None:
    """Return the special token that ends an answer in the template, None if there is none.

    It is often another one than ends a text: the template is asked how it closes an answer.
    """
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        _, tokens = tokenizer.chat(said)
    except PromptError:  # a template may take no answer; then a text's own end ends it
        return None
    last = max((i for i, t in enumerate(tokens) if "b" in tokenizer.decode([t])), default=-1)
    return next((t for t in tokens[last + 1 :] if tokenizer.is_special(t)), None)
