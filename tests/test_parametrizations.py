"""``nn.utils.parametrize`` and ``parametrizations``: PyTorch's numbers, what is refused, recorded steps, copies."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from reference.make_torch_values_parametrized import CASES, VALUES, compute

import nnkit
from nnkit import nn
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.nn import utils
from nnkit.nn.utils import parametrizations, parametrize


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.parametrize("case", CASES)
def test_pytorchs_numbers(case: str, device: str, stored: dict[str, np.ndarray]) -> None:
    found = compute(nnkit, case)
    expected = {name.removeprefix(f"{case}/"): value for name, value in stored.items() if name.startswith(f"{case}/")}
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.shape == expected[name].shape
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).T


class Doubled(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2.0

    def right_inverse(self, x: Any) -> Any:
        return x / 2.0


class Reshaped(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.reshape(-1)


def test_modules_compute_one_after_the_other(device: str) -> None:
    layer = nn.Linear(3, 3)
    first, before = layer.weight, layer.weight.detach().clone()
    assert parametrize.register_parametrization(layer, "weight", Doubled()) is layer
    np.testing.assert_allclose(layer.weight.detach().numpy(), before.numpy())
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_allclose(layer.weight.detach().numpy(), before.numpy())
    assert layer.parametrizations.weight.original is first
    np.testing.assert_allclose(first.detach().numpy(), before.numpy() / 4.0)
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert isinstance(layer, nn.Linear) and type(layer).__name__ == "ParametrizedLinear"
    layer.weight = nnkit.ones(3, 3)
    assert first.detach().tolist() == [[0.25] * 3] * 3 and layer.weight.tolist() == [[1.0] * 3] * 3
    layer(nnkit.ones(1, 3)).sum().backward()
    assert first.grad is not None and first.grad.tolist() == [[4.0] * 3] * 3


@pytest.mark.parametrize("leave", [True, False])
def test_removed(leave: bool, device: str) -> None:
    layer = nn.Linear(2, 2)
    first = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "bias", Doubled())
    value, original = layer.weight.tolist(), first.tolist()
    assert parametrize.is_parametrized(layer, "bias")
    parametrize.remove_parametrizations(layer, "bias")
    assert parametrize.is_parametrized(layer) and not parametrize.is_parametrized(layer, "bias")
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=leave)
    assert type(layer) is nn.Linear and layer.weight is first and first.requires_grad
    assert first.tolist() == (value if leave else original) and sorted(layer.state_dict()) == ["bias", "weight"]
    assert not hasattr(layer, "parametrizations") and not parametrize.is_parametrized(layer)


def test_a_buffer(device: str) -> None:
    layer = nn.BatchNorm1d(2)
    parametrize.register_parametrization(layer, "running_var", Doubled())
    assert layer.running_var.tolist() == [1.0, 1.0]
    assert layer.parametrizations.running_var.original.tolist() == [0.5, 0.5]
    parametrize.remove_parametrizations(layer, "running_var")
    assert "running_var" in dict(layer.named_buffers())


def test_copies_are_apart(device: str) -> None:
    layer = parametrizations.weight_norm(nn.Linear(3, 2))
    again = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    with nnkit.no_grad():
        again.parametrizations.weight.original0.fill_(1.0)
    np.testing.assert_allclose(again.weight.norm(dim=1).tolist(), [1.0, 1.0], rtol=1e-6)
    assert again.weight.tolist() != layer.weight.tolist()
    assert parametrize.is_parametrized(again) and not parametrize.is_parametrized(layer)


def test_what_is_refused(device: str) -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="no parameter or buffer 'x'"):
        parametrize.register_parametrization(layer, "x", Doubled())
    with pytest.raises(ValueError, match="it may change neither, unless unsafe=True"):
        parametrize.register_parametrization(layer, "weight", Reshaped())
    assert type(layer) is nn.Linear and layer(nnkit.ones(1, 3)).shape == (1, 2)
    with pytest.raises(ValueError, match="no parametrization of 'weight'"):
        parametrize.remove_parametrizations(layer, "weight")
    parametrizations.weight_norm(layer)
    with pytest.raises(ValueError, match="computed from 2 tensors"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    symmetric = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
    with pytest.raises(NotImplementedError, match="Symmetric has no right_inverse"):
        symmetric.weight = nnkit.ones(2, 2)
    with pytest.raises(ShapeError, match="at least two axes"):
        parametrizations.orthogonal(nn.Linear(2, 2), "bias")
    with pytest.raises(UnknownNameError, match="orthogonal_map"):
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="x")
    with pytest.raises(ValueError, match="n_power_iterations"):
        parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
    with parametrize.cached():
        assert symmetric(nnkit.ones(1, 2)).shape == (1, 2)


KINDS = {
    "weight_norm": {}, "spectral_norm": {}, "orthogonal": {}, "orthogonal, cayley": {"orthogonal_map": "cayley"},
    "orthogonal, householder": {"orthogonal_map": "householder"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_they_train_in_recorded_steps(kind: str, device: str) -> None:
    histories = []
    for recorded in (False, True):
        nnkit.manual_seed(1)
        layer = nn.Linear(3, 3)
        getattr(parametrizations, kind.split(",")[0])(layer, **KINDS[kind])
        optimizer = nnkit.optim.SGD(layer.parameters(), lr=0.1)

        def step(x: nnkit.Tensor) -> nnkit.Tensor:
            optimizer.zero_grad()  # noqa: B023
            loss = (layer(x) - 0.5).square().mean()  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023
            return loss.detach()

        run = nnkit.compile(step, fullgraph=True) if recorded else step
        histories.append([run(nnkit.tensor(np.eye(3, dtype=np.float32))).item() for _ in range(5)])
        if "orthogonal" in kind:
            off = layer.weight.detach() @ layer.weight.detach().T - nnkit.eye(3)
            assert float(off.abs().max()) < 1e-5
    assert histories[0] == histories[1] and histories[0][-1] < histories[0][0]


def test_state_dicts_and_the_older_words(device: str, tmp_path: Any) -> None:
    one, other = (parametrizations.orthogonal(nn.Linear(4, 3)) for _ in range(2))
    nnkit.save(one.state_dict(), tmp_path / "x.pt")
    other.load_state_dict(nnkit.load(tmp_path / "x.pt"))
    assert one.weight.tolist() == other.weight.tolist()
    older = utils.weight_norm(nn.Linear(2, 2))
    assert not parametrize.is_parametrized(older)
