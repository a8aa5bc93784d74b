"""``python -m nnkit demo``, ``python -m nnkit devices`` and ``python -m nnkit kernels build``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nnkit import backends, demo, kernels_command
from nnkit.kernels.cuda.compiler import CompilerMissing


def print_devices() -> None:
    """The device table: what is usable, and why not."""
    preferred = {name: str(backends.get(name).device) for name in ("cpu", "auto")}
    for row in backends.devices():
        names = [name for name, device in preferred.items() if device == row.name]
        also = f"  (also: {', '.join(names)})" if names else ""
        print(f"{row.name:8} {'usable' if row.usable else 'not usable':11} {row.detail}{also}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m nnkit", description="Neural networks for one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("devices", help="list the devices: which are usable, and why the others are not")
    show = commands.add_parser("demo", help="train a classifier of handwritten digits on the best device")
    show.add_argument("--device", default="auto", help="a device of 'python -m nnkit devices' (default: the best)")
    show.add_argument("--output", default="digits.safetensors", help="where to save the model (default: %(default)s)")
    kernels = commands.add_parser("kernels", help="compile CUDA kernels ahead, for a machine with a GPU")
    kernels_command.add_arguments(kernels)
    options = parser.parse_args(arguments)
    if options.command == "devices":
        print_devices()
        return
    try:
        if options.command == "demo":
            demo.run(options.device, options.output)
        elif kernels_command.build(options.arch, options.to, options.run):
            parser.exit(1)
    except (ValueError, OSError, CompilerMissing) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
