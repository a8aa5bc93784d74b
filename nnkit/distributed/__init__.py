"""PyTorch's words of ``torch.distributed``, over MPI: scripts that train by DistributedDataParallel run as they are.

Start it by ``mpiexec -n 4 python train.py`` (PyTorch's ``torchrun`` starts processes that MPI does not know). Whatever
backend the script names, MPI carries what is exchanged, and between GPUs NCCL. ``nnkit.parallel`` has nnkit's own
words, whose trainings are those of one process also in dropout and metrics.
"""

from nnkit.distributed.groups import (
    ReduceOp,
    all_gather,
    all_gather_object,
    all_reduce,
    barrier,
    broadcast,
    broadcast_object_list,
    destroy_process_group,
    get_backend,
    get_rank,
    get_world_size,
    init_process_group,
    is_available,
    is_initialized,
)

__all__ = [
    "ReduceOp", "all_gather", "all_gather_object", "all_reduce", "barrier", "broadcast", "broadcast_object_list",
    "destroy_process_group", "get_backend", "get_rank", "get_world_size", "init_process_group", "is_available",
    "is_initialized",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
