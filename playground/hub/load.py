"""Load a model of the Hub from its folder; nothing is asked of the network, no code is run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch

from playground import checkpoints
from playground.errors import CheckpointError
from playground.hub import cache, memory
from playground.hub.architecture import build_config, check_sizes, classes_of
from playground.hub.contents import Folder, Source, Wanted, problem, read_weights, wanted
from playground.models.base import ARModel

_LOADING = threading.Lock()  # `from_pretrained` sets the default type of torch while it works


def load(folder: Path, device: str = "cpu") -> tuple[ARModel, Any]:
    """Return the model and the tokenizer of a folder, one of `transformers` or one of ours.

    Raises:
        CheckpointError: it cannot be used; the message says why.
    """
    held = wanted(Folder(folder, _title(folder)))
    cache.touch(folder)
    if held.kind == "playground":
        return checkpoints.load(folder, device)
    return load_pretrained(folder, device)


def needed_bytes(folder: Path, device: str = "cpu") -> int:
    """Return how much memory the model of a folder takes, as its headers tell.

    Raises:
        CheckpointError: it cannot be used.
    """
    source = Folder(folder, _title(folder))
    held = wanted(source)
    weights = read_weights(source, held.weights)
    if held.kind == "playground":
        return int(weights.stored * 4 * memory.OVERHEAD)
    return memory.choose_dtype(weights.stored, weights.stored_bytes, device)[1]


def load_pretrained(
    folder: Path, device: str = "cpu", dtype: torch.dtype | None = None
) -> tuple[ARModel, Any]:
    """Return the model and the tokenizer of a folder that `save_pretrained` writes.

    Args:
        dtype: to compute in; left out it is chosen by `memory.choose_dtype`.

    Raises:
        CheckpointError: something is missing, damaged, too large, or does not fit together.
    """
    source = Folder(folder, _title(folder))
    held = wanted(source)
    weights = read_weights(source, held.weights)
    model_type, name = classes_of(held, source)
    check_sizes(held, weights, source)
    config = build_config(held, model_type, source)
    chosen, needed = memory.choose_dtype(weights.stored, weights.stored_bytes, device)
    if dtype is not None:
        chosen, needed = dtype, int(weights.stored * dtype.itemsize * memory.OVERHEAD)
    memory.check_room(source.title[0].upper() + source.title[1:], needed, device)
    inner = _read(folder, name, config, chosen, source)
    model, tokenizer = _wrap(held, inner, folder)
    return model.eval().requires_grad_(False).to(device), tokenizer


def _read(folder: Path, name: str, config: Any, dtype: torch.dtype, source: Source) -> Any:
    """Return the model of `transformers` with its weights; those that are missing are told."""
    import transformers

    try:
        with _LOADING:
            inner, told = getattr(transformers, name).from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # foreign weights can fail in any way
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise problem(source, f"its weights do not fit its config ({what})") from error
    unlike = [*told.get("missing_keys", ()), *told.get("mismatched_keys", ())]
    if unlike:
        first = sorted(key if isinstance(key, str) else str(key[0]) for key in unlike)[0]
        raise problem(
            source, f"{len(unlike)} of its tensors are missing or of another shape ({first[:80]})"
        )
    for key, value in inner.named_parameters():
        # A sum is not finite if one of its terms is not; the rare other reasons are looked into.
        if value.is_floating_point() and not value.sum().isfinite():
            if not value.isfinite().all():
                raise problem(source, f"{key} holds values that are no numbers (NaN or infinite)")
    return inner


def _wrap(held: Wanted, inner: Any, folder: Path) -> tuple[Any, Any]:
    if held.kind == "image":
        from playground.models.pretrained_image import pretrained_image
        from playground.tokenizers.clusters import read_clusters

        model: Any = pretrained_image(inner)
        config = inner.config
        return model, read_clusters(folder, config.n_positions, config.vocab_size)
    if held.kind == "audio":
        from playground.models.pretrained_music import wrap

        return wrap(inner, folder)
    from playground.tokenizers.pretrained import PretrainedTokenizer

    if held.kind == "seq2seq":
        from playground.models.pretrained_seq2seq import PretrainedSeq2Seq

        model = PretrainedSeq2Seq(inner)
    else:
        from playground.models.pretrained import PretrainedLM

        model = PretrainedLM(inner)
    return model, PretrainedTokenizer.from_folder(folder, model.vocab_size)


def _title(folder: Path) -> str:
    """Return what a folder is called: by its repository where it is in the cache."""
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return f"the model {repository.removeprefix('models--').replace('--', '/')}"
    return f"the model in {folder.name}"


def is_pretrained(folder: Path) -> bool:
    """Return whether a folder is one of `transformers`, and not a checkpoint of ours."""
    try:
        return wanted(Folder(folder, _title(folder))).kind != "playground"
    except CheckpointError:
        return False
