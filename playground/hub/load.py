"""Load a model of the Hub from its folder; nothing is asked of the network, no code is run."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import torch

from playground import checkpoints
from playground.hub import cache, memory
from playground.hub.architecture import build_config, check_sizes, classes_of
from playground.hub.building import bounded
from playground.hub.contents import Folder, Source, Wanted, problem, read_weights, wanted
from playground.models.base import ARModel

_LOADING = threading.Lock()  # `from_pretrained` patches a few things of torch while it works


def load(folder: Path, device: str = "cpu") -> tuple[ARModel, Any]:
    """Return the model and the tokenizer of a folder, one of `transformers` or one of ours.

    Raises:
        CheckpointError: it cannot be used; the message says why.
    """
    cache.touch(folder)
    if is_pretrained(folder):
        return load_pretrained(folder, device)
    return checkpoints.load(folder, device)


def needed_bytes(folder: Path, device: str = "cpu") -> int:
    """Return about how much memory the model of a folder takes, as its files tell.

    Raises:
        CheckpointError: it cannot be used.
    """
    if not is_pretrained(folder):
        file = folder / "model.safetensors"
        size = file.stat().st_size if file.is_file() else 0  # its loader tells what is wrong
        return int(2 * size * memory.OVERHEAD)  # ours are stored in float16 at least
    source = Folder(folder, _title(folder))
    weights = read_weights(source, wanted(source).weights)
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
    inner = _read(folder, name, config, chosen, len(weights.shapes), source)
    model, tokenizer = _wrap(held, inner, folder)
    return model.eval().requires_grad_(False).to(device), tokenizer


def _read(
    folder: Path, name: str, config: Any, dtype: torch.dtype, tensors: int, source: Source
) -> Any:
    """Return the model of `transformers` with its weights; those that are missing are told."""
    import transformers

    try:
        transformers.utils.logging.disable_progress_bar()  # it is done before one is seen
        kind = getattr(transformers, name)
        with _LOADING:
            inner, told = bounded(kind, tensors).from_pretrained(
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
    inner.__class__ = kind
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
        from playground.models.pretrained_music import PretrainedMusic, longest_of
        from playground.tokenizers.codebooks import CodecTokenizer, DelayPattern
        from playground.tokenizers.seq2seq import Seq2SeqTokenizer

        pattern = DelayPattern(inner.decoder.config.num_codebooks, longest_of(inner))
        model = PretrainedMusic(inner, pattern)
        text = Seq2SeqTokenizer.from_folder(folder, inner.text_encoder.config.vocab_size)
        return model, CodecTokenizer(inner.audio_encoder, pattern, text)
    if held.kind == "seq2seq":
        from playground.models.pretrained_seq2seq import PretrainedSeq2Seq
        from playground.tokenizers.seq2seq import Seq2SeqTokenizer

        model = PretrainedSeq2Seq(inner)
        return model, Seq2SeqTokenizer.from_folder(folder, model.vocab_size)
    from playground.models.pretrained import PretrainedLM
    from playground.tokenizers.pretrained import PretrainedTokenizer

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
    path = folder / "config.json"
    if not path.is_file() or path.stat().st_size > checkpoints.MAX_CONFIG_BYTES:
        return False
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and "model_type" in config and "family" not in config
