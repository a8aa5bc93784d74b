"""Devices by name: what is found and tried, what happens when a device cannot be used; and backends made by others."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import backends, nn
from nnkit.backends import Backend, Device, registry
from nnkit.backends.numpy import NumpyBackend
from nnkit.testing import CASES, Case


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A registry that has warned of nothing; what a test registers is forgotten."""
    monkeypatch.delenv("NNKIT_STRICT_DEVICE", raising=False)
    for name in ("_registered", "_failures", "_instances"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    monkeypatch.setattr(registry, "_warned", set())
    registry.forget("cuda")
    nnkit.set_device_fallback(True)
    yield monkeypatch
    nnkit.set_device_fallback(True)


def fake(name: str = "cuda", **changes: Any) -> type[Backend]:
    """A registered backend over numpy with some methods changed."""
    return backends.register(type("Fake", (NumpyBackend,), {"name": name, **changes}), replace=True)


# ---- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy", "numba", "strict", " NumPy ", "numpy:0"])
def test_a_device_is_found_by_name_and_is_one_object(name: str) -> None:
    backend = backends.get(name)
    assert backend.name == name.strip().lower().partition(":")[0]
    assert backends.get(name) is backend
    assert backends.get(backend.device) is backend


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("cuda", Device("cuda", 0)),
        ("CUDA:1", Device("cuda", 1)),
        ("numba", Device("numba")),
        ("cuda:0", Device("cuda")),
    ],
)
def test_a_device_name_is_parsed(text: str, device: Device) -> None:
    assert Device.parse(text) == device
    assert Device.parse(str(device)) == device
    assert device.type == ("cuda" if device.name == "cuda" else "cpu")


@pytest.mark.parametrize("text", ["cuda:", "cuda:one", "cuda:-1", "numpy:1.5"])
def test_an_index_must_be_a_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="expected a name or name:index"):
        backends.get(text)


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("nunpy", "numpy"), ("nmba", "numba"), ("cudda", "cuda"), ("gpu", "cuda")]
)
def test_an_unknown_name_is_refused_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"unknown device '{wrong}'; did you mean '{nearest}'") as caught:
        nnkit.tensor([1.0], device=wrong)
    assert "Known: auto, cpu, cuda, numba, numpy, strict" in str(caught.value)


def test_cpu_is_the_best_cpu_backend_and_the_default() -> None:
    assert backends.get("cpu").name == "numba"
    assert nnkit.get_default_device() == Device("numba")


