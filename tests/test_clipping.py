"""Clipping of gradients equals PyTorch's, in an arena and outside, and keeps the padding clean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from optim_helpers import assert_close, parameters
from reference import make_torch_values_optim as reference

import nnkit
from nnkit import optim
from nnkit.errors import DivergenceError


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("in_arena", [True, False])
@pytest.mark.parametrize("name", reference.CLIPPINGS)
def test_clipping_is_pytorchs(
    device: str, name: str, in_arena: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_arena:
        make = reference.start

        def start_in_arena(library: Any, dtype: str) -> Any:
            result = make(library, dtype)
            optim.Arena(result[0])
            return result

        monkeypatch.setattr(reference, "start", start_in_arena)
    assert_close(reference.clipped(nnkit, optim, name, dtype), f"clipped {name}", dtype)


def test_clipping_leaves_out_what_has_no_gradient(device: str) -> None:
    p, q = parameters((2,), (2,))
    assert optim.clip_grad_norm_([p, q], 1.0).item() == 0.0
    p.grad = nnkit.tensor([3.0, 4.0])
    assert optim.clip_grad_norm_(iter([p, q, p]), 1.0).item() == 5.0
    np.testing.assert_allclose(p.grad.tolist(), [0.6, 0.8], rtol=1e-6)
    assert q.grad is None
    optim.clip_grad_value_(p, 0.25)
    assert p.grad.tolist() == [0.25, 0.25]


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("place", ["numpy", "numba"])
def test_the_norm_of_a_half_type_is_computed_in_float32(place: str, half: str, order: float) -> None:
    """The square of 300 is beyond float16."""
    p = nnkit.ones(2, dtype=half, device=place, requires_grad=True)
    p.grad = nnkit.tensor([300.0, 400.0], dtype=half, device=place)
    expected = np.linalg.norm([300.0, 400.0], order)
    assert optim.clip_grad_norm_([p], 1.0, order).item() == pytest.approx(expected, rel=2**-8)
    np.testing.assert_allclose(p.grad.tolist(), np.array([300.0, 400.0]) / expected, rtol=2**-8)


def test_a_gradient_without_elements_is_left_out(device: str) -> None:
    empty, full = parameters((0,), (2,))
    empty.grad, full.grad = nnkit.zeros(0), nnkit.tensor([3.0, 4.0])
    assert optim.clip_grad_norm_([empty], 1.0, math.inf).item() == 0.0
    assert optim.clip_grad_norm_([empty, full], 1.0, math.inf).item() == 4.0
    optim.clip_grad_value_([empty, full], 0.25)
    assert full.grad.tolist() == [0.25, 0.25]


def test_a_nan_gradient_makes_gradients_nan_but_not_the_padding(device: str) -> None:
    p, q = ps = parameters((2,), (2,))
    optimizer = optim.SGD(ps)
    p.grad, q.grad = nnkit.tensor([math.nan, 1.0]), nnkit.tensor([1.0, 2.0])
    assert math.isnan(optim.clip_grad_norm_(ps, 1.0).item())
    assert all(math.isnan(value) for value in q.grad.tolist())
    block = optimizer.arena.blocks()[0]
    assert np.isnan(block.backend.to_numpy(block.gradients)).sum() == 4
    with pytest.raises(DivergenceError, match="the norm of the gradients is nan"):
        optim.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)


@pytest.mark.parametrize("clip", [optim.clip_grad_norm_, optim.clip_grad_value_])
def test_an_iterator_with_nothing_left_warns(clip: Any) -> None:
    ps = parameters((2,))
    ps[0].grad = nnkit.tensor([3.0, 4.0])
    used = iter(ps)
    list(used)
    with pytest.warns(UserWarning, match="parameters is an iterator with nothing left"):
        clip(used, 1.0)
    clip([], 1.0)
    assert ps[0].grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("clip", "name"), [(optim.clip_grad_norm_, "max_norm"), (optim.clip_grad_value_, "clip_value")]
)
@pytest.mark.parametrize(("bound", "error"), [(-1.0, ValueError), (math.nan, ValueError), ("1", TypeError)])
def test_a_bound_that_is_none_is_refused(clip: Any, name: str, bound: Any, error: type[Exception]) -> None:
    ps = parameters((2,))
    ps[0].grad = nnkit.tensor([3.0, 4.0])
    with pytest.raises(error, match=f"{name} must be"):
        clip(ps, bound)
    assert ps[0].grad.tolist() == [3.0, 4.0]
