"""A model server, and what is found out about it: what it is asked, and how its answers are read.

The server never samples for us: it is asked for one token at a time, and only for what it lists
of the distribution there. Which route, which shape and how many tokens is tried out once:

- llama.cpp has a route of its own with ids, bytes and any number of tokens;
- vLLM takes and tells ids where asked, and has a tokenizer to spell them;
- of any other completions server a token is its text, and the prompt goes there as text. It is cut
  into tokens there, again and again, which need not be those that were generated.

Answers are kept by prefix, so that going back, branches and a second look cost nothing, and give
the very same numbers: a server's own may differ in the last bits by what else it computes.
"""

from __future__ import annotations

import math
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from playground.errors import ConfigError, PromptError, RemoteError
from playground.models import remote_answers as answers
from playground.models.remote_answers import Position, whole
from playground.models.remote_client import MAX_LISTED, MODEL, BrokenError, Client, RefusedError
from playground.models.remote_vocabulary import Vocabulary

MAX_CONTEXT = 2**24
TEXT_TOKENS = 2**17  # numbers for tokens that are known by their texts
MOST_KEPT = 2**22  # listed tokens of all kept answers
MOST_SPELLED = 64  # unknown tokens of one answer that are asked for
KEPT_PROMPTS = 256
ALL = 1 - 1e-6  # of the mass: what then is missing is rounding
CUT = re.compile(r"\s?\w{1,32}|\s?[^\w\s]{1,32}|\s")  # where nobody tells how a text is cut


@dataclass(frozen=True, eq=False)
class Listed:
    """What a server lists of one distribution: n tokens, and the mass of all others together."""

    tokens: Tensor  # (n,) int64
    logprobs: Tensor  # (n,) float32, the server's own
    rest: float  # log of the mass of what is not listed; -inf if that is nothing


NOTHING_TOLD = Listed(torch.zeros(0, dtype=torch.int64), torch.zeros(0), 0.0)


