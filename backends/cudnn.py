"""PyTorch's switches for cuDNN, which nnkit does not use: they can be set and change nothing.

``deterministic`` is True whatever is set: a kernel adds in one order. There is nothing to try out for ``benchmark``.
"""

from __future__ import annotations

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = True
allow_tf32 = False


def is_available() -> bool:
    """False: convolutions and recurrent layers are nnkit's own kernels.

    >>> is_available(), version()
    (False, None)
    """
    return False


def version() -> int | None:
    """None."""
    return None
