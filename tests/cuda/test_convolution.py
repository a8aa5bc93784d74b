"""Convolutions on the pretended GPU: in pieces, in half types, and a whole network as one graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from stand_in.machine import Machine

import nnkit
from nnkit import backends
from nnkit.backends.base import keeps_input
from nnkit.backends.recording import recording
from nnkit.backends.windows import Window
from nnkit.tensors.dtypes import as_dtype
from nnkit.testing.images import LAYERS, Layer

HALVES = {"float16": 5e-3, "bfloat16": 4e-2}
#: Of every kind: one axis to three, groups, single places, strides.
FEW = [LAYERS[k] for k in (0, 3, 4, 6, 8, 11)]


def sample(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(as_dtype(dtype))


def computed(device: str, layer: Layer, dtype: str, activation: str, add: bool, last: bool) -> list[np.ndarray]:
    """Output, dx, dw and db of a layer, in float64."""
    backend = backends.get(device)
    B, C, sizes, O, window, groups = layer
    places = window.places(sizes)

    def given(shape: tuple[int, ...], seed: int, images: bool = True) -> Any:
        values = sample(shape, dtype, seed)
        if not (last and images):
            return backend.asarray(values)
        turned = backend.asarray(np.ascontiguousarray(np.moveaxis(values, 1, -1)))
        return backend.permute(turned, (0, len(shape) - 1, *range(1, len(shape) - 1)))

    x, w, b = given((B, C, *sizes), 0), given((O, C // groups, *window.kernel), 1, False), given((O,), 2, False)
    out, z, dz, dy = (given((B, O, *places), 3) for _ in range(4))
    z = z if keeps_input(activation) else None
    backend.conv(x, w, b, window, groups, activation, z, out)
    dx, dw, db = given((B, C, *sizes), 4), given(w.shape, 5, False), given((O,), 6, False)
    dz = dy if activation == "identity" else dz
    backend.conv_grad(
        x, w, out if z is None else z, dy, window, groups, activation, dz, dx, dw, db, (add, add)
    )  # fmt: skip
    return [backend.to_numpy(a).astype("float64") for a in (out, dx, dw, db)]


@pytest.mark.parametrize("layer", FEW, ids=str)
@pytest.mark.parametrize("last", [False, True])
def test_in_pieces(layer: Layer, last: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnkit.backends.cuda import convolution

    whole = [computed(device, layer, "float32", "relu", True, last) for device in ("numpy", "cuda")]
    monkeypatch.setattr(convolution, "MOST_BYTES", 2 << 10)
    whole.append(computed("cuda", layer, "float32", "relu", True, last))
    for found in whole[1:]:
        for one, other in zip(found, whole[0], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("layer", FEW, ids=str)
def test_half_types(layer: Layer, dtype: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in pieces, whose sums are not rounded one by one."""
    from nnkit.backends.cuda import convolution

    pytest.importorskip("ml_dtypes", reason="pip install nnkit[test-cuda]: no ml_dtypes")
    wanted = computed("numpy", layer, dtype, "gelu", True, False)
    for most in (convolution.MOST_BYTES, 1 << 10):
        monkeypatch.setattr(convolution, "MOST_BYTES", most)
        for one, other in zip(computed("cuda", layer, dtype, "gelu", True, False), wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=HALVES[dtype], atol=HALVES[dtype] * np.abs(other).max())


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1)])
@pytest.mark.parametrize("add", [False, True])
def test_gradients_are_the_same_to_the_bit_in_any_order_of_threads(
    kernel: tuple[int, int], add: bool, device: str
) -> None:
    import stand_in

    window = Window(kernel, (1, 1), ((0, 0), (0, 0)), (1, 1))
    found = []
    for schedule in ("forward", "backward", "shuffled"):
        stand_in.threads(schedule, seed=1)
        arrays = computed("cuda", Layer(2, 3, (5, 6), 4, window), "float32", "relu", add, False)
        found.append(b"".join(a.tobytes() for a in arrays))
    stand_in.threads("forward")
    assert len(set(found)) == 1


