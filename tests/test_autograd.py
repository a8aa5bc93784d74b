"""The tape: what backward does and refuses, where gradients go, and, by random search, indexing and broadcasting."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnkit
from nnkit import Tensor, errors
from nnkit.tensors.results import result
from nnkit.testing import check_gradient
from nnkit.testing.bench import sample


def leaf(*values: float, dtype: Any = None) -> Tensor:
    return nnkit.tensor(list(values), dtype=dtype, requires_grad=True)


def gradient(x: Tensor) -> Any:
    assert x.grad is not None
    return x.grad.tolist()


# ---- where gradients go ---------------------------------------------------------------------------------------------


def test_a_leaf_used_several_times_gets_the_sum(device: str) -> None:
    x = leaf(2.0, 3.0)
    (x * x + x).sum().backward()
    assert gradient(x) == [5.0, 7.0]


def test_a_second_backward_adds_to_grad_and_emptying_it_starts_anew(device: str) -> None:
    x = leaf(1.0, 2.0)
    for expected in ([2.0, 4.0], [4.0, 8.0]):
        (x * x).sum().backward()
        assert gradient(x) == expected
    x.grad = None
    assert x.grad is None
    (x * 3.0).sum().backward()
    assert gradient(x) == [3.0, 3.0]


def test_weights_of_a_linear_layer_are_overwritten_first_and_added_to_afterwards(device: str) -> None:
    """Their gradients are written in place; the same layer twice in one graph adds up too."""
    w, b = nnkit.tensor([[1.0, 2.0]], requires_grad=True), leaf(0.5)
    x = nnkit.tensor([[3.0, 4.0], [5.0, 6.0]])
    for _ in range(2):
        w.grad = b.grad = None
        (nnkit.ops.linear(x, w, b) + nnkit.ops.linear(x * 2, w, b)).sum().backward()
        assert gradient(w) == [[24.0, 30.0]]
        assert gradient(b) == [4.0]
    (w * 1.0).sum().backward()
    assert gradient(w) == [[25.0, 31.0]]


def test_grad_can_be_set_and_is_copied(device: str) -> None:
    x, given = leaf(1.0, 2.0), nnkit.tensor([5.0, 6.0])
    x.grad = given
    x.sum().backward()
    assert gradient(x) == [6.0, 7.0]
    assert given.tolist() == [5.0, 6.0]
    with pytest.raises(errors.ShapeError, match=r"grad: expected shape \(2,\) like the tensor's, got \(3,\)"):
        x.grad = nnkit.zeros(3)


def test_only_what_requires_grad_gets_one(device: str) -> None:
    x, y = leaf(1.0), nnkit.tensor([2.0])
    z = x * y
    z.sum().backward()
    assert gradient(x) == [2.0]
    assert y.grad is None and z.grad is None
    assert x.is_leaf and y.is_leaf and not z.is_leaf
    assert z.requires_grad and not y.requires_grad


def test_a_gradient_seed_weights_the_elements(device: str) -> None:
    x = leaf(1.0, 2.0)
    (x * x).backward(nnkit.tensor([1.0, -1.0]))
    assert gradient(x) == [2.0, -4.0]


def test_a_leaf_is_its_own_root(device: str) -> None:
    x = nnkit.tensor(3.0, requires_grad=True)
    x.backward()
    assert gradient(x) == 1.0


def test_gradients_have_the_type_of_their_leaf(device: str) -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0, dtype="float64")
    (x * y).sum().backward()
    assert x.grad is not None and x.grad.dtype == nnkit.float32 and gradient(x) == [3.0, 4.0]
    assert y.grad is not None and y.grad.dtype == nnkit.float64 and gradient(y) == [1.0, 2.0]


def test_gradients_cross_devices() -> None:
    x = nnkit.tensor([1.0, 2.0], device="numpy", requires_grad=True)
    (x.to("strict") ** 2).to("numba").sum().backward()
    assert gradient(x) == [2.0, 4.0]
    assert str(x.grad.device) == "numpy"  # type: ignore[union-attr]


def test_a_long_chain_neither_overflows_the_stack_nor_leaks(device: str) -> None:
    x = leaf(1.0)
    y = x
    for _ in range(5_000):
        y = y + 1.0
    y.sum().backward()
    assert gradient(x) == [1.0]
    del y
    gc.collect()


# ---- nnkit.grad -----------------------------------------------------------------------------------------------------


def test_grad_returns_gradients_and_touches_none(device: str) -> None:
    x, y, unused = leaf(2.0), leaf(3.0), leaf(4.0)
    x.grad = nnkit.tensor([7.0])
    middle = x * y
    found = nnkit.grad((middle * middle).sum(), [x, middle, unused])
    assert [g.tolist() for g in found] == [[36.0], [12.0], [0.0]]
    assert gradient(x) == [7.0] and y.grad is None and unused.grad is None
    assert not any(g.requires_grad for g in found)
    with pytest.raises(errors.GradientError, match=r"inputs\[1\] does not require grad"):
        nnkit.grad((x * x).sum(), [x, nnkit.tensor([1.0])])


def test_grad_of_a_fused_layer_leaves_the_weights_alone(device: str) -> None:
    w, b = nnkit.tensor([[1.0, 2.0]], requires_grad=True), leaf(0.5)
    out = nnkit.ops.linear(nnkit.tensor([[3.0, 4.0]]), w, b, "relu")
    found = nnkit.grad(out.sum(), [w, b])
    assert [g.tolist() for g in found] == [[[3.0, 4.0]], [1.0]]
    assert w.grad is None and b.grad is None


# ---- what is refused ------------------------------------------------------------------------------------------------


def backward_twice() -> None:
    loss = (leaf(1.0) * 2.0).sum()
    loss.backward()
    loss.backward()


def backward_into_a_freed_part() -> None:
    x = leaf(1.0)
    shared = x * x
    shared.sum().backward()
    (shared * 2.0).sum().backward()


def under_no_grad() -> None:
    with nnkit.no_grad():
        y = leaf(1.0) * 2.0
    y.sum().backward()


def leaf_changed_in_place() -> None:
    x = leaf(1.0)
    x[0] = 2.0


def without_a_rule() -> None:
    x = leaf(1.0)
    out = result("doubled", (x.detach() * 2.0).array, x.backend, (x,), lambda dy, into: (dy,))
    out.backward(create_graph=True)


def unused_input() -> None:
    x = leaf(1.0)
    nnkit.grad(x * x, [x, leaf(2.0)], materialize_grads=False)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "backward twice": (backward_twice, "a second time: its saved values were freed by the first"),
    "a freed part": (backward_into_a_freed_part, "backward through 'mul' a second time"),
    "not a scalar": (lambda: (leaf(1.0, 2.0) * 2.0).backward(), r"of shape \(2,\): expected a scalar; reduce it first"),
    "no grad needed": (lambda: nnkit.zeros(1).backward(), "does not depend on any tensor with requires_grad=True"),
    "under no_grad": (under_no_grad, "or that was computed under no_grad"),
    "an op without a rule": (without_a_rule, "the op 'doubled' has no gradient of its gradient"),
    "an unused input": (unused_input, r"do not depend on inputs\[1\]: pass allow_unused=True"),
    "a leaf in place": (leaf_changed_in_place, "do it under nnkit.no_grad"),
    "requires_grad of a result": (lambda: (leaf(1.0) * 2.0).requires_grad_(False), "can be set on leaves only"),
    "numpy of a leaf": (lambda: leaf(1.0).numpy(), r"use \.detach\(\)\.numpy\(\)"),
    "deepcopy of a result": (lambda: copy.deepcopy(leaf(1.0) * 2.0), r"only leaves can be copied"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_gradient_is_refused(case: str, device: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(errors.GradientError, match=words):
        call()


def test_seeds_of_another_shape_or_device_are_refused() -> None:
    y = nnkit.tensor([1.0, 2.0], device="numpy", requires_grad=True) * 2.0
    with pytest.raises(errors.ShapeError, match=r"gradient: expected shape \(2,\) like the tensor's, got \(3,\)"):
        y.backward(nnkit.zeros(3, device="numpy"))
    with pytest.raises(errors.DeviceError, match="expected all tensors on one device"):
        y.backward(nnkit.zeros(2, device="strict"))


def test_integers_cannot_require_grad(device: str) -> None:
    with pytest.raises(errors.DtypeError, match="requires_grad: expected a float tensor, got int64"):
        nnkit.tensor([1, 2]).requires_grad_()


# ---- modes ----------------------------------------------------------------------------------------------------------


#: Ops, and whether their gradient reads what goes in.
HELD: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "relu": (lambda h: h.relu(), False), "gelu": (nnkit.nn.functional.gelu, True), "tanh": (lambda h: h.tanh(), False),
    "negation": (lambda h: -h, False), "sum of two": (lambda h: h + nnkit.ones(4), False),
    "product of two": (lambda h: h * nnkit.ones(4), True), "product with itself": (lambda h: h * h, True),
    "maximum": (lambda h: nnkit.maximum(h, nnkit.ones(4)), True),
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_the_tape_holds_only_values_that_a_gradient_reads(name: str, device: str) -> None:
    op, reads = HELD[name]
    h = leaf(-2.0, 3.0, 0.5, 1.0) + nnkit.ones(4)
    y, seen = op(h), weakref.ref(h.array)
    del h
    gc.collect()
    assert (seen() is not None) == reads
    y.sum().backward()


def test_retain_graph_allows_another_backward(device: str) -> None:
    x = leaf(3.0)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert gradient(x) == [12.0]


def test_no_grad_and_enable_grad_nest_and_end_with_an_exception(device: str) -> None:
    x = leaf(1.0)
    with nnkit.no_grad():
        assert not (x * 2).requires_grad
        with nnkit.enable_grad():
            assert (x * 2).requires_grad
        assert not nnkit.is_grad_enabled()
    with pytest.raises(KeyError), nnkit.no_grad():
        raise KeyError
    assert nnkit.is_grad_enabled()
    with nnkit.set_grad_enabled(False):
        assert not (x * 2).requires_grad


def test_set_grad_enabled_acts_as_a_call(device: str) -> None:
    x = leaf(1.0)
    try:
        nnkit.set_grad_enabled(False)
        assert not (x * 2).requires_grad
        with nnkit.set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not nnkit.is_grad_enabled()
    finally:
        nnkit.set_grad_enabled(True)
    assert nnkit.is_grad_enabled()


@pytest.mark.parametrize("mode", [nnkit.no_grad, lambda: nnkit.no_grad(), lambda: nnkit.set_grad_enabled(False)])
def test_modes_decorate_functions(mode: Any, device: str) -> None:
    @mode if isinstance(mode, type) else mode()
    def double(x: Tensor) -> Tensor:
        """Twice x."""
        return x * 2

    assert not double(leaf(1.0)).requires_grad
    assert double.__doc__ == "Twice x."
    assert nnkit.is_grad_enabled()


def test_in_place_under_no_grad_changes_a_leaf_and_keeps_it_a_leaf(device: str) -> None:
    x = leaf(1.0, 2.0)
    with nnkit.no_grad():
        x -= 0.5
        x[1] = 7.0
        x.mul_(2.0)
    assert x.tolist() == [1.0, 14.0]
    assert x.is_leaf and x.requires_grad


def test_detach_shares_memory_and_leaves_the_tape(device: str) -> None:
    x = leaf(1.0, 2.0)
    y = x.detach()
    y[0] = 5.0
    assert x.tolist() == [5.0, 2.0]
    assert not y.requires_grad


# ---- random search --------------------------------------------------------------------------------------------------

SEARCH = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


def check_index(shape: tuple[int, ...], index: Any) -> None:
    """Value, gradient and assignment at an index are numpy's."""
    host = sample(shape, "float64")
    x = nnkit.tensor(host, requires_grad=True)
    part = x[index]
    np.testing.assert_array_equal(part.detach().numpy(), host[index])
    weights = sample(part.shape, "float64", seed=1)
    part.backward(nnkit.tensor(weights))
    expected = np.zeros(shape)
    np.add.at(expected, index, weights)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12, atol=1e-12)
    changed = x.detach().clone()
    changed[index] = -5.0
    host[index] = -5.0
    np.testing.assert_array_equal(changed.numpy(), host)


