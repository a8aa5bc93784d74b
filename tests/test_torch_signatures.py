"""The words that nnkit shares with PyTorch take what PyTorch's take; what does not stands in DIFFERENCES.md."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

import nnkit

REFERENCE = Path(__file__).parent / "reference"
DIFFERENCES = Path(__file__).parent.parent / "DIFFERENCES.md"
TORCH: dict[str, list[list[Any]]] = json.loads((REFERENCE / "torch_signatures.json").read_text())


def maker() -> Any:
    """tests/reference/make_torch_signatures.py as a module."""
    path = REFERENCE / "make_torch_signatures.py"
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


MAKER = maker()


def listed() -> dict[str, set[str]]:
    """From DIFFERENCES.md: parameter -> the names where it may differ, "all" for everywhere."""
    found: dict[str, set[str]] = {}
    for line in DIFFERENCES.read_text().partition("## What else")[0].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            for parameter in re.findall(r"`([^`]+)`", cells[0]):
                found.setdefault(parameter, set()).update(re.findall(r"`([^`]+)`", cells[1]) or {"all"})
    return found


def ours(name: str) -> Any:
    """What nnkit has under PyTorch's name; None where it has nothing."""
    found: Any = nnkit
    for part in name.split("."):
        if not hasattr(found, part):
            return None
        found = getattr(found, part)
    return found


def same_default(first: str | None, second: str | None) -> bool:
    if first == second:
        return True
    try:
        return bool(ast.literal_eval(first or "") == ast.literal_eval(second or ""))
    except (ValueError, SyntaxError):
        return False


def differing(given: list[list[Any]], own: list[list[Any]]) -> set[str]:
    """The parameters of PyTorch's that nnkit lacks, has elsewhere or with another default."""
    by_name = {name: (place, kind, default) for place, (name, kind, default) in enumerate(own)}
    takes_all = "VAR_KEYWORD" in {kind for _, kind, _ in own}
    found = set()
    for place, (name, kind, default) in enumerate(given):
        if kind.startswith("VAR_"):
            continue
        if name not in by_name:
            if kind != "KEYWORD_ONLY" or not takes_all:
                found.add(name)
            continue
        own_place, own_kind, own_default = by_name[name]
        moved = kind != "KEYWORD_ONLY" and own_kind == "KEYWORD_ONLY"
        moved = moved or (kind == own_kind == "POSITIONAL_OR_KEYWORD" and place != own_place)
        if moved or not same_default(default, own_default):
            found.add(name)
    return found


def tells_nothing(given: list[list[Any]]) -> bool:
    """Whether a signature is (*args, **kwargs) and says no parameter."""
    return all(kind.startswith("VAR_") for _, kind, _ in given if _ != "self")


SHARED = sorted(name for name in TORCH if callable(ours(name)))


def test_many_names_are_shared() -> None:
    assert len(SHARED) > 300


@pytest.mark.parametrize("name", SHARED)
def test_parameters_are_those_of_pytorch(name: str) -> None:
    own = MAKER.parameters(ours(name))
    if own is None or tells_nothing(TORCH[name]):
        return
    allowed = listed()
    missing = {p for p in differing(TORCH[name], own) if not ({"all", name} & allowed.get(p, set()))}
    assert not missing, f"{name}{[p for p, _, _ in own]} differs from PyTorch's in {sorted(missing)}"


def test_the_stored_signatures_are_pytorchs() -> None:
    pytest.importorskip("torch")
    live = MAKER.signatures("torch")
    assert {name: given for name, given in live.items() if name in SHARED} == {name: TORCH[name] for name in SHARED}


def test_every_difference_that_is_listed_is_there() -> None:
    there = {
        (parameter, name)
        for name in SHARED
        if (own := MAKER.parameters(ours(name))) is not None and not tells_nothing(TORCH[name])
        for parameter in differing(TORCH[name], own)
    }
    rows = {(parameter, name) for parameter, names in listed().items() for name in names}
    assert not {(p, n) for p, n in rows if not any(p == q and (n == m or n == "all") for q, m in there)}
