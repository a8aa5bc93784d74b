"""A model over HTTP."""

from __future__ import annotations

import argparse
import importlib
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("path", help="a model file, or the folder of a registry")
    parser.add_argument("--name", help="which model of the registry; the only one unless given")
    parser.add_argument("--alias", default="champion", help="which version is followed (default: %(default)s)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen; 0.0.0.0: everywhere (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=8000, help="0: a free one, which is printed (default: %(default)s)")
    parser.add_argument("--device", default=None, help="a device of 'python -m nnkit devices' (default: the CPU)")
    parser.add_argument("--threads", type=int, help="that compute large models (default: half of the processors)")
    parser.add_argument("--rows", type=int, default=10_000, help="of one request, at most (default: %(default)s)")
    parser.add_argument("--megabytes", type=float, default=16, help="of one request, at most (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="a client may take to send (default: %(default)s)")
    parser.add_argument("--grace", type=float, default=10, help="seconds to end in at SIGTERM (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    serve: Any = importlib.import_module("nnkit.serve")
    size = int(options.megabytes * (1 << 20))
    limits = serve.Limits(rows=options.rows, size=size, seconds=options.seconds, grace=options.grace)
    serve.run(
        options.path, options.name, alias=options.alias, host=options.host, port=options.port, device=options.device,
        threads=options.threads, limits=limits, say=lambda text: print(text, flush=True),
    )  # fmt: skip
