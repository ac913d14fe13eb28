"""Text to tokens and back: one token a character, or byte-level byte-pair encoding.

Both put their special tokens after the vocabulary, outside what text can spell, so no prompt can
smuggle one in.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from playground.errors import CheckpointError, PromptError

VISIBLE = {"\n": "⏎", "\t": "⇥", "\r": "␍", " ": "␣", "\0": "␀", "\u00a0": "⍽"}
MAX_VOCAB = 200_000


def visible(text: str) -> str:
    """Return `text` as a label that can be seen: blanks and invisible characters get a sign."""
    return "".join(map(_visible_character, text))


def _visible_character(c: str) -> str:
    if c in VISIBLE:
        return VISIBLE[c]
    return c if unicodedata.category(c)[0] not in "CZ" else f"⟨U+{ord(c):04X}⟩"


class CharTokenizer:
    """One token a character of a fixed set of symbols, then BOS."""

    eos_token = None

    def __init__(self, symbols: str):
        if len(set(symbols)) != len(symbols) or not 0 < len(symbols) <= MAX_VOCAB:
            raise CheckpointError(
                f"A character tokenizer needs 1 to {MAX_VOCAB} different symbols, got "
                f"{len(symbols)} with {len(set(symbols))} different ones. Use another checkpoint."
            )
        if any(unicodedata.category(c) == "Cs" for c in symbols):  # no text can hold it
            raise CheckpointError(
                "A symbol of the character tokenizer is half of a surrogate pair, which is no "
                "character. Use another checkpoint."
            )
        self.symbols = symbols
        self.bos_token = len(symbols)
        self.vocab_size = len(symbols) + 1
        self._token = {symbol: token for token, symbol in enumerate(symbols)}

    @classmethod
    def train(cls, text: str) -> CharTokenizer:
        """Return the tokenizer of the characters in `text`, in code point order."""
        return cls("".join(sorted(set(text))))

    def encode(self, text: str) -> list[int]:
        """Return one token a character.

        Raises:
            PromptError: a character is not among the symbols.
        """
        try:
            return [self._token[c] for c in text]
        except KeyError:
            unseen = sorted({c for c in text if c not in self._token})
            names = ", ".join(f"{visible(c)} (U+{ord(c):04X})" for c in unseen[:5])
            more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
            others = [c for c in self.symbols if not c.isalnum()]
            known = visible("".join(others[:40])) + ("…" if len(others) > 40 else "")
            raise PromptError(
                f"This model has never seen {names}{more}: it knows {len(self.symbols)} characters "
                f"(letters among them, and {known}). Remove what it does not know, or choose a "
                "byte-pair model, which can read any text."
            ) from None

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of `tokens`, BOS left out."""
        return "".join(self.symbols[t] for t in tokens if t != self.bos_token)

    def label(self, token: int) -> str:
        """Return a short visible name of one token."""
        return "⟨start⟩" if token == self.bos_token else visible(self.symbols[token])

    def token_bytes(self, token: int) -> bytes:
        """Return what `token` adds to the text in UTF-8; nothing if it is BOS."""
        return b"" if token == self.bos_token else self.symbols[token].encode()

    def to_json(self) -> dict:
        return {"type": "characters", "symbols": self.symbols}


class BPETokenizer:
    """Byte-level byte-pair encoding (Sennrich et al. 2016; bytes as in GPT-2), then BOS and EOS."""

    def __init__(self, vocab: dict[str, int], merges: list[tuple[str, str]]):
        self._vocab, self._merges = vocab, merges
        if sorted(vocab.values()) != list(range(len(vocab))) or len(vocab) > MAX_VOCAB:
            raise CheckpointError(
                f"A byte-pair vocabulary needs the ids 0 to n - 1, n at most {MAX_VOCAB}, each "
                f"once; got {len(vocab)} entries. Use another checkpoint."
            )
        if not set(_BYTE_OF) <= set(vocab) or not set().union(*vocab) <= set(_BYTE_OF):
            raise CheckpointError(
                "A byte-pair vocabulary must spell every one of the 256 bytes, and nothing else. "
                "Use another checkpoint."
            )
        try:
            self._backend = Backend(BPE(vocab=vocab, merges=merges))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(
                f"The byte-pair merges do not fit the vocabulary ({error}). Use another checkpoint."
            ) from error
        self._backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._backend.decoder = decoders.ByteLevel()
        self.bos_token = len(vocab)
        self.eos_token = len(vocab) + 1
        self.vocab_size = len(vocab) + 2

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> BPETokenizer:
        """Learn `vocab_size` - 2 pieces (BOS and EOS make up the rest) from `texts`."""
        backend = Backend(BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = BpeTrainer(
            vocab_size=vocab_size - 2,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        model = json.loads(backend.to_str())["model"]
        return cls(model["vocab"], [tuple(pair) for pair in model["merges"]])

    def encode(self, text: str) -> list[int]:
        """Return the pieces of `text`.

        Raises:
            PromptError: the text cannot be written as UTF-8 (half of a surrogate pair).
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PromptError(
                f"Character {error.start + 1} of the text is half of a surrogate pair, which is no "
                "character. Delete it."
            ) from None
        return self._backend.encode(text).ids

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of `tokens`, BOS and EOS left out; broken UTF-8 shows as U+FFFD."""
        return self._backend.decode([t for t in tokens if t < self.bos_token])

    def label(self, token: int) -> str:
        """Return a short visible name of one token."""
        if token >= self.bos_token:
            return "⟨start⟩" if token == self.bos_token else "⟨end⟩"
        text = self.decode([token])
        if "\ufffd" in text:  # part of a character: show its bytes
            text = "".join(
                f"⟨{byte:02X}⟩" if byte > 127 else chr(byte) for byte in self.token_bytes(token)
            )
        return visible(text)

    def token_bytes(self, token: int) -> bytes:
        """Return what `token` adds to the text; nothing if it is BOS or EOS."""
        if token >= self.bos_token:
            return b""
        return bytes(_BYTE_OF[c] for c in self._backend.id_to_token(token))

    def to_json(self) -> dict:
        return {
            "type": "byte-pair",
            "vocab": self._vocab,
            "merges": [" ".join(pair) for pair in self._merges],
        }


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in of every byte, read backwards."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    table = {chr(b): b for b in printable}
    return table | {chr(256 + i): b for i, b in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def tokenizer_from_json(data: dict) -> CharTokenizer | BPETokenizer:
    """Return the tokenizer that wrote `data` with `to_json`.

    Raises:
        CheckpointError: it is not such a dictionary.
    """
    try:
        if data["type"] == "characters":
            return CharTokenizer(str(data["symbols"]))
        if data["type"] == "byte-pair":
            vocab = {str(piece): int(token) for piece, token in data["vocab"].items()}
            merges = [tuple(str(pair).split(" ")) for pair in data["merges"]]
            if any(len(pair) != 2 for pair in merges):
                raise ValueError("a merge is not two pieces")
            return BPETokenizer(vocab, merges)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise CheckpointError(
            f"The tokenizer is damaged ({type(error).__name__}: {error}). Use another checkpoint."
        ) from error
    raise CheckpointError(
        f"The tokenizer is of type {data['type']!r}; this version reads 'characters' and "
        "'byte-pair'. Use another checkpoint."
    )
