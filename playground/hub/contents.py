"""What a repository of a model holds, read from its list of files, its config and its headers.

The same reading serves a repository that is still on the Hub (by ranged requests) and a snapshot
on the disk, so what was accepted before a download is what is found after it.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import stat
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

from playground.checkpoints import MAX_CONFIG_BYTES, MAX_HEADER_BYTES, MAX_TENSORS
from playground.errors import CheckpointError
from playground.models import FAMILIES

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
MAX_INDEX_BYTES = 2 * 2**20
MAX_TOKENIZER_BYTES = 64 * 2**20
MAX_BESIDE_BYTES = 4 * 2**20  # of any other file beside the weights
MAX_SHARDS = 64
MAX_FILES = 20_000
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
UNREAD = (".bin", ".pt", ".pth", ".h5", ".gguf", ".msgpack", ".ckpt", ".onnx", ".pkl")
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8,
    "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16")
BESIDE = {  # kind: what it needs beside its config and weights, what is taken where it is there
    "playground": ((), ("README.md",)),
    "causal": (
        ("tokenizer.json",),
        ("tokenizer_config.json", "generation_config.json", "chat_template.jinja", "LICENSE"),
    ),
    "seq2seq": (
        ("tokenizer.json",),
        ("tokenizer_config.json", "generation_config.json", "special_tokens_map.json"),
    ),
    "image": ((), ("preprocessor_config.json", "generation_config.json")),
    "audio": (
        ("tokenizer.json",),
        ("tokenizer_config.json", "generation_config.json", "preprocessor_config.json"),
    ),
}
OF_PICTURES = ("imagegpt",)  # values of model_type
OF_SOUNDS = ("musicgen",)


class Source(Protocol):
    """Where the files of a repository can be read."""

    title: str  # "the model owner/name"
    sizes: dict[str, int]  # bytes of each file, by path

    def read(self, file: str, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop) of a file, fewer where it ends."""
        ...


