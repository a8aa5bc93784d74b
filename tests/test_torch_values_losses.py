"""Losses and less common activations, and their gradients, equal PyTorch's; recorded, they are the same to the bit.

The cases and the functions that run them, for either library, are in ``reference/make_torch_values_losses.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from captured import compare, replays
from reference.make_torch_values_losses import (
    ACTIVATIONS,
    CTC,
    DTYPES,
    LOSSES,
    VALUES,
    Case,
    all_values,
    compute,
    compute_ctc,
    inputs,
    tensor,
)

import nnkit
from nnkit.recording.compiled import Recorded

#: The largest difference from PyTorch: relative, and absolute near 0.
TOLERANCE = {"float32": (2e-5, 2e-6), "float64": (1e-10, 1e-12)}


pytest.mark.usefixtures(replays.__name__)


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.fixture(scope="module")
def given(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix("input/"): value for name, value in stored.items() if name.startswith("input/")}


def assert_equal(found: Mapping[str, np.ndarray], stored: Mapping[str, np.ndarray], key: str, dtype: str) -> None:
    relative, absolute = TOLERANCE[dtype]
    for what, value in found.items():
        expected = stored[f"{key}/{what}"]
        assert (value.shape, value.dtype) == (expected.shape, np.dtype(dtype)), what
        np.testing.assert_allclose(value, expected, relative, absolute, err_msg=f"{key} {what}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*ACTIVATIONS, *LOSSES], ids=lambda case: case.name)
def test_module_and_its_gradients(
    case: Case, dtype: str, device: str, given: dict[str, np.ndarray], stored: dict[str, np.ndarray]
) -> None:
    assert_equal(compute(nnkit, case, given, dtype, device), stored, f"{dtype}/{case.name}", dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CTC)
def test_ctc_and_its_gradient(
    name: str, dtype: str, device: str, given: dict[str, np.ndarray], stored: dict[str, np.ndarray]
) -> None:
    assert_equal(compute_ctc(nnkit, name, given, dtype, device), stored, f"{dtype}/ctc {name}", dtype)


@pytest.mark.parametrize("case", [*ACTIVATIONS, *LOSSES], ids=lambda case: case.name)
def test_a_recorded_step_gives_the_same_to_the_bit(
    case: Case, device: str, given: dict[str, np.ndarray], replays: list[Recorded]
) -> None:
    tensors = {name: tensor(nnkit, given[source], "float32", device) for name, source in case.tensors.items()}
    module = getattr(nnkit.nn, case.module)(**case.arguments, **tensors).to(device)
    fixed = [tensor(nnkit, given[name], "float32", device) for name in case.inputs[1:]]

    first = tensor(nnkit, given[case.inputs[0]], "float32", device)

    def step(x: nnkit.Tensor) -> tuple[nnkit.Tensor, nnkit.Tensor | None]:
        x = (x + 0.0).detach().requires_grad_()
        output = module(x, *fixed)
        output.sum().backward()
        return output.detach(), x.grad

    compare(step, *[(first * share,) for share in (1.0, 0.5, 0.25, 1.0)])
    assert len(replays) == 2


def test_recorded_ctc_gives_the_same_to_the_bit(
    device: str, given: dict[str, np.ndarray], replays: list[Recorded]
) -> None:
    frames, texts = (tensor(nnkit, given[name], "float32", device) for name in ("frames", "texts"))
    lengths = [([9, 9, 9], [3, 1, 4]), ([9, 7, 8], [3, 0, 4]), ([5, 8, 9], [1, 1, 4]), ([9, 9, 9], [3, 1, 4])]

    def step(x: nnkit.Tensor, inputs: nnkit.Tensor, counts: nnkit.Tensor) -> tuple[nnkit.Tensor, nnkit.Tensor | None]:
        x = (x + 0.0).detach().requires_grad_()
        loss = nnkit.nn.CTCLoss()(x.log_softmax(-1), texts, inputs, counts)
        loss.backward()
        return loss.detach(), x.grad

    compare(step, *[(frames, *(nnkit.tensor(row, device=device) for row in rows)) for rows in lengths])
    assert len(replays) == 2


def test_stored_values_are_of_the_inputs_in_the_script(given: dict[str, np.ndarray]) -> None:
    assert given.keys() == inputs().keys()


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's own
def test_stored_values_are_what_torch_computes_here(
    given: dict[str, np.ndarray], stored: dict[str, np.ndarray]
) -> None:
    torch = pytest.importorskip("torch")
    live = all_values(torch, given, "cpu")
    assert live.keys() == {name for name in stored if not name.startswith("input/")}
    for name, value in live.items():
        relative, absolute = TOLERANCE[name.partition("/")[0]]
        np.testing.assert_allclose(stored[name], value, relative, absolute, err_msg=name)
