"""Activations by name, function and module; one_hot and normalize.

Values and gradients of every activation are compared with PyTorch's in ``test_torch_values_nn``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras, nn
from nnkit.errors import LabelError, UnknownNameError
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.nn import activations


def features(device: str, rows: int = 5, columns: int = 3) -> nnkit.Tensor:
    return nnkit.tensor(np.linspace(-2.0, 2.0, rows * columns).reshape(rows, columns), nnkit.float32, device)


# ---- activations by name --------------------------------------------------------------------------------------


def test_every_formula_has_a_name_and_a_function(device: str) -> None:
    x = features(device)
    for name, formula in activations.FORMULAS.items():
        expected = nnkit.ops.activation(x, formula)
        assert activations.get(name)(x).tolist() == expected.tolist(), name


def test_every_formula_reaches_keras_s_names_by_itself(device: str) -> None:
    x = features(device)
    for name, formula in ACTIVATIONS.items():
        if name not in keras.activations.__all__:  # there Keras's own defaults hold
            expected = nnkit.ops.activation(x, name).tolist()
            function = keras.activations.get(name)
            assert function(x).tolist() == expected, name
            assert keras.activations.get(keras.activations.serialize(function))(x).tolist() == expected, formula


@pytest.mark.parametrize("name", nn.functional.__all__)
def test_functional_names_stand_in_the_package(name: str) -> None:
    assert callable(getattr(nn.functional, name))


@pytest.mark.parametrize(
    ("function", "module"),
    [
        ("relu", nn.ReLU()),
        ("gelu", nn.GELU()),
        ("silu", nn.SiLU()),
        ("elu", nn.ELU()),
        ("leaky_relu", nn.LeakyReLU()),
        ("selu", nn.SELU()),
        ("mish", nn.Mish()),
        ("sigmoid", nn.Sigmoid()),
        ("tanh", nn.Tanh()),
        ("softplus", nn.Softplus()),
        ("softsign", nn.Softsign()),
        ("hardtanh", nn.Hardtanh()),
        ("relu6", nn.ReLU6()),
        ("hardsigmoid", nn.Hardsigmoid()),
        ("hardswish", nn.Hardswish()),
    ],
)
def test_functions_equal_modules_and_both_equal_the_name(function: str, module: nn.Module, device: str) -> None:
    x = features(device)
    expected = module(x).tolist()
    assert getattr(nn.functional, function)(x).tolist() == expected
    assert activations.get(function)(x).tolist() == expected


def test_functions_and_modules_pass_through_get() -> None:
    module = nn.Tanh()
    assert activations.get(module) is module and activations.get(abs) is abs


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("softmaxx", UnknownNameError, "did you mean 'softmax'"),
        (3, UnknownNameError, "unknown activation 3"),
        (["relu"], UnknownNameError, "unknown activation ['relu']"),
        (None, UnknownNameError, "unknown activation None"),
        (nn.ReLU, TypeError, "write ReLU()"),
    ],
)
def test_unknown_activations(name: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        activations.get(name)
    assert words in str(raised.value)


@pytest.mark.parametrize(("ndim", "dim"), [(1, 0), (2, 1), (3, 0), (4, 1)])
def test_softmax_without_dim_warns_and_takes_pytorchs(ndim: int, dim: int, device: str) -> None:
    x = nnkit.tensor(np.arange(2.0**ndim).reshape((2,) * ndim), device=device)
    with pytest.warns(UserWarning, match=f"takes dim={dim} for {ndim} dimensions: pass dim"):
        found = nn.Softmax()(x)
    assert found.tolist() == nn.functional.softmax(x, dim=dim).tolist()


# ---- one_hot and normalize ------------------------------------------------------------------------------------


def test_one_hot(device: str) -> None:
    labels = nnkit.tensor([[2], [0]], device=device)
    expected = [[[0, 0, 1]], [[1, 0, 0]]]
    assert nn.functional.one_hot(labels).tolist() == expected
    assert nn.functional.one_hot(labels, 4).shape == (2, 1, 4)
    assert nn.functional.one_hot(labels, 3).dtype == nnkit.int64


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([0, 3], 3, "label 3 at index 1 is out of range: one_hot expects 0 to 2"),
        ([0, -1], -1, "label -1 at index 1 is out of range"),
        ([0.0], 2, "expects integer labels, got float32"),
    ],
)
def test_one_hot_refuses_labels_out_of_range(labels: list[Any], classes: int, words: str, device: str) -> None:
    with pytest.raises(LabelError) as raised:
        nn.functional.one_hot(nnkit.tensor(labels, device=device), classes)
    assert words in str(raised.value)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("dim", [0, 1])
def test_normalize_makes_the_norm_one(p: float, dim: int, device: str) -> None:
    x = features(device).double()
    y = nn.functional.normalize(x, p=p, dim=dim).numpy()
    np.testing.assert_allclose(np.linalg.norm(y, p, axis=dim), np.ones(x.shape[1 - dim]), 1e-12)
    zeros = nnkit.zeros(1, 2, device=device, requires_grad=True)
    nn.functional.normalize(zeros, p=p).sum().backward()
    assert np.isfinite(zeros.grad.numpy()).all()
    assert nn.functional.normalize(zeros, p=p).tolist() == [[0.0, 0.0]]
