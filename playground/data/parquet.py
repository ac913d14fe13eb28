"""Data sets as the Hub stores them: parquet files, a picture (or sound) and its class a row.

A picture is a column of structs {bytes, path} of which the bytes, an image file, are read; a path
is never followed. Names of classes stand in the files' own metadata or in the README's.
`parquet_sounds` reads sounds in the same way.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from playground.data.hub import PREFIX, Repository, download, find, parse_address
from playground.data.images import Pictures, hold_out
from playground.errors import DataError, PlaygroundError
from playground.tokenizers.image import ImageTokenizer, open_bounded

MAX_DOWNLOAD_BYTES = 2**30
MAX_PICTURES = 200_000
MAX_PIXEL_BYTES = 2**30  # of all pictures, decoded
MAX_CLASSES = 1000
MAX_NAME = 100  # characters of a class or a licence
MAX_METADATA_BYTES = 2**20
NATIVE_SIDE = 64  # pixels; larger pictures are made DEFAULT_SIZE unless told otherwise
DEFAULT_SIZE = 32
ROWS_AT_ONCE = 16  # a file may repeat one huge picture: this many are unpacked together
GREY = ("1", "L", "LA", "I", "F")  # Pillow's modes, and those that begin so
KINDS = {"image": "picture", "audio": "sound"}
TEXTS = ("text", "transcription", "transcript", "sentence", "normalized_text")
TEST = (("test", "testing"), ("validation", "valid", "val", "dev"))


@dataclass(frozen=True)
class Layout:
    """Where a file keeps its pictures or sounds, their classes and texts."""

    column: str  # of the pictures or sounds
    part: str  # what to read of it: "image.bytes", or the column itself
    label: str | None
    classes: tuple[str, ...]
    text: str | None  # what is said in a sound

    def named(self, labels: np.ndarray) -> tuple[str, ...]:
        """Return the classes of labels (N,); () where they name none, or only one."""
        classes = self.classes or tuple(str(n) for n in range(min(labels.max() + 1, MAX_CLASSES)))
        fit = self.label is not None and labels.min() >= 0 and labels.max() < len(classes)
        return classes if fit and len(classes) > 1 else ()


def hub_pictures(address: str, size: int | None = None, channels: int | None = None) -> Pictures:
    """Return the pictures of the data set `hub:owner/name[@revision]`.

    Without `size` they are as large as the first, or 32x32 if that has more than 64 pixels a side;
    without `channels` they are grey if the first one is.

    Raises:
        DataError: it cannot be fetched, is too large, or holds no pictures.
    """
    repository = find("dataset", *parse_address(address))
    train, test, split = splits_of(repository)
    paths = download(repository, train + test, MAX_DOWNLOAD_BYTES)
    files = [open_file(path, name) for path, name in zip(paths, train + test, strict=True)]
    layout = layout_of(files[0].schema_arrow, repository)
    rows = sum(file.metadata.num_rows for file in files)
    if rows > MAX_PICTURES:
        raise DataError(
            f"{capital(repository.title)} has {rows:,} pictures; at most {MAX_PICTURES:,} are "
            "read. Name a smaller one."
        )
    tokenizer = ImageTokenizer(*_shape(files[0], train[0], layout, size, channels))
    if rows * tokenizer.size > MAX_PIXEL_BYTES:
        raise DataError(
            f"{rows:,} pictures of {tokenizer.width}x{tokenizer.height} pixels take "
            f"{rows * tokenizer.size / 2**20:,.0f} MB; at most {MAX_PIXEL_BYTES >> 20:,} MB are "
            "kept. Ask for smaller ones with --size, or for grey ones with --colors 1."
        )
    parts, refused = [], []
    for opened, names in ((files[: len(train)], train), (files[len(train) :], test)):
        parts += _decoded(opened, names, layout, tokenizer, refused)
    if len(parts[0]) < 10:
        why = f" The first that could not be read: {refused[0]}" if refused else ""
        raise DataError(
            f"{capital(repository.title)} has {len(parts[0])} readable pictures to train on; "
            f"at least 10 are needed.{why} Name another one."
        )
    if not len(parts[2]):
        parts, split = hold_out(*parts[:2]), "every tenth picture"
    labels = np.concatenate((parts[1], parts[3]))
    classes = layout.named(labels)
    if not classes:
        parts = [parts[0], parts[1] * 0, parts[2], parts[3] * 0]
    skipped = f", {len(refused)} pictures could not be read" if refused else ""
    return Pictures(
        repository.name, *parts, classes, split,
        plain(repository.card.get("license") or "see the data set's card"),
        f"{PREFIX}{repository.name}@{repository.commit[:40]}{skipped}",
    )  # fmt: skip


def splits_of(repository: Repository) -> tuple[list[str], list[str], str]:
    """Return the files to train on, those to test by, and what to say of the split.

    The README says which file belongs where, or the files' names do.
    """
    parquet = sorted(name for name in repository.sizes if name.endswith(".parquet"))
    if not parquet:
        raise DataError(
            f"{capital(repository.title)} has no parquet files, and its code is not run. The "
            f"Hub keeps a converted copy of many: {PREFIX}{repository.name}@refs/convert/parquet"
        )
    splits: dict[str, list[str]] = {}
    for split, pattern in _data_files(repository.card):
        splits.setdefault(split, []).extend(fnmatch.filter(parquet, pattern))
    splits = {split: sorted(set(files)) for split, files in splits.items() if files}
    if not splits:
        for name in parquet:
            words = re.split(r"[/._-]+", name.lower())
            split = next((names[0] for names in TEST if set(names) & set(words)), "train")
            splits.setdefault(split, []).append(name)
    held_out = next((s for names in TEST for s in names if s in splits), None)
    others = [split for split in splits if split != held_out]
    if not others:
        return splits[held_out], [], ""
    train = splits["train" if "train" in others else others[0]]
    return train, splits.get(held_out, []), f"the split {held_out} of the data set"


def _data_files(card: dict) -> Iterator[tuple[str, str]]:
    """Yield (split, pattern of paths) of the README's default configuration."""
    configs = [c for c in _listed(card.get("configs")) if isinstance(c, dict)]
    wanted = [c for c in configs if c.get("default") or c.get("config_name") == "default"]
    for config in (wanted or configs)[:1]:
        for entry in _listed(config.get("data_files")):
            split = entry.get("split", "train") if isinstance(entry, dict) else "train"
            for pattern in _listed(entry.get("path") if isinstance(entry, dict) else entry):
                if isinstance(split, str) and isinstance(pattern, str) and len(pattern) <= 1000:
                    yield split, pattern.removeprefix("./")