@SEARCH
@given(data=st.data())
def test_basic_indices(data: st.DataObject, device: str) -> None:
    """Whole numbers, slices of any step, ellipsis, new axes."""
    shape = data.draw(SHAPES)
    check_index(shape, data.draw(arrays.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)))


@SEARCH
@given(data=st.data())
def test_indices_of_whole_numbers(data: st.DataObject, device: str) -> None:
    """Arrays of them, also negative and twice the same."""
    shape = data.draw(SHAPES)
    check_index(shape, data.draw(arrays.integer_array_indices(shape, result_shape=arrays.array_shapes(max_dims=2))))


@SEARCH
@given(data=st.data())
def test_boolean_indices(data: st.DataObject, device: str) -> None:
    shape = data.draw(SHAPES)
    rank = data.draw(st.integers(1, len(shape)))
    mask = data.draw(arrays.arrays(np.bool_, shape[:rank]))
    check_index(shape, mask)
    x = nnkit.tensor(sample(shape, "float32"))
    np.testing.assert_array_equal(x[nnkit.tensor(mask)].numpy(), x.numpy()[mask])


@SEARCH
@given(shapes=arrays.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3))
def test_broadcasting(shapes: arrays.BroadcastableShapes, device: str) -> None:
    left, right = (sample(shape, "float64", 0.5, 2, seed) for seed, shape in enumerate(shapes.input_shapes))
    x, y = nnkit.tensor(left, requires_grad=True), nnkit.tensor(right, requires_grad=True)
    out = x / y - x
    np.testing.assert_allclose(out.detach().numpy(), left / right - left, rtol=1e-12)
    assert out.shape == shapes.result_shape
    check_gradient(lambda a, b: a / b - a, x, y)
