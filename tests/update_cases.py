"""Trainings whose updates are divided among the processes of a machine, and the same with undivided ones.

``mpiexec -n 2 python update_cases.py FOLDER`` writes what each rank saw to FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import nnkit
from nnkit import nn, optim
from nnkit.kernels.vocabulary import sign
from nnkit.parallel import MPI, rooms, updates

RNG = np.random.default_rng(1)
X = RNG.normal(size=(48, 20)).astype(np.float32)
Y = RNG.integers(0, 3, 48)
Found = dict[str, Any]


def signs_rates(step, *, lr, direction):  # type: ignore[no-untyped-def]
    """step + 1; lr."""
    return step + 1.0, direction * lr


def signs(parameter, gradient, memory, *, lr):  # type: ignore[no-untyped-def]
    """Along the sign of a running sum."""
    return parameter - lr * sign(memory + gradient), 0.5 * memory + gradient


class Halving(optim.SGD):
    """One with a step of its own around that of the formulas."""

    def step(self, closure: Any = None) -> Any:
        with nnkit.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.mul_(0.5)
        return super().step(closure)


#: Optimizers, and whether their updates are divided.
OPTIMIZERS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "sgd": (lambda p: optim.SGD(p, lr=0.1), True),
    "nesterov": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01), True),
    "adam": (lambda p: optim.Adam(p, lr=0.02), True),
    "amsgrad": (lambda p: optim.Adam(p, lr=0.02, amsgrad=True, weight_decay=0.1, maximize=True), True),
    "adamw": (lambda p: optim.AdamW(p, lr=0.02), True),
    "rmsprop": (lambda p: optim.RMSprop(p, centered=True, momentum=0.5), True),
    "adagrad": (lambda p: optim.Adagrad(p, initial_accumulator_value=0.1, lr_decay=0.1), True),
    "adadelta": (lambda p: optim.Adadelta(p), True),
    "adamax": (lambda p: optim.Adamax(p), True),
    "nadam": (lambda p: optim.NAdam(p), True),
    "radam": (lambda p: optim.RAdam(p), True),
    "rprop": (lambda p: optim.Rprop(p), True),
    "asgd": (lambda p: optim.ASGD(p), True),
    "lion": (lambda p: optim.Lion(p, weight_decay=0.1), True),
    "registered": (optim.register("update_cases_signs", signs_rates, signs, lr=0.01), True),
    "halving": (lambda p: Halving(p, lr=0.1), False),
    "muon": (lambda p: optim.Muon([q for q in p if q.ndim == 2]), False),
}


def network(dtype: str = "float32", device: str = "numba", width: int = 9) -> nn.Sequential:
    nnkit.manual_seed(3)
    first, second, third = nn.Linear(20, 16), nn.Linear(16, width), nn.Linear(width, 3)
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), third).to(device, dtype)


def is_divided(optimizer: Any) -> bool:
    """Whether the last step was divided."""
    node: Any = MPI()._exchange._node
    blocks = updates.shared_blocks(node, optimizer)
    return bool(blocks) and all(optimizer.shares_state(block) for block in blocks)


def digest(model: nn.Module, optimizer: Any) -> str:
    """Of weights, gradients and all that the optimizer keeps."""
    state = optimizer.state_dict()["state"]
    arrays = [part.detach().numpy() for p in model.parameters() for part in (p, p.grad) if part is not None]
    arrays += [state[index][name].numpy() for index in sorted(state) for name in sorted(state[index]) if name != "step"]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


class Loop:
    """A training of one's own, step by step; each rank has other rows."""

    def __init__(
        self, make: Callable[[Any], Any] | None = None, model: nn.Module | None = None, compiled: bool = True
    ) -> None:
        self.model = network() if model is None else model
        self.plain = (make or OPTIMIZERS["adam"][0])(self.model.parameters())
        self.mpi = MPI()
        self.optimizer: Any = self.mpi.optimizer(self.plain)
        self.exchanges, self.seen = True, []
        first = next(self.model.parameters())
        self.x = nnkit.tensor(X[self.mpi.rank :: self.mpi.size][:12]).to(first.device, first.dtype)
        self.y = nnkit.tensor(Y[self.mpi.rank :: self.mpi.size][:12]).to(first.device)
        self.step = nnkit.compile(self.plain_step) if compiled else self.plain_step

    def plain_step(self, x: nnkit.Tensor, y: nnkit.Tensor) -> None:
        (self.optimizer if self.exchanges else self.plain).zero_grad()
        nn.functional.cross_entropy(self.model(x), y).backward()
        (self.optimizer if self.exchanges else self.plain).step()

    def run(self, steps: int = 3) -> None:
        for _ in range(steps):
            self.step(self.x, self.y)

    def found(self) -> Found:
        return {
            "digest": digest(self.model, self.optimizer), "seen": self.seen, "divided": is_divided(self.optimizer),
        }  # fmt: skip


