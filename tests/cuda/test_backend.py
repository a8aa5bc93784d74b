"""Arrays on the GPU: to and from the host, streams, several GPUs, files; a short training, also with too much data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from captured import values
from stand_in.machine import Machine

import nnkit
from nnkit import backends, nn, optim
from nnkit.errors import DeviceError, DivergenceError
from nnkit.kernels import philox


def cupy() -> Any:
    import cupy

    return cupy


def half(name: str) -> np.dtype:
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name)


# ---- arrays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_types_go_and_come_back(name: str, device: str) -> None:
    backend, dtype = backends.get(device), half(name)
    host = np.linspace(-3, 3, 33).astype(dtype)
    array = backend.asarray(host)
    assert backend.dtype_of(array) == dtype == backend.native(name)
    assert backend.to_numpy(array).tobytes() == host.tobytes()
    wide, back = backend.empty((33,), np.float32), backend.empty((33,), dtype)
    backend.copy(array, wide)
    backend.copy(wide, back)
    np.testing.assert_array_equal(backend.to_numpy(wide), host.astype(np.float32))
    assert backend.to_numpy(back).tobytes() == host.tobytes()
    assert backend.rounded(wide, name).dtype == dtype and backend.rounded(array, name) is array


VIEWS: dict[str, Callable[[Any], Any]] = {
    "contiguous": lambda x: x,
    "turned": lambda x: x.T,
    "strided": lambda x: x[::2, 1:],
    "reversed": lambda x: x[::-1],
    "turned and strided": lambda x: x.T[::-2, ::3],
    "a scalar": lambda x: x[1, 2].reshape(()),
}


@pytest.mark.parametrize("name", VIEWS)
def test_copies_from_everywhere_to_everywhere(name: str, device: str) -> None:
    backend = backends.get(device)
    view = VIEWS[name]
    host = view(np.arange(24.0).reshape(4, 6))
    source, target = view(backend.asarray(np.arange(24.0).reshape(4, 6))), view(backend.zeros((4, 6), np.float64))
    backend.transfer(source, target)
    np.testing.assert_array_equal(backend.download(target), host)
    backend.upload(host + 1.0, target)
    np.testing.assert_array_equal(backend.download(target), host + 1.0)
    copy = backend.duplicate(source)
    assert copy.strides == source.strides and copy.data.ptr != source.data.ptr
    backend.fill(0.0, source)
    np.testing.assert_array_equal(backend.download(copy), host)


#: What only moves memory: a machine without NVRTC, which compiles CuPy's own kernels, can do it.
MOVES: dict[str, Callable[[Any, Any], Any]] = {
    "a scalar to the GPU": lambda backend, x: backend.asarray(2.5),
    "an array to the GPU": lambda backend, x: backend.asarray(np.ones((2, 3), ">f4")),
    "a copy": lambda backend, x: backend.duplicate(x),
    "a copy of the turned array": lambda backend, x: backend.duplicate(x.T),
    "a copy of a part": lambda backend, x: backend.duplicate(x[::-2, 1:]),
    "a copy of a repeated row": lambda backend, x: backend.duplicate(backend.broadcast_to(x[:1], x.shape)),
    "a copy of nothing": lambda backend, x: backend.duplicate(backend.empty((0, 6), np.float32)),
    "into the turned array, from the host": lambda backend, x: backend.upload(np.ones((6, 4)), x.T),
    "into the turned array": lambda backend, x: backend.transfer(backend.duplicate(x).T, x.T),
}


@pytest.mark.parametrize("move", MOVES)
def test_memory_moves_without_a_kernel_of_cupy(
    move: str, device: str, whole_gpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backends.get(device)
    x = backend.asarray(np.arange(24.0).reshape(4, 6))
    monkeypatch.setattr(whole_gpu, "compiled", set())
    MOVES[move](backend, x)
    assert whole_gpu.compiled == set()


def test_a_copy_on_the_host_does_not_follow(device: str) -> None:
    backend = backends.get(device)
    x = backend.asarray(np.ones(3))
    host = backend.download(x)
    backend.fill(2.0, x)
    assert host.tolist() == [1.0, 1.0, 1.0] and backend.to_numpy(x).tolist() == [2.0, 2.0, 2.0]


def test_what_it_is(device: str) -> None:
    backend = backends.get(device)
    assert backend.versions() == "cupy 14.2.0, CUDA driver 13.0"
    assert str(backend.device) == "cuda" and backend.device.type == "cuda"
    backend.synchronize()


def test_random_streams_are_those_of_every_device_to_the_bit(device: str) -> None:
    """More numbers than fit a block, in fours and, at the end, one by one."""
    count = (1 << 14) + 3
    backend, key = backends.get(device), np.array([7, 2**40], np.int64)
    words = philox.words(np, count, philox.PURPOSES["dropout"], key[:1], key[1:])
    u, x = backend.empty((count,), np.float32), np.linspace(-1, 1, count, dtype=np.float32)
    backend.uniform(backend.asarray(key), philox.PURPOSES["dropout"], u)
    expected = philox.uniforms(np, words, np.dtype(np.float32))
    assert backend.to_numpy(u).tobytes() == expected.tobytes()
    y = backend.empty((count,), np.float32)
    backend.dropout(backend.asarray(x), 0.25, backend.asarray(key), y)
    kept = expected >= np.float32(0.25)
    np.testing.assert_array_equal(backend.to_numpy(y), np.where(kept, x * (1 / np.float32(0.75)), np.float32(0)))
    assert nnkit.rand(33).tolist() == nnkit.rand(33, device="numpy").tolist()


def test_large_arrays_take_wide_kernels_with_the_same_numbers(device: str) -> None:
    backend, random = backends.get(device), np.random.default_rng(0)
    x, row = random.normal(size=(130, 128)).astype(np.float32), random.normal(size=128).astype(np.float32)
    column, out = random.normal(size=(130, 1)).astype(np.float32), backend.empty((130, 128), np.float32)
    a, b, c = (backend.asarray(v) for v in (x, row, column))
    for inputs, expected in (((a, b), x + row), ((c, a), column + x), ((a, a), x + x)):
        backend.map("add", inputs, (out,))
        np.testing.assert_array_equal(backend.to_numpy(out), expected)


# ---- streams --------------------------------------------------------------------------------------------------------


def test_everything_goes_to_the_current_stream(device: str, whole_gpu: Machine) -> None:
    stream = cupy().cuda.Stream(non_blocking=True)
    whole_gpu.late = {"kernel", "copy"}
    with stream:
        x = nnkit.tensor([[1.0, 2.0], [3.0, 4.0]])
        y = (x @ x).relu() + x
        assert y.tolist() == [[8.0, 12.0], [18.0, 26.0]], "reading waits for the stream"
        layer = nn.Linear(2, 3)
        layer(x).sum().backward()
        optim.Adam(layer.parameters()).step()
    stream.synchronize()
    whole_gpu.late = set()
    assert np.isfinite(layer.weight.detach().numpy()).all()


# ---- several GPUs, and the CPU ------------------------------------------------------------------------------------


def trained(device: str, steps: int = 2) -> tuple[nn.Module, optim.Optimizer]:
    nnkit.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4, activation="tanh"), nn.Linear(4, 2)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    for _ in range(steps):
        train(model, optimizer)
    return model, optimizer


def train(model: nn.Module, optimizer: optim.Optimizer) -> float:
    at = next(iter(model.parameters())).device
    x = nnkit.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), device=at)
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def weights(model: nn.Module) -> list[Any]:
    return [values(parameter) for parameter in model.parameters()]


@pytest.mark.parametrize("path", [("cuda:1",), ("cpu", "cuda"), ("numpy", "cuda:1", "cuda")])
def test_a_training_goes_on_where_model_and_optimizer_are_moved(
    path: tuple[str, ...], device: str, whole_gpu: Machine
) -> None:
    whole_gpu.device_count = 2
    stayed, moved = trained("cuda"), trained("cuda")
    for place in path:
        moved[0].to(place)
        moved[1].prepare()
        assert {str(p.device) for p in moved[0].parameters()} == {str(backends.get(place).device)}
        assert {str(s.device) for state in moved[1].state.values() for s in state.values()} == {
            str(backends.get(place).device)
        }
    assert [train(*stayed) for _ in range(2)] == [train(*moved) for _ in range(2)]
    assert weights(stayed[0]) == weights(moved[0])
    assert cupy().cuda.runtime.getDevice() == 0


def test_work_on_the_second_gpu_leaves_the_first_the_current_one(device: str, whole_gpu: Machine) -> None:
    whole_gpu.device_count = 2
    x = nnkit.ones(4, 4, device="cuda:1")
    y = (x @ x).softmax(1).sum() + x[0].max()
    assert y.array.data.device_id == 1 and y.item() == pytest.approx(5.0)
    assert cupy().cuda.runtime.getDevice() == 0
    with pytest.raises(DeviceError, match="'cuda:1' and 'cuda'"):
        x + nnkit.ones(4, 4, device="cuda:0")


@pytest.mark.parametrize(("saved_on", "loaded_on"), [("cuda", "numpy"), ("numpy", "cuda")])
def test_saved_on_one_device_and_loaded_on_another(saved_on: str, loaded_on: str, device: str, tmp_path: Path) -> None:
    model, optimizer = trained(saved_on)
    nnkit.save_checkpoint(tmp_path / "point", model=model, optimizer=optimizer)
    other, later = trained(loaded_on, steps=1)
    nnkit.load_checkpoint(tmp_path / "point", model=other, optimizer=later)
    assert weights(other) == weights(model)
    states = [[values(s) for state in o.state.values() for s in state.values()] for o in (optimizer, later)]
    assert states[0] == states[1] and later.param_groups[0].step == 2
    assert {str(p.device) for p in other.parameters()} == {loaded_on}


# ---- training -------------------------------------------------------------------------------------------------------

ROWS = 30


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.normal(size=(ROWS, 5)).astype(np.float32), random.integers(0, 3, ROWS)


def fitted(device: str, **options: Any) -> tuple[dict[str, Any], list[Any], dict[str, float], np.ndarray]:
    nnkit.manual_seed(4)
    model = nn.Sequential(nn.Linear(5, 7, activation="gelu"), nn.Dropout(0.25), nn.Linear(7, 3)).to(device)
    x, y = data()
    settings = {"loss": "cross_entropy", "epochs": 2, "batch_size": 8, "verbose": 0, "seed": 3, **options}
    history = model.fit(x, y, optimizer=optim.Adam(model.parameters(), lr=0.02), **settings)
    return history.history, weights(model), model.evaluate(x, y, batch_size=8), model.predict(x, batch_size=8)


def test_fit_is_that_of_the_cpu(device: str, whole_gpu: Machine) -> None:
    whole_gpu.counts.clear()
    found, expected = fitted("cuda"), fitted("numpy")
    assert whole_gpu.counts["cudaGraphLaunch"] > 3
    np.testing.assert_allclose(found[0]["loss"], expected[0]["loss"], rtol=1e-5)
    np.testing.assert_allclose(found[3], expected[3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "compile"), [(1, True), (2, True), (100, True), (2, False)])
def test_data_too_large_for_the_gpu_are_streamed_with_the_same_result(
    window: int, compile: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnkit.backends.cuda import device_memory
    from nnkit.training import streamed

    options = {"compile": compile, "sample_weight": np.linspace(0.5, 2.0, ROWS), "validation_split": 0.2}
    expected = fitted(device, **options)
    monkeypatch.setattr(device_memory, "SHARE", 0.0)
    monkeypatch.setattr(streamed, "WINDOW", window * 8 * (5 * 4 + 8 + 4))
    streams: list[int] = []
    make = streamed.StreamedSource.__init__
    monkeypatch.setattr(streamed.StreamedSource, "__init__", lambda *a: streams.append(1) or make(*a))
    found = fitted(device, **options)
    assert len(streams) == 3, "training, validation, evaluate"
    assert found[:3] == expected[:3]
    np.testing.assert_array_equal(found[3], expected[3])


def test_a_divergence_in_streamed_data_names_the_step(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnkit.backends.cuda import device_memory

    monkeypatch.setattr(device_memory, "SHARE", 0.0)
    model = nn.Linear(5, 3)
    x, y = data()
    with pytest.raises(DivergenceError, match="epoch 1, step 2"):
        model.fit(
            x * 1e18, y * 1.0, optimizer=optim.SGD(model.parameters(), lr=1e30), loss=lambda z, t: (z**2).mean(),
            epochs=1, batch_size=8, verbose=0,
        )  # fmt: skip
