"""The tokenizer of a published model, from its tokenizer.json.

Whatever its kind (byte-level, SentencePiece, WordPiece), the `tokenizers` library reads and runs
it; here it gets the manners of the house: text spells no special token, every token has a name
that can be seen and the bytes that it adds to the text, and what a file claims is bounded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from playground.errors import CheckpointError, PromptError
from playground.tokenizers.chat import parts_of_chat
from playground.tokenizers.growth import growth_of
from playground.tokenizers.text import _BYTE_OF, visible

MAX_FILE_BYTES = 64 * 2**20
MAX_SETTINGS_BYTES = 4 * 2**20
MAX_VOCAB = 2**20
MAX_TEXT = 2**22  # characters
NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class Piece:
    """One token of a text, and the characters `start` to `end` that it stands for.

    The parts of one character all have its span.
    """

    token: int
    start: int
    end: int
    is_byte: bool  # it is a part of a character


class PretrainedTokenizer:
    """A tokenizer of the library, for a model of `vocab_size` tokens.

    A model may have more tokens than its tokenizer has pieces (tables are padded); those have
    names, and no text. Every sequence starts with `bos_token`: the tokenizer's own, else the
    config's, else what ends a text, else padding, else token 0.

    Raises:
        CheckpointError: a piece has no token of the model.
    """

    def __init__(
        self,
        backend: Backend,
        vocab_size: int,
        settings: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
    ):
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True  # text can spell them, and gets ordinary pieces
        self._backend, self.vocab_size = backend, vocab_size
        self.alphabet = vocab_size  # special tokens stand anywhere, so any token can be packed
        self._settings = settings or {}
        self._form = backend.to_str()
        told = json.loads(self._form)
        self._growth = growth_of(told)
        self._is_byte_level = "ByteLevel" in json.dumps(told.get("decoder"))
        added = backend.get_added_tokens_decoder()
        self._added = {token: piece.content for token, piece in added.items()}
        self._special = {t: p.content for t, p in added.items() if p.special}
        for name in NAMES[:3]:  # special by what they are for, even if the file does not say so
            if (token := self._named(name)) is not None:
                self._special[token] = backend.id_to_token(token)
        config = config or {}
        eos, pad = self._named("eos_token"), self._named("pad_token")
        self.eos_token: int | None = self._first(eos, config.get("eos_token_id"))
        bos = self._first(self._named("bos_token"), config.get("bos_token_id"))
        start = self._first(bos, self.eos_token, pad, config.get("pad_token_id"))
        self.bos_token: int = 0 if start is None else start
        self._anchor = _anchor(backend)
        self.chat_template: str | None = _template(self._settings.get("chat_template"))

    @classmethod
    def from_folder(cls, folder: Path | str, vocab_size: int) -> PretrainedTokenizer:
        """Read tokenizer.json, and beside it tokenizer_config.json and config.json if there.

        Raises:
            CheckpointError: it is missing, too large or damaged.
        """
        folder = Path(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(
                f"{folder.name} has no tokenizer.json, the only form of tokenizer that is read. "
                "Choose another model, or a copy of this one that has it."
            )
        backend = _backend(_read(path, MAX_FILE_BYTES), str(path.name))
        settings = _json(folder / "tokenizer_config.json")
        template = folder / "chat_template.jinja"
        if template.is_file():
            settings |= {"chat_template": _read(template, MAX_SETTINGS_BYTES)}
        return cls(backend, vocab_size, settings, _json(folder / "config.json"))

    def _named(self, name: str) -> int | None:
        """Return the token that the settings call `name`, None if they have none."""
        told = self._settings.get(name)
        told = told.get("content") if isinstance(told, dict) else told
        return self._backend.token_to_id(told) if isinstance(told, str) else None

    def _first(self, *found: Any) -> int | None:
        """Return the first of `found` (ids, or lists of ids) that is a token of the model."""
        for ids in found:
            for token in ids if isinstance(ids, list) else [ids]:
                if isinstance(token, int) and 0 <= token < self.vocab_size:
                    return token
        return None

    # -- text and tokens -------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Return the pieces of `text`, no special token among them.

        Raises:
            PromptError: the text is too long, no Unicode, or has a piece that the model lacks.
        """
        return [piece.token for piece in self.pieces(text)]

    def pieces(self, text: str) -> list[Piece]:
        """Return the pieces of `text` with the characters they stand for; raises as `encode`."""
        if len(text) > MAX_TEXT:
            raise PromptError(f"A text has at most {MAX_TEXT:,} characters, got {len(text):,}.")
        try:
            text.encode()
            self._growth.check(text)
        except UnicodeEncodeError as error:
            raise PromptError(
                f"Character {error.start + 1} of the text is half of a surrogate pair, which is no "
                "character. Delete it."
            ) from None
        found, start = [], 0
        for part in self._harmless(text):
            encoding = self._cut(part)
            spans = ((start + a, start + b) for a, b in encoding.offsets)
            found += [
                Piece(token, a, b, self._is_part(token))
                for token, (a, b) in zip(encoding.ids, spans, strict=True)
            ]
            start += len(part)
        for piece in found:
            if piece.token >= self.vocab_size:
                raise PromptError(
                    f"The model has no token for “{text[piece.start : piece.end]}”: its tokenizer "
                    f"has more pieces than the model's {self.vocab_size:,}. Leave it out."
                )
        return found

    def _cut(self, text: str) -> Any:
        """Return the library's Encoding of `text`."""
        try:
            return self._backend.encode(text, add_special_tokens=False)
        except BaseException as error:
            if not _is_failure(error):
                raise
            raise PromptError(
                f"This model's tokenizer cannot cut the text ({str(error)[:100]}). Write another "
                "text, or choose another model."
            ) from error

    def _harmless(self, text: str) -> list[str]:
        """Return `text`, cut within what spells a special token if a piece would be one.

        The library keeps added tokens apart from text; the model of some tokenizers (Unigram) has
        them among its pieces all the same.
        """
        ids = self._cut(text).ids
        unknown = self._named("unk_token")
        bad = {self._special[i] for i in ids if i in self._special and i != unknown}
        bad = {content for content in bad if content and content in text}
        if not bad:
            return [text]
        cuts = {m.start() + 1 for content in bad for m in re.finditer(re.escape(content), text)}
        ends = [0, *sorted(cuts), len(text)]
        return [text[a:b] for a, b in pairwise(ends)]

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of `tokens`, special ones left out; broken UTF-8 shows as U+FFFD.

        One token alone keeps the blank before its word that SentencePiece drops at a beginning.
        """
        kept = [t for t in tokens if not self.is_special(t)]
        if len(kept) == 1:
            return self.token_bytes(kept[0]).decode(errors="replace")
        return self._backend.decode(kept, skip_special_tokens=False)

    def is_special(self, token: int) -> bool:
        """True if `token` stands for no text: a mark such as the end, or an unused place."""
        return token in self._special or self._backend.id_to_token(token) is None

    def label(self, token: int) -> str:
        """Return a short visible name of one token."""
        if token in self._special:
            return visible(self._special[token])
        if self._backend.id_to_token(token) is None:
            return f"⟨unused {token}⟩"
        data = self.token_bytes(token)
        try:
            return visible(data.decode())
        except UnicodeDecodeError:  # part of a character: show its bytes
            return "".join(f"⟨{b:02X}⟩" if b > 127 else visible(chr(b)) for b in data)

    def token_bytes(self, token: int) -> bytes:
        """Return what `token` adds to a text in UTF-8; nothing if it is special."""
        if self.is_special(token):
            return b""
        if token in self._added:
            return self._added[token].encode()
        piece = self._backend.id_to_token(token)
        if self._is_byte_level and all(c in _BYTE_OF for c in piece):
            return bytes(_BYTE_OF[c] for c in piece)
        if match := _BYTE_PIECE.fullmatch(piece):
            return bytes.fromhex(match[1])
        before = self._backend.decode([self._anchor], skip_special_tokens=False)
        both = self._backend.decode([self._anchor, token], skip_special_tokens=False)
        return both.removeprefix(before).encode()

    def _is_part(self, token: int) -> bool:
        try:
            self.token_bytes(token).decode()
        except UnicodeDecodeError:
            return True
        return bool(_BYTE_PIECE.fullmatch(self._backend.id_to_token(token) or ""))

    # -- chat ------------------------------------------------------------------------------------

    def chat(self, messages: Sequence[dict[str, str]]) -> tuple[str, list[int]]:
        """Return messages through the model's template: the text, and its tokens after BOS.

        Each is {"role": "system" | "user" | "assistant", "content": text}. Special tokens are the
        template's; what people say spells none.

        Raises:
            PromptError: the messages are none that this template takes.
            CheckpointError: there is no template, or it fails.
        """
        if self.chat_template is None:
            raise CheckpointError(
                "This model has no chat template: it continues text. Write the prompt as a text, "
                "or choose a model whose name ends in Instruct or Chat."
            )
        names = {name: self._special[t] for name in NAMES
                 if (t := self._named(name)) is not None and t in self._special}  # fmt: skip
        parts = parts_of_chat(self.chat_template, messages, names)
        tokens = []
        for text, token in self._runs(parts):
            tokens += self.encode(text) if token is None else [token]
        if tokens and tokens[0] == self.bos_token:
            del tokens[0]
        return "".join(text for text, _ in parts), tokens

    def _runs(self, parts: Sequence[tuple[str, bool]]) -> list[tuple[str, int | None]]:
        """Return the special tokens of the template's parts, and the texts between them.

        A text goes on across parts, so it is cut into the same pieces as in one string.
        """
        of = {content: token for token, content in self._added.items() if content}
        marks = sorted(of, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, marks))) if marks else None
        runs: list[tuple[str, int | None]] = []
        text = ""
        for part, is_template in parts:
            at = 0
            for match in pattern.finditer(part) if pattern and is_template else ():
                text += part[at : match.start()]
                runs += [(text, None), (match[0], of[match[0]])]
                text, at = "", match.end()
            text += part[at:]
        return [run for run in (*runs, (text, None)) if run[0]]

    def to_json(self) -> dict[str, Any]:
        """Return what tells this tokenizer from others; the pieces as their SHA-256."""
        sha = hashlib.sha256(self._form.encode()).hexdigest()
        return {"type": "pretrained", "sha256": sha, "vocab_size": self.vocab_size,
                "bos_token": self.bos_token, "eos_token": self.eos_token}  # fmt: skip


def _anchor(backend: Backend) -> int:
    """Return a piece of one letter, to see what another adds behind it."""
    for letter in ("a", "▁a", "e", "##a", "a</w>", "A"):
        if (token := backend.token_to_id(letter)) is not None:
            return token
    return 0


def _template(told: Any) -> str | None:
    """Return the chat template among the settings: a text, or the default of a list of them."""
    if isinstance(told, list):
        named = {t.get("name"): t.get("template") for t in told if isinstance(t, dict)}
        told = named.get("default")
    return told if isinstance(told, str) and told else None


def _read(path: Path, most: int) -> str:
    try:
        if path.stat().st_size > most:
            raise CheckpointError(
                f"{path.name} has {path.stat().st_size:,} bytes; at most {most:,} are read. Choose "
                "another model."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path.name} cannot be read ({type(error).__name__}: {error}). Download it again, or "
            "choose another model."
        ) from error


def _json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty if there is no file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(_read(path, MAX_SETTINGS_BYTES))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is damaged ({error}). Download it again.") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path.name} is damaged: no JSON object. Download it again.")
    return found


def _is_failure(error: BaseException) -> bool:
    """True of what the library raises: bare Exception, or a panic of Rust, which is none.

    It panics where a tokenizer's own pattern needs too many tries on a text.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _backend(text: str, name: str) -> Backend:
    try:
        growth_of(told if isinstance(told := json.loads(text), dict) else {})  # before it is run
        backend = Backend.from_str(text)
    except CheckpointError:
        raise
    except BaseException as error:
        if not _is_failure(error):
            raise
        raise CheckpointError(
            f"{name} is damaged or of a newer form ({str(error)[:200]}). Download it again, or "
            "choose another model."
        ) from error
    if backend.get_vocab_size() > MAX_VOCAB:
        raise CheckpointError(
            f"{name} has {backend.get_vocab_size():,} pieces; at most {MAX_VOCAB:,} are read. "
            "Choose another model."
        )
    return backend
