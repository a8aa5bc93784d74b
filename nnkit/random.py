"""Random numbers under the names of ``torch.random``: one stream, the same numbers on every device.

How they are drawn is said in ``nnkit.tensors.random``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from nnkit.tensors.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    preserved,
    set_rng_state,
    using,
)

__all__ = [
    "Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed",
    "set_rng_state", "using",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


def seed() -> int:
    """Start the stream anew with a seed from the system, and give it: ``torch.random.seed``.

    >>> import nnkit
    >>> given = seed(); given == nnkit.initial_seed()
    True
    """
    return default_generator.seed()


@contextlib.contextmanager
def fork_rng(
    devices: Iterable[object] | None = None, enabled: bool = True, device_type: str = "cuda"
) -> Iterator[None]:
    """Draws inside this ``with`` block leave those after it as they would have been without: ``torch.random.fork_rng``.

    There is one stream for all devices, so ``devices`` and ``device_type`` choose nothing. With ``enabled=False`` the
    block is as if it were not there. Never raises.

    >>> import nnkit
    >>> nnkit.manual_seed(0); expected = nnkit.rand(2)
    >>> nnkit.manual_seed(0)
    >>> with fork_rng():
    ...     other = nnkit.rand(5)
    >>> bool((nnkit.rand(2) == expected).all())
    True
    """
    with preserved() if enabled else contextlib.nullcontext():
        yield
