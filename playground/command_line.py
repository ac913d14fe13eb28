"""The command line: python -m playground {models,warm-up,decode,compare,…}.

Both draw from the stream that the pages draw from: `decode` prints a text as it is decided, or
its whole Trace as JSON; `compare` prints one row of figures a lane. Of pictures both write a
contact sheet to --out, one row a lane, of sounds one file, one after the other, and print the
figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from playground.checkpoints import read_config
from playground.commands import compression, findings, media, publish
from playground.comparison import MAX_SPECS, Comparison, LaneResult, Real, kind_of
from playground.data.hub import PREFIX
from playground.decoding.kinds import Parameter
from playground.decoding.presets import PICTURE_PRESETS, PRESETS, SOUND_PRESETS
from playground.decoding.processors import (
    LLAMA_CPP_ORDER,
    PROCESSORS,
    TRANSFORMERS_ORDER,
    Processor,
    in_order,
)
from playground.decoding.spec import COMBINATIONS, MAX_SAMPLES, LaneSpec, specs_from_text
from playground.decoding.strategy_catalogue import STRATEGIES
from playground.devices import check_device
from playground.errors import ConfigError, DataError, PlaygroundError
from playground.hub.load import is_pretrained, load
from playground.models import llama_stepping
from playground.models.base import warm_up
from playground.models.remote import RemoteModel
from playground.registry import ModelCard, available, remote_card
from playground.tokenizers.remote import RemoteTokenizer

MODEL_HELP = "a model's name, a checkpoint's folder, or hub:owner/name[@revision]"
ORDERS = {"transformers": TRANSFORMERS_ORDER, "llama.cpp": LLAMA_CPP_ORDER}


@dataclass(frozen=True)
class Loaded:
    model: Any
    tokenizer: Any
    info: dict


def cards() -> dict[str, ModelCard]:
    """Return all models that are here, those of text first."""
    return available("text") | available("image") | available("audio")


def folder_of(name: str) -> Path:
    """Return the folder that a name, a path or hub:owner/name means; that one may be fetched."""
    if name.startswith(PREFIX):
        return publish.bring(name)
    card = cards().get(name)
    return card.folder if card else Path(name)


def loader(device: str):
    """Return a function that loads a model by its name or folder, each once."""

    @lru_cache(maxsize=4)
    def load_by_name(name: str) -> Loaded:
        is_remote = name == "remote" or name.startswith("remote:")
        if is_remote and (card := remote_card()) is not None and card.remote:
            model = RemoteModel.connect(card.remote)
            return Loaded(model, RemoteTokenizer(model.engine), {})
        folder = folder_of(name)
        info = {} if is_pretrained(folder) else read_config(folder).get("info") or {}
        return Loaded(*load(folder, device), info)

    return load_by_name


def parser() -> argparse.ArgumentParser:
    """Return the parser; its flags are the parameters of the strategies and processors."""
    top = argparse.ArgumentParser(prog="python -m playground", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("models", help="name the models that are here")
    commands.add_parser("warm-up", help="compile what the models need, once on a machine")

    one = commands.add_parser(
        "decode", help="write a text, draw a picture or make a sound, or tell its trace"
    )
    _common(one)
    one.add_argument("--strategy", default="sample", choices=STRATEGIES, metavar="NAME",
                     help=", ".join(STRATEGIES))  # fmt: skip
    one.add_argument("--samples", type=int, default=1, help=f"1 to {MAX_SAMPLES}")
    one.add_argument("--second", default="", help="draft, amateur or partner: a model's name")
    one.add_argument("--combination", default="", choices=COMBINATIONS, help="how models combine")
    one.add_argument("--combination-settings", type=json.loads, default={}, metavar="JSON")
    one.add_argument("--force-words", default="", help="words to be said, one a line")
    one.add_argument(
        "--order",
        default="transformers",
        help="of the processors: transformers, llama.cpp, or names, by commas",
    )
    one.add_argument("--json", action="store_true", help="print the traces")
    for flag, (_, parameter, helps) in _flags().items():
        one.add_argument(f"--{flag}", type=_reader(parameter), help="; ".join(helps), metavar="X")

    many = commands.add_parser("compare", help="print figures of several ways to decode")
    _common(many)
    many.add_argument(
        "--preset", action="append", default=[], choices=PRESETS | PICTURE_PRESETS | SOUND_PRESETS,
        metavar="NAME",
        help=f"for texts {', '.join(PRESETS)}; for pictures {', '.join(PICTURE_PRESETS)}; for "
        f"sounds {', '.join(SOUND_PRESETS)}",
    )  # fmt: skip
    many.add_argument("--lanes", type=Path, help="JSON file of lanes, as the Compare page saves it")
    many.add_argument("--samples", type=int, help="of every lane")
    many.add_argument("--second", default="", help="second model for the lanes that need one")
    many.add_argument("--json", action="store_true", help="one JSON line a lane")
    compression.add_to(commands)
    publish.add_to(commands)
    findings.add_to(commands)
    return top


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, help=MODEL_HELP)
    command.add_argument("--prompt", default="", help="what the text begins with")
    command.add_argument(
        "--max-new-tokens",
        type=int,
        help="100 if left out; pictures become whole, sounds --seconds",
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--slide", action="store_true", help="slide a window that is full")
    media.add_flags(command)
    command.add_argument(
        "--device", default="", help="cpu, cuda, cuda:1, mps; the best if left out"
    )


def _flags() -> dict[str, tuple[str, Parameter, list[str]]]:
    """Return flag -> (processor that owns it or "", its parameter, what it does).

    A name that a strategy and a processor share (top_k, temperature of dynatemp) is one flag.
    """
    found: dict[str, tuple[str, Parameter, list[str]]] = {}
    for name, kind in PROCESSORS.items():
        for parameter in kind.parameters:
            flag = parameter.name.replace("_", "-")
            if flag not in found or parameter.name == name:
                found[flag] = (name, parameter, [kind.effect.replace("%", "%%")])
    for name, kind in STRATEGIES.items():
        for parameter in kind.parameters:
            flag = parameter.name.replace("_", "-")
            owner, known, helps = found.get(flag, ("", parameter, []))
            found[flag] = (owner, known, [*helps, f"of {name}: {parameter.help}"])
    return found


def _reader(parameter: Parameter):
    """Return what reads a flag's text; the value is checked where it is used."""

    def read(text: str):
        if parameter.options:
            return {"true": True, "false": False}.get(text.lower(), text)
        if parameter.is_text:
            return text
        return int(text) if parameter.is_whole else float(text)

    return read


