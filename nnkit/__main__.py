"""``python -m nnkit COMMAND``: chooses the command, and imports no other."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

#: Command -> what ``--help`` says of it; each is the module of this name in ``nnkit.commands``.
COMMANDS = {
    "devices": "list the devices: which are usable, and why the others are not",
    "demo": "train a classifier of handwritten digits on the best device",
    "doctor": "say what this machine has for nnkit, with measured rates, and what is unusual",
    "kernels": "compile CUDA kernels ahead, for a machine with a GPU",
    "models": "look at, publish, promote and roll back the versions in a registry",
    "predict": "write a model's outputs for rows of comma-separated text",
    "serve": "answer requests over HTTP with a model",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run; exits with the status of the command where that is not 0."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m nnkit", description="Neural networks for one machine.")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    known = {name: parsers.add_parser(name, help=text, description=f"{text}.") for name, text in COMMANDS.items()}
    chosen = next((word for word in given if word in known), None)  # argparse refuses what stands before it
    command: Any = None if chosen is None else importlib.import_module(f"nnkit.commands.{chosen}")
    if chosen is not None:
        command.add_arguments(known[chosen])
    options = parser.parse_args(given)
    try:
        status = command.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who read the output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        parser.exit(1)
    except KeyboardInterrupt:
        parser.exit(130)  # as a shell says it; where it stood is of no use to who pressed Ctrl-C
    except (ValueError, OSError, ModuleNotFoundError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    if status:
        parser.exit(status)


if __name__ == "__main__":
    main()
