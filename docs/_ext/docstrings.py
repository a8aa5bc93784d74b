"""nnkit's docstrings are prose with doctests and, in places, an ``Args:`` list: made into what Sphinx understands."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader
from jinja2.sandbox import SandboxedEnvironment
from numpydoc import docscrape_sphinx

LITERAL = re.compile(r"(``.*?``|`[^`]+`)")
#: The places before a star that begins a word or a line, before a bar, and before an underscore that ends a word.
MEANT = re.compile(r"(^ *(?=\*)|(?=\*(?! ))|(?=\|)|(?<=\w)(?=_(?:\W|$)))")
ENTRY = re.compile(r"^((?:\\\*){0,2}[\w.]+(?:, (?:\\\*){0,2}[\w.]+)*): (.*)$")


def parameters(lines: list[str]) -> list[str]:
    """``Args:`` and the indented entries below it, as a list."""
    result: list[str] = []
    inside = False
    for line in lines:
        if line.strip() == "Args:" and not inside:
            inside = True
            result += ["Arguments:", ""]
            continue
        if inside and line.strip() and not line.startswith(" "):
            inside = False
            if result[-1]:
                result.append("")
        entry = ENTRY.match(line[4:]) if inside else None
        if entry is not None:
            result.append(f"- **{entry[1]}**: {entry[2]}")
        elif inside and line.strip():
            result.append("  " + line.strip())
        else:
            result.append(line)
    return result


def escaped(lines: list[str]) -> list[str]:
    """Stars, bars and trailing underscores outside of literals and examples mean nothing but themselves.

    A star between spaces does so anyway, and an escaped one would be lost in the table of names.
    """
    result, example = [], False
    for line in lines:
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if example:
            result.append(line)
            continue
        parts = LITERAL.split(line)
        parts[::2] = [MEANT.sub(r"\1\\", part) for part in parts[::2]]
        parts[2::2] = [re.sub(r"^(?=\w)", r"\\ ", part) for part in parts[2::2]]  # a literal ends before "ed" or "s"
        result.append("".join(parts))
    return result


def process(app: Any, what: str, name: str, target: Any, options: Any, lines: list[str]) -> None:
    lines[:] = parameters(escaped(lines))


@cache
def environment() -> SandboxedEnvironment:
    """numpydoc's own template, compiled once: it would do so for each docstring, a third of the reference's time."""
    folder = Path(docscrape_sphinx.__file__).parent / "templates"
    return SandboxedEnvironment(loader=FileSystemLoader(folder))


def setup(app: Any) -> dict[str, Any]:
    docscrape_sphinx.SandboxedEnvironment = lambda loader: environment()
    app.connect("autodoc-process-docstring", process, priority=400)  # before numpydoc
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
