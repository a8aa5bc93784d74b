"""Where each primitive's kernel is chosen: functions of the primitives' names, in the modules of this folder."""

from __future__ import annotations

from collections.abc import Callable

from nnkit.backends.base import PRIMITIVES
from nnkit.backends.cpu import attention, convolution, elementwise, images, launches, neighbours, products, recurrent
from nnkit.backends.cpu.launch import Launch
from nnkit.backends.neighbours import NEIGHBOURLY

#: A function in one of these that is called like a primitive prepares its launch, or says why no kernel fits.
MODULES = (elementwise, launches, products, convolution, images, attention, recurrent, neighbours)
#: Name of a primitive -> what prepares its launch; the others are NumPy's alone.
PREPARED: dict[str, Callable[..., Launch | str]] = {
    name: getattr(module, name) for name in (*PRIMITIVES, *NEIGHBOURLY) for module in MODULES if hasattr(module, name)
}