# ---- every optimizer ------------------------------------------------------------------------------------------------


def fitted(name: str, **options: Any) -> Found:
    model = network()
    optimizer = OPTIMIZERS[name][0](model.parameters())
    defaults = {"loss": "cross_entropy", "epochs": 3, "batch_size": 10, "verbose": 0, "seed": 5, "clip_norm": 0.5}
    model.fit(X, Y, parallel="mpi", optimizer=optimizer, **{**defaults, **options})
    return {"digest": digest(model, optimizer), "divided": is_divided(optimizer)}


def looped(name: str, **options: Any) -> Found:
    loop = Loop(OPTIMIZERS[name][0], **options)
    loop.run(5)
    return loop.found()


# ---- what happens between steps -------------------------------------------------------------------------------------


def types() -> Found:
    """Two blocks."""
    model = network()
    model[2].to("numba", "float64")
    model[2].register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
    model[2].register_forward_hook(lambda module, inputs, output: output.float())
    loop = Loop(model=model)
    loop.run()
    return loop.found()


def groups() -> Found:
    made = lambda p: optim.AdamW([{"params": list(p)[:2], "lr": 0.1}, {"params": list(p)[2:], "lr": 0.01}])  # noqa: E731
    model = network()
    loop = Loop(lambda _: made(list(model.parameters())), model)
    loop.run()
    loop.optimizer.param_groups[1]["lr"] = 0.05
    loop.run()
    return loop.found()


def frozen() -> Found:
    """A layer that is learned later, and then no more."""
    model = network()
    model[2].requires_grad_(False)
    loop = Loop(model=model)
    for trained in (False, True, False):
        model[2].requires_grad_(trained)
        loop.run()
    return loop.found()


def without_gradients() -> Found:
    """A layer that some steps leave out."""
    loop = Loop(compiled=False)
    for leaves_out in (False, True, False):
        model = loop.model
        loop.model = nn.Sequential(*list(model)[2:]) if leaves_out else model
        x, loop.x = loop.x, loop.x[:, :16].tanh() if leaves_out else loop.x
        loop.run()
        loop.model, loop.x = model, x
    return loop.found()


def switched_on() -> Found:
    """State that there was not at first."""
    loop = Loop()
    loop.run()
    loop.optimizer.param_groups[0]["amsgrad"] = True
    loop.run()
    return loop.found()


def by_hand() -> Found:
    """Weights and state that every rank changes, and places that it gives up."""
    loop = Loop()
    loop.run()
    with nnkit.no_grad():
        for parameter in loop.model.parameters():
            parameter.mul_(1.5)
        loop.model[0].bias.data = nnkit.ones(16)
    for kept in loop.optimizer.state.values():
        kept["exp_avg"].zero_()
    loop.run()
    return loop.found()


def read_by_one() -> Found:
    """One rank reads all, and has other weights for a while, when the others go on."""
    loop = Loop()
    for _ in range(4):
        loop.run(2)
        if loop.mpi.rank == 0:
            loop.seen.append(digest(loop.model, loop.optimizer))
            kept = {name: tensor.clone() for name, tensor in loop.model.state_dict().items()}
            with nnkit.no_grad():
                for parameter in loop.model.parameters():
                    parameter.zero_()
            loop.model.load_state_dict(kept)
    loop.seen = loop.mpi.from_first(loop.seen)
    return loop.found()


