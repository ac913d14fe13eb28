"""Checkpoints: a folder with config.json and model.safetensors, written whole and read with care.

Only JSON and safetensors are read. Everything a file claims (header length, number of tensors,
sizes, shapes) is checked against limits and against the model that its config describes before
memory is allocated for it.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from playground.errors import CheckpointError, PlaygroundError
from playground.models import FAMILIES
from playground.models.base import ARModel
from playground.models.raster import Raster
from playground.models.super_resolution import SuperResolution
from playground.tokenizers.audio import AudioTokenizer
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.text import tokenizer_from_json

MAX_CONFIG_BYTES = 16 * 2**20  # a byte-pair vocabulary of 200,000 pieces fits
MAX_HEADER_BYTES = 2 * 2**20
MAX_TENSORS = 10_000
MAX_WEIGHT_BYTES = 4 * 2**30

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4}


def write_atomically(path: Path, write) -> None:
    """Call `write(temporary path)` and move the result to `path`: all of it or nothing.

    The file and its folder are flushed to the disk before and after the move, so a crash leaves
    the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    os.close(handle)
    try:
        write(Path(name))
        with open(name, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp makes it private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, data: Any) -> None:
    """Write `data` as indented JSON, atomically."""
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def save(
    folder: Path, model: ARModel, tokenizer: Any, *, info: dict | None = None, dtype=None
) -> None:
    """Write model and tokenizer to `folder`; `info` goes into config.json as it is.

    With `dtype` floating-point weights are stored in it (half the size in float16); they are
    computed with in float32 after loading.
    """
    family = next(name for name, (_, kind) in FAMILIES.items() if type(model) is kind)
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu()
        if dtype is not None and tensor.dtype == torch.float32:
            tensor = tensor.to(dtype)
        tensors[name] = tensor.contiguous()
    write_atomically(folder / "model.safetensors", lambda path: save_file(tensors, path))
    write_json(
        folder / "config.json",
        {
            "family": family,
            "model": asdict(model.config),
            "tokenizer": tokenizer.to_json(),
            "info": info or {},
        },
    )


def load(folder: Path, device: str | torch.device = "cpu") -> tuple[ARModel, Any]:
    """Return the model, in evaluation mode and frozen, and the tokenizer of a checkpoint.

    Raises:
        CheckpointError: something is missing, damaged, too large, or does not fit together.
    """
    config = read_config(folder)
    model = _build(config, folder)
    try:
        tokenizer = tokenizer_of(config.get("tokenizer") or {"type": None})
    except PlaygroundError as error:
        what = str(error).removesuffix(" Use another checkpoint.").rstrip(".")
        raise _problem(folder, what[0].lower() + what[1:]) from error
    if tokenizer.vocab_size != model.vocab_size:
        raise _problem(
            folder,
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model {model.vocab_size}",
        )
    if isinstance(model, Raster | SuperResolution):
        _check_picture(model, tokenizer, folder)
    weights = folder / "model.safetensors"
    _check_header(weights, model.state_dict())
    try:
        tensors = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise _problem(folder, f"model.safetensors cannot be read ({error})") from error
    for name, expected in model.state_dict().items():
        tensors[name] = tensors[name].to(expected.dtype)
        if tensors[name].is_floating_point() and not tensors[name].isfinite().all():
            raise _problem(folder, f"{name} holds values that are no numbers (NaN or infinite)")
    model.load_state_dict(tensors, assign=True)
    if hasattr(model, "after_load"):
        try:
            model.after_load()
        except PlaygroundError as error:
            raise _problem(folder, str(error)) from error
    return model.eval().requires_grad_(False).to(device), tokenizer


def tokenizer_of(data: Any) -> Any:
    """Return the tokenizer, of whatever modality, that wrote `data` with `to_json`.

    Raises:
        CheckpointError: it is not such a dictionary.
    """
    if isinstance(data, dict) and data.get("type") == "image":
        return ImageTokenizer.from_json(data)
    if isinstance(data, dict) and data.get("type") == "audio":
        return AudioTokenizer.from_json(data)
    return tokenizer_from_json(data)


