"""What a config.json of `transformers` describes, checked before anything is built by it.

`transformers` knows some 800 kinds of models by name. A config that names one of them is read by
its own code even where the repository offers code as well; nothing else is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

from playground.errors import CheckpointError
from playground.hub.building import Building, most_parameters
from playground.hub.contents import OF_PICTURES, OF_SOUNDS, Source, Wanted, Weights, problem

# Keys by which a config could ask for code (kernels of the Hub are code), for other files, or for
# another way to be loaded than the one here.
ASKS = frozenset((
    "auto_map", "trust_remote_code", "custom_generate", "custom_pipelines", "_name_or_path",
    "transformers_weights", "fusion_config", "attn_implementation", "_attn_implementation",
    "_attn_implementation_internal", "experts_implementation", "_experts_implementation",
    "_experts_implementation_internal",
))  # fmt: skip
MAX_VALUES = 50_000  # numbers, names and lists in a config
MAX_POSITIONS = 2**24
MAX_TABLE = 2**26  # positions x width, which some kinds write into a table
FEWEST = 2**13  # sizes up to this are never too large
LAYERS = re.compile(r"(^|_)(n|num|encoder|decoder)_(.*_)?layers?$|^(num_)?(layers|depth|blocks)$")
POSITIONS = re.compile(r"position|context|n_ctx|seq_len|window")
SIZE = re.compile(
    r"size|dim|d_model|d_ff|d_kv|n_embd|n_inner|hidden|width|channel|expert|head|rank|state|vocab"
)
BY_NAME = ("ForCausalLM", "LMHeadModel", "WithLMHead", "ForCausalImageModeling")


def classes_of(held: Wanted, source: Source) -> tuple[str, str]:
    """Return (model_type, the class of `transformers` that its weights are for).

    Raises:
        CheckpointError: `transformers` has none, or none that goes from token to token.
    """
    from transformers import __version__
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )

    model_type = held.config["model_type"]
    if model_type not in CONFIG_MAPPING_NAMES:
        if "auto_map" in held.config:
            raise problem(
                source,
                f"its architecture {held.architecture} is code in the repository, and code from "
                "the Hub is never run here",
            )
        raise problem(
            source,
            f"transformers {__version__} does not know the architecture {model_type[:60]!r}",
        )
    if how := held.config.get("quantization_config") or held.config.get("compression_config"):
        method = how.get("quant_method") if isinstance(how, dict) else None
        raise problem(
            source,
            f"its weights are quantised by {str(method or 'an unknown method')[:40]}"
            ", which needs packages or a graphics card that are not here. Look for the same model "
            "in float16 or bfloat16",
        )
    if model_type in OF_PICTURES:
        return model_type, "ImageGPTForCausalImageModeling"
    if model_type in OF_SOUNDS:
        return model_type, "MusicgenForConditionalGeneration"
    if senses := [key for key in ("vision_config", "audio_config") if key in held.config]:
        raise problem(source, f"it reads more than text ({senses[0]}), which is not offered here")
    table = (
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
        if held.kind == "seq2seq"
        else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    )
    name = table.get(model_type)
    fits = held.kind == "seq2seq" or held.architecture == model_type
    if not isinstance(name, str) or not (
        fits or held.architecture == name or held.architecture.endswith(BY_NAME)
    ):
        raise problem(
            source,
            f"its architecture {held.architecture} does not write one token after another",
        )
    return model_type, name


def check_sizes(held: Wanted, weights: Weights, source: Source) -> None:
    """Compare what a config claims with the weights that are there, before it is believed.

    A layer has a tensor at least, and a width is the side of one.

    Raises:
        CheckpointError: they cannot belong together.
    """
    tensors = len(weights.shapes)
    side = max((n for shape in weights.shapes.values() for n in shape), default=0)
    widest = positions = 1
    for key, value in _values(held.config, source):
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        if LAYERS.search(key):
            most, rule = tensors, f"its weights are {tensors:,} tensors"
        elif POSITIONS.search(key):
            most, rule = MAX_POSITIONS, f"at most {MAX_POSITIONS:,} are read"
            positions = max(positions, value)
        elif SIZE.search(key) and not key.endswith(("_id", "_ids")):
            most, rule = max(side, FEWEST), f"the longest side of its weights is {side:,}"
            widest = max(widest, value) if "vocab" not in key else widest
        else:
            most, rule = 2**53, "no number is that large"
        if abs(value) > most:
            raise problem(source, f"{key[:60]} in config.json is {value:,.0f}, and {rule}")
    if held.config.get("model_type") in ("marian", "pegasus", "xlm") and (
        positions * widest > MAX_TABLE
    ):
        raise problem(source, f"a table of {positions:,} positions of {widest:,} is too large")


def clean(config: Any) -> Any:
    """Return a config without what asks for code or for other places, at any depth.

    Infinity is no JSON, so `transformers` writes it as {"__float__": "Infinity"}.
    """
    if isinstance(config, dict) and config.get("__float__") in ("Infinity", "-Infinity", "NaN"):
        return float(config["__float__"])
    if isinstance(config, dict):
        return {key: clean(value) for key, value in config.items() if key not in ASKS}
    return [clean(value) for value in config] if isinstance(config, list) else config


def build_config(held: Wanted, model_type: str, source: Source) -> Any:
    """Return the config as `transformers` reads it.

    Raises:
        CheckpointError: a value is of a wrong type, or contradicts another.
    """
    from transformers import CONFIG_MAPPING

    try:
        return CONFIG_MAPPING[model_type].from_dict(clean(held.config))
    except Exception as error:  # a foreign config can fail in any way
        raise _unbuilt(source, error) from error


def count(held: Wanted, weights: Weights, source: Source) -> int:
    """Return how many parameters a config describes, built without memory for them.

    Raises:
        CheckpointError: it cannot be built, or its weights are not all there.
    """
    model_type, name = classes_of(held, source)
    check_sizes(held, weights, source)
    config = build_config(held, model_type, source)
    import transformers

    try:
        with torch.device("meta"), Building(most_parameters(len(weights.shapes))):
            model = getattr(transformers, name)(config)
    except Exception as error:  # as above
        raise _unbuilt(source, error) from error
    # What is not trained (positions by sine) is computed anew instead of being stored.
    trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
    described = sum(parameter.numel() for parameter in trained)
    if described > weights.stored * 1.02 + 1000:
        raise problem(
            source,
            f"config.json describes {described:,} parameters and its weights hold "
            f"{weights.stored:,}; the rest would be made up",
        )
    return described


def _values(config: Any, source: Source) -> Iterator[tuple[str, Any]]:
    """Yield every value of a config with the key that it stands under, at any depth."""
    waiting, seen = [("", config)], 0
    while waiting:
        key, value = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise problem(source, f"config.json holds more than {MAX_VALUES:,} values")
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, part) for part in value]
        else:
            yield key, value


def _unbuilt(source: Source, error: Exception) -> CheckpointError:
    what = " ".join(str(error).split())[:200] or type(error).__name__
    return problem(source, f"config.json describes no model that can be built ({what})")