def loaded() -> Found:
    """What was saved comes back, in every rank, and rank 0 goes on reading."""
    loop = Loop()
    loop.run()
    saved = loop.optimizer.state_dict()
    loop.run()
    loop.seen.append(digest(loop.model, loop.optimizer))
    loop.optimizer.load_state_dict(saved)
    loop.seen.append(digest(loop.model, loop.optimizer))
    loop.run()
    return loop.found()


def alone_between() -> Found:
    """Steps that exchange nothing, and then some that do."""
    loop = Loop()
    for exchanges in (True, False, True, False, True):
        loop.exchanges = exchanges
        loop.run()
        loop.mpi.broadcast(loop.model)
        loop.optimizer.load_state_dict(loop.mpi.from_first(loop.optimizer.state_dict()))
    loop.run()
    return loop.found()


def averaged() -> Found:
    loop = Loop()
    average = optim.swa_utils.AveragedModel(loop.model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.9))
    for _ in range(5):
        loop.run(1)
        average.update_parameters(loop.model)
    return {**loop.found(), "seen": [digest(average, loop.optimizer)]}


def scaled() -> Found:
    """A step that a GradScaler leaves out, in all ranks, and some that it does not."""
    loop = Loop(compiled=False)
    scaler = nnkit.GradScaler(init_scale=1024.0)
    for number in range(4):
        loop.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(loop.model(loop.x), loop.y)
        scaler.scale(loss * (float("inf") if number == 2 else 1.0)).backward()
        scaler.step(loop.optimizer)
        scaler.update()
    return loop.found()


def two_optimizers() -> Found:
    """Over the same weights, one over a part."""
    loop = Loop()
    part = loop.mpi.optimizer(optim.SGD(list(loop.model.parameters())[2:4], lr=0.1, momentum=0.9))
    for _ in range(4):
        loop.run(1)
        part.step()
    return {**loop.found(), "seen": [digest(loop.model, part)]}


class NoPlace(rooms.Place):
    """One that the last rank does not get."""

    def __init__(self, node: Any, nbytes: int) -> None:
        super().__init__(node, nbytes)
        if node.Get_rank() == node.Get_size() - 1:
            raise RuntimeError("no space left on device")


def no_place() -> Found:
    """State that cannot be shared, after some that was."""
    first, second = Loop(), Loop(OPTIMIZERS["nesterov"][0], network(width=2000))  # for which no place is free
    first.run()
    with mock.patch.object(rooms, "Place", NoPlace):
        second.run()
    first.run()
    second.run()
    return {**first.found(), "seen": [digest(second.model, second.optimizer), is_divided(second.optimizer)]}


BETWEEN = (
    types, groups, frozen, without_gradients, switched_on, by_hand, read_by_one, loaded, alone_between, averaged,
    scaled, two_optimizers, no_place,
)  # fmt: skip
CASES: dict[str, Callable[[], Found]] = {
    **{f"fit {name}": lambda name=name: fitted(name) for name in OPTIMIZERS},  # type: ignore[misc]
    **{f"loop {name}": lambda name=name: looped(name) for name in OPTIMIZERS},  # type: ignore[misc]
    "fit plainly": lambda: fitted("adam", compile=False, clip_norm=None),
    "loop plainly": lambda: looped("adam", compiled=False),
    "numpy": lambda: looped("adam", model=network(device="numpy")),
    "float64": lambda: looped("adam", model=network("float64")),
    **{case.__name__: case for case in BETWEEN},
}


def main() -> None:
    mpi, found = MPI(), {}
    for name, case in CASES.items():
        for kind in ("whole", "divided"):
            mpi._exchange._may_divide = kind == "divided"
            found.setdefault(name, {})[kind] = case()
    Path(sys.argv[1], f"{mpi.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
