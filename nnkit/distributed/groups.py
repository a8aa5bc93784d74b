"""Process groups and what their members send to one another, over ``nnkit.parallel``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.parallel.mpi import MPI
from nnkit.parallel.watch import TIMEOUT
from nnkit.tensors.processes import join, joined
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = [
    "ReduceOp", "all_gather", "all_gather_object", "all_reduce", "barrier", "broadcast", "broadcast_object_list",
    "destroy_process_group", "get_backend", "get_rank", "get_world_size", "init_process_group", "is_available",
    "is_initialized",
]  # fmt: skip

BACKENDS = ("mpi", "gloo", "nccl", "cpu:gloo,cuda:nccl", "undefined")


class ReduceOp:
    """What ``all_reduce`` makes of the tensors: their sum, mean, product, least or greatest.

    Source: PyTorch.

    >>> ReduceOp.SUM
    'sum'
    """

    SUM, AVG, PRODUCT, MIN, MAX = "sum", "mean", "prod", "min", "max"


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Join the processes that ``mpiexec`` started; one, without mpi4py, where it started none.

    ``backend`` may be any of PyTorch's names: MPI carries it all. ``timeout`` (timedelta or seconds) is how long the
    others wait for a process. Raises RuntimeError where another starter, such as torchrun, speaks of more processes,
    or a group was joined already, and ValueError for another ``backend``, ``world_size`` or ``rank``. Source: PyTorch.

    >>> init_process_group("gloo"); get_rank(), get_world_size()
    (0, 1)
    >>> destroy_process_group()
    """
    if joined() is not None:
        raise RuntimeError("a process group was joined already: call init_process_group once")
    if backend is not None and backend.lower() not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, or None, got {backend!r}")
    seconds = TIMEOUT if timeout is None else getattr(timeout, "total_seconds", lambda: float(timeout))()
    mpi = MPI(timeout=seconds)
    told = os.environ.get("WORLD_SIZE", "1")
    if mpi.size == 1 and told.isdecimal() and int(told) > 1:
        raise RuntimeError(
            f"WORLD_SIZE is {told}, and MPI knows this process alone: start the script by 'mpiexec -n {told} python "
            "...' in place of torchrun"
        )
    for name, wanted, found in (("world_size", world_size, mpi.size), ("rank", rank, mpi.rank)):
        if wanted not in (-1, found):
            raise ValueError(f"{name} is {wanted}, and mpiexec says {found}: leave it out")
    join(mpi)


def destroy_process_group(group: Any = None) -> None:
    """Leave the processes; they go on by themselves.

    Raises nothing where ``init_process_group`` was not called. Source: PyTorch.

    >>> destroy_process_group(); is_initialized()
    False
    """
    join(None)


def is_available() -> bool:
    """Whether there is such a module: True.

    Source: PyTorch.

    >>> is_available()
    True
    """
    return True


def is_initialized() -> bool:
    """Whether ``init_process_group`` was called.

    Source: PyTorch.

    >>> is_initialized()
    False
    """
    return joined() is not None


def get_backend(group: Any = None) -> str:
    """The name of what the processes speak by: "mpi", whatever was asked for.

    Raises ValueError before ``init_process_group``. Source: PyTorch.

    >>> init_process_group()
    >>> get_backend()
    'mpi'
    >>> destroy_process_group()
    """
    _group()
    return "mpi"


def get_rank(group: Any = None) -> int:
    """This process's number, from 0.

    Raises ValueError before ``init_process_group``. Source: PyTorch.

    >>> init_process_group()
    >>> get_rank()
    0
    >>> destroy_process_group()
    """
    return int(_group().rank)


def get_world_size(group: Any = None) -> int:
    """How many processes there are.

    Raises ValueError before ``init_process_group``. Source: PyTorch.

    >>> init_process_group()
    >>> get_world_size()
    1
    >>> destroy_process_group()
    """
    return int(_group().size)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> None:
    """Wait for all processes.

    Raises ValueError before ``init_process_group``, NotImplementedError for ``async_op``. Source: PyTorch.

    >>> init_process_group()
    >>> barrier()
    >>> destroy_process_group()
    """
    _at_once(async_op)
    _group("barrier").gather(None)