def test_weights_are_not_added_to_twice_where_a_kernel_is_missing(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """cuBLASLt is there, the compiler is not: no product may have added before the reference body does."""
    from nnkit.backends.cuda import modules
    from nnkit.kernels.cuda.compiler import CompilerMissing

    layer = Layer(2, 3, (4, 4), 2, Window((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)))
    wanted = computed("numpy", layer, "float32", "identity", True, True)
    monkeypatch.setattr(modules, "_functions", {})
    monkeypatch.setattr(modules, "_missing", [CompilerMissing("none")])
    for one, other in zip(computed("cuda", layer, "float32", "identity", True, True), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_autocast(device: str) -> None:
    pytest.importorskip("ml_dtypes", reason="pip install nnkit[test-cuda]: no ml_dtypes")
    found = []
    for where in ("cpu", "cuda"):
        with nnkit.autocast("bfloat16"):
            x = nnkit.tensor(sample((2, 3, 6, 6), "float32", 0), device=where, requires_grad=True)
            w = nnkit.tensor(sample((4, 3, 3, 3), "float32", 1), device=where, requires_grad=True)
            y = nnkit.nn.functional.conv2d(x, w, padding=1)
        (y * y).sum().backward()
        found.append([t.detach().cpu().numpy() for t in (y, x.grad, w.grad)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-2, atol=5e-2)


# ---- networks as one graph ------------------------------------------------------------------------------------------


def plain() -> list[nnkit.nn.Module]:
    return [
        nnkit.nn.Conv2d(2, 4, 3), nnkit.nn.ReLU(), nnkit.nn.MaxPool2d(2), nnkit.nn.BatchNorm2d(4),
        nnkit.nn.Conv2d(4, 3, 3, padding=1), nnkit.nn.Flatten(), nnkit.nn.Linear(27, 5),
    ]  # fmt: skip


def others() -> list[nnkit.nn.Module]:
    return [
        nnkit.nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False), nnkit.nn.GroupNorm(2, 4), nnkit.nn.SiLU(),
        nnkit.nn.AvgPool2d(2), nnkit.nn.Conv2d(4, 4, 1), nnkit.nn.Flatten(), nnkit.nn.LayerNorm(16),
        nnkit.nn.Linear(16, 5),
    ]  # fmt: skip


def trained(where: str, layers: Callable[[], list[nnkit.nn.Module]], steps: int) -> tuple[list[np.ndarray], Any]:
    """The parameters after so many steps, and the program that made the last of them on a GPU."""
    nnkit.manual_seed(0)
    model = nnkit.nn.Sequential(*layers())
    for number, parameter in enumerate(model.parameters()):
        values = sample(parameter.shape, "float32", number) * 0.5
        parameter.data = nnkit.tensor(values, device=where)
    model.to(where)
    # Before a normalization a bias has a gradient of 0 but for rounding, whose sign would decide with the usual eps.
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01, eps=1e-3)
    x = nnkit.tensor(sample((4, 2, 8, 8), "float32", 50), device=where)
    labels = nnkit.tensor(np.array([0, 4, 1, 2]), device=where)

    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = nnkit.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    program = None
    for _ in range(2 if where == "cuda" else steps):
        step()
    if where == "cuda":
        work = backends.get(where).recorder()
        with recording(work):
            step()
        program = work.finish()
        program.replay(steps - 3)
    return [p.detach().cpu().numpy() for p in [*model.parameters(), *model.buffers()]], program


@pytest.mark.parametrize("layers", [plain, others])
def test_a_step_of_a_convolutional_network_is_one_graph(layers: Any, device: str, whole_gpu: Machine) -> None:
    found, program = trained("cuda", layers, 6)
    assert [i.name for i in program.instructions if i.kernel is None] == []
    whole_gpu.counts.clear()
    program.replay()
    assert whole_gpu.counts["cudaGraphLaunch"] == 1 and whole_gpu.counts["cuLaunchKernel"] == 0
    wanted, _ = trained("cpu", layers, 6)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