class Folder:
    """A snapshot on the disk."""

    def __init__(self, folder: Path, title: str) -> None:
        self.folder, self.title = folder, title
        self.sizes = {}
        for place, _, names in os.walk(folder):
            for name in names[: MAX_FILES - len(self.sizes)]:
                path = Path(place, name)
                try:
                    about = path.stat()
                except OSError:  # a link to what was removed
                    continue
                if stat.S_ISREG(about.st_mode):  # a pipe would be waited for
                    self.sizes[path.relative_to(folder).as_posix()] = about.st_size

    def read(self, file: str, start: int, stop: int) -> bytes:
        try:
            with open(self.folder / file, "rb") as opened:
                opened.seek(start)
                return opened.read(stop - start)
        except OSError as error:
            raise problem(self, f"{file} cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class Weights:
    """What the headers of a model's safetensors files say."""

    files: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    stored_bytes: int  # of the tensors that are numbers of a model, not masks
    stored: int  # how many such numbers


@dataclass(frozen=True)
class Wanted:
    """The files of a model that are needed to load it."""

    kind: str  # "causal", "seq2seq", "image", "audio" or "playground"
    architecture: str  # as config.json calls it
    config: dict
    files: tuple[str, ...]
    weights: tuple[str, ...]  # those of the files that are safetensors


def wanted(source: Source) -> Wanted:
    """Return what of a repository is fetched; nothing of it is run, and no weights are read.

    Raises:
        CheckpointError: it is no model that can be loaded here.
    """
    if "config.json" not in source.sizes:
        raise problem(source, _without_config(source))
    config = read_json(source, "config.json", MAX_CONFIG_BYTES)
    kind, architecture = _kind_of(config, source)
    weights = _weight_files(source)
    needed, more = BESIDE[kind]
    if missing := [file for file in needed if file not in source.sizes]:
        raise problem(
            source,
            f"it has no {missing[0]}, without which no text can be cut into its tokens. Its maker "
            "can add one with `AutoTokenizer.from_pretrained(…).save_pretrained(…)`",
        )
    beside = (*needed, *(file for file in more if file in source.sizes))
    for file in beside:
        most = MAX_TOKENIZER_BYTES if file == "tokenizer.json" else MAX_BESIDE_BYTES
        if source.sizes[file] > most:
            raise problem(source, f"{file} is larger than {most // 2**20} MB")
    index = (INDEX,) if WEIGHTS not in source.sizes else ()
    return Wanted(kind, architecture, config, ("config.json", *beside, *index, *weights), weights)


def read_weights(source: Source, files: tuple[str, ...]) -> Weights:
    """Read the headers of safetensors files, and compare them with the files' sizes.

    Raises:
        CheckpointError: one is not what its size asks for, or holds what is not read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    stored_bytes = stored = 0
    for file in files:
        size = source.sizes[file]
        start = source.read(file, 0, 8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise problem(
                source,
                f"the header of {file} claims {length} bytes; the file has {size}, and at most "
                f"{MAX_HEADER_BYTES} are read",
            )
        header = _json(source, file, source.read(file, 8, 8 + length))
        header.pop("__metadata__", None)
        if len(header) + len(shapes) > MAX_TENSORS:
            raise problem(source, f"its weights are more than {MAX_TENSORS:,} tensors")
        total = 0
        for name, entry in header.items():
            shape, dtype = _entry(source, file, name, entry)
            count = prod(shape)
            total += count * BITS[dtype] // 8
            if dtype in FLOATS:
                stored += count
                stored_bytes += count * BITS[dtype] // 8
            shapes[name] = shape
        if total != size - 8 - length:
            raise problem(
                source,
                f"{file} holds {size - 8 - length} bytes of weights where its header asks for "
                f"{total}; it is cut short or padded",
            )
    if not stored:
        raise problem(source, "its files of weights hold none")
    return Weights(files, shapes, stored_bytes, stored)


def read_json(source: Source, file: str, most: int) -> dict:
    """Return the object that a JSON file of a repository holds.

    Raises:
        CheckpointError: it is too large, or something else.
    """
    if source.sizes[file] > most:
        raise problem(source, f"{file} is larger than {most // 2**20} MB")
    return _json(source, file, source.read(file, 0, source.sizes[file]))


def problem(source: Source, what: str) -> CheckpointError:
    title = source.title[0].upper() + source.title[1:]
    return CheckpointError(f"{title} cannot be used: {what}. Choose another model.")


def _json(source: Source, file: str, data: bytes) -> dict:
    what = "config.json" if file == "config.json" else f"what {file} begins with"
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise problem(source, f"{what} is not JSON ({str(error)[:100]})") from error
    if not isinstance(value, dict):
        raise problem(source, f"{what} is no JSON object")
    return value


def _kind_of(config: dict, source: Source) -> tuple[str, str]:
    family = config.get("family")
    if isinstance(family, str) and "model" in config and "tokenizer" in config:
        if family not in FAMILIES:
            raise problem(source, f"config.json names no family of {', '.join(FAMILIES)}")
        return "playground", family
    model_type, named = config.get("model_type"), config.get("architectures")
    if not isinstance(model_type, str):
        raise problem(source, "config.json names no model_type, so its architecture is unknown")
    if named is not None and not (
        isinstance(named, list) and all(isinstance(name, str) for name in named)
    ):
        raise problem(source, "architectures in config.json is no list of names")
    architecture = (named[0] if named else model_type)[:100]
    if model_type in OF_PICTURES:
        return "image", architecture
    if model_type in OF_SOUNDS:
        return "audio", architecture
    if config.get("is_encoder_decoder") is True and not architecture.endswith("ForCausalLM"):
        return "seq2seq", architecture
    return "causal", architecture


def _weight_files(source: Source) -> tuple[str, ...]:
    if WEIGHTS in source.sizes:
        return (WEIGHTS,)
    if INDEX not in source.sizes:
        raise problem(source, _without_safetensors(source))
    shards = read_json(source, INDEX, MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise problem(source, f"{INDEX} has no weight_map")
    files = sorted({file for file in shards.values() if isinstance(file, str)})
    if len(files) > MAX_SHARDS:
        raise problem(source, f"its weights are in {len(files)} files; at most {MAX_SHARDS}")
    for file in files:
        within = PATH.fullmatch(file) and posixpath.normpath(file) == file
        if not within or not file.endswith(".safetensors") or file not in source.sizes:
            raise problem(
                source, f"{INDEX} names {file[:100]!r}, which is no safetensors file of it"
            )
    if not files or len(shards) > MAX_TENSORS:
        raise problem(source, f"{INDEX} names {len(shards)} tensors; 1 to {MAX_TENSORS} are read")
    return tuple(files)


def _entry(source: Source, file: str, name: str, entry: Any) -> tuple[tuple[int, ...], str]:
    shape, dtype = (
        (entry.get("shape"), entry.get("dtype")) if isinstance(entry, dict) else (None, None)
    )
    if not (
        isinstance(shape, list)
        and len(shape) <= 8
        and all(isinstance(n, int) and 0 <= n < 2**40 for n in shape)
    ):
        raise problem(source, f"{name[:100]} in {file} has no shape that could be ({shape!r:.60})")
    if dtype not in tuple(BITS):
        raise problem(
            source,
            f"{name[:100]} in {file} is of type {dtype!r:.40}, which is not read: it is quantised "
            "in a way that needs packages or a graphics card that are not here",
        )
    return tuple(shape), dtype


def _without_config(source: Source) -> str:
    if any(file.endswith(".gguf") for file in source.sizes):
        return "it holds GGUF files, which only llama.cpp and its kin read, and no config.json"
    return "it has no config.json, so it is no model of `transformers` or of this playground"


def _without_safetensors(source: Source) -> str:
    unread = sorted(file for file in source.sizes if file.endswith(UNREAD))
    if unread:
        return (
            f"its weights are only in {', '.join(unread[:3])}; such files can run code or need "
            "another program, so only safetensors are read. The Hub's page of the model may offer "
            "a revision with safetensors (owner/name@refs/pr/N)"
        )
    return f"it has no {WEIGHTS}"