def read_config(folder: Path) -> dict:
    """Return config.json of a checkpoint.

    Raises:
        CheckpointError: it is missing, too large or not what `save` writes.
    """
    path = folder / "config.json"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise _problem(folder, "config.json is no file")
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise _problem(folder, f"config.json is larger than {MAX_CONFIG_BYTES // 2**20} MB")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _problem(folder, f"config.json cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise _problem(folder, f"config.json is not JSON ({error})") from error
    if not isinstance(config, dict) or config.get("family") not in tuple(FAMILIES):
        raise _problem(folder, f"config.json names no family of {', '.join(FAMILIES)}")
    return config


def _build(config: dict, folder: Path) -> ARModel:
    """Build the model without memory for its weights, so that an absurd size costs nothing."""
    config_class, model_class = FAMILIES[config["family"]]
    try:
        model_config = config_class(**config["model"])
    except PlaygroundError as error:
        raise _problem(folder, f"config.json: {error}") from error
    except (KeyError, TypeError) as error:
        raise _problem(folder, f"config.json does not fit the family ({error})") from error
    with torch.device("meta"):
        model = model_class(model_config)
    parts = (*model.parameters(), *model.buffers())  # what is not stored is allocated too
    size = sum(t.numel() * t.element_size() for t in parts)
    if size > MAX_WEIGHT_BYTES:
        raise _problem(
            folder,
            f"the model would need {size / 2**30:.1f} GB, the limit is {MAX_WEIGHT_BYTES >> 30} GB",
        )
    return model


def _check_picture(model: Raster | SuperResolution, tokenizer: Any, folder: Path) -> None:
    """Compare what a model that counts rows draws with the pictures of the tokenizer."""
    c, t = model.config, tokenizer
    if not isinstance(t, ImageTokenizer):
        raise _problem(folder, "it draws pictures, and its tokenizer is one of text")
    drawn, told = (c.height, c.width, c.colors), (t.height, t.width, t.channels)
    if drawn != told:
        raise _problem(
            folder,
            f"the tokenizer has pictures of {told} values (height, width, colours) and the model "
            f"draws {drawn}",
        )
    if t.order != "raster":
        raise _problem(
            folder,
            f"its tokenizer has the order {t.order!r}, and a model of its family draws row by row",
        )


def _check_header(path: Path, expected: dict[str, torch.Tensor]) -> None:
    """Compare the header of a safetensors file with its size and the model's tensors."""
    folder = path.parent
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise _problem(folder, "model.safetensors is no file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if length > min(size - 8, MAX_HEADER_BYTES):
                raise _problem(
                    folder,
                    f"the header of model.safetensors claims {length} bytes; the file has {size}, "
                    f"and at most {MAX_HEADER_BYTES} are read",
                )
            header = json.loads(file.read(length))
    except OSError as error:
        raise _problem(folder, f"model.safetensors cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise _problem(folder, f"the header of model.safetensors is not JSON ({error})") from error
    if not isinstance(header, dict) or len(header) > MAX_TENSORS + 1:
        raise _problem(folder, f"model.safetensors must hold at most {MAX_TENSORS} tensors")
    header.pop("__metadata__", None)
    if unlike := sorted(set(header) ^ set(expected)):
        raise _problem(
            folder, f"config and weights name different tensors: {', '.join(unlike[:3])}"
        )
    total = 0
    for name, entry in header.items():
        shape, dtype = (
            (entry.get("shape"), entry.get("dtype")) if isinstance(entry, dict) else (None, None)
        )
        asked = list(expected[name].shape)
        if shape != asked:
            raise _problem(folder, f"{name} has shape {shape}, the config asks for {asked}")
        if dtype not in tuple(ITEM_BYTES):
            raise _problem(folder, f"{name} is of type {dtype!r}, which is not read")
        if ("F" in dtype) != expected[name].is_floating_point():
            raise _problem(
                folder, f"{name} is of type {dtype}, the model computes in {expected[name].dtype}"
            )
        total += expected[name].numel() * ITEM_BYTES[dtype]
    if total != size - 8 - length:
        raise _problem(
            folder,
            f"model.safetensors holds {size - 8 - length} bytes of weights where its header asks "
            f"for {total}; it is cut short or padded",
        )


def _problem(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {folder.name!r} cannot be used: {what}. Train or download it again, or "
        "choose another model."
    )
