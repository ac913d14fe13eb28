"""A frozen dataclass is the configuration, the command line and config.json at once."""

import argparse
from dataclasses import fields
from typing import TypeVar

T = TypeVar("T")


def parse_config(config_class: type[T], argv: list[str] | None = None) -> T:
    """Read a config from the command line: one --flag a field, its comment kept in --help."""
    parser = argparse.ArgumentParser(
        description=config_class.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for field in fields(config_class):
        flag = "--" + field.name.replace("_", "-")
        help_text = field.metadata.get("help", " ")
        if field.type is bool:
            action = argparse.BooleanOptionalAction
            parser.add_argument(flag, default=field.default, help=help_text, action=action)
        else:
            parser.add_argument(flag, default=field.default, help=help_text, type=field.type)
    return config_class(**vars(parser.parse_args(argv)))
