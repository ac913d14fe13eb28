"""Render a chat template: run as a script, in a process of its own, with what it may use bounded.

A template comes with a model and is a program: `{% for i in range(10**9) %}` is a valid one. So it
runs in jinja's sandbox, as transformers has it, and in a process that the system stops when it
takes too much memory or time. This file imports nothing of the playground: it starts in 0.1 s.

Standard input and output are one JSON object each: {"template", "messages", ...} in, {"text"} or
{"error"} out.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MEMORY_BYTES = 2**29
CPU_S = 3
MAX_OUTPUT = 2**20  # characters
DATE = "26 Jul 2024"  # what templates take for today: the same prompt gives the same tokens


def bound_resources() -> None:
    """Have the system stop this process when it takes too much; where the system can."""
    try:
        import resource
    except ImportError:  # Windows; the caller's deadline remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def environment() -> Any:
    """Return jinja's sandbox with the few names that chat templates expect."""
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    found = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_generation(), loopcontrols]
    )
    found.filters["tojson"] = tojson
    found.globals["raise_exception"] = raise_exception
    found.globals["strftime_now"] = lambda form: DATE
    return found


def _generation() -> type:
    """Return the tag `{% generation %}`, which marks a model's words and changes nothing here."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012, as jinja wants it

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    return Generation


def render(asked: dict[str, Any]) -> dict[str, str]:
    """Return {"text"} of a template, or {"error"} in its own words."""
    template = asked.pop("template")
    try:
        text = environment().from_string(template).render(**asked)
    except MemoryError:
        return {"error": "it takes too much memory"}
    except Exception as error:  # whatever a foreign program can do wrong
        return {"error": f"{type(error).__name__}: {error}"[:500]}
    if len(text) > MAX_OUTPUT:
        return {"error": f"it writes more than {MAX_OUTPUT:,} characters"}
    return {"text": text}


if __name__ == "__main__":
    import jinja2.ext
    import jinja2.sandbox  # noqa: F401, before memory is bounded

    bound_resources()
    sys.stdout.write(json.dumps(render(json.load(sys.stdin))))
