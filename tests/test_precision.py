"""How exactly matrices are multiplied: the setting for float32, rounding to half types, and tensors of those types."""

from __future__ import annotations

import builtins
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from captured import programs

import nnkit
from nnkit import backends, nn
from nnkit.errors import ModelFileError
from nnkit.io import load_weights, save_weights

HALVES = ("bfloat16", "float16")


def rounded(values: Any, half: str) -> np.ndarray:
    """float32 values rounded to a half type: by numpy, or for bfloat16 by whole-number arithmetic on the bits."""
    values = np.asarray(values, np.float32)
    if half == "float16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    bits = values.view(np.uint32).astype(np.uint64)
    up = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(values), values, up).astype(np.float32)


# ---- the setting --------------------------------------------------------------------------------------------------


@pytest.fixture
def setting() -> Iterator[None]:
    yield
    nnkit.set_matmul_precision("highest")


@pytest.mark.usefixtures("setting")
def test_the_setting_is_highest_unless_changed() -> None:
    assert nnkit.get_matmul_precision() == "highest"
    for precision in ("medium", "high", "highest"):
        nnkit.set_float32_matmul_precision(precision)
        assert nnkit.get_matmul_precision() == nnkit.get_float32_matmul_precision() == precision


@pytest.mark.usefixtures("setting")
@pytest.mark.parametrize("wrong", ["tf32", "Highest", None, 1])
def test_another_name_is_refused_and_changes_nothing(wrong: Any) -> None:
    nnkit.set_matmul_precision("high")
    with pytest.raises(ValueError, match="expected one of 'highest', 'high', 'medium', got"):
        nnkit.set_matmul_precision(wrong)
    assert nnkit.get_matmul_precision() == "high"


@pytest.mark.usefixtures("setting")
def test_on_a_cpu_every_setting_means_highest(device: str) -> None:
    x = nnkit.randn(33, 65)
    expected = (x @ x.T).tolist()
    nnkit.set_matmul_precision("medium")
    assert (x @ x.T).tolist() == expected


@pytest.mark.usefixtures("setting")
def test_a_step_is_recorded_anew_where_the_setting_changes(device: str) -> None:
    x, step = nnkit.ones(3, 3), nnkit.compile(lambda x: x @ x)
    for count, precision in ((1, "highest"), (2, "high"), (2, "highest"), (2, "high"), (3, "medium")):
        nnkit.set_matmul_precision(precision)
        for _ in range(3):
            assert step(x).tolist() == [[3.0] * 3] * 3
        assert programs(step) == count


# ---- rounding -----------------------------------------------------------------------------------------------------


def many_numbers() -> np.ndarray:
    """float32 of every size, numbers half-way between neighbours of both half types, and numbers next to those."""
    random = np.random.default_rng(0)
    every = random.integers(0, 2**32, 20_000, np.uint32).view(np.float32)
    ties = (random.integers(0, 2**16, 5_000, np.uint32) << 16 | 0x8000).view(np.float32)
    small = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (small[1:] + small[:-1]) / 2
    beside = [np.nextafter(middle, np.float32(end), dtype=np.float32) for end in (0.0, np.inf)]
    special = np.array([0.0, np.inf, np.nan, 65519.99, 65520.0, 3.3961775e38, 3.4028235e38, 1e-45], np.float32)
    positive = np.concatenate([every, ties, middle, *beside, special])
    return np.concatenate([positive, -positive])


@pytest.mark.parametrize("half", HALVES)
def test_rounding_is_exact(half: str, device: str) -> None:
    values, backend = many_numbers(), backends.get(device)
    found = backend.to_numpy(backend.rounded(backend.asarray(values), half))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rounded(values, half))