def all_reduce(tensor: Tensor, op: str = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> None:
    """Let a tensor (any shape and dtype, alike everywhere) become its sum over all processes, or what ``op`` says.

    Sums and means are part of a recorded step. Raises ValueError for another ``op``, and in every process where their
    tensors are not alike, or not all make this call. Source: PyTorch.

    >>> import nnkit
    >>> init_process_group("gloo"); x = nnkit.tensor([1.0, 2.0])
    >>> all_reduce(x); destroy_process_group(); x
    tensor([1., 2.])
    """
    _at_once(async_op)
    mpi = _group(f"all_reduce ({op})", tensor)
    with no_grad():
        if op in (ReduceOp.SUM, ReduceOp.AVG):
            total = tensor.clone().contiguous()
            mpi.add_up(total.backend, total.array)
            tensor.copy_(total / mpi.size if op == ReduceOp.AVG else total)
        elif op in (ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX):
            found = getattr(np, op)(np.stack(mpi.gather(tensor.numpy())), axis=0)
            tensor.copy_(Tensor(tensor.backend.asarray(found, tensor.dtype), tensor.backend))
        else:
            raise ValueError(f"op must be one of ReduceOp's SUM, AVG, PRODUCT, MIN and MAX, got {op!r}")


def broadcast(
    tensor: Tensor, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> None:
    """Let a tensor (any shape and dtype, alike everywhere) become what the process ``src`` has, 0 unless given.

    Raises ValueError in every process where their tensors are not alike, or not all make this call. Source: PyTorch.

    >>> import nnkit
    >>> init_process_group()
    >>> x = nnkit.ones(2); broadcast(x, src=0); x
    tensor([1., 1.])
    >>> destroy_process_group()
    """
    _at_once(async_op)
    first = src if src is not None else group_src or 0
    mpi = _group(f"broadcast (src={first})", tensor)
    with no_grad():
        given = tensor if mpi.rank == first else tensor * 0
        total = given.clone().contiguous()
        mpi.add_up(total.backend, total.array)
        tensor.copy_(total)


def all_gather(tensor_list: Sequence[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False) -> None:
    """Fill ``tensor_list``, one tensor of the same shape and dtype for each process, with what each has.

    Raises ValueError where it has not as many, and in every process where their tensors are not alike, or not all make
    this call. Source: PyTorch.

    >>> import nnkit
    >>> init_process_group()
    >>> parts = [nnkit.zeros(2)]; all_gather(parts, nnkit.ones(2)); parts
    [tensor([1., 1.])]
    >>> destroy_process_group()
    """
    _at_once(async_op)
    mpi = _group("all_gather", tensor)
    if len(tensor_list) != mpi.size:
        raise ValueError(f"tensor_list has {len(tensor_list)} tensors; expected one for each of {mpi.size} processes")
    with no_grad():
        for out, found in zip(tensor_list, mpi.gather(tensor.detach().numpy()), strict=True):
            out.copy_(Tensor(out.backend.asarray(found, out.dtype), out.backend))


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Fill ``object_list`` with what each process has: anything that can be pickled.

    Raises ValueError before ``init_process_group``, and in every process where not all make this call. Source: PyTorch.

    >>> init_process_group()
    >>> found = [None]; all_gather_object(found, {1}); found
    [{1}]
    >>> destroy_process_group()
    """
    object_list[:] = _group("all_gather_object").gather(obj)


def broadcast_object_list(object_list: list[Any], src: int | None = None, group: Any = None, **more: Any) -> None:
    """Let a list of objects, which can be pickled, become that of the process ``src`` (0 unless given).

    Raises ValueError before ``init_process_group``, and in every process where not all make this call. Source: PyTorch.

    >>> init_process_group()
    >>> found = [1, 2]; broadcast_object_list(found); found
    [1, 2]
    >>> destroy_process_group()
    """
    object_list[:] = _group(f"broadcast_object_list (src={src or 0})").gather(list(object_list))[src or 0]


def _group(call: str = "", tensor: Tensor | None = None) -> MPI:
    """The processes; all of them make this ``call``, with the like of ``tensor``."""
    found: MPI | None = joined()
    if found is None:
        raise ValueError("there is no process group: call nnkit.distributed.init_process_group() first")
    if call:
        of = "" if tensor is None else f" of a {tensor.dtype} tensor of shape {tuple(tensor.shape)}"
        found.same_call(f"{call}{of}")
    return found


def _at_once(async_op: bool) -> None:
    if async_op:
        raise NotImplementedError("async_op=True: exchanges are waited for here; leave it out, and the wait() after it")
