"""``python -m nnkit kernels build``: CUDA kernels compiled ahead, on a machine that needs no GPU."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from nnkit.kernels.cuda import compiler, prebuilt
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
        "build", help="compile what conformance needs; no GPU is needed, and a build that was stopped goes on"
    )
    build.add_argument("--arch", type=architecture, required=True, help="the GPU's architecture, such as sm_90")
    build.add_argument("--to", type=Path, required=True, help="the folder, for NNKIT_KERNELS on the machine with a GPU")


def build(arch: str, folder: Path) -> int:
    """Compile what the folder lacks, and say what comes of it: how many kernels failed. Raises CompilerMissing."""
    compiler.toolchain()
    folder = folder.expanduser()
    sources = stock.sources()
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