def layout_of(schema: pa.Schema, repository: Repository, kind: str = "image") -> Layout:
    """Find the column of pictures (or "audio"), and the whole numbers that are their classes."""
    columns, named = features_of(schema, repository.card, kind)
    for field in sorted(schema, key=lambda field: field.name not in columns):
        if pa.types.is_struct(field.type):
            bytes_at = field.type.get_field_index("bytes")
            if bytes_at >= 0 and _is_binary(field.type.field(bytes_at).type):
                column, part = field.name, f"{field.name}.bytes"
                break
        elif field.name in columns and _is_binary(field.type):
            column, part = field.name, field.name
            break
    else:
        raise DataError(
            f"{capital(repository.title)} has no column of {KINDS[kind]}s, only "
            f"{', '.join(f'{f.name} ({f.type})' for f in schema)[:300]}. A {KINDS[kind]} is a "
            f"struct with the bytes of an {kind} file. Name another data set."
        )
    whole = [field.name for field in schema if pa.types.is_integer(field.type)]
    candidates = [n for n in ("label", "labels") if n in whole]
    candidates += [name for name in named if name in whole]
    label = next(iter(candidates), None)
    text = next((f.name for f in schema if f.name in TEXTS and pa.types.is_string(f.type)), None)
    return Layout(column, part, label, named.get(label, ()), text)


