"""``python -m nnkit devices``: which devices are usable, and why the others are not."""

from __future__ import annotations

import argparse

from nnkit import backends


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes nothing."""


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    preferred = {name: str(backends.get(name).device) for name in ("cpu", "auto")}
    for row in backends.devices():
        names = [name for name, device in preferred.items() if device == row.name]
        also = f"  (also: {', '.join(names)})" if names else ""
        print(f"{row.name:8} {'usable' if row.usable else 'not usable':11} {row.detail}{also}")
