"""One script of PyTorch's kind, for two processes: ``mpiexec -n 2 python ddp_cases.py FOLDER torch|nnkit|compiled``.

PyTorch runs it by gloo, nnkit by MPI; each process writes what it came to.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def train(torch: Any, dist: Any, compiled: bool) -> dict[str, Any]:
    """What the script prints, weights, and what was sent about."""
    rank, size = dist.get_rank(), dist.get_world_size()
    rng = np.random.default_rng(rank)  # other weights in each process: those of rank 0 win
    x = torch.tensor(np.random.default_rng(7).normal(size=(22, 5)).astype(np.float32))
    y = torch.tensor(np.random.default_rng(8).integers(0, 3, 22))
    nn = torch.nn
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.tensor(rng.normal(size=tuple(parameter.shape)).astype(np.float32)))
    model = nn.parallel.DistributedDataParallel(model)
    data = torch.utils.data
    dataset = data.TensorDataset(x, y)
    sampler = data.distributed.DistributedSampler(dataset, shuffle=False)
    loader = data.DataLoader(dataset, batch_size=4, sampler=sampler)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def step(inputs: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)  # of the mean over both
        optimizer.step()
        return loss.detach()

    run = torch.compile(step) if compiled else step
    losses = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        for inputs, labels in loader:
            loss = run(inputs, labels)
            dist.all_reduce(loss)
            losses.append(loss.item() / size)
    optimizer.zero_grad()
    with model.no_sync():
        criterion(model(x[rank::size]), y[rank::size]).backward()
    own = model.module[0].weight.grad.clone()
    criterion(model(x[rank:8:size]), y[rank:8:size]).backward()
    found = {"losses": losses, "own": own.tolist(), "all": model.module[0].weight.grad.tolist()}
    if compiled:
        assert not run.plain, run.plain
    return found | {"state": {k: v.tolist() for k, v in model.state_dict().items()}, "sent": sent(torch, dist)}


def sent(torch: Any, dist: Any) -> dict[str, Any]:
    """Each word of ``distributed``."""
    rank = dist.get_rank()
    found: dict[str, Any] = {}
    for name in ("SUM", "PRODUCT", "MIN", "MAX"):
        tensor = torch.tensor([[1.5, 2.0], [rank - 0.5, 3.0 * rank]])
        dist.all_reduce(tensor, op=getattr(dist.ReduceOp, name))
        found[name] = tensor.tolist()
    tensor = torch.tensor([rank + 1, 5])
    dist.broadcast(tensor, src=1)
    parts = [torch.zeros(2) for _ in range(2)]
    dist.all_gather(parts, torch.tensor([1.0, float(rank)]))
    objects: list[Any] = [None, None]
    dist.all_gather_object(objects, {"rank": rank})
    listed = [rank, "b"]
    dist.broadcast_object_list(listed, src=0)
    dist.barrier()
    return found | {"broadcast": tensor.tolist(), "parts": [p.tolist() for p in parts], "objects": objects + listed}


def refused() -> dict[str, Any]:
    """Unlike calls of three processes, and what each is told; between them a step that is replayed."""
    import nnkit
    import nnkit.distributed as dist

    rank = dist.get_rank()
    found: dict[str, Any] = {}
    calls = {
        "shapes": lambda: dist.all_reduce(nnkit.ones(3 + rank)),
        "dtypes": lambda: dist.all_reduce(nnkit.ones(3, dtype="float64" if rank == 1 else "float32")),
        "operations": lambda: dist.all_reduce(nnkit.ones(3), op=dist.ReduceOp.MAX if rank == 1 else dist.ReduceOp.MIN),
        "sources": lambda: dist.broadcast(nnkit.ones(3), src=rank),
        "sent": lambda: dist.broadcast(nnkit.ones(3, 1 + rank), src=0),
        "gathered": lambda: dist.all_gather([nnkit.ones(3)] * 3, nnkit.ones(3 + rank)),
        "words": lambda: dist.barrier() if rank == 1 else dist.all_gather_object([None] * 3, rank),
    }

    @nnkit.compile
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        total = x * 1.0
        dist.all_reduce(total)
        return total

    @nnkit.compile
    def waiting(x: nnkit.Tensor) -> nnkit.Tensor:
        dist.barrier()
        return x * 1.0

    for name, call in calls.items():
        try:
            call()
        except ValueError as error:
            found[name] = str(error)
        found[f"{name}, then"] = step(nnkit.ones(2)).tolist()
    assert not step.plain, step.plain
    for _ in range(3):
        waiting(nnkit.ones(2))
    assert "read by Python" in str(waiting.plain), waiting.plain
    return found


def main() -> None:
    folder, word = sys.argv[1:]
    torch: Any
    if word == "torch":
        import torch

        rank = int(os.environ.get("PMI_RANK") or os.environ["OMPI_COMM_WORLD_RANK"])
        store = {"init_method": f"file://{folder}/store", "rank": rank, "world_size": 2}
        import torch.distributed as dist

        torch.set_num_threads(1)
        dist.init_process_group("gloo", **store)
    else:
        import nnkit as torch
        import nnkit.distributed as dist  # type: ignore[no-redef]

        dist.init_process_group("gloo")
    found = refused() if word == "refused" else train(torch, dist, word == "compiled")
    Path(folder, f"{word}-{dist.get_rank()}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
