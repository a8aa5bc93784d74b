"""What a tensor is: made from what, converted to what, moved where; operators; memory that is shared or is not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import Tensor, errors

# ---- making ------------------------------------------------------------------------------------------------------

#: What is given, and the values and type of the tensor.
SOURCES: dict[str, tuple[Any, Any, str]] = {
    "float": (1.5, 1.5, "float32"),
    "int": (3, 3, "int64"),
    "bool": (True, True, "bool"),
    "lists": ([[1, 2], [3, 4.5]], [[1.0, 2.0], [3.0, 4.5]], "float32"),
    "empty list": ([], [], "float32"),
    "tuples of bools": (((True, False),), [[True, False]], "bool"),
    "float64 array": (np.array([1.0, 2.0]), [1.0, 2.0], "float64"),
    "float32 scalar": (np.float32(1.5), 1.5, "float32"),
    "uint8 array": (np.array([1, 255], np.uint8), [1, 255], "uint8"),
    "int32 array": (np.array([[1], [2]], np.int32), [[1], [2]], "int32"),
    "strided": (np.arange(6.0)[::-2], [5.0, 3.0, 1.0], "float64"),
    "Fortran order": (np.asfortranarray(np.arange(4).reshape(2, 2)), [[0, 1], [2, 3]], "int64"),
    "byte-swapped": (np.array([1.0, 2.0], ">f4"), [1.0, 2.0], "float32"),
    "no elements": (np.zeros((2, 0)), [[], []], "float64"),
    "list of tensors": ([nnkit.tensor(1.0, device="numpy"), 2.0], [1.0, 2.0], "float32"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_tensor_takes_numbers_lists_and_arrays_and_copies(source: str, device: str) -> None:
    given, values, dtype = SOURCES[source]
    before = given.tobytes() if isinstance(given, np.ndarray) else None
    x = nnkit.tensor(given)
    assert x.tolist() == values
    assert x.dtype == dtype
    assert str(x.device) == device
    assert x.shape == np.shape(values)
    x.fill_(0)
    assert before is None or given.tobytes() == before, "the caller's array is never written"


#: What is given, the error, and its words.
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "strings": (lambda: nnkit.tensor(["a"]), errors.DtypeError, "data: expected numbers, got element type <U1"),
    "None": (lambda: nnkit.tensor(None), errors.DtypeError, "data: expected numbers, got NoneType"),
    "complex": (lambda: nnkit.tensor(1j), errors.DtypeError, "data: expected numbers, got complex"),
    "dates": (lambda: nnkit.tensor(np.array(["2020-01-01"], "M8[D]")), errors.DtypeError, "element type datetime64"),
    "ragged": (lambda: nnkit.tensor([[1, 2], [3]]), errors.ShapeError, "data: expected nested lists of equal lengths"),
    "negative size": (lambda: nnkit.zeros(2, -1), errors.ShapeError, r"expected sizes of 0 or more, got \(2, -1\)"),
    "a float for a size": (lambda: nnkit.zeros(2.5), TypeError, "size: expected whole numbers"),
    "empty range": (lambda: nnkit.randint(3, 3, (2,)), errors.ShapeError, "high: expected more than low = 3, got 3"),
    "float type": (lambda: nnkit.set_default_dtype("int32"), TypeError, "expected a float type"),
    "item": (lambda: nnkit.zeros(2).item(), errors.ShapeError, r"one element, got shape \(2,\)"),
    "bool": (lambda: bool(nnkit.zeros(2)), errors.ShapeError, r"use \.any\(\) or \.all\(\)"),
    "len": (lambda: len(nnkit.tensor(1.0)), TypeError, "without axes"),
    "index by float": (lambda: [1, 2][nnkit.tensor(1.0)], TypeError, "only integer tensors can be used as an index"),
    "grow in place": (lambda: nnkit.zeros(1).add_(nnkit.zeros(3)), errors.ShapeError, "cannot be repeated to"),
    "out of range": (lambda: nnkit.zeros(2)[2], IndexError, r"does not fit a tensor of shape \(2,\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(case: str, device: str) -> None:
    call, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        call()


CREATION: dict[str, tuple[Callable[[], Tensor], Any, str]] = {
    "zeros": (lambda: nnkit.zeros(2, 2), [[0.0, 0.0], [0.0, 0.0]], "float32"),
    "zeros of a tuple": (lambda: nnkit.zeros((1, 2)), [[0.0, 0.0]], "float32"),
    "zeros of a shape": (lambda: nnkit.zeros(nnkit.ones(3).shape, dtype=nnkit.int32), [0, 0, 0], "int32"),
    "ones": (lambda: nnkit.ones(2, dtype="float64"), [1.0, 1.0], "float64"),
    "full": (lambda: nnkit.full((2,), 2.5), [2.5, 2.5], "float32"),
    "full of ints": (lambda: nnkit.full((2,), 7), [7, 7], "int64"),
    "full of large ints": (lambda: nnkit.full((2,), 2**60 + 1), [2**60 + 1] * 2, "int64"),
    "full of bools": (lambda: nnkit.full((1,), True), [True], "bool"),
    "arange": (lambda: nnkit.arange(3), [0, 1, 2], "int64"),
    "arange with steps": (lambda: nnkit.arange(1.0, 0.0, -0.5), [1.0, 0.5], "float32"),
    "linspace": (lambda: nnkit.linspace(0, 1, 3), [0.0, 0.5, 1.0], "float32"),
    "eye": (lambda: nnkit.eye(2, 3), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "float32"),
    "zeros_like": (lambda: nnkit.zeros_like(nnkit.tensor([1, 2])), [0, 0], "int64"),
    "ones_like": (lambda: nnkit.ones_like(nnkit.tensor([1, 2]), dtype=nnkit.float64), [1.0, 1.0], "float64"),
    "full_like": (lambda: nnkit.full_like(nnkit.zeros(2), 3), [3.0, 3.0], "float32"),
    "empty_like": (lambda: nnkit.empty_like(nnkit.zeros(2, 0)), [[], []], "float32"),
    "from_numpy": (lambda: nnkit.from_numpy(np.array([1, 2])), [1, 2], "int64"),
}


@pytest.mark.parametrize("name", CREATION)
def test_creation(name: str, device: str) -> None:
    make, values, dtype = CREATION[name]
    x = make()
    assert x.tolist() == values
    assert x.dtype == dtype
    assert str(x.device) == device


def test_creation_takes_device_and_requires_grad() -> None:
    for make in (nnkit.zeros, nnkit.ones, nnkit.empty, nnkit.rand, nnkit.randn):
        x = make(2, 3, device="strict", dtype="float64", requires_grad=True)
        assert (str(x.device), x.dtype, x.shape, x.requires_grad) == ("strict", nnkit.float64, (2, 3), True)


def test_the_default_type_is_that_of_python_floats(device: str) -> None:
    nnkit.set_default_dtype(nnkit.float64)
    try:
        assert nnkit.tensor(1.5).dtype == nnkit.zeros(1).dtype == (nnkit.tensor([1]) / 2).dtype == nnkit.float64
        assert nnkit.tensor(np.float32(1.5)).dtype == nnkit.float32
    finally:
        nnkit.set_default_dtype(nnkit.float32)


def test_as_tensor_gives_a_fitting_tensor_back_and_tensor_copies_it(device: str) -> None:
    x = nnkit.zeros(2)
    assert nnkit.as_tensor(x) is x
    assert x.to(device) is x and x.to(nnkit.float32) is x and x.float() is x
    y = nnkit.tensor(x)
    y += 1
    assert x.tolist() == [0.0, 0.0]


# ---- to Python and numpy --------------------------------------------------------------------------------------------


def test_conversion_to_python_numbers(device: str) -> None:
    x = nnkit.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x), x.tolist()) == (2.5, 2.5, 2, True, [[2.5]])
    assert type(nnkit.tensor(3).item()) is int and type(nnkit.tensor(True).item()) is bool
    assert [10, 20, 30][nnkit.tensor(1)] == 20
    assert f"{nnkit.tensor(2.0):.3f}" == "2.000"


def test_sizes(device: str) -> None:
    x = nnkit.zeros(2, 3)
    assert (x.shape, x.size(), x.size(1), x.size(-1), x.ndim, x.dim(), x.numel(), len(x)) == (
        (2, 3), (2, 3), 3, 3, 2, 2, 6, 2,
    )  # fmt: skip
    assert [row.tolist() for row in nnkit.tensor([[1], [2]])] == [[1], [2]]
    a, b = nnkit.tensor([1, 2])
    assert (a.item(), b.item()) == (1, 2)


def test_numpy_reads_tensors(device: str) -> None:
    x = nnkit.tensor([1.0, 2.0], requires_grad=True)
    np.testing.assert_array_equal(np.asarray(x), np.array([1.0, 2.0], np.float32), strict=True)
    np.testing.assert_array_equal(np.asarray(x, dtype=np.float64), np.array([1.0, 2.0]), strict=True)
    own = np.array(x)
    own[0] = 9
    assert x.tolist() == [1.0, 2.0]
    assert np.hypot(x, 0).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_numpy_of_a_cpu_tensor_shares_memory(name: str) -> None:
    x = nnkit.zeros(2, device=name)
    x.numpy()[0] = 5.0
    assert x.tolist() == [5.0, 0.0]


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_dlpack_shares_memory_with_other_libraries(name: str) -> None:
    x = nnkit.tensor([1.0, 2.0], device=name)
    array = np.from_dlpack(x)
    array[0] = 5.0
    assert x.tolist() == [5.0, 2.0]
    again = nnkit.from_dlpack(np.array([3, 4]), device=name)
    assert (again.tolist(), again.dtype, str(again.device)) == ([3, 4], nnkit.int64, name)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_memory_that_its_owner_made_read_only_is_never_written(name: str) -> None:
    host = np.arange(3.0)
    host.flags.writeable = False
    for change in (lambda x: x.fill_(5), lambda x: x.add_(1), lambda x: x.__setitem__(0, 7.0)):
        with pytest.raises(ValueError, match="read-only"):
            change(nnkit.from_dlpack(host, device=name))
    assert host.tolist() == [0.0, 1.0, 2.0]


REPRS: dict[str, Callable[[], Tensor]] = {
    "tensor([1.5, 2. ])": lambda: nnkit.tensor([1.5, 2.0]),
    "tensor(1)": lambda: nnkit.tensor(1),
    "tensor([ True, False])": lambda: nnkit.tensor([True, False]),
    "tensor([1.], dtype=float64)": lambda: nnkit.tensor([1.0], dtype="float64"),
    "tensor([0.], requires_grad=True)": lambda: nnkit.zeros(1, requires_grad=True),
    "tensor([1.], grad_fn=<ExpBackward>)": lambda: nnkit.zeros(1, requires_grad=True).exp(),
    "Parameter containing:\ntensor([0.], requires_grad=True)": lambda: nnkit.Parameter(nnkit.zeros(1)),
}


@pytest.mark.parametrize("text", REPRS)
def test_repr(text: str, device: str) -> None:
    assert repr(REPRS[text]()) == text
    assert f"{REPRS[text]()}" == text


# ---- operators with numbers and numpy arrays on either side -------------------------------------------------------

A = np.array([1.0, 2.0, 4.0], np.float32)
OTHERS: dict[str, Any] = {
    "float": 2.0, "int": 2, "numpy float": np.float64(2.0), "numpy int": np.int64(2), "array": A[::-1].copy(),
    "integer array": np.array([1, 2, 3]), "matrix": np.ones((2, 3), np.float32), "0-d array": np.array(3.0, np.float32),
    "list": [3.0, 2.0, 1.0],
}  # fmt: skip
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "**": lambda a, b: a**b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


#: Every operator with a number and an array; every kind of operand with two operators.
PAIRS = [(o, x) for o in OPERATORS for x in OTHERS if x in ("float", "array") or o in ("+", "<")]


@pytest.mark.parametrize(("operator", "other"), PAIRS)
def test_operators_take_numbers_and_arrays_on_both_sides(operator: str, other: str, device: str) -> None:
    compute, y, x = OPERATORS[operator], OTHERS[other], nnkit.tensor(A)
    for left, right, expected in (
        (x, y, compute(A, np.asarray(y, np.float32))),
        (y, x, compute(np.asarray(y, np.float32), A)),
    ):
        result = compute(left, right)
        assert isinstance(result, Tensor)
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)


def test_matrix_products_with_arrays(device: str) -> None:
    m: Any = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    assert isinstance(m @ nnkit.tensor(A), Tensor)
    np.testing.assert_allclose((m @ nnkit.tensor(A)).numpy(), m @ A)
    np.testing.assert_allclose((nnkit.tensor(m) @ A).numpy(), m @ A)


def test_tensors_are_hashed_by_identity_and_differ_from_none(device: str) -> None:
    x, y = nnkit.zeros(1), nnkit.zeros(1)
    assert len({x, y, x}) == 2
    assert (x == None) is False and (x != None) is True  # noqa: E711


# ---- in place -----------------------------------------------------------------------------------------------------

IN_PLACE: dict[str, tuple[Callable[[Tensor], Any], list[float]]] = {
    "add_": (lambda x: x.add_(nnkit.tensor([1.0, 1.0]), alpha=2), [3.0, 6.0]),
    "sub_": (lambda x: x.sub_(1.0), [0.0, 3.0]),
    "mul_": (lambda x: x.mul_(3), [3.0, 12.0]),
    "div_": (lambda x: x.div_(nnkit.tensor([2.0, 4.0])), [0.5, 1.0]),
    "zero_": (lambda x: x.zero_(), [0.0, 0.0]),
    "fill_": (lambda x: x.fill_(7), [7.0, 7.0]),
    "clamp_": (lambda x: x.clamp_(2.0, 3.0), [2.0, 3.0]),
    "copy_": (lambda x: x.copy_(nnkit.tensor(5)), [5.0, 5.0]),
    "copy_ from another device": (lambda x: x.copy_(nnkit.tensor([8, 9], device="numpy")), [8.0, 9.0]),
    "+=": (lambda x: x.__iadd__(1), [2.0, 5.0]),
    "-=": (lambda x: x.__isub__(np.array([1.0, 2.0])), [0.0, 2.0]),
    "*=": (lambda x: x.__imul__(0.5), [0.5, 2.0]),
    "/=": (lambda x: x.__itruediv__(4), [0.25, 1.0]),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_methods_write_into_the_same_memory(name: str, device: str) -> None:
    change, expected = IN_PLACE[name]
    x = nnkit.tensor([1.0, 4.0])
    view = x.detach()
    assert change(x) is x
    assert view.tolist() == expected
    assert x.dtype == nnkit.float32


#: Assignments to arange(12).reshape(3, 4), on numpy arrays and tensors alike.
ASSIGNMENTS: dict[str, tuple[Any, Any]] = {
    "row": (1, 5.0),
    "element": ((2, -1), -1),
    "slice": ((slice(None), slice(1, 3)), np.array([[7.0], [8.0], [9.0]])),
    "steps": ((Ellipsis, slice(None, None, -2)), [1.0, 2.0]),
    "new axis": ((None, 0), 3.0),
    "positions": ([0, 2], np.zeros((2, 4))),
    "pairs": (([0, 1], [1, 1]), [50.0, 60.0]),
    "mask": (np.arange(12).reshape(3, 4) % 2 == 0, 0.5),
    "everything": (Ellipsis, np.ones(4)),
    "nothing": (slice(3, 3), 5.0),
    "overlapping rows": (slice(1, 3), "x[:2]"),
}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_assignment_is_that_of_numpy(name: str, device: str) -> None:
    index, value = ASSIGNMENTS[name]
    host = np.arange(12.0).reshape(3, 4)
    x = nnkit.tensor(host)
    x[index] = x[:2] if isinstance(value, str) else value
    host[index] = host[:2].copy() if isinstance(value, str) else value
    np.testing.assert_array_equal(x.numpy(), host)


def test_overlapping_copies_read_before_they_write(device: str) -> None:
    x = nnkit.arange(4)
    x[1:].copy_(x[:-1])
    assert x.tolist() == [0, 0, 1, 2]


# ---- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["x[1]", "x[:, 1:]", "x.T", "x.reshape(6)", "x.detach()", "x.data", "x[None]"])
def test_views_share_memory(view: str, device: str) -> None:
    x = nnkit.zeros(2, 3)
    eval(view, {"x": x}).fill_(5.0)
    assert (x == 5.0).any().item()


@pytest.mark.parametrize(
    "copied", ["x.clone()", "x[[0, 1]]", "x + 0", "nnkit.tensor(x)", "x.double()", "x.to('cpu') * 1"]
)
def test_copies_do_not(copied: str, device: str) -> None:
    x = nnkit.zeros(2, 3)
    eval(copied, {"x": x, "nnkit": nnkit}).fill_(5.0)
    assert not (x == 5.0).any().item()


def test_data_can_be_replaced(device: str) -> None:
    x = nnkit.Parameter(nnkit.zeros(2))
    x.data = nnkit.tensor([1.0, 2.0])
    assert x.tolist() == [1.0, 2.0] and x.requires_grad


@pytest.mark.parametrize("kind", [nnkit.tensor, nnkit.Parameter])
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copying_and_pickling_keep_values_type_device_and_kind(how: str, kind: Any, device: str) -> None:
    x = kind(nnkit.tensor([1.0, 2.0], dtype="float64"))
    y = copy.deepcopy(x) if how == "deepcopy" else pickle.loads(pickle.dumps(x))
    assert type(y) is type(x)
    assert (y.tolist(), y.dtype, str(y.device), y.requires_grad) == ([1.0, 2.0], x.dtype, device, x.requires_grad)
    y.detach().fill_(0)
    assert x.tolist() == [1.0, 2.0]


def test_deepcopy_of_a_list_keeps_sharing(device: str) -> None:
    x = nnkit.zeros(1)
    a, b = copy.deepcopy([x, x])
    assert a is b and a is not x


# ---- moves ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["numpy", "numba", "strict"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_moves_between_devices_keep_values_and_type(there: str, dtype: str, device: str) -> None:
    x = nnkit.tensor([0, 1, 1], dtype=dtype)
    y = x.to(there)
    assert (y.tolist(), y.dtype, str(y.device)) == (x.tolist(), x.dtype, there)
    assert y.to(device).tolist() == x.tolist()
    assert x.to(y).device == y.device
    assert (y is x) == (there == device)


TYPES: dict[str, tuple[Callable[[Tensor], Tensor], str, Any]] = {
    "float": (lambda x: x.float(), "float32", [0.0, 2.5]),
    "double": (lambda x: x.double(), "float64", [0.0, 2.5]),
    "long": (lambda x: x.long(), "int64", [0, 2]),
    "int": (lambda x: x.int(), "int32", [0, 2]),
    "bool": (lambda x: x.bool(), "bool", [False, True]),
    "to name": (lambda x: x.to("int16"), "int16", [0, 2]),
    "to dtype": (lambda x: x.to(nnkit.uint8), "uint8", [0, 2]),
    "to both": (lambda x: x.to("numpy", nnkit.float64), "float64", [0.0, 2.5]),
    "type_as": (lambda x: x.type_as(nnkit.tensor([1])), "int64", [0, 2]),
}


@pytest.mark.parametrize("name", TYPES)
def test_moves_between_types(name: str, device: str) -> None:
    convert, dtype, values = TYPES[name]
    x = nnkit.tensor([0.0, 2.5], dtype="float64" if name in ("double", "to both") else "float32")
    y = convert(x)
    assert y.dtype == dtype
    assert y.tolist() == values


def test_the_default_device_can_be_set() -> None:
    nnkit.set_default_device("strict")
    try:
        assert str(nnkit.zeros(1).device) == str(nnkit.get_default_device()) == "strict"
        assert nnkit.zeros(1).cpu().device.type == "cpu"
    finally:
        nnkit.set_default_device("cpu")
    with pytest.raises(ValueError, match="unknown device 'strickt'"):
        nnkit.set_default_device("strickt")