def test_rounding_to_bfloat16_is_that_of_ml_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 tensors need ml_dtypes")
    values = many_numbers()
    with np.errstate(all="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(rounded(values, "bfloat16"), expected)


def test_rounding_takes_any_layout(device: str) -> None:
    backend = backends.get(device)
    values = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    turned = backend.rounded(backend.permute(backend.asarray(values), (1, 0)), "bfloat16")
    np.testing.assert_array_equal(backend.to_numpy(turned), rounded(values.T, "bfloat16"))


# ---- tensors of half types ----------------------------------------------------------------------------------------


@pytest.fixture(params=HALVES)
def half(request: pytest.FixtureRequest) -> str:
    """The name of a half type that is there."""
    if request.param == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 tensors need ml_dtypes")
    return str(request.param)


@pytest.fixture(params=["numpy", "numba"])
def cpu(request: pytest.FixtureRequest) -> Iterator[str]:
    """Devices that have half types: array-api-strict has none, as the standard does not."""
    nnkit.set_default_device(request.param)
    nnkit.manual_seed(0)
    yield request.param
    nnkit.set_default_device("cpu")


VALUES = np.linspace(-3.0, 3.0, 24, dtype=np.float32).reshape(4, 6)


def test_casts(half: str, cpu: str) -> None:
    x = nnkit.tensor(VALUES)
    cast = {"float16": x.half, "bfloat16": x.bfloat16}[half]()
    assert cast.dtype == getattr(nnkit, half) and cast.is_floating_point() and cast.dtype.itemsize == 2
    np.testing.assert_array_equal(cast.float().numpy(), rounded(VALUES, half))
    for other in (x.to(half), x.to(dtype=getattr(nnkit, half)), nnkit.tensor(VALUES, dtype=half)):
        assert other.dtype == cast.dtype and other.tolist() == cast.tolist()
    assert nnkit.zeros(2, dtype=half).dtype == cast.dtype
    assert str(cast.dtype) in repr(cast)
    assert nnkit.tensor([3.4028e38, -3.4028e38]).to(half).tolist() == [float("inf"), float("-inf")]


#: What two types give together.
MIXED = {"float32": "float32", "float64": "float64", "int64": None, "bool": None}


def test_a_half_type_with_another(half: str, cpu: str) -> None:
    x = nnkit.ones(3, dtype=half)
    for other, expected in MIXED.items():
        assert str((x * nnkit.ones(3, dtype=other)).dtype) == (expected or half), other
    assert (x * 2.5).dtype == x.dtype
    if half == "bfloat16":
        assert str((x + x.half()).dtype) == "float32"


OPS = {
    "arithmetic": lambda x: (x * 3.0 + x) / (x - 4.0),
    "formula": lambda x: nnkit.ops.activation(x, "gelu"),
    "exp": lambda x: x.exp(),
    "sum": lambda x: x.sum(dim=1),
    "mean": lambda x: x.mean(dim=0),
    "max": lambda x: x.max(),
    "product": lambda x: x @ x.T,
    "softmax": lambda x: x.softmax(),
    "log_softmax": lambda x: x.log_softmax(),
    "linear": lambda x: nnkit.ops.linear(x, x, x[:, 0], "relu"),
    "cross_entropy": lambda x: nnkit.ops.cross_entropy(x, nnkit.tensor([0, 1, 2, 3])),
    "joined": lambda x: nnkit.cat([x, x.T.reshape(4, 6)]),
}


@pytest.mark.parametrize("name", OPS)
def test_ops_compute_in_float32_and_round_once(name: str, half: str, cpu: str) -> None:
    """Up to the roundings of the steps between, one for each op."""
    x = nnkit.tensor(VALUES)
    found, expected = OPS[name](x.to(half)), OPS[name](x.to(half).float())
    assert found.dtype == getattr(nnkit, half)
    np.testing.assert_allclose(found.float().numpy(), expected.numpy(), rtol=2.0**-6, atol=2.0**-6)


def test_sums_are_not_lost_in_few_digits(half: str, cpu: str) -> None:
    x = nnkit.full((1000,), 0.125, dtype=half, requires_grad=True)
    assert x.sum().item() == 125.0
    (x.sum() * 2.0).backward()
    assert x.grad is not None and x.grad.dtype == x.dtype and x.grad.tolist() == [2.0] * 1000


def test_random_numbers_stay_below_one(half: str, cpu: str) -> None:
    x = nnkit.rand(20_000, dtype=half).float()
    assert 0.99 < x.max().item() < 1.0 and x.min().item() == 0.0
    kept = nnkit.ops.dropout(nnkit.ones(1000, dtype=half), 0.5)
    nnkit.manual_seed(0)
    _ = nnkit.rand(20_000)
    assert kept.tolist() == nnkit.ops.dropout(nnkit.ones(1000), 0.5).tolist(), "the mask does not depend on the type"


def test_a_model_in_a_half_type_trains_the_same_recorded(half: str, cpu: str) -> None:
    def left(compile: bool) -> list[Any]:
        nnkit.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 5, activation="relu"), nn.Dropout(0.2), nn.Linear(5, 3)).to(dtype=half)
        x, y = np.random.default_rng(0).normal(size=(32, 6)).astype("f"), np.arange(32) % 3
        history = model.fit(
            x, y, loss="cross_entropy", optimizer="sgd", epochs=3, batch_size=8, clip_norm=1.0, verbose=0,
            compile=compile,
        )  # fmt: skip
        return [history.history, *(p.tolist() for p in model.parameters())]

    assert left(True) == left(False)


def test_files_keep_half_types(half: str, cpu: str, tmp_path: Path) -> None:
    x = nnkit.tensor(VALUES).to(half)
    nnkit.save({"x": x}, tmp_path / "state")
    found = nnkit.load(tmp_path / "state")["x"]
    assert found.dtype == x.dtype and found.tolist() == x.tolist()
    model = nn.Linear(3, 2)
    model = {"float16": model.half, "bfloat16": model.bfloat16}[half]()
    assert model.weight.dtype == x.dtype
    model.save(tmp_path / "model")
    assert nnkit.load(tmp_path / "model").weight.tolist() == model.weight.tolist()
    save_weights(tmp_path / "w", {"x": np.asarray(x).T})
    np.testing.assert_array_equal(load_weights(tmp_path / "w").arrays["x"], np.asarray(x).T)
    assert pickle.loads(pickle.dumps(x)).tolist() == x.tolist()


def test_array_api_strict_says_that_it_has_no_half_types() -> None:
    with pytest.raises(TypeError, match="device 'strict' has no element type float16; use float32"):
        nnkit.ones(2, device="strict").half()


def test_without_ml_dtypes_the_error_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    imported = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "ml_dtypes":
            raise ModuleNotFoundError("No module named 'ml_dtypes'", name="ml_dtypes")
        return imported(name, *args, **options)

    header = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    (tmp_path / "bf16").write_bytes(len(header).to_bytes(8, "little") + header + b"\x80?")
    monkeypatch.setattr(builtins, "__import__", without)
    for ask in (lambda: nnkit.bfloat16, lambda: nnkit.ones(2).bfloat16(), lambda: nnkit.ones(2, dtype="bfloat16")):
        with pytest.raises(ModuleNotFoundError, match=r"bfloat16 needs ml_dtypes.*: pip install ml_dtypes"):
            ask()
    with pytest.raises(ModelFileError, match="cannot be read here: bfloat16 needs ml_dtypes"):
        nnkit.load(tmp_path / "bf16")
