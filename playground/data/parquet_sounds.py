"""Data sets of sounds as the Hub stores them: parquet files, a sound, its class and text a row.

A sound is a column of structs {bytes, path} of which the bytes, a sound file, are read.
"""

from __future__ import annotations

import numpy as np

from playground.data.clips import Sounds, Total, split_sounds
from playground.data.hub import PREFIX, download, find, parse_address
from playground.data.parquet import (
    MAX_DOWNLOAD_BYTES,
    capital,
    layout_of,
    open_file,
    plain,
    rows_of,
    splits_of,
)
from playground.data.sounds import MAX_SECONDS, MAX_TEXT
from playground.errors import DataError, PlaygroundError
from playground.tokenizers.audio import read_sound

MAX_SOUNDS = 100_000


def hub_sounds(address: str, sample_rate: int) -> Sounds:
    """Return the sounds of the data set `hub:owner/name[@revision]`, mono, at that rate.

    Raises:
        DataError: it cannot be fetched, is too large, or holds no sounds.
    """
    repository = find("dataset", *parse_address(address))
    train, test, split = splits_of(repository)
    paths = download(repository, train + test, MAX_DOWNLOAD_BYTES)
    files = [open_file(path, name) for path, name in zip(paths, train + test, strict=True)]
    layout = layout_of(files[0].schema_arrow, repository, "audio")
    title, rows = capital(repository.title), sum(file.metadata.num_rows for file in files)
    if rows > MAX_SOUNDS:
        raise DataError(
            f"{title} has {rows:,} sounds; at most {MAX_SOUNDS:,} are read. Name a smaller one."
        )
    total, refused = Total(title, sample_rate), []
    clips, labels, texts, is_test = [], [], [], []
    for file, name in zip(files, train + test, strict=True):
        for number, (data, label, text) in enumerate(rows_of(file, name, layout)):
            try:
                clip = read_sound(data or b"", sample_rate, longest_seconds=MAX_SECONDS).samples
            except PlaygroundError as error:
                refused.append(f"row {number} of {name}: {error}")
                continue
            total.add(clip)
            clips.append(clip)
            labels.append(label)
            texts.append(" ".join(text[:MAX_TEXT].split()))
            is_test.append(name in test)
    to_train = len(clips) - sum(is_test)
    if to_train < 10:
        why = f" The first that could not be read: {refused[0]}" if refused else ""
        raise DataError(
            f"{title} has {to_train} readable sounds to train on; at least 10 are needed.{why} "
            "Name another one."
        )
    classes = layout.named(np.array(labels, np.int64))
    skipped = f", {len(refused)} sounds could not be read" if refused else ""
    return split_sounds(
        repository.name, clips, sample_rate, labels=labels if classes else (), classes=classes,
        texts=texts if all(texts) else (),
        licence=plain(repository.card.get("license") or "see the data set's card"),
        source=f"{PREFIX}{repository.name}@{repository.commit[:40]}{skipped}",
        official=(np.array(is_test, bool), split) if any(is_test) else None,
    )  # fmt: skip