def spec_of(given: argparse.Namespace) -> LaneSpec:
    """Return the lane that the flags of `decode` describe.

    Raises:
        ConfigError: they contradict each other, or a value is not accepted.
    """
    own = {p.name for p in STRATEGIES[given.strategy].parameters}
    settings, processors = {}, {}
    for flag, (owner, parameter, _) in _flags().items():
        value = getattr(given, flag.replace("-", "_"))
        if value is None:
            continue
        if parameter.name in own:
            settings[parameter.name] = value
        elif owner:
            processors.setdefault(owner, {})[parameter.name] = value
        else:
            raise ConfigError(
                f"--{flag} is no setting of {given.strategy}, which has "
                f"{', '.join(sorted(own)) or 'none'}. Leave it out, or choose another --strategy."
            )
    if "dynatemp" in processors and "temperature" in processors:  # the middle of its range
        processors["dynatemp"] |= processors.pop("temperature")
    made = [Processor(name, **values) for name, values in processors.items()]
    order = ORDERS.get(given.order) or tuple(given.order.split(","))
    if missing := [p.name for p in made if p.name not in order]:
        raise ConfigError(f"--order leaves out {', '.join(missing)}. Name every processor in use.")
    return LaneSpec(
        given.strategy, given.strategy, settings, in_order(made, order), given.samples,
        combination=given.combination, combination_settings=given.combination_settings,
        second=given.second, words=given.force_words,
    )  # fmt: skip


def comparison(given: argparse.Namespace, specs: list[LaneSpec]) -> Comparison:
    load_by_name = loader(check_device(given.device))
    tokenizer = load_by_name(given.model).tokenizer
    media.check(given, tokenizer)
    return Comparison(
        specs, media.beginning(given, tokenizer), model=given.model,
        load=load_by_name, seed=given.seed, max_new_tokens=media.length(given, tokenizer),
        slide=given.slide or kind_of(tokenizer).name == "audio", condition=given.condition,
    )  # fmt: skip


