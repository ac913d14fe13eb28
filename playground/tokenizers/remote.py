"""Text to the tokens of a model server and back, as far as it tells them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from playground.errors import PromptError
from playground.tokenizers.text import visible

REST = "⟨everything else⟩"


class RemoteTokenizer:
    """The tokenizer of a server: it splits there, and spells what has been met so far.

    `engine` is a `models.remote_engine.RemoteEngine`, which the model shares.
    """

    def __init__(self, engine: Any):
        self.engine = engine
        self.vocab_size: int = engine.vocab_size
        self.bos_token: int = engine.bos_token
        self.eos_token: int | None = engine.eos_token

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`, special ones left out.

        Raises:
            PromptError: the text cannot be written as UTF-8 (half of a surrogate pair).
            RemoteError: the server does not answer.
        """
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise PromptError("The text has half of a surrogate pair, which is no character.")
        return self.engine.tokenize(text)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of `tokens`, special ones left out; broken UTF-8 shows as U+FFFD."""
        return b"".join(map(self.token_bytes, tokens)).decode("utf-8", "replace")

    def label(self, token: int) -> str:
        """Return a short visible name of one token, whether it was met or not."""
        if token == self.engine.rest_token:
            return REST
        if token == self.bos_token:
            return "⟨start⟩"
        if token == self.eos_token:
            return "⟨end⟩"
        spelled = self.token_bytes(token)
        if not spelled:
            return f"⟨token {token}⟩"
        text = spelled.decode("utf-8", "replace")
        if "\ufffd" in text:  # part of a character: show its bytes
            text = "".join(f"⟨{byte:02X}⟩" if byte > 127 else chr(byte) for byte in spelled)
        return visible(text)

    def is_special(self, token: int) -> bool:
        """True of what is no text: start, end, and what stands for all that is not listed."""
        return token in (self.bos_token, self.eos_token, self.engine.rest_token)

    def token_bytes(self, token: int) -> bytes:
        """Return what `token` adds to the text; nothing if it is special or was never met."""
        return b"" if self.is_special(token) else self.engine.vocabulary.spelled(token) or b""

    def to_json(self) -> dict:
        return {"type": "remote", "model": self.engine.model_id, "size": self.vocab_size}
