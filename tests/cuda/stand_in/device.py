"""``cupy.cuda.device``: GPUs by number."""

from __future__ import annotations

from typing import Any

from . import runtime
from .machine import current_device, machine


class Device:
    """A GPU by its number; as a context manager, the current one."""

    def __init__(self, device: int | Device | None = None) -> None:
        self.id = current_device() if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __index__(self) -> int:
        return self.id

    def __enter__(self) -> Device:
        self._before.append(current_device())
        runtime.setDevice(self.id)
        return self

    def __exit__(self, *args: Any) -> None:
        machine.local.device = self._before.pop()

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def use(self) -> None:
        runtime.setDevice(self.id)

    def synchronize(self) -> None:
        with self:
            runtime.deviceSynchronize()

    @property
    def compute_capability(self) -> str:
        return "".join(map(str, machine.capability))

    @property
    def mem_info(self) -> tuple[int, int]:
        with self:
            return runtime.memGetInfo()

    @property
    def attributes(self) -> dict[str, int]:
        return {"MultiProcessorCount": 4, "MaxThreadsPerBlock": 1024, "WarpSize": 32}


def get_device_id() -> int:
    """The number of the current device."""
    return runtime.getDevice()
