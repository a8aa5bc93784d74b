"""GPUs whose cuBLASLt lacks something, or offers it and refuses to run it: what is computed, that a graph captures it,
and what is said of it, once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fake_cublaslt import FakeLibrary
from stand_in.machine import Machine

import nnkit
from nnkit import backends, nn, optim
from nnkit.backends.cuda.cublaslt import DataType, Epilogue
from nnkit.backends.recording import recording
from nnkit.testing import products as conformance

ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes (test-cuda)")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
HALF = {DataType.R_16F, DataType.R_16BF}
#: What the library is like.
LIBRARIES: dict[str, Callable[[FakeLibrary], None]] = {
    "no bfloat16": lambda fake: fake.lack(DataType.R_16BF),
    "bfloat16 refused at the run": lambda fake: fake.refuse_to_run(lambda named: named.type == DataType.R_16BF),
    "no half type": lambda fake: fake.lack(*HALF),
    "epilogues refused at the run": lambda fake: fake.refuse_to_run(lambda named: named.epilogue != Epilogue.DEFAULT),
    "both refused at the run": lambda fake: fake.refuse_to_run(
        lambda named: named.type in HALF or named.epilogue != Epilogue.DEFAULT
    ),
    "everything refused at the run": lambda fake: fake.refuse_to_run(lambda named: True),
}
#: The half types that these do not multiply.
MISSING = {
    "no bfloat16": ("bfloat16",), "bfloat16 refused at the run": ("bfloat16",),
    "no half type": ("bfloat16", "float16"), "both refused at the run": ("bfloat16", "float16"),
}  # fmt: skip


@pytest.fixture
def library(device: str, monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """The cuBLASLt of a GPU that has multiplied nothing yet."""
    from nnkit.backends.cuda import products

    backends.get(device)
    monkeypatch.setattr(products, "_found", {})
    found: Any = products.blas()
    assert not isinstance(found, str)
    return found._library


@pytest.fixture(params=LIBRARIES)
def lacking(request: pytest.FixtureRequest, library: FakeLibrary) -> Iterator[str]:
    """Each library of the table; what is said of it is looked at elsewhere."""
    LIBRARIES[request.param](library)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "cuBLASLt offers no product", RuntimeWarning)
        yield request.param


@pytest.mark.parametrize(
    "case",
    [case for case in conformance.CASES if "float16" in case.id or case.id.startswith("linear_grad-parts")],
    ids=lambda case: case.id,
)
def test_products_conform(case: Any, lacking: str, device: str) -> None:
    case.check(backends.get(device))


# ---- arrays of bfloat16 ----------------------------------------------------------------------------------------------


def numbers(shape: tuple[int, ...], seed: int = 0, dtype: Any = BFLOAT16) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    error = 1e-2 if found.dtype == BFLOAT16 else 2e-6
    assert np.abs(found.astype(float) - expected).max() <= error * np.abs(expected).max()


VIEWS: dict[str, Callable[[Any], Any]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.swapaxes(-1, -2),
    "with gaps": lambda x: x[..., 2:-3],
    "with gaps, transposed": lambda x: x[..., 2:-3].swapaxes(-1, -2),
    "heads": lambda x: x.reshape(2, 8, 2, 4).transpose(0, 2, 1, 3),
    "repeated": lambda x: x[:1],
}


@pytest.mark.parametrize("result", [np.float32, BFLOAT16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("view", VIEWS)
def test_operands_are_widened_as_they_lie(view: str, result: Any, library: FakeLibrary, device: str) -> None:
    library.lack(DataType.R_16BF)
    backend, host = backends.get(device), numbers((2, 8, 8))
    x, y = VIEWS[view](backend.asarray(host)), VIEWS[view](host)
    if view == "repeated":
        x, y = backend.broadcast_to(x, (2, 8, 8)), np.broadcast_to(y, (2, 8, 8))
    expected = y.astype(float) @ y.astype(float).swapaxes(-1, -2)
    work = backend.recorder()
    library.products.clear()
    with recording(work), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = backend.empty(expected.shape, result)
        backend.matmul(x, x.swapaxes(-1, -2), out)
    program = work.finish()
    assert len(program.instructions) == 1 and program.instructions[0].kernel is not None
    for _ in range(2):
        program.replay()
        close(backend.to_numpy(out), expected)
    assert len(library.products) >= 3 and {ran.k for ran in library.products} == {y.shape[-1]}


@pytest.mark.parametrize("add", [False, True], ids=["written", "added"])
@pytest.mark.parametrize("activation", ["identity", "sigmoid", "gelu"])
def test_a_layer_of_bfloat16(activation: str, add: bool, lacking: str, device: str) -> None:
    backend, reference = backends.get(device), backends.get("numpy")
    x, w, b, dy, dw, db = (
        numbers(shape, seed) for seed, shape in enumerate([(6, 5), (8, 5), (8,), (6, 8), (8, 5), (8,)])
    )
    found = [layer(on, activation, add, *(on.asarray(a) for a in (x, w, b, dy, dw, db))) for on in (backend, reference)]
    for one, other in zip(*found, strict=True):
        assert np.abs(one - other).max() <= 3e-2 * np.abs(other).max()


def layer(on: Any, activation: str, add: bool, x: Any, w: Any, b: Any, dy: Any, dw: Any, db: Any) -> list[np.ndarray]:
    """The output of a linear layer, and its gradients."""
    y, z, dz, dx = (on.empty(shape, BFLOAT16) for shape in ((6, 8), (6, 8), (6, 8), (6, 5)))
    keeps, dz = activation == "gelu", dy if activation == "identity" else dz
    on.linear(x, w, b, activation, z if keeps else None, y)
    on.linear_grad(x, w, z if keeps else y, dy, activation, dz, dx, dw, db, (add, add))
    return [on.to_numpy(a).astype(float) for a in (y, dx, dw, db)]


# ---- a training ------------------------------------------------------------------------------------------------------


def trained(device: str, half: str | None, compile: bool) -> list[float]:
    """The losses of a few steps."""
    nnkit.manual_seed(2)
    model = nn.Sequential(nn.Linear(5, 8, activation="relu"), nn.Linear(8, 3)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    x = nnkit.tensor(numbers((16, 5), dtype=np.float32), device=device)
    target = nnkit.tensor(np.arange(16) % 3, device=device)
    loss_of = nn.CrossEntropyLoss()

    def step() -> Any:
        optimizer.zero_grad()
        with nnkit.autocast(half, enabled=half is not None):
            loss = loss_of(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    run = nnkit.compile(step) if compile else step
    return [run().item() for _ in range(6)]


@pytest.mark.parametrize("half", ["bfloat16", "float16", None])
def test_a_compiled_training_is_that_of_the_cpu(
    half: str | None, lacking: str, device: str, whole_gpu: Machine
) -> None:
    found, plain, expected = trained("cuda", half, True), trained("cuda", half, False), trained("numpy", half, False)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    np.testing.assert_allclose(found, plain, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in LIBRARIES if not name.startswith("everything")])
@pytest.mark.parametrize("half", ["bfloat16", "float16", None])
def test_a_step_is_one_graph_whatever_is_refused(
    half: str | None, name: str, library: FakeLibrary, device: str, whole_gpu: Machine
) -> None:
    LIBRARIES[name](library)
    model = nn.Sequential(nn.Linear(5, 8, activation="relu"), nn.Linear(8, 3))
    x = nnkit.tensor(numbers((16, 5), dtype=np.float32))

    def step() -> nnkit.Tensor:
        with nnkit.autocast(half or "float16", enabled=half is not None):
            loss = model(x).square().mean()
        loss.backward()
        return loss

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        step()
        work = backends.get(device).recorder()
        with recording(work):
            loss = step()
        program = work.finish()
    assert not [i.note for i in program.instructions if i.kernel is None]
    whole_gpu.counts.clear()
    program.replay()
    assert whole_gpu.counts["cudaGraphLaunch"] == 1 and np.isfinite(loss.item())
    missing = (
        {"bfloat16"} if "bfloat16" in name else {"bfloat16", "float16"} if "half" in name or "both" in name else set()
    )
    assert len(told) == (half in missing)
    assert all(f"cuBLASLt offers no product of {half} on this GPU" in str(one.message) for one in told)


def test_what_nothing_runs_is_multiplied_by_cupy_between_graphs(library: FakeLibrary, device: str) -> None:
    library.refuse_to_run(lambda named: True)
    x, w = nnkit.ones(3, 4), nnkit.ones(4, 5)
    work = backends.get(device).recorder()
    with recording(work):
        y = (x * 2.0) @ w + 1.0
    program = work.finish()
    assert [instruction.kernel is None for instruction in program.instructions] == [False, True, False]
    assert program.instructions[1].note.startswith("cupy.matmul cannot be captured")
    program.replay()
    assert y.tolist() == [[9.0] * 5] * 3