def test_auto_is_the_best_of_all(fresh: pytest.MonkeyPatch) -> None:
    fake("cuda")
    assert backends.get("auto").name == "cuda"
    fake("cuda", matmul=lambda self, x, y, out: out.fill(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert backends.get("auto").name == "numba", "auto asks for nothing, so nothing is missing: no warning"


# ---- devices that cannot be used ----------------------------------------------------------------------------------


def raising(error: Exception) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        raise error

    return call


def without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.startswith(("cupy", "array_api_compat.cupy", "nnkit.backends.cuda"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cupy", None)


class _Finder:
    """Imports of cupy raise an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "cupy":
            raise self.error


def broken_cupy(error: Exception) -> Callable[[pytest.MonkeyPatch], None]:
    def break_it(monkeypatch: pytest.MonkeyPatch) -> None:
        without_cupy(monkeypatch)
        monkeypatch.delitem(sys.modules, "cupy")
        monkeypatch.setattr(sys, "meta_path", [_Finder(error), *sys.meta_path])

    return break_it


def wrong_numbers(self: Any, x: Any, y: Any, out: Any) -> None:
    out[...] = x @ y + 0.01


#: What is wrong with the GPU, and what the warning or error must say.
CAUSES: dict[str, tuple[Callable[[pytest.MonkeyPatch], Any], str]] = {
    "cupy is missing": (without_cupy, 'cupy is not installed: pip install'),
    "cupy cannot be loaded": (
        broken_cupy(ImportError("libcudart.so.13: cannot open shared object file", name="cupy")),
        "importing cupy failed: libcudart.so.13: cannot open shared object file; try pip install",
    ),
    "cupy breaks": (broken_cupy(RuntimeError("no driver")), "importing its library failed: RuntimeError: no driver"),
    "no device": (lambda m: fake(__init__=raising(RuntimeError("no GPU"))), "allocating failed: RuntimeError: no GPU"),
    "no memory": (lambda m: fake(asarray=raising(MemoryError("all 80 GiB in use"))), "allocating failed: MemoryError"),
    "no compiler": (lambda m: fake(map=raising(OSError("nvrtc"))), "running a kernel failed: OSError: nvrtc"),
    "no BLAS": (lambda m: fake(matmul=raising(OSError("cublas"))), "multiplying two matrices failed: OSError: cublas"),
    "wrong numbers": (lambda m: fake(matmul=wrong_numbers), "it computes wrong numbers"),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_cuda_falls_back_to_the_cpu_after_one_warning_with_the_reason(cause: str, fresh: pytest.MonkeyPatch) -> None:
    arrange, reason = CAUSES[cause]
    arrange(fresh)
    with pytest.warns(backends.DeviceFallbackWarning) as caught:
        x = nnkit.tensor([1.0, 2.0], device="cuda")
    (warning,) = caught
    assert reason in str(warning.message)
    assert "Running on 'numba' instead" in str(warning.message)
    assert "NNKIT_STRICT_DEVICE=1" in str(warning.message)
    assert str(x.device) == "numba"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nnkit.zeros(2, device="cuda").device == x.device, "warned once"
    assert not nnkit.cuda.is_available()
    assert nnkit.cuda.device_count() == 0
    assert reason in (nnkit.cuda.why_not() or "")


@pytest.mark.parametrize("how", ["environment", "call"])
@pytest.mark.parametrize("cause", ["cupy is missing", "wrong numbers"])
def test_strict_mode_makes_it_an_error(how: str, cause: str, fresh: pytest.MonkeyPatch) -> None:
    arrange, reason = CAUSES[cause]
    arrange(fresh)
    if how == "environment":
        fresh.setenv("NNKIT_STRICT_DEVICE", "1")
    else:
        nnkit.set_device_fallback(False)
    with pytest.raises(nnkit.DeviceUnavailable, match="device 'cuda' cannot be used") as caught:
        nnkit.tensor([1.0], device="cuda")
    assert reason in str(caught.value)


def test_another_device_is_warned_of_by_itself(fresh: pytest.MonkeyPatch) -> None:
    fake(matmul=wrong_numbers)
    for name in ("cuda", "cuda:1"):
        with pytest.warns(backends.DeviceFallbackWarning, match=name):
            backends.get(name)


def test_a_cpu_backend_that_fails_is_an_error_not_a_fallback(fresh: pytest.MonkeyPatch) -> None:
    fake("numpy", matmul=wrong_numbers)
    with pytest.raises(nnkit.DeviceUnavailable, match="device 'numpy' cannot be used: it computes wrong numbers"):
        backends.get("numpy")


def test_a_device_is_tried_once(fresh: pytest.MonkeyPatch) -> None:
    tried = []

    def asarray(self: Any, values: Any, dtype: Any = None) -> np.ndarray:
        tried.append(values)
        return np.array(values, dtype)

    fake("counted", asarray=asarray)
    for _ in range(3):
        backends.get("counted")
    assert len(tried) == 1


# ---- the table, and backends of others ------------------------------------------------------------------------------


def test_the_device_table_tells_versions_or_the_reason(fresh: pytest.MonkeyPatch) -> None:
    without_cupy(fresh)
    fake("mine")
    rows = {row.name: row for row in nnkit.devices()}
    assert rows["numpy"] == ("numpy", True, f"numpy {np.__version__}")
    assert rows["numba"].usable and rows["numba"].detail.startswith("numba ")
    assert rows["mine"].usable
    assert not rows["cuda"].usable and "cupy is not installed" in rows["cuda"].detail
    assert "strict" not in rows, "a device for tests"


def test_entry_points_make_devices_known(fresh: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_plugin")
    module.Plugged = type("Plugged", (NumpyBackend,), {"name": "plugged"})  # type: ignore[attr-defined]
    fresh.setitem(sys.modules, "a_plugin", module)
    entries = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, value, "nnkit.backends")
        for name, value in (("plugged", "a_plugin:Plugged"), ("absent", "no_such_module_here:Backend"))
    )
    fresh.setattr(importlib.metadata, "entry_points", lambda group: entries.select(group=group))
    assert str(nnkit.tensor([1.0], device="plugged").device) == "plugged"
    rows = {row.name: row for row in nnkit.devices()}
    assert rows["plugged"].usable
    assert not rows["absent"].usable and "no_such_module_here" in rows["absent"].detail
    with pytest.raises(nnkit.DeviceUnavailable, match="no_such_module_here"):
        backends.get("absent")


def test_an_installed_package_brings_a_backend(tmp_path: Path) -> None:
    """As CONTRIBUTING says: a subclass with ``name`` and ``xp``, and the entry point; nothing imports the package."""
    source = "import numpy\nfrom nnkit.backends import Backend\nclass Mine(Backend):\n    name, xp = 'mine', numpy\n"
    (tmp_path / "mine.py").write_text(source)
    about = tmp_path / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[nnkit.backends]\nmine = mine:Mine\n")
    program = (
        "import nnkit; from nnkit.testing import CASES\n"
        "y = nnkit.nn.Linear(2, 1, device='mine')(nnkit.ones(3, 2, device='mine')); y.sum().backward()\n"
        "for case in CASES[::20]: case.check(nnkit.backends.get('mine'))\n"
        "print(*y.shape, y.device)"
    )
    place = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=place, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.returncode) == (["3", "1", "mine"], 0), done.stderr


class PlainBackend(Backend):
    """NumPy's own namespace, without array-api-compat: a third backend in ten lines."""

    name = "plain"
    xp = np

    def quietly(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")


OTHERS: list[Backend] = [PlainBackend()]
if importlib.util.find_spec("torch"):
    import array_api_compat.torch

    class TorchBackend(Backend):
        """PyTorch's tensors. It lacks arithmetic of uint64, which the standard asks for, so it draws on the host."""

        name = "torch"
        xp = array_api_compat.torch

        def uniform(self, key: Any, purpose: int, out: Any) -> None:
            self._draw("uniform", key, purpose, out)

        def random_bits(self, key: Any, purpose: int, out: Any) -> None:
            self._draw("random_bits", key, purpose, out)

        def uniforms_of(self, blocks: Any, purpose: int, key: Any, dtype: Any) -> Any:
            kind = np.dtype(str(dtype).removeprefix("torch."))
            return self.asarray(PlainBackend().uniforms_of(np.asarray(blocks), purpose, np.asarray(key), kind))

        def _draw(self, primitive: str, key: Any, purpose: int, out: Any) -> None:
            drawn = np.empty(tuple(out.shape), self.dtype_of(out))
            getattr(PlainBackend(), primitive)(np.asarray(key), purpose, drawn)
            self.copy(self.asarray(drawn), out)

    OTHERS.append(TorchBackend())


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
@pytest.mark.parametrize("backend", OTHERS, ids=[backend.name for backend in OTHERS])
def test_a_third_backend_passes_the_conformance_kit(backend: Backend, case: Case) -> None:
    case.check(backend)


def test_a_third_backend_trains_like_the_others(fresh: pytest.MonkeyPatch) -> None:
    backends.register(PlainBackend)
    assert train("plain") == pytest.approx(train("numpy"), rel=1e-6)


def train(device: str) -> list[float]:
    """The losses of three steps of a small network."""
    nnkit.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, device=device), nn.GELU(), nn.Dropout(0.25), nn.Linear(8, 3, device=device))
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01)
    x = nnkit.tensor(np.linspace(-1, 1, 24).reshape(6, 4), dtype="float32", device=device)
    y = nnkit.tensor([0, 1, 2, 0, 1, 2], device=device)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# ---- without Numba --------------------------------------------------------------------------------------------------

WITHOUT = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise {error}
sys.meta_path.insert(0, Finder())
import nnkit
from nnkit import nn
assert str(nnkit.get_default_device()) == "numpy", nnkit.get_default_device()
x = nnkit.randn(8, 3)
model = nn.Linear(3, 1)
optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1)
losses = []
for _ in range(3):
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[2] < losses[0]
print({{row.name: row.detail for row in nnkit.devices()}}["numba"])
"""


MISSING = "ModuleNotFoundError(f'No module named {name!r}', name=name)"
BROKEN = {
    "no numba": (("numba",), MISSING, "numba is not installed: pip install numba"),
    "numba too old": (
        ("numba",),
        "ImportError('Numba needs NumPy 2.0', name=name)",
        "failed: Numba needs NumPy 2.0; try",
    ),
    "llvmlite broken": (("llvmlite",), "OSError('cannot load llvmlite')", "failed: OSError: cannot load llvmlite"),
}


@pytest.mark.parametrize(("blocked", "error", "reason"), BROKEN.values(), ids=BROKEN)
def test_where_numba_cannot_be_used_numpy_trains(blocked: tuple[str, ...], error: str, reason: str) -> None:
    script = WITHOUT.format(blocked=blocked, error=error)
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert reason in done.stdout


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_the_probe_multiplies_numbers_that_every_precision_holds(half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that rounds the operands of products, because the user chose so, computes no wrong numbers."""

    class Rounding(NumpyBackend):
        name = "rounding"

        def matmul(self, x: Any, y: Any, out: Any) -> None:
            super().matmul(self.rounded(x, half), self.rounded(y, half), out)

    monkeypatch.setitem(registry._registered, "rounding", Rounding)
    try:
        assert registry.failure(nnkit.device("rounding")) is None
    finally:
        registry.forget("rounding")
