"""``python -m nnkit kernels build``: CUDA kernels compiled ahead, on a machine that needs no GPU."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnkit.kernels.cuda import compiler, prebuilt
from nnkit.kernels.cuda.compiler import CompilerMissing, Source
from nnkit.testing import stock

EVERY = 50  # kernels between two lines of progress


def architecture(text: str) -> str:
    """An architecture as compilers name it; refuses anything else."""
    if not re.fullmatch(r"sm_[1-9]\d{1,2}", text):
        raise argparse.ArgumentTypeError(f"expected an architecture such as sm_90, got {text!r}")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    build = parser.add_subparsers(dest="action", required=True).add_parser(
        "build", help="compile what conformance or a script needs; no GPU is needed; a build that was stopped goes on"
    )
    build.add_argument("--arch", type=architecture, required=True, help="the GPU's architecture, such as sm_90")
    build.add_argument("--to", type=Path, required=True, help="the folder, for NNKIT_KERNELS on the machine with a GPU")
    build.add_argument(
        "--run", nargs=argparse.REMAINDER, metavar="SCRIPT", default=[],
        help="instead of conformance's kernels, those that this script (and its arguments) needs: it runs here, on a "
        'pretended device="cuda" that NumPy computes for. One epoch is enough; Ctrl-C ends it and keeps what it used',
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Compile; 1 where some kernel failed."""
    try:
        return int(build(options.arch, options.to, options.run) > 0)
    except CompilerMissing as error:
        raise ValueError(str(error)) from error


def build(arch: str, folder: Path, script: Sequence[str] = ()) -> int:
    """Compile what the folder lacks, and say what comes of it: how many kernels failed. Raises CompilerMissing."""
    compiler.toolchain()
    folder = folder.expanduser()
    sources = used_by(script) if script else stock.sources()
    wanted = prebuilt.missing(sources, arch, folder)
    print(f"{len(sources)} kernels for {arch}, {len(sources) - len(wanted)} of them in {folder} already", flush=True)
    failed = 0
    for done, (name, reason) in enumerate(prebuilt.build(wanted, arch, folder, os.cpu_count() or 1), 1):
        if reason:
            failed += 1
            print(f"not compiled: {name}: {reason}", flush=True)
        if done % EVERY == 0 or done == len(wanted):
            print(f"{done} of {len(wanted)}", flush=True)
    print(f"{len(wanted) - failed} compiled, {failed} failed; use them by NNKIT_KERNELS={folder}")
    return failed


def used_by(script: Sequence[str]) -> list[Source]:
    """The kernels that a script would launch on a GPU, found by running it.

    Raises ValueError where it used none, ModuleNotFoundError without CuPy, and what the script raises.
    """
    pretended: Any = importlib.import_module("nnkit.backends.cuda.noting")  # needs CuPy
    arguments, path = sys.argv, sys.path[:]
    sys.argv, sys.path[0] = list(script), str(Path(script[0]).parent)
    try:
        with pretended.noting() as found:
            try:
                runpy.run_path(script[0], run_name="__main__")
            except KeyboardInterrupt:
                print(f"{script[0]} was interrupted; what it used until then is compiled", flush=True)
            except SystemExit as end:
                if end.code not in (None, 0):
                    raise
    finally:
        sys.argv, sys.path[:] = arguments, path
    if not found:
        raise ValueError(f'{script[0]} launched nothing on a GPU: it has to use device="cuda" (or "auto") somewhere')
    return list(found.values())
