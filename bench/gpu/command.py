"""The command line of ``python -m bench gpu``. What it needs is imported when it runs, to say what is missing."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from bench.gpu.plan import ALL, FAILED_ONES, PARTS, Plan

INSTALL = "python -m pip install -e .   (offline: --no-index --no-deps --no-build-isolation, and carry the wheels)"


def parts(text: str) -> list[str]:
    """A list such as "correctness,speed"; refuses what there is not."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown) or 'nothing'}; there are {', '.join(PARTS)}")
    return names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--only", type=parts, default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="less of all: to see that everything works")
    parser.add_argument("--match", default="", help="only checks, or files of tests, whose name has this")
    parser.add_argument(
        "--again", nargs="?", choices=(FAILED_ONES, ALL), const=FAILED_ONES, default="",
        help="do again what failed, or all, of that which an earlier run has in gpu.jsonl there",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, help='end after so many; what did not fit is "not run: time", and the next run does it'
    )
    parser.add_argument("--render", action="store_true", help="only the page, from gpu.jsonl; needs no GPU")
    parser.add_argument("--output", type=Path, help="the folder to write to (bench/results)")


def run(chosen: argparse.Namespace) -> int:
    """The exit status: 0 where correctness passed, 1 where it did not, 2 where nothing could be tried."""
    try:
        report: Any = importlib.import_module("bench.gpu.report")
    except ImportError as error:
        print(f"nnkit cannot be imported here: {error}\nInstall it: {INSTALL}", file=sys.stderr)
        return 2
    folder = chosen.output or report.RESULTS
    sizes = "quick" if chosen.quick else "large"
    try:
        if chosen.render:
            page, passed = report.rendered(folder)
        else:
            page, passed = report.report(Plan(chosen.only, sizes, chosen.match, chosen.again, chosen.minutes), folder)
    except report.NoGpu as error:
        print(f"no GPU can be used here: {error}\nWhat there is: {folder / report.LINES}", file=sys.stderr)
        return 2
    except report.NothingToRender as error:
        print(f"python -m bench gpu --render: {error}", file=sys.stderr)
        return 2
    print(page)
    return 0 if passed else 1
