"""Training on a pretended GPU: with the CPU as default device, batches too large for it, and how data get there."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from captured import programs
from stand_in.machine import Machine
from twin import check_fit, check_loop

import nnkit
from nnkit import nn, optim
from nnkit.backends.errors import DeviceOutOfMemory
from nnkit.nn import losses
from nnkit.parallel import gpus
from nnkit.training.door import Door
from nnkit.training.kinds import Arrays
from nnkit.training.sources import batch_on


def test_a_step_without_arguments_is_recorded_on_the_device_of_its_model(device: str) -> None:
    model = nn.Linear(3, 2).to("cuda")
    x = nnkit.ones(4, 3, device="cuda")
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    nnkit.set_default_device("cpu")

    @nnkit.compile
    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step().item() for _ in range(4)]
    assert losses == sorted(losses, reverse=True) and len(set(losses)) == 4
    assert programs(step)


def test_a_batch_that_does_not_fit_names_one_that_does(device: str, whole_gpu: Machine) -> None:
    from nnkit.backends.cuda.memory import release

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)).to("cuda")
    x, y = np.ones((512, 64), np.float32), np.ones((512, 1), np.float32)
    before = whole_gpu.memory_size
    release()
    whole_gpu.memory_size = whole_gpu.used[0] + 300_000
    try:
        with pytest.raises(DeviceOutOfMemory, match=r"Of this batch of 512 rows at most about \d+ fit") as caught:
            model.fit(x, y, loss="mse", epochs=1, batch_size=512, verbose=0)
    finally:
        whole_gpu.memory_size = before
    assert 0 < caught.value.largest_batch < 512


@pytest.mark.parametrize("source", ["float32", "float64", ">f4"])
@pytest.mark.parametrize("late", [set(), {"copy"}, {"copy", "kernel"}], ids=["at once", "late copies", "both late"])
def test_streamed_data_train_the_same_on_the_second_gpu(
    late: set[str], source: str, device: str, whole_gpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).normal(size=(96, 8)).astype(np.float32).astype(source)
    nnkit.set_default_device("cpu")

    def learned(place: str) -> list[list[float]]:
        nnkit.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 1)).to(place)
        if place != "cpu":
            monkeypatch.setattr(type(model[0].weight.backend), "keeps", lambda backend, nbytes: False)
        model.fit(x, x[:, :1], loss="mse", optimizer="sgd", epochs=3, batch_size=16, seed=0, verbose=0)
        return [parameter.tolist() for parameter in model.parameters()]

    expected = learned("cpu")
    whole_gpu.device_count, whole_gpu.late = 2, late
    try:
        for place in ("cuda:0", "cuda:1"):
            for found, wanted in zip(learned(place), expected, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    finally:
        whole_gpu.late = set()


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("source", ["float32", "float64", ">f4", "int64"])
def test_checking_data_copies_none_of_them(source: str, loss: str, device: str) -> None:
    """From the arguments of ``fit`` to the device: beyond the user's arrays the host holds a piece, and the buffers."""
    x, y = np.ones((2048, 2048), source).T, np.ones((4096, 2048), source)[::2]
    door = Door(nn.Identity(), losses.get(loss))
    batch_on(door.arrays(Arrays(x[:2], y[:2])), door.device)
    tracemalloc.start()
    try:
        data = door.arrays(Arrays(x, y))
        checking = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        batch = batch_on(data, door.device)
        moving = tracemalloc.get_traced_memory()[1] - batch.x.array.nbytes - batch.y.array.nbytes
    finally:
        tracemalloc.stop()
    assert (batch.x.device.name, batch.x.dtype, batch.y.dtype) == ("cuda", "float32", "float32")
    assert batch.x.array.nbytes == 16 << 20 and checking < (9 << 20) and moving < (17 << 20)
    assert (batch.x.numpy() == 1).all() and (batch.y.numpy() == 1).all()


def test_gradients_of_a_gpu_are_exchanged_through_the_host(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin has this process's GPU, for which there is no team of NCCL's."""
    monkeypatch.setattr(gpus, "_agreed", [])
    with pytest.warns(UserWarning, match="gradients go through the host's memory"):
        step = check_loop("cuda", monkeypatch)
    assert programs(step)
    with pytest.warns(UserWarning, match="gradients go through the host's memory"):
        check_fit("cuda", monkeypatch)
