"""PyTorch's wrappers for several devices. A process of nnkit trains on one: DataParallel passes everything on."""

from __future__ import annotations

from typing import Any

from nnkit.nn.module import Module
from nnkit.recording.observer import call

__all__ = ["DataParallel", "DistributedDataParallel"]


class DataParallel(Module):
    """``module``, called as it is, on the one device where it is; its names begin with "module." as in PyTorch.

    >>> import nnkit
    >>> model = DataParallel(nnkit.nn.Linear(2, 1))
    >>> model(nnkit.zeros(3, 2)).shape, list(model.state_dict())
    ((3, 1), ['module.weight', 'module.bias'])
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module, self.device_ids, self.output_device, self.dim = module, device_ids, output_device, dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's output."""
        return call(self.module, *inputs, **kwargs)


class DistributedDataParallel(Module):
    """Refused: it needs torch.distributed; several processes train by ``nnkit.parallel``."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "DistributedDataParallel shares training out by torch.distributed. nnkit does it by MPI: use the model "
            "itself with nnkit.parallel.MPI().optimizer(optimizer), or model.fit(..., parallel='mpi')"
        )