class RemoteEngine:
    """One model of a server; shared by all sessions, safe under threads.

    Raises:
        RemoteError: the server cannot be used; the message says why.
        ConfigError: it has no model of the name that is set.
    """

    def __init__(self, client: Client):
        self.client = client
        self.is_replaced = False  # the server has become another one
        self._is_suspect = False
        self._kept: OrderedDict[tuple[int, ...], Listed] = OrderedDict()
        self._weight = 0
        self._prompts: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._lock = threading.Lock()
        entry = self._entry()
        self.model_id: str = entry["id"]
        self._identity = _identity(entry)
        self.context_length: int | None = None
        self.bos_token, self.eos_token, self.has_echo = -1, None, False
        if entry.get("owned_by") == "llamacpp":
            self._meet_llama(entry)
        else:
            self._meet_openai(entry)

    # -- what it can be asked --------------------------------------------------------------------

    def next_tokens(self, prefixes: Sequence[tuple[int, ...]]) -> list[Listed]:
        """Return what is listed of the distribution after each prefix (BOS first).

        Raises:
            RemoteError: the server does not answer; nothing of this is kept.
        """
        with self._lock:
            found = {p: self._kept[p] for p in prefixes if p in self._kept}
            for prefix in found:
                self._kept.move_to_end(prefix)
        missing = [p for p in dict.fromkeys(prefixes) if p not in found]
        if missing:
            bodies = [self._body | {"prompt": self._sent(p)} for p in missing]
            told = [answers.next_tokens(a) for a in self._ask(self._route, bodies)]
            for prefix, listed in zip(missing, self._read(told), strict=True):
                found[prefix] = listed
                self._keep(prefix, listed)
        return [found[p] for p in prefixes]

    def every(self, prefixes: Sequence[tuple[int, ...]]) -> list[Listed]:
        """Return the same, and nothing for a prefix of which a server without BOS tells nothing."""
        if not self.has_bos and prefixes and len(prefixes[0]) == 1:
            return [NOTHING_TOLD, *self.next_tokens(prefixes[1:])]
        return self.next_tokens(prefixes)

    def echo(self, tokens: tuple[int, ...]) -> list[Listed] | None:
        """Return what is listed after each of `tokens` (BOS first); None if they come back others.

        One request. The token that does follow is always among what is listed.

        Raises:
            RemoteError: see `next_tokens`.
        """
        sent = self._sent(tokens)
        (answer,) = self._ask(self._route, [self._body | {"echo": True, "prompt": sent}])
        positions = answers.echoed(answer)
        first = len(tokens) - len(positions) + 1  # 1 if BOS is not sent: nobody tells of its next
        if first not in (0, 1):
            return None
        given = [p.given for p in positions[: len(tokens) - first]]
        if [self._number(e) for e in given] != list(tokens[first:]):
            return None
        listed = self._read([Position((*p.listed, p.given)) if p.listed else p for p in positions])
        return ([NOTHING_TOLD] if first else []) + listed[1:]

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a text; no text can spell a special token of llama.cpp.

        Raises:
            RemoteError: the server does not answer.
        """
        if not text:
            return []
        with self._lock:
            known = self._prompts.get(text)
        if known is None:
            known = tuple(self._tokenized(text))
            with self._lock:
                self._prompts[text] = known
                if len(self._prompts) > KEPT_PROMPTS:
                    self._prompts.popitem(last=False)
        return list(known)

    @property
    def rest_token(self) -> int | None:
        """The number that stands for all tokens that are not listed; None if all of them are."""
        return None if self.is_whole else self.vocab_size - 1

    @property
    def vocab_size(self) -> int:
        """The server's tokens, then BOS where it has none of its own, then the rest."""
        return self.vocabulary.size + (not self.has_bos) + (not self.is_whole)

    # -- getting to know it ----------------------------------------------------------------------

    def _entry(self) -> dict:
        """Return what the server says of the model that is set, or of its first."""
        found, wanted = answers.models(self.client.get("/v1/models")), self.client.settings.model
        entry = next((m for m in found if wanted in ("", m["id"])), None)
        if entry is None:
            known = ", ".join(m["id"][:80] for m in found[:8])
            raise ConfigError(f"{MODEL} is {wanted[:80]!r}; the server has: {known}.")
        return entry

    def _meet_llama(self, entry: dict) -> None:
        props, meta = self.client.get("/props"), entry.get("meta")
        size = whole(meta.get("n_vocab"), 1, MAX_LISTED) if isinstance(meta, dict) else None
        if size is None or not isinstance(props, dict):
            raise RemoteError("This llama.cpp server does not tell its vocabulary. Update it.")
        self.vocabulary, self.has_ids = Vocabulary(size), True
        settings = props.get("default_generation_settings")
        room = whole(settings.get("n_ctx"), 2, MAX_CONTEXT) if isinstance(settings, dict) else None
        self.context_length = None if room is None else room - 1  # one is for its answer
        count = min(self.client.settings.top, size)
        self.n_listed, self.is_whole = count, count == size
        self._route = "/completion"
        self._body = {
            "n_predict": 1, "n_probs": count, "temperature": 0, "cache_prompt": True,
            "stream": False, "response_fields": ["completion_probabilities", "truncated"],
        }  # fmt: skip
        self.eos_token = self._special(props.get("eos_token"))
        bos = self._special(props.get("bos_token"))
        self.bos_token = next((t for t in (bos, self.eos_token) if t is not None), 0)
        self.has_bos = True

    def _special(self, text: Any) -> int | None:
        if not isinstance(text, str) or not text:
            return None
        asked = {"content": text, "add_special": False, "parse_special": True}
        found = answers.token_list(self.client.post("/tokenize", asked))
        return found[0][0] if len(found) == 1 else None

    def _meet_openai(self, entry: dict) -> None:
        self.context_length = whole(entry.get("max_model_len"), 2, MAX_CONTEXT)
        if self.context_length is not None:
            self.context_length -= 1  # one is for its answer
        self._route, self.is_whole = "/v1/completions", False
        tokens = self._try_tokenizer()
        self.has_ids = tokens is not None and self._try(
            tokens, {"return_tokens_as_token_ids": True}
        )
        if not self.has_ids and not self._try("The cat", {}):
            raise RemoteError(
                "The model server tells no log-probabilities of the next token, without which "
                "there is nothing to show. Use vLLM, SGLang or llama.cpp, or switch them on."
            )
        self.vocabulary = Vocabulary(MAX_LISTED if self.has_ids else TEXT_TOKENS)
        bos = None
        if self.has_ids:
            bos = next((token for token, _ in self._asked_tokens("", special=True)), None)
        self.has_bos = bos is not None
        self.bos_token = self.vocabulary.size if bos is None else bos
        prompt: Any = tokens if self.has_ids else "The cat"
        with suppress(RefusedError, RemoteError):
            answer = self.client.post(self._route, self._body | {"echo": True, "prompt": prompt})
            self.has_echo = len(answers.echoed(answer)) > 1

    def _try_tokenizer(self) -> list[int] | None:
        """Return the tokens of two words, None unless the server both splits and spells."""
        try:
            tokens = [token for token, _ in self._asked_tokens("The cat")]
            self._asked_texts(tokens[:1])
        except BrokenError:
            raise
        except RemoteError:
            return None
        return tokens

    def _try(self, prompt: Any, extra: dict) -> bool:
        """Find the most tokens that the server lists in one way of asking; True if it does."""
        top = self.client.settings.top
        counts = sorted({top, *(n for n in (100, 20, 5, 1) if n < top)}, reverse=True)
        for count in counts:
            for asked in ({"logprobs": count}, {"logprobs": True, "top_logprobs": count}):
                body = {"model": self.model_id, "max_tokens": 1, "temperature": 0, **asked, **extra}
                try:
                    found = answers.next_tokens(
                        self.client.post(self._route, body | {"prompt": prompt})
                    )
                except BrokenError:
                    raise
                except RefusedError as error:
                    if error.status not in (400, 422):
                        raise
                    continue
                except RemoteError:
                    continue
                if extra and any(e.token is None for e in found.listed):
                    return False
                self._body, self.n_listed = body, len(found.listed)
                return True
        return False

    # -- asking ----------------------------------------------------------------------------------

    def _ask(self, route: str, bodies: Sequence[dict]) -> list[Any]:
        """Send requests; after a break see first whether it is the same model as before."""
        if self.is_replaced:
            raise RemoteError("The model server has another model by now. Reload the page.")
        try:
            if self._is_suspect:
                self.is_replaced = _identity(self._entry()) != self._identity
                with self._lock:
                    self._kept.clear()
                    self._weight = 0
                self._is_suspect = False
                return self._ask(route, bodies)
            return self.client.post_each(route, bodies)
        except BrokenError:
            self._is_suspect = True
            raise

    def _sent(self, tokens: Sequence[int]) -> list[int] | str:
        """Return a prefix as the server takes it."""
        own = list(tokens if self.has_bos else tokens[1:])
        if not own:
            raise PromptError(
                "This model server has no start token, so it cannot begin from nothing. Write a "
                "prompt."
            )
        if self.has_ids:
            return own
        return b"".join(self.vocabulary.spelled(t) or b"" for t in own).decode("utf-8", "replace")

    def _tokenized(self, text: str) -> list[int]:
        if self.has_ids:
            found = self._asked_tokens(text)
            for token, spelled in found:
                if spelled is not None:
                    self.vocabulary.learn(token, spelled)
            self._spell([token for token, _ in found])
            return [token for token, _ in found]
        pieces = CUT.findall(text)
        if self.has_echo:
            (answer,) = self._ask(self._route, [self._body | {"echo": True, "prompt": text}])
            spelled = [p.given.spelled for p in answers.echoed(answer)[:-1]]
            if b"".join(spelled) == text.encode("utf-8", "replace"):
                return [self.vocabulary.token_of(s) for s in spelled]
        return [self.vocabulary.token_of(piece.encode("utf-8", "replace")) for piece in pieces]

    def _asked_tokens(self, text: str, special: bool = False) -> list[tuple[int, bytes | None]]:
        """Return ids and spellings from the server's tokenizer; both dialects in one request."""
        body = {
            "model": self.model_id, "prompt": text, "add_special_tokens": special,
            "content": text, "add_special": special, "parse_special": False, "with_pieces": True,
        }  # fmt: skip
        return answers.token_list(self._ask("/tokenize", [body])[0])

    def _asked_texts(self, tokens: Sequence[int]) -> list[str]:
        bodies = [{"model": self.model_id, "tokens": [token]} for token in tokens]
        return [answers.detokenized(answer) for answer in self._ask("/detokenize", bodies)]

    def _spell(self, tokens: Sequence[int]) -> None:
        """Ask for the texts of those of `tokens` that are not known, the first of them at least."""
        unknown = [t for t in dict.fromkeys(tokens) if t not in self.vocabulary][:MOST_SPELLED]
        for token, text in zip(unknown, self._asked_texts(unknown), strict=True):
            self.vocabulary.learn(token, text.encode("utf-8", "replace"))

    # -- reading ---------------------------------------------------------------------------------

    def _number(self, entry: answers.Entry) -> int:
        if not self.has_ids:
            return self.vocabulary.token_of(entry.spelled or b"")
        if entry.token is None or entry.token >= self.vocabulary.size:
            raise RemoteError(
                f"The model server names the token {entry.token}, which is not among its "
                f"{self.vocabulary.size:,}. It is not what it was; reload the page."
            )
        return entry.token

    def _read(self, positions: Sequence[Position]) -> list[Listed]:
        """Return what is listed at each position, and learn what its tokens spell."""
        found, unknown = [], []
        for position in positions:
            if not position.listed:
                found.append(NOTHING_TOLD)
                continue
            own: dict[int, float] = {}
            for entry in position.listed:
                number = self._number(entry)
                own.setdefault(number, entry.logprob)
                if entry.spelled is not None:
                    self.vocabulary.learn(number, entry.spelled)
                elif number not in self.vocabulary:
                    unknown.append(number)
            total = math.fsum(map(math.exp, own.values()))
            is_all = total >= ALL or len(own) >= self.vocabulary.size
            rest = -math.inf if is_all else math.log1p(-total)
            found.append(
                Listed(
                    torch.tensor([*own]), torch.tensor([*own.values()], dtype=torch.float32), rest
                )
            )
        if unknown:
            self._spell(unknown)
        return found

    def _keep(self, prefix: tuple[int, ...], listed: Listed) -> None:
        with self._lock:
            if prefix in self._kept:
                return
            self._kept[prefix] = listed
            self._weight += len(listed.tokens) + len(prefix)
            while self._weight > MOST_KEPT:
                old, gone = self._kept.popitem(last=False)
                self._weight -= len(gone.tokens) + len(old)


def _identity(entry: dict) -> tuple:
    """Return what tells one model of a server from another."""
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    facts = (meta.get(name) for name in ("n_vocab", "n_params", "size"))
    return (entry["id"], *(fact if isinstance(fact, int) else None for fact in facts))
