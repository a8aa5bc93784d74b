"""The version of nnkit, and of what PyTorch's scripts ask: ``nnkit.version.cuda``."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["__version__", "cuda", "cudnn", "debug", "git_version", "hip"]  # noqa: F822
__version__ = "0.1.0"
#: What nnkit does not use.
cudnn = hip = git_version = None
debug = False


def __getattr__(name: str) -> Any:
    """``cuda``: the version of CUDA that CuPy runs with, such as "13.0"; None where no GPU is usable."""
    if name == "cuda":
        return importlib.import_module("nnkit.cuda").version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
