"""``python -m bench report``: all measurements; ``python -m bench render FILE``: the page again, from the numbers.

``python -m bench gpu``: whether the GPU is right, and how fast; needs no network and writes its own page.
``python -m bench serving``: requests a second over HTTP, beside the same server with other libraries' predictions.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.gpu import command


def processors() -> Any:
    """The report about the processor. It imports nnkit, without which the other command still says what is missing."""
    return importlib.import_module("bench.report")


def sections(text: str) -> list[str]:
    """A list such as "a,c,limits"; refuses what there is not."""
    known = processors().SECTIONS
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown) or 'nothing'}; there are {', '.join(known)}")
    return names


def letters() -> str:
    """What each workload is, and its target; for ``--help``."""
    table = importlib.import_module("bench.workloads").WORKLOADS
    lines = [f"  {key}  {row.title}: {row.goal}" for key, row in table.items()]
    return "\n".join(["workloads, and what nnkit is to take at most:", *lines])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser(
        "report", help="measure, and write JSON, Markdown and a plot",
        epilog=letters() if arguments[:1] == ["report"] else None, formatter_class=argparse.RawTextHelpFormatter,
    )  # fmt: skip
    only = "workloads by letter, limits, memory, startup, scaling; the rest of the report that is there stays"
    measuring.add_argument("--only", type=sections, help=only)
    measuring.add_argument("--resume", action="store_true", help="leave out what the report has from the same sources")
    measuring.add_argument("--quick", action="store_true", help="few rounds: to see that everything works")
    measuring.add_argument("--output", type=Path, help="the folder to write to (bench/results)")
    rendering = commands.add_parser("render", help="write Markdown and plot again from a JSON file")
    rendering.add_argument("file", type=Path)
    on_a_gpu = commands.add_parser("gpu", help="check and measure device='cuda'; goes on where it was stopped")
    command.add_arguments(on_a_gpu)
    over_http = commands.add_parser("serving", help="requests a second over HTTP, beside other libraries")
    if arguments[:1] == ["serving"]:
        importlib.import_module("bench.serving.command").add_arguments(over_http)
    return parser.parse_args(arguments)


def refusal(tied: Mapping[str, str], arguments: Sequence[str]) -> str:
    """Why nothing is measured while these variables are set, and the command that works."""
    settings = " and ".join(f"{name}={value}" for name, value in tied.items())
    without = " ".join(f"-u {name}" for name in tied)
    command = f"env {without} {Path(sys.executable).name} -m bench {' '.join(arguments)}"
    return f"{settings} keeps OpenBLAS from its kernels for this processor; a report would mislead.\nRun: {command}"


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    chosen = parse(arguments)
    if chosen.command == "gpu":
        return command.run(chosen)
    if chosen.command == "serving":
        status: int = importlib.import_module("bench.serving.command").run(chosen)
        return status
    if chosen.command == "render":
        print(processors().write(chosen.file))
        return 0
    tied = machine.tied_variables()
    if tied:
        print(refusal(tied, arguments), file=sys.stderr)
        return 2
    made = processors()
    try:
        print(made.report(chosen.only or made.SECTIONS, chosen.quick, chosen.output or made.RESULTS, chosen.resume))
    except made.Different as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