def pieces(running: Comparison) -> Iterator[str]:
    """Yield the text of the first lane as it grows; a search may change its own, so at the end."""
    told = ""
    going = True
    while going:
        going = running.advance()
        if STRATEGIES[running.specs[0].strategy].is_single or not going:
            text = running.tokenizer.decode(running.results()[0].traces[0].tokens)
            if text.endswith("\ufffd") and going:  # half of a character
                continue
            yield text.removeprefix(told)
            told = text


def decode(given: argparse.Namespace) -> None:
    running = comparison(given, [spec_of(given)])
    if running.kind.name != "text" and not given.json:
        finish(running)
        media.write_out(given, running)
        tell_figures(given, running)
        return
    if given.samples == 1 and not given.json:
        for piece in pieces(running):
            print(piece, end="", flush=True)
        print()
        return
    finish(running)
    media.write_out(given, running)
    for trace in running.results()[0].traces:
        text = running.tokenizer.decode(trace.tokens)
        print(trace.to_json(running.tokenizer.label) if given.json else text)


def finish(running: Comparison) -> None:
    """Decide all there is to decide."""
    while running.advance():
        pass


def compare(given: argparse.Namespace) -> None:
    """Print a row of figures for every lane."""
    offer = kind_of(loader(check_device(given.device))(given.model).tokenizer).offer
    if strangers := [name for name in given.preset if name not in offer.presets]:
        raise ConfigError(
            f"{given.model} has no preset {strangers[0]!r}. It has {', '.join(offer.presets)}."
        )
    specs = [offer.presets[name] for name in given.preset]
    if given.lanes:
        specs += specs_from_text(media.read_file(given.lanes, "a file of lanes"), most=MAX_SPECS)
    if not specs:
        usual = " ".join(f"--preset {name!r}" for name in offer.usual)
        raise ConfigError(f"Name lanes: {usual}, or --lanes FILE.")
    changes = {"samples": given.samples} if given.samples else {}
    specs = [
        spec.but(**changes, **({"second": given.second} if spec.needs_second else {}))
        for spec in specs
    ]
    running = comparison(given, specs)
    finish(running)
    media.write_out(given, running)
    tell_figures(given, running)


def tell_figures(given: argparse.Namespace, running: Comparison) -> None:
    """Print a row of figures for every lane, and one of what people made if there is some."""
    try:
        real = running.kind.real(folder_of(given.model), running.load(given.model))
    except DataError as error:
        print(error, file=sys.stderr)
        real = None
    others = {"real": real} if isinstance(real, Real) else {}
    rows = [row_of(running, result, **others) for result in running.results()]
    if real is not None:
        label = media.REAL[running.kind.name]
        rows.append({"lane": label, **running.real_figures(real).to_dict()})
    if given.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print_table(rows, media.COLUMNS[running.kind.name])


def row_of(running: Comparison, result: LaneResult, **options: Any) -> dict[str, Any]:
    """Return the figures of a lane, flat."""
    row = {"lane": result.spec.label, **running.figures(result, **options).to_dict()}
    return row | {"calls": result.calls, "tokens_per_second": result.tokens_per_second}


def print_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Print the columns that tell lanes apart; `--json` has all of them."""
    cells = [list(columns)] + [[_cell(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for first, *others in cells:
        laid = [first.ljust(widths[0])]
        laid += [c.rjust(w) for c, w in zip(others, widths[1:], strict=True)]
        print("  ".join(laid))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(argv: list[str] | None = None) -> int:
    given = parser().parse_args(argv)
    try:
        if given.command == "models":
            for card in cards().values():
                print(f"{card.name}\t{card.title}")
        elif given.command == "warm-up":
            for card in cards().values():
                if card.remote is None:
                    warm_up(load(card.folder)[0])
            llama_stepping.compile_kernels()
        elif given.command in ("compress", "decompress"):
            compression.run(given, loader("cpu"))
        elif given.command in ("push", "pull"):
            publish.run(given, folder_of)
        elif given.command == "findings":
            findings.run(given)
        else:
            {"decode": decode, "compare": compare}[given.command](given)
    except PlaygroundError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0
