"""Where each primitive's work is chosen: functions of the primitives' names, in the modules of this folder."""

from __future__ import annotations

from collections.abc import Callable

from nnkit.backends.base import PRIMITIVES
from nnkit.backends.cuda import (
    attention,
    convolution,
    elementwise,
    images,
    launches,
    moves,
    normalization,
    products,
    recurrent,
)
from nnkit.backends.cuda.work import Work

#: A function in one of these that is called like a primitive prepares its work, or says why there is none.
MODULES = (elementwise, moves, products, launches, convolution, images, normalization, attention, recurrent)
#: Name of a primitive -> what prepares its work; the others are CuPy's, or made of others.
PREPARED: dict[str, Callable[..., Work | str]] = {
    name: getattr(module, name) for name in PRIMITIVES for module in MODULES if hasattr(module, name)
}
