"""The tokenizer of an encoder-decoder: what it reads, and what its own text begins with.

A source gets the special tokens that the encoder was trained with (an end, a beginning, the name
of a language), which tokenizer.json describes. The text that is written begins with the model's
start token, which is often no beginning of the tokenizer at all: T5 and Marian start with padding,
BART with the end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from playground.tokenizers.pretrained import PretrainedTokenizer, _json

LANGUAGE = re.compile(r"__[a-z]{2,3}__|[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")  # M2M-100; NLLB and mBART


class Seq2SeqTokenizer(PretrainedTokenizer):
    """A PretrainedTokenizer whose `bos_token` is what the decoder starts with.

    `start` is what every text has next: the language it is in, or what the config forces to come
    first. It belongs to the prompt, since the model was never asked to decide it.

    Raises:
        CheckpointError: see PretrainedTokenizer.
    """

    def __init__(
        self,
        backend: Backend,
        vocab_size: int,
        settings: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
    ):
        super().__init__(backend, vocab_size, settings, config)
        config = config or {}
        bos = self._first(config.get("bos_token_id"), self._named("bos_token"))
        begin = self._first(config.get("decoder_start_token_id"), config.get("pad_token_id"))
        self.bos_token = self.bos_token if begin is None else begin
        forced = self._first(config.get("forced_bos_token_id"))
        if forced is None and self.bos_token == self.eos_token and bos != self.bos_token:
            forced = bos  # BART was trained on </s> <s> text </s>
        self.start = () if forced is None else (forced,)
        self.languages = {  # name: token
            name: token
            for token, name in sorted(self._special.items())
            if LANGUAGE.fullmatch(name) and token < vocab_size
        }
        bare = backend.encode("a", add_special_tokens=False).ids
        whole = backend.encode("a", add_special_tokens=True).ids
        at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
        self._before = tuple(whole[:at])
        self._after = tuple(whole[at + len(bare) :])
        if self.eos_token is not None and self.eos_token not in self._after:
            self._after = (*self._after, self.eos_token)

    @classmethod
    def from_folder(cls, folder: Path | str, vocab_size: int) -> Seq2SeqTokenizer:
        """Read tokenizer.json, and beside it the configs that are there.

        Raises:
            CheckpointError: it is missing, too large or damaged.
        """
        made = super().from_folder(folder, vocab_size)
        told = _json(Path(folder) / "generation_config.json")
        forced = made._first(told.get("forced_bos_token_id"))
        if forced is not None:
            made.start = (forced,)
        return made

    def encode_source(self, text: str, language: str = "") -> list[int]:
        """Return the tokens of a source with its special ones, in one of `languages` if named.

        Raises:
            PromptError: see `encode`.
        """
        before = self._before
        if token := self.languages.get(language):
            others = [t for t in before if t not in self.languages.values()]
            before = (token, *others)
        return [*before, *self.encode(text), *self._after]
