"""What only a real device shows: random streams, moves and files, memory that ends, streams and threads, faults."""

from __future__ import annotations

import importlib
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import nnkit
from bench.gpu import sums
from bench.gpu.agreement import Output, agree, remark
from bench.gpu.checks import Check, Sizes, Skip
from bench.gpu.training import CPU, GPU, Run, close, data, network
from nnkit import backends, nn, ops, optim
from nnkit.backends.errors import DeviceFault, DeviceOutOfMemory
from nnkit.kernels.philox import PURPOSES

# ---- random numbers -------------------------------------------------------------------------------------------------


def _random_primitives(sizes: Sizes) -> str:
    """Uniforms, bits and dropout for several keys and odd sizes: the CPU's to the bit."""
    uniform, bits = (lambda b, *given: b.uniform(*given)), (lambda b, *given: b.random_bits(*given))
    found = []
    for key in ((0, 0), (1, 2), (-5, 2**33 + 1)):
        for count in sizes.pick((1, 5, 1025, 2**22 + 3), (1, 5, 65_539), (1, 33)):
            x, keys = np.linspace(-2.0, 2.0, count, dtype=np.float32), np.array(key)
            for dtype in ("float32", "float64"):
                found.append(agree(uniform, keys, PURPOSES["sample"], Output((count,), dtype), exact=True))
            found.append(agree(bits, keys, PURPOSES["shuffle"], Output((count,), "int64"), exact=True))
            found.append(agree(lambda b, *a: b.dropout(*a), x, 0.3, keys, Output((count,)), exact=True))
    return remark(found)


def _streams_of_draws(sizes: Sizes) -> None:
    """One seed, the same calls: the same numbers on both devices, eager and compiled."""
    count = sizes.pick(100_003, 100_003, 65)

    def drawn(device: str) -> list[bytes]:
        nnkit.manual_seed(11)
        draw = nnkit.compile(lambda x: ops.dropout(x, 0.5))
        tensors = [nnkit.rand(count, device=device), nnkit.rand(3, 5, device=device)]
        tensors += [nnkit.randint(0, 1000, (count,), device=device), nnkit.randperm(count, device=device)]
        tensors += [draw(nnkit.ones(count, device=device)) for _ in range(4)]
        return [tensor.numpy().tobytes() for tensor in tensors]

    differ = [number for number, (g, c) in enumerate(zip(drawn(GPU), drawn(CPU), strict=True)) if g != c]
    assert not differ, f"draws {differ} differ from the CPU's"


def _normal_numbers(sizes: Sizes) -> str:
    count = sizes.pick(100_003, 100_003, 65)
    drawn = []
    for device in (GPU, CPU):
        nnkit.manual_seed(11)
        drawn.append(nnkit.randn(count, device=device).numpy())
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-5, atol=1e-5)
    return f"largest difference {np.abs(drawn[0] - drawn[1]).max():.1e}"


# ---- moves and files ------------------------------------------------------------------------------------------------


def _trained(model: nn.Module, optimizer: optim.Optimizer, sizes: Sizes) -> list[float]:
    x, y = data(sizes)
    options: dict[str, Any] = {"epochs": 2, "batch_size": sizes.pick(128, 128, 8), "shuffle": False, "verbose": 0}
    history = model.fit(x, y, loss="cross_entropy", optimizer=optimizer, **options)
    losses: list[float] = history.history["loss"]
    return losses


def _moved(sizes: Sizes) -> str:
    """Trained on one device, moved, and trained on with the same optimizer, there and back."""
    losses = []
    for places in ((CPU, CPU, CPU), (GPU, CPU, GPU), (CPU, GPU, CPU)):
        model = network(Run(activation="gelu"), data(sizes)[0].shape[1], sizes.pick(128, 64, 5), places[0])
        optimizer = optim.Adam(model.parameters())
        losses.append([loss for place in places for loss in _trained(model.to(place), optimizer, sizes)])
    return "; ".join(close(found, losses[0], 2e-5) for found in losses[1:])


