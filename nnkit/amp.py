"""Automatic mixed precision under PyTorch's name, ``torch.amp``: products in half types, and loss scaling for float16.

What they do is said where they are defined, in ``nnkit.tensors.precision`` and ``nnkit.optim.grad_scaler``. One step::

    with nnkit.amp.autocast("float16"):
        loss = criterion(model(x), y)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()

bfloat16 has float32's range and needs no scaler. ``model.fit(..., precision="float16")`` does all of it.
"""

from __future__ import annotations

from nnkit.optim.grad_scaler import GradScaler
from nnkit.tensors.precision import autocast

__all__ = ["GradScaler", "autocast"]


def __dir__() -> list[str]:
    return sorted(__all__)