def features_of(
    schema: pa.Schema, card: dict, kind: str
) -> tuple[set[str], dict[str, tuple[str, ...]]]:
    """Return the columns said to be of that kind, and the names of classes by column."""
    found: dict[str, Any] = {}
    infos = [info for info in _listed(card.get("dataset_info")) if isinstance(info, dict)]
    for info in infos[:1]:
        for feature in _listed(info.get("features")):
            if isinstance(feature, dict) and isinstance(feature.get("name"), str):
                found[feature["name"]] = feature.get("dtype")
    text = (schema.metadata or {}).get(b"huggingface", b"")
    if len(text) <= MAX_METADATA_BYTES:
        try:
            found |= json.loads(text)["info"]["features"]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass  # a file without, or of another writer
    columns, named = set(), {}
    for column, told in found.items():
        type_ = told.get("_type") if isinstance(told, dict) else None
        if told == kind or type_ == kind.capitalize():
            columns.add(column)
        elif isinstance(told, dict):
            names = told.get("class_label") or told
            names = names.get("names") if isinstance(names, dict) else None
            names = list(names.values()) if isinstance(names, dict) else _listed(names)
            if 0 < len(names) <= MAX_CLASSES:
                named[column] = tuple(plain(name) for name in names)
    return columns, named


def open_file(path: Path, name: str) -> pq.ParquetFile:
    with readable(name):
        return pq.ParquetFile(path)


def rows_of(
    file: pq.ParquetFile, name: str, layout: Layout
) -> Iterator[tuple[bytes | None, int, str]]:
    """Yield the file's bytes, the class and the text of each row; -1 for what can be no class."""
    columns = [part for part in (layout.part, layout.label, layout.text) if part]
    batches = file.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False)
    while True:
        with readable(name):
            batch = next(batches, None)
            if batch is None:
                return
            structs = batch.column(layout.column)
            if pa.types.is_struct(structs.type):
                [structs] = structs.flatten()
            found = structs.to_pylist()
            labels = batch.column(layout.label).to_pylist() if layout.label else [0] * len(found)
            texts = batch.column(layout.text).to_pylist() if layout.text else [""] * len(found)
        labels = [label if label in range(MAX_CLASSES) else -1 for label in labels]
        yield from zip(found, labels, [text or "" for text in texts], strict=True)


def _decoded(
    files: list[pq.ParquetFile],
    names: list[str],
    layout: Layout,
    tokenizer: ImageTokenizer,
    refused: list[str],
) -> list[np.ndarray]:
    """Return the pictures (N, H, W, channels) and labels (N,) of files; note what is refused."""
    pixels, labels = [], []
    for file, name in zip(files, names, strict=True):
        for number, (data, label, _) in enumerate(rows_of(file, name, layout)):
            try:
                pixels.append(tokenizer.prepare(data or b"").pixels)
                labels.append(label)
            except PlaygroundError as error:
                refused.append(f"row {number} of {name}: {error}")
    shape = (len(pixels), tokenizer.height, tokenizer.width, tokenizer.channels)
    stacked = np.stack(pixels) if pixels else np.zeros(shape, np.uint8)
    return [stacked, np.array(labels, np.int64)]


def _shape(
    file: pq.ParquetFile, name: str, layout: Layout, size: int | None, channels: int | None
) -> tuple[int, int, int]:
    """Return the height, width and channels that all pictures get: those of the first, or asked."""
    for data, _, _ in rows_of(file, name, layout):
        try:
            image, _ = open_bounded(data or b"")
        except PlaygroundError:
            continue
        channels = channels or (1 if image.mode.startswith(GREY) else 3)
        if size is None and max(image.size) <= NATIVE_SIDE:
            return image.height, image.width, channels
        break
    return size or DEFAULT_SIZE, size or DEFAULT_SIZE, channels or 3


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Say which file is damaged, whatever its reader raises."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        raise DataError(
            f"{name} is no parquet file, or damaged ({str(error)[:200]}). Name another revision or "
            "data set."
        ) from error


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def capital(text: str) -> str:
    """Return a text as a sentence begins; `capitalize` would change the names in it too."""
    return text[0].upper() + text[1:]


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def plain(value: Any) -> str:
    """Return a text of somebody else's on one line, fit for a table of a model card."""
    return " ".join(str(value).replace("|", "/").split())[:MAX_NAME]
