"""PyTorch's wrappers for several devices and processes. A process trains on one device: DataParallel passes everything
on; DistributedDataParallel averages gradients over processes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from nnkit import ops
from nnkit.backends.recording import recorder
from nnkit.errors import GradientError
from nnkit.nn.module import Module
from nnkit.recording.observer import call
from nnkit.tensors.creation import zeros_like
from nnkit.tensors.gradients import after_backward
from nnkit.tensors.processes import joined
from nnkit.tensors.tape import is_grad_enabled, no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["DataParallel", "DistributedDataParallel"]


class DataParallel(Module):
    """``module``, called as it is, on the one device where it is; its names begin with "module." as in PyTorch.

    Never raises. As ``torch.nn.DataParallel``.

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
    """``module``, whose gradients are the means over all processes of ``nnkit.distributed`` when backward has ended.

    Each process computes on data of its own (``utils.data.DistributedSampler``). All begin with the weights and buffers
    of rank 0, whose buffers go out again before a forward, where the one before was trained on (``broadcast_buffers``):
    so every process has to make that forward. Gradients are exchanged in one piece for each dtype; a recorded step has
    the exchange in it. Other options of PyTorch's change nothing. Raises ValueError before ``init_process_group``.
    Source: Li et al. 2020; PyTorch. Inputs and parameters are of any shape.

    >>> import nnkit
    >>> nnkit.distributed.init_process_group("gloo")
    >>> model = DistributedDataParallel(nnkit.nn.Linear(2, 1))
    >>> model(nnkit.ones(3, 2)).sum().backward(); model.module.weight.grad
    tensor([[3., 3.]])
    >>> nnkit.distributed.destroy_process_group()
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        find_unused_parameters: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        processes = joined()
        if processes is None:
            raise ValueError("there are no processes: call nnkit.distributed.init_process_group() first")
        self.module, self.device_ids, self.output_device, self.dim = module, device_ids, output_device, dim
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers, find_unused_parameters
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self.processes = processes
        if init_sync:
            processes.broadcast(module)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's output."""
        trains = self.require_backward_grad_sync and is_grad_enabled()
        if self.processes.size > 1:
            self._rely()
            if self.broadcast_buffers and self.require_forward_param_sync:
                self._give_buffers()
            if trains:
                after_backward(self._average)
            if self.require_forward_param_sync is not trains:
                self.require_forward_param_sync = trains
        return call(self.module, *inputs, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, backward leaves each process's own gradients, which the first one outside exchanges, added up."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def _rely(self) -> None:
        """A recorded step exchanges what it exchanged when it was recorded: outside of ``no_sync``, or inside."""
        at_work = recorder()
        if at_work is not None:
            now = self.require_backward_grad_sync, self.require_forward_param_sync
            at_work.relied["exchange", id(self)] = lambda: now == (
                self.require_backward_grad_sync, self.require_forward_param_sync
            )  # fmt: skip

    def _average(self) -> None:
        with no_grad():
            for gradients in self._gradients().values():
                flat = ops.cat([gradient.reshape(-1) for gradient in gradients]) / self.processes.size
                self.processes.add_up(flat.backend, flat.array)
                start = 0
                for gradient in gradients:
                    gradient.copy_(flat[start : start + gradient.numel()].reshape(gradient.shape))
                    start += gradient.numel()

    def _gradients(self) -> dict[Any, list[Tensor]]:
        """By device and dtype. Raises GradientError where backward left a parameter out."""
        found: dict[Any, list[Tensor]] = {}
        for name, parameter in self.module.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                if not self.find_unused_parameters:
                    raise GradientError(
                        f"the loss does not depend on {name!r}, whose gradient all processes wait for: freeze it by "
                        "requires_grad_(False), or pass find_unused_parameters=True"
                    )
                parameter.grad = zeros_like(parameter)
            assert parameter.grad is not None
            found.setdefault((str(parameter.device), parameter.dtype), []).append(parameter.grad)
        return found

    def _give_buffers(self) -> None:
        with no_grad():
            for buffer in self.module.buffers():
                if self.processes.rank:
                    buffer.zero_()
                self.processes.add_up(buffer.backend, buffer.array)
