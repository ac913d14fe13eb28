"""Lossless compression by a model: what it expects, coded; the better it expects, the smaller.

`compress` and `decompress` do it at once. Packing and Unpacking do it bit by bit, for whoever
shows progress or stops: stopping is ceasing to `advance`. Nothing is lost, but both sides must
compute the same numbers to the last bit. The file names the model by a fingerprint and is refused
by any other. That another processor or another version of a library rounds differently is seen
only when all is unpacked, by the checksum of the content; then there is an error, never a wrong
result.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playground.compression import container
from playground.compression.arithmetic import Decoder, Encoder
from playground.compression.container import MAX_TOKENS, Header
from playground.compression.content import (
    Content,
    alphabet_of,
    modality_of,
    put_together,
    take_apart,
)
from playground.compression.prediction import Condition, Predictor, exactly, fingerprint
from playground.errors import CompressionError
from playground.models.base import ARModel, device_of

CHUNK = 256  # tokens between two calls of `progress`

Progress = Callable[[int, int], None]  # tokens done, tokens in all


@dataclass(frozen=True)
class Compressed:
    """A packed file, and what it was made of."""

    data: bytes
    header: Header
    content: Content
    model_bits: float  # sum of -log2 p of the tokens under the model, not by way of the coder


@dataclass(frozen=True)
class Unpacked:
    """What came out of a packed file."""

    header: Header
    tokens: tuple[int, ...]  # BOS left out; for `tokenizer.decode`
    raw: bytes  # a text's bytes, or a byte for every level


class Packing:
    """A packed file in the making.

    Args:
        condition: what the model is told: a class number, a text or None; the file keeps it.

    Raises:
        CompressionError: there are too many tokens.
        ConfigError: the model knows no such condition.
    """

    def __init__(
        self,
        model: ARModel,
        tokenizer: Any,
        content: Content,
        *,
        model_name: str = "",
        condition: Condition = None,
    ):
        if len(content.tokens) > MAX_TOKENS:
            raise CompressionError(
                f"There are {len(content.tokens):,} tokens; at most {MAX_TOKENS:,} are packed. "
                "Split it."
            )
        model.initial_state(1, condition)  # tells now whether it is known
        self.content, self.total, self.done = content, len(content.tokens), 0
        self.model_bits = 0.0
        self._about = _about(model, tokenizer, model_name, condition)
        self._predictor = Predictor(model, tokenizer.bos_token, alphabet_of(tokenizer), condition)
        self._encoder = Encoder()

    def advance(self, count: int = CHUNK) -> bool:
        """Pack up to `count` more tokens; return False once all are packed."""
        with exactly():
            for token in self.content.tokens[self.done : self.done + count]:
                expectation = self._predictor.expect()
                self._encoder.write(*expectation.part_of(token))
                self.model_bits += expectation.bits(token)
                self._predictor.read(token)
                self.done += 1
        return self.done < self.total

    def result(self) -> Compressed:
        """Return the file, once all is packed."""
        payload, content = self._encoder.finish() if self.total else b"", self.content
        header = Header(
            modality=content.modality,
            count=self.total,
            crc=zlib.crc32(content.raw),
            exceptions=len(content.exceptions),
            payload=len(payload),
            **self._about,
        )
        data = container.write(header, content.exceptions, payload)
        return Compressed(data, header, content, self.model_bits)


class Unpacking:
    """A packed file that is being unpacked.

    Raises:
        CompressionError: the file is damaged, or was made with another model.
    """

    def __init__(self, model: ARModel, tokenizer: Any, data: bytes, *, model_name: str = ""):
        self.header, self._exceptions, payload = container.read(data)
        _check_model(self.header, _about(model, tokenizer, model_name, None), tokenizer)
        container.check_count(self.header, alphabet_of(tokenizer))
        self.total, self.tokens = self.header.count, []
        self._tokenizer, self._decoder = tokenizer, Decoder(payload)
        model.initial_state(1, self.header.condition)
        self._predictor = Predictor(
            model, tokenizer.bos_token, alphabet_of(tokenizer), self.header.condition
        )

    @property
    def done(self) -> int:
        return len(self.tokens)

    def advance(self, count: int = CHUNK) -> bool:
        """Unpack up to `count` more tokens; return False once all are unpacked."""
        with exactly():
            for _ in range(min(count, self.total - self.done)):
                token, start, size = self._predictor.expect().at(self._decoder.target())
                self._decoder.read(start, size)
                self._predictor.read(token)
                self.tokens.append(token)
        return self.done < self.total

    def result(self) -> Unpacked:
        """Return the content, once all is unpacked.

        Raises:
            CompressionError: it is not what was packed.
        """
        raw = put_together(self._tokenizer, self.tokens, self._exceptions)
        if zlib.crc32(raw) != self.header.crc:
            raise CompressionError(
                "What was unpacked is not what was packed, by its checksum. The file is whole and "
                "the weights are the right ones, so this machine rounds the model's numbers "
                "differently than the one that packed it: unpack it there, or with the same "
                "versions of torch, numpy and numba on the same kind of processor."
            )
        return Unpacked(self.header, tuple(self.tokens), raw)


def compress(
    model: ARModel,
    tokenizer: Any,
    thing: Any,
    *,
    model_name: str = "",
    condition: Condition = None,
    progress: Progress | None = None,
) -> Compressed:
    """Pack a text (str or bytes), a picture, samples (T,), or a Content.

    Raises:
        CompressionError, PromptError, ConfigError: see `take_apart` and Packing.
    """
    content = thing if isinstance(thing, Content) else take_apart(tokenizer, thing)
    packing = Packing(model, tokenizer, content, model_name=model_name, condition=condition)
    return _run(packing, progress)


def decompress(
    model: ARModel,
    tokenizer: Any,
    data: bytes,
    *,
    model_name: str = "",
    progress: Progress | None = None,
) -> Unpacked:
    """Unpack a file.

    Raises:
        CompressionError: it is damaged, was made with another model, or comes out wrong.
    """
    return _run(Unpacking(model, tokenizer, data, model_name=model_name), progress)


def _run(job: Packing | Unpacking, progress: Progress | None) -> Any:
    while job.advance():
        if progress is not None:
            progress(job.done, job.total)
    return job.result()


def _about(model: ARModel, tokenizer: Any, model_name: str, condition: Condition) -> dict:
    """Return what the header says of the model and of the kind of object."""
    told = tokenizer.to_json()
    size = tuple(told[side] for side in ("height", "width", "channels") if side in told)
    return {
        "model": model_name[:200] or type(model).__name__,
        "fingerprint": fingerprint(model, tokenizer),
        "device": device_of(model).type,
        "condition": condition,
        "sample_rate": told.get("sample_rate"),
        "size": size or None,
    }


def _check_model(header: Header, own: dict, tokenizer: Any) -> None:
    """Refuse a file that was made with another model.

    Raises:
        CompressionError: it was.
    """
    if header.fingerprint != own["fingerprint"]:
        raise CompressionError(
            f"The file was packed with the model {header.model!r} (weights "
            f"{header.fingerprint[:12]}), and this is {own['model']!r} (weights "
            f"{own['fingerprint'][:12]}): no other model can unpack it. Choose "
            f"{header.model!r} with the weights that it had then."
        )
    if header.device != own["device"]:
        raise CompressionError(
            f"The file was packed on a device of kind {header.device!r}, and the model is on "
            f"{own['device']!r}, which rounds differently. Unpack it on {header.device!r}."
        )
    if header.modality != modality_of(tokenizer):
        raise CompressionError(
            f"The packed file is damaged: it claims to hold {header.modality}, and its model makes "
            f"{modality_of(tokenizer)}. Use the file as `compress` wrote it."
        )
