"""``python -m nnkit models``: a registry of versions from the shell."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnkit.commands.predict import add_import, blocks_of, import_modules
from nnkit.errors import DataError, NnkitError
from nnkit.io.rows import Rows
from nnkit.preprocessing.table import ATTRIBUTE
from nnkit.registry import Registry, Version
from nnkit.registry.files import load_model
from nnkit.registry.registry import CHAMPION

SHOWN_METRICS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes: an action, a registry's folder, and what the action is about."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str, *words: str) -> argparse.ArgumentParser:
        found = actions.add_parser(name, help=text, description=f"{text}.")
        found.add_argument("registry", type=Path, help="the registry's folder")
        for word in words:
            found.add_argument(word.strip("?"), **HELP[word])
        found.add_argument("--json", action="store_true", help="print JSON")
        return found

    action("list", "list the models, or the versions of one", "name?")
    action("show", "show a version's card, and the moves of its aliases", "name", "which?")
    action("promote", "let an alias mean a version", "name", "which").add_argument("--alias", default=CHAMPION)
    action("rollback", "move an alias back to where it was before", "name").add_argument("--alias", default=CHAMPION)
    publish = action("publish", "keep a model's file as the next version", "name", "file")
    publish.add_argument("--metric", action="append", default=[], metavar="NAME=NUMBER", help="once for each")
    publish.add_argument("--data", metavar="CSV", help="the training rows, for a checksum and a reference")
    publish.add_argument("--notes", default="", help="a text for the card")
    publish.add_argument("--alias", help="an alias to move to the new version")
    add_import(publish)
    action("check", "look for damage; exits with 1 where there is some", "name?")


HELP: dict[str, dict[str, Any]] = {
    "name": {"help": "the model's name"},
    "name?": {"nargs": "?", "help": "the model's name (default: all)"},
    "which": {"help": "the version: a number, an alias, or newest"},
    "which?": {"nargs": "?", "default": CHAMPION, "help": "a number, an alias, or newest (default: %(default)s)"},
    "file": {"type": Path, "help": "a file of model.save"},
}


def run(options: argparse.Namespace) -> int:
    """Do it; 1 where ``check`` found something."""
    registry = Registry(options.registry)
    if options.action != "publish" and not registry.folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(registry.folder)!r}; the first publish makes one")
    found, text = ACTIONS[options.action](registry, options)
    print(json.dumps(found, ensure_ascii=False, indent=1) if options.json else text)
    return int(options.action == "check" and bool(found))


# ---- actions: each gives what --json prints, and the text ------------------------------------------------------------


def _list(registry: Registry, options: argparse.Namespace) -> tuple[Any, str]:
    if options.name is not None:
        return _list_versions(registry, options.name)
    found: list[dict[str, Any]] = []
    for name in registry.names():
        versions = registry.versions(name)
        counts = {"versions": len(versions), "newest": versions[-1].number, "aliases": registry.aliases(name)}
        found.append({"name": name} | counts | _facts(versions[-1]))
    if not found:
        return found, f"no models in {registry.folder}"
    rows = [[f["name"], str(f["versions"]), str(f["newest"]), f["created"], _aliases(f["aliases"])] for f in found]
    return found, _table(["name", "versions", "newest", "created", "aliases"], rows)


def _list_versions(registry: Registry, name: str) -> tuple[Any, str]:
    aliases = registry.aliases(name)
    found: list[dict[str, Any]] = []
    for version in registry.versions(name):
        own = [alias for alias, number in aliases.items() if number == version.number]
        found.append({"number": version.number, "aliases": own} | _facts(version))
    rows = [
        [str(f["number"]), f["created"], ", ".join(f["aliases"]), _metrics(f["metrics"]), _short(f["notes"])]
        for f in found
    ]
    return found, _table(["version", "created", "aliases", "metrics", "notes"], rows)


def _facts(version: Version) -> dict[str, Any]:
    """What lists show of a card; a damaged one is no reason to list nothing."""
    try:
        card = version.card
    except (NnkitError, OSError):
        return {"created": "damaged", "metrics": {}, "notes": "damaged: models check says more"}
    return {"created": card["created"], "metrics": card["metrics"], "notes": card["notes"]}


def _show(registry: Registry, options: argparse.Namespace) -> tuple[Any, str]:
    version = registry.get(options.name, options.which)
    card, moves = version.card, registry.moves(version.name)
    own = [alias for alias, number in registry.aliases(version.name).items() if number == version.number]
    found = {**card, "path": str(version.path), "aliases": own, "moves": [move._asdict() for move in moves]}
    lines = [f"{name:11} {_plain(value)}" for name, value in _described(card, own, version) if value]
    if moves:
        lines.append("moves")
        lines += [f"  {move.time}  {_plain(move.alias):12} {move.kind:8} to {move.to}" for move in moves[-10:]]
    return found, "\n".join(lines)


def _described(card: dict[str, Any], aliases: list[str], version: Version) -> list[tuple[str, str]]:
    """The card in lines: what it is, and how it is said."""
    inputs = ", ".join(f"{one['name']} {one['dtype']}{one['shape'] or ''}" for one in (card["inputs"] or [])[:20])
    data, code, file = card["data"] or {}, card["code"], card["file"]
    known = f"{data.get('rows')} rows, sha256 {data.get('sha256')}" if "sha256" in data else str(data.get("source", ""))
    reference = card["reference"]
    drift = f"{len(reference.get('features', []))} features, {reference.get('rows')} rows" if reference else "none"
    return [
        ("name", f"{card['name']} {card['number']}"),
        ("aliases", ", ".join(aliases)),
        ("created", card["created"]),
        ("model", f"{card['class']} ({card['kind']}), {card['parameters']:,} parameters, made on {card['device']}"),
        ("inputs", inputs or "not known"),
        ("classes", ", ".join(map(str, (card["classes"] or [])[:50]))),
        ("metrics", _metrics(card["metrics"], 100)),
        ("data", known),
        ("reference", drift),
        ("code", ", ".join(f"{name} {value}" for name, value in code.items() if value)),
        ("file", f"{version.path} ({file['bytes']:,} bytes, sha256 {file['sha256']})"),
        ("notes", card["notes"]),
    ]


def _promote(registry: Registry, options: argparse.Namespace) -> tuple[Any, str]:
    version = registry.get(options.name, options.which)
    registry.promote(version.name, version.number, options.alias)
    return _moved(version, options.alias)


def _rollback(registry: Registry, options: argparse.Namespace) -> tuple[Any, str]:
    return _moved(registry.rollback(options.name, options.alias), options.alias)


def _moved(version: Version, alias: str) -> tuple[Any, str]:
    found = {"name": version.name, "alias": alias, "number": version.number}
    return found, f"{alias} of {version.name} is version {version.number}"


def _publish(registry: Registry, options: argparse.Namespace) -> tuple[Any, str]:
    import_modules(options)
    model = load_model(options.file)
    metrics = dict(_metric(text) for text in options.metric)
    data = None if options.data is None else _read(model, options.data)
    version = registry.publish(
        model, options.name, metrics=metrics, data=data, notes=options.notes, alias=options.alias
    )
    text = f"published {version}" + (f"; {options.alias} is version {version.number}" if options.alias else "")
    return {"name": version.name, "number": version.number, "path": str(version.path)}, text


def _metric(text: str) -> tuple[str, float]:
    name, equals, value = text.rpartition("=")
    try:
        return name, float(value if equals and name else "none")
    except ValueError:
        raise ValueError(f"--metric must be NAME=NUMBER, such as accuracy=0.97, got {text!r}") from None


def _read(model: Any, path: str) -> Any:
    """All the rows of a file, as the model takes them."""
    with open(path, encoding="utf-8", newline="") as file:
        blocks = list(blocks_of(model, Rows(file, True if ATTRIBUTE in model.__dict__ else None)))
    if not blocks:
        raise DataError(f"--data: {path!r} names columns, and has no rows")
    if isinstance(blocks[0], dict):
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return np.concatenate(blocks)


def _check(registry: Registry, options: argparse.Namespace) -> tuple[Any, str]:
    found = registry.check(options.name)
    count = sum(len(registry.versions(name)) for name in ([options.name] if options.name else registry.names()))
    return found, "\n".join(map(_plain, found)) or f"{count} version{'s' * (count != 1)}, nothing wrong"


ACTIONS: dict[str, Callable[[Registry, argparse.Namespace], tuple[Any, str]]] = {
    "list": _list, "show": _show, "promote": _promote, "rollback": _rollback, "publish": _publish, "check": _check,
}  # fmt: skip


# ---- text ------------------------------------------------------------------------------------------------------------


def _plain(text: Any) -> str:
    """A card may come from anywhere: nothing of it reaches the terminal that is no printable character."""
    encoding = sys.stdout.encoding or "utf-8"
    shown = "".join(mark if mark.isprintable() else "?" for mark in str(text))
    return shown.encode(encoding, "replace").decode(encoding)


def _short(text: str, longest: int = 40) -> str:
    first = text.partition("\n")[0]
    return first if first == text and len(text) <= longest else f"{first[: longest - 1]}…"


def _metrics(metrics: dict[str, float], most: int = SHOWN_METRICS) -> str:
    shown = ", ".join(f"{name} {value:.4g}" for name, value in list(metrics.items())[:most])
    return shown + (", …" if len(metrics) > most else "")


def _aliases(aliases: dict[str, int]) -> str:
    return ", ".join(f"{alias} {number}" for alias, number in aliases.items())


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Columns side by side; those without any entry are left out."""
    kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
    cells = [[_plain(row[at]) for at in kept] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)
