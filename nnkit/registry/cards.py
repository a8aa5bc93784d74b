"""The card of a version: what it is, as JSON, checked and bounded when it is read."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnkit import nn, version
from nnkit.errors import DataError, ModelFileError
from nnkit.io.files import open_at_once
from nnkit.io.weights import parse_object
from nnkit.monitor.references import checked_reference
from nnkit.preprocessing.table import ATTRIBUTE, Table
from nnkit.registry.data import described_data, features_of, inputs_of, reference_of
from nnkit.registry.moves import now

__all__ = ["CARD", "card_of", "dumped", "read_card"]

CARD = "card.json"
FORMAT, VERSION = "nnkit card", 1
MOST_BYTES = 4 << 20
MOST_METRICS, LONGEST_NOTES = 1000, 10_000
DEEPEST = 20


def card_of(
    model: nn.Module, name: str, *, metrics: Mapping[str, Any] | None, data: Any, reference: Any, notes: str
) -> dict[str, Any]:
    """The card of a model, all but what is said of its file. Raises ``DataError`` for what no card can hold."""
    table: Table | None = model.__dict__.get(ATTRIBUTE)
    if not isinstance(notes, str) or len(notes) > LONGEST_NOTES:
        raise DataError(f"notes must be a text of at most {LONGEST_NOTES:,} characters")
    if reference is not None:
        checked_reference(reference)
    x = None if data is None else features_of(data)
    parameters = list(model.parameters())
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "created": now(),
        "kind": "keras" if type(model).__module__.startswith("nnkit.keras.") else "module",
        "class": type(model).__qualname__,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "device": str(parameters[0].device) if parameters else None,
        "inputs": inputs_of(model, x),
        "classes": None if table is None else table.classes,
        "metrics": _metrics(metrics or {}),
        "data": None if data is None else described_data(data),
        "code": code_version(),
        "reference": reference_of(model, x) if reference is None else dict(reference),
        "notes": notes,
    }


def dumped(card: Mapping[str, Any]) -> bytes:
    """A card as JSON. Raises ``DataError`` where it holds what is no JSON, or is too long."""
    try:
        lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in card.items()]
    except (TypeError, ValueError) as error:
        raise DataError(f"the card cannot be written as JSON: {error}") from None
    content = ("{\n" + ",\n".join(lines) + "\n}\n").encode()
    if len(content) > MOST_BYTES:
        raise DataError(f"the card takes {len(content):,} bytes, and has room for {MOST_BYTES:,}")
    return content


def _metrics(given: Mapping[str, Any]) -> dict[str, float]:
    if not isinstance(given, Mapping) or len(given) > MOST_METRICS:
        raise DataError(f"metrics must be a dict of at most {MOST_METRICS} numbers by name")
    found = {}
    for name, value in given.items():
        number = value.item() if hasattr(value, "item") and np.size(value) == 1 else value
        if not isinstance(name, str) or isinstance(number, bool) or not isinstance(number, (int, float)):
            raise DataError(f"metrics must be numbers by name, got {value!r} for {name!r}"[:300])
        if not math.isfinite(number):
            raise DataError(f"metrics: {name!r} is {number}, which JSON cannot hold; leave it out")
        found[name] = number
    return found


def code_version() -> dict[str, str | None]:
    """The versions of what ran: nnkit, Python, NumPy, and the commit of the program's own repository, if it has one."""
    own = {"nnkit": version.__version__, "python": platform.python_version(), "numpy": np.__version__}
    return {**own, "commit": _commit()}


def _commit() -> str | None:
    """The commit that the running script's folder is at, with ``-dirty`` where files were changed since."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folder = Path(script).resolve().parent if script else Path.cwd()
    if folder == Path(version.__file__).resolve().parent:  # python -m nnkit, whose own commit is not the program's
        folder = Path.cwd()
    command = ["git", "-C", os.fspath(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    found = done.stdout.strip()
    return found if done.returncode == 0 and re.fullmatch(r"[0-9a-f]{7,64}(-dirty)?", found) else None


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_card(path: Path) -> dict[str, Any]:
    """The card in a file. Raises ``ModelFileError`` for one that is damaged, too long or of a newer nnkit."""
    with open(path, "rb", opener=open_at_once) as file:
        content = file.read(MOST_BYTES + 1) or b""  # None of a pipe that nobody has written to
    what = f"the card {str(path)!r}"
    if len(content) > MOST_BYTES:
        raise ModelFileError(f"{what} has more than {MOST_BYTES:,} bytes")
    try:
        card = parse_object(content.decode(), what)
    except UnicodeDecodeError:
        raise ModelFileError(f"{what} is not UTF-8 text") from None
    if not _is_shallow(card):
        raise ModelFileError(f"{what} is nested more than {DEEPEST} levels deep")
    if card.get("format") != FORMAT or type(card.get("version")) is not int:
        raise ModelFileError(f"{what} is none of nnkit's: it lacks format and version")
    if card["version"] > VERSION:
        raise ModelFileError(f"{what} has version {card['version']}, and this nnkit reads up to {VERSION}; upgrade it")
    for field, good in FIELDS.items():
        if field not in card or not good(card[field]):
            raise ModelFileError(f"{what}: {field!r} cannot be {str(card.get(field, 'left out'))[:80]}")
    return card


def _is_shallow(card: dict[str, Any]) -> bool:
    """What is nested deeper could end the program where it is printed."""
    level: list[Any] = [card]
    for _ in range(DEEPEST):
        inside = [
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, (dict, list))
        ]
        level = [value for part in inside for value in part]
    return not any(isinstance(value, (dict, list)) for value in level)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_input(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"name", "shape", "dtype"} or not isinstance(value["shape"], list):
        return False
    good = all(size is None or (type(size) is int and 0 <= size < 1 << 40) for size in value["shape"])
    return good and _is_text(value["name"]) and _is_text(value["dtype"])


def _is_file(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"name", "sha256", "bytes"} or type(value["bytes"]) is not int:
        return False
    name, digest = value["name"], value["sha256"]
    return (
        _is_text(name)
        and re.fullmatch(r"model\.[a-z0-9]{1,20}", name) is not None
        and _is_text(digest)
        and re.fullmatch(r"[0-9a-f]{64}", digest) is not None
    )


#: What a card must have, and what it may be.
FIELDS = {
    "name": _is_text,
    "created": _is_text,
    "kind": lambda value: value in ("module", "keras"),
    "class": _is_text,
    "parameters": lambda value: type(value) is int and value >= 0,
    "device": lambda value: value is None or _is_text(value),
    "inputs": lambda value: value is None or (isinstance(value, list) and all(map(_is_input, value))),
    "classes": lambda value: value is None or isinstance(value, list),
    "metrics": lambda value: (
        isinstance(value, dict) and len(value) <= MOST_METRICS and all(map(_is_number, value.values()))
    ),
    "data": lambda value: value is None or isinstance(value, dict),
    "code": lambda value: isinstance(value, dict) and all(part is None or _is_text(part) for part in value.values()),
    "reference": lambda value: value is None or isinstance(value, dict),
    "notes": _is_text,
    "file": _is_file,
}
