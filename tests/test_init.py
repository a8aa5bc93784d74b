"""Initial values: the spread that each formula promises, PyTorch's gains, and equality to the bit on every device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.nn import init

ROWS, COLUMNS = 200, 300
COUNT = ROWS * COLUMNS

#: function, arguments, standard deviation it promises, bounds (None: unbounded).
SPREADS: list[tuple[Callable[..., Any], dict[str, Any], float, float | None]] = [
    (init.uniform_, {"a": -2.0, "b": 2.0}, 4 / math.sqrt(12), 2.0),
    (init.normal_, {"std": 0.3}, 0.3, None),
    (init.trunc_normal_, {"std": 1.0}, 0.8796256610342398, 2.0),
    (init.xavier_uniform_, {}, math.sqrt(2 / 500), math.sqrt(6 / 500)),
    (init.xavier_uniform_, {"gain": 2.0}, 2 * math.sqrt(2 / 500), 2 * math.sqrt(6 / 500)),
    (init.xavier_normal_, {}, math.sqrt(2 / 500), None),
    (init.kaiming_uniform_, {}, math.sqrt(2 / 300), math.sqrt(6 / 300)),
    (init.kaiming_uniform_, {"a": math.sqrt(5)}, 1 / math.sqrt(900), 1 / math.sqrt(300)),
    (init.kaiming_uniform_, {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2 / 200), math.sqrt(6 / 200)),
    (init.kaiming_normal_, {"nonlinearity": "relu"}, math.sqrt(2 / 300), None),
    (init.kaiming_normal_, {"mode": "fan_out", "nonlinearity": "linear"}, math.sqrt(1 / 200), None),
    (init.lecun_uniform_, {}, math.sqrt(1 / 300), math.sqrt(3 / 300)),
    (init.lecun_normal_, {}, math.sqrt(1 / 300), None),
]


def fill(
    function: Callable[..., Any], arguments: dict[str, Any], device: str, shape: tuple[int, int], dtype: str
) -> np.ndarray:
    nnkit.manual_seed(3)
    weight = nn.Parameter(nnkit.empty(shape, device=device, dtype=dtype))
    assert function(weight, **arguments) is weight
    return weight.detach().numpy()


def case_id(value: object) -> str | None:
    return value.__name__ if callable(value) else None


@pytest.mark.parametrize(("function", "arguments", "deviation", "bound"), SPREADS, ids=case_id)
def test_mean_deviation_and_bounds(
    function: Callable[..., Any], arguments: dict[str, Any], deviation: float, bound: float | None, device: str
) -> None:
    values = fill(function, arguments, device, (ROWS, COLUMNS), "float32").astype(np.float64)
    assert abs(values.mean()) < 5 * deviation / math.sqrt(COUNT)
    assert values.std() == pytest.approx(deviation, rel=0.02)
    if bound is not None:
        assert 0.99 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("function", "arguments"), [row[:2] for row in SPREADS] + [(init.orthogonal_, {})], ids=case_id
)
def test_equal_to_the_bit_on_every_device(
    function: Callable[..., Any], arguments: dict[str, Any], dtype: str, device: str
) -> None:
    here, there = (fill(function, arguments, where, (31, 33), dtype) for where in (device, "numpy"))
    assert here.tobytes() == there.tobytes()


def test_draws_differ_and_the_seed_repeats_them(device: str) -> None:
    def two_layers() -> list[list[Any]]:
        return [nn.Linear(3, 2, device=device).weight.tolist() for _ in range(2)]

    nnkit.manual_seed(0)
    first = two_layers()
    assert first[0] != first[1] and two_layers() != first
    nnkit.manual_seed(0)
    assert two_layers() == first


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (init.constant_, (2.5,), [[2.5, 2.5, 2.5], [2.5, 2.5, 2.5]]),
        (init.zeros_, (), [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        (init.ones_, (), [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]),
        (init.eye_, (), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    ],
)
def test_constants(function: Callable[..., Any], arguments: tuple[Any, ...], expected: Any, device: str) -> None:
    weight = nn.Parameter(nnkit.empty(2, 3, device=device))
    assert function(weight, *arguments) is weight
    assert weight.tolist() == expected and weight.requires_grad and weight.is_leaf


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3)])
def test_orthogonal(shape: tuple[int, ...], device: str) -> None:
    weight = init.orthogonal_(nnkit.empty(*shape, device=device, dtype=nnkit.float64), gain=2.0)
    matrix = weight.numpy().reshape(shape[0], -1)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 4.0 * np.eye(len(small)), atol=1e-12)


def test_kernels_count_in_the_fans(device: str) -> None:
    weight = init.kaiming_uniform_(nnkit.empty(64, 8, 5, 5, device=device))
    bound = math.sqrt(6 / (8 * 25))
    assert 0.98 * bound < abs(weight.numpy()).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize(
    ("nonlinearity", "param", "gain"),
    [
        ("linear", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / (1 + 0.01**2))),
        ("leaky_relu", 0.2, math.sqrt(2 / 1.04)),
        ("selu", None, 0.75),
    ],
)
def test_gain(nonlinearity: str, param: float | None, gain: float) -> None:
    assert init.calculate_gain(nonlinearity, param) == pytest.approx(gain, rel=1e-15)


@pytest.mark.parametrize(
    ("function", "arguments", "error", "words"),
    [
        (init.xavier_uniform_, (), ShapeError, "at least 2 dimensions, got shape (3,)"),
        (init.orthogonal_, (), ShapeError, "at least 2 dimensions, got shape (3,)"),
        (init.eye_, (), ShapeError, "got shape (3,)"),
        (init.trunc_normal_, (0.0, 1.0, 2.0, -2.0), ValueError, "a < b"),
        (init.trunc_normal_, (0.0, -1.0), ValueError, "std > 0"),
    ],
    ids=case_id,
)
def test_bad_arguments(
    function: Callable[..., Any], arguments: tuple[Any, ...], error: type[Exception], words: str, device: str
) -> None:
    with pytest.raises(error) as raised:
        function(nnkit.empty(3, device=device), *arguments)
    assert words in str(raised.value)


def test_unknown_names_list_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tanh'"):
        init.calculate_gain("tan")
    with pytest.raises(UnknownNameError, match="'fan_in'"):
        init.kaiming_uniform_(nnkit.empty(2, 2), mode="fanin")


@pytest.mark.parametrize(
    ("shape", "groups", "ones"),
    [
        ((2, 3, 3), 1, [(0, 0, 1), (1, 1, 1)]),
        ((4, 2, 3, 2), 2, [(0, 0, 1, 1), (1, 1, 1, 1), (2, 0, 1, 1), (3, 1, 1, 1)]),
        ((3, 1, 1, 1, 1), 3, [(0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (2, 0, 0, 0, 0)]),
    ],
)
def test_dirac_passes_channels_on(
    shape: tuple[int, ...], groups: int, ones: list[tuple[int, ...]], device: str
) -> None:
    found = init.dirac_(nn.Parameter(nnkit.ones(*shape, device=device)), groups).detach().numpy()
    assert [tuple(map(int, place)) for place in np.argwhere(found == 1.0)] == ones and found.sum() == len(ones)


@pytest.mark.parametrize(("sparsity", "zeros"), [(0.0, 0), (0.1, 1), (0.5, 4), (1.0, 7)])
def test_sparse_columns(sparsity: float, zeros: int, device: str) -> None:
    nnkit.manual_seed(0)
    weight = init.sparse_(nnkit.empty(7, 50, device=device), sparsity, std=2.0).numpy()
    assert ((weight == 0.0).sum(axis=0) == zeros).all()
    if zeros in (1, 4):
        assert len({tuple(column) for column in (weight == 0.0).T}) > 5  # not the same rows in every column
        assert weight[weight != 0.0].std() == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: init.dirac_(nnkit.empty(2, 2)), ShapeError, "3 to 5 dimensions"),
        (lambda: init.dirac_(nnkit.empty(3, 2, 1), 2), ShapeError, "groups=2 does not divide 3 outputs"),
        (lambda: init.sparse_(nnkit.empty(2), 0.5), ShapeError, "sparse_ fills matrices"),
        (lambda: init.sparse_(nnkit.empty(2, 2), 1.5), ValueError, "sparsity must be from 0 to 1, got 1.5"),
    ],
)
def test_refused_fillings(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