def _saved(sizes: Sizes) -> str:
    """A checkpoint and a model written on one device and read on the other."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for here, there in ((GPU, CPU), (CPU, GPU)):
            model = network(Run(activation="tanh"), data(sizes)[0].shape[1], sizes.pick(128, 64, 5), here)
            optimizer = optim.AdamW(model.parameters(), lr=1e-3)
            _trained(model, optimizer, sizes)
            nnkit.save_checkpoint(Path(folder) / "checkpoint", model, optimizer)
            nnkit.save(model, Path(folder) / "model")
            read = nnkit.load_checkpoint(Path(folder) / "checkpoint", device=there)
            again = optim.AdamW(read.model.parameters(), lr=1e-3)
            again.load_state_dict(read.optimizer_state or {})
            whole = nnkit.load(Path(folder) / "model", device=there)
            for one, two, three in zip(model.parameters(), read.model.parameters(), whole.parameters(), strict=True):
                assert two.device.name == three.device.name == there
                assert one.detach().numpy().tobytes() == two.detach().numpy().tobytes()
                assert one.detach().numpy().tobytes() == three.detach().numpy().tobytes()
            found.append(close(_trained(read.model, again, sizes), _trained(model, optimizer, sizes), 2e-5))
    return "; ".join(found)


# ---- memory that ends -----------------------------------------------------------------------------------------------


def _out_of_memory(sizes: Sizes) -> str:
    """An array larger than the device, then a batch whose activations are; and all goes on after both."""
    backend = backends.get(GPU)
    total = int(importlib.import_module("cupy").cuda.runtime.memGetInfo()[1])
    try:
        backend.empty((2 * total,), "uint8")
        raise AssertionError("twice the device's memory was given out")
    except DeviceOutOfMemory as error:
        assert error.asked == 2 * total and 0 < error.free <= total, str(error)
        assert "were asked for" in str(error), str(error)
    rows = sizes.pick(1 << 20, 1 << 20, 1 << 12)
    hidden = 2 * total // (4 * rows)
    model = nn.Sequential(nn.Linear(4, hidden, device=GPU), nn.Linear(hidden, 1, device=GPU))
    x, y = np.ones((rows, 4), np.float32), np.ones((rows, 1), np.float32)
    options: dict[str, Any] = {"loss": "mse", "optimizer": "sgd", "verbose": 0, "shuffle": False}
    try:
        model.fit(x, y, batch_size=rows, **options)
        raise AssertionError("a batch of twice the device's memory was trained on")
    except DeviceOutOfMemory as error:
        said, largest = str(error), error.largest_batch
    assert largest is not None and 0 < largest < rows, f"no largest batch is named: {said}"
    model.fit(x[:4], y[:4], batch_size=4, **options)
    return said


# ---- streams and threads --------------------------------------------------------------------------------------------

WORKERS = 6


def _stepping(model: nn.Module, sizes: Sizes) -> list[bytes]:
    """The weights after some compiled steps."""
    x, y = data(sizes)
    rows = sizes.pick(128, 128, 8)
    optimizer, loss_of = optim.Adam(model.parameters()), nn.CrossEntropyLoss()

    def step(x: nnkit.Tensor, y: nnkit.Tensor) -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = nnkit.compile(step)
    for first in range(0, sizes.pick(1280, 384, 16), rows):
        run(nnkit.tensor(x[first : first + rows], device=GPU), nnkit.tensor(y[first : first + rows], device=GPU))
    return [parameter.detach().numpy().tobytes() for parameter in model.parameters()]


def _together(sizes: Sizes, streams: bool) -> None:
    """Trainings in many threads give what each gives alone, in streams of their own or in the common one."""
    cupy = importlib.import_module("cupy")
    start, features = threading.Barrier(WORKERS), data(sizes)[0].shape[1]
    alone, models = ([network(Run(activation="gelu"), features, 16 + n, GPU) for n in range(WORKERS)] for _ in range(2))
    expected = [_stepping(model, sizes) for model in alone]
    backends.get(GPU).synchronize()

    def work(number: int) -> list[bytes]:
        start.wait(60.0)
        if not streams:
            return _stepping(models[number], sizes)
        with cupy.cuda.Stream(non_blocking=True):
            return _stepping(models[number], sizes)

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(work, range(WORKERS)))
    wrong = [number for number, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other]
    assert not wrong, f"trainings {wrong} of {WORKERS} differ from what they give alone"


# ---- faults ---------------------------------------------------------------------------------------------------------


def _forked(sizes: Sizes) -> None:
    """A child forked after CUDA's start gets an error at once, and does not hang."""
    if not hasattr(os, "fork"):
        raise Skip("this system has no fork")
    nnkit.ones(3, device=GPU).tolist()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            nnkit.ones(3, device=GPU)
        except DeviceFault as error:
            status = 0 if "forked" in str(error) else 2
        finally:
            os._exit(status)
    end = time.monotonic() + 60.0
    done = 0, 0
    while not done[0] and time.monotonic() < end:
        done = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not done[0]:
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise AssertionError("the child hangs")
    code = os.waitstatus_to_exitcode(done[1])
    assert code == 0, {1: "the child used CUDA, or got another error", 2: "the error does not speak of forks"}.get(code)


def _broken(sizes: Sizes) -> str:
    """A kernel writes where nothing is: said in full once, and at once from then on. CUDA is gone afterwards."""
    cuda = importlib.import_module("nnkit.backends.cuda.backend")
    work = importlib.import_module("nnkit.backends.cuda.work")
    memory = importlib.import_module("nnkit.kernels.cuda.memory")
    backend, kernel = backends.get(GPU), memory.fill_kernel("float32", False)
    nnkit.ones(4, device=GPU).tolist()
    errors = []
    for first in (True, False):
        try:
            if first and not cuda.run(work.Launch(kernel, 1, (1.0, 0x100, 1)), backend.device):
                raise Skip("without a compiler there is no kernel that could go wrong")
            backend.synchronize()
            raise AssertionError("an access to memory that is not there went unnoticed")
        except DeviceFault as error:
            errors.append(str(error))
    assert "illegal address" in errors[0] and "Start Python anew" in errors[0], errors[0]
    assert errors[1].startswith("cuda failed earlier in this process"), errors[1]
    return errors[0]


CHECKS: dict[str, Check] = {
    "random primitives": _random_primitives,
    "random streams": _streams_of_draws,
    "normal numbers": _normal_numbers,
    "moved while training": _moved,
    "saved and read": _saved,
    "out of memory": _out_of_memory,
    "many threads": lambda sizes: _together(sizes, streams=False),
    "many streams": lambda sizes: _together(sizes, streams=True),
    **sums.CHECKS,
    "forked": _forked,
    "broken context": _broken,
}
