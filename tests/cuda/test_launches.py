"""Which work a primitive's arguments lead to: the kernels and their grids, or the reason why there are none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import stand_in

from nnkit import backends
from nnkit.backends import Backend
from nnkit.backends.errors import DeviceFault
from nnkit.backends.windows import Window


def arrays(*shapes: tuple[int, ...], dtype: Any = np.float32) -> list[Any]:
    return [backends.get("cuda").zeros(shape, dtype) for shape in shapes]


def one(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    return arrays(shape, dtype=dtype)[0]


def at_odd_place(shape: tuple[int, ...]) -> Any:
    """A contiguous array that begins four bytes behind the start of its memory."""
    return one((int(np.prod(shape)) + 1,))[1:].reshape(shape)


def elementwise() -> Any:
    from nnkit.backends.cuda import elementwise

    return elementwise


def launches() -> Any:
    from nnkit.backends.cuda import launches

    return launches


def moves() -> Any:
    from nnkit.backends.cuda import moves

    return moves


def products() -> Any:
    from nnkit.backends.cuda import products

    return products


def convolution() -> Any:
    from nnkit.backends.cuda import convolution

    return convolution


def images() -> Any:
    from nnkit.backends.cuda import images

    return images


def turned(shape: tuple[int, ...]) -> Any:
    """An array of images whose channels lie last in memory."""
    B, C, *sizes = shape
    return one((B, *sizes, C)).transpose(0, len(sizes) + 1, *range(1, len(sizes) + 1))


def window(kernel: tuple[int, ...], stride: int = 1) -> Window:
    axes = len(kernel)
    return Window(kernel, (stride,) * axes, ((0, 0),) * axes, (1,) * axes)


def conv(
    x: tuple[int, ...], w: tuple[int, ...], b: tuple[int, ...] | None = None, activation: str = "identity",
    last: bool = False,
) -> Any:  # fmt: skip
    make, taps = turned if last else one, window(w[2:])
    out = make((x[0], w[0], *taps.places(x[2:])))
    bias = None if b is None else one(b)
    return convolution().conv(make(x), one(w), bias, taps, 1, activation, None, out)


def pool(x: Any, out: Any) -> Any:
    return images().sum_pool(x, window((2, 2), 2), 0.25, out)


def attention() -> Any:
    from nnkit.backends.cuda import attention

    return attention


def recurrent() -> Any:
    from nnkit.backends.cuda import recurrent

    return recurrent


def normalization() -> Any:
    from nnkit.backends.cuda import normalization

    return normalization


def normalized(shape: tuple[int, int, int], groups: int) -> Any:
    statistics = one(shape[1:2] if groups == 0 else (shape[0], groups))
    return normalization().normalize(
        one(shape), None, one(shape[1:2]), groups, 1e-5, True, statistics, statistics, one(shape)
    )


LARGE, SMALL = (1 << 14,), (33,)
INT, HALF, BOOL = np.int64, np.float16, np.bool_

#: Name -> the call, and the name of the work with its grid, or the reason.
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "small map": (lambda: elementwise().map("relu", arrays(SMALL), arrays(SMALL)), "map_relu_float32_to_float32_f 1"),
    "large map": (
        lambda: elementwise().map("relu", arrays(LARGE), arrays(LARGE)),
        "map_relu_float32_to_float32_f_wide 16",
    ),
    "large map at an odd place": (
        lambda: elementwise().map("relu", [at_odd_place(LARGE)], arrays(LARGE)),
        "map_relu_float32_to_float32_f 64",
    ),
    "a row repeated": (
        lambda: elementwise().map("add", arrays((128, 128), (128,)), arrays((128, 128))),
        "map_add_float32_float32_to_float32_fr_wide 16",
    ),
    "a row that is no multiple of four": (
        lambda: elementwise().map("add", arrays((128, 129), (129,)), arrays((128, 129))),
        "map_add_float32_float32_to_float32_fr 65",
    ),
    "a number and one on the device": (
        lambda: elementwise().map("clamp", arrays(SMALL), arrays(SMALL), (0.5, one((1,), np.float64))),
        "map_clamp_float32_to_float32_fvd 1",
    ),
    "two types": (
        lambda: elementwise().map("add", [one(SMALL), one(SMALL, HALF)], arrays(SMALL)),
        "map_add_float32_float16_to_float32_ff 1",
    ),
    "unless": (
        lambda: elementwise().map_unless(one((1,), np.float64), "relu", arrays(SMALL), arrays(SMALL)),
        "map_relu_float32_to_float32_f_flagged 1",
    ),
    "whole numbers in a formula of floats": (
        lambda: elementwise().map("relu", [one(SMALL, INT)], [one(SMALL, INT)]), "element types int64"
    ),
    "a strided input": (
        lambda: elementwise().map("relu", [one((66,))[::2]], arrays(SMALL)),
        "copy_strided_4_1 1 + map_relu_float32_to_float32_f 1",
    ),
    "a strided output": (
        lambda: elementwise().map("relu", arrays(SMALL), [one((66,))[::2]]),
        "map_relu_float32_to_float32_f 1 + copy_strided_4_1 1",
    ),
    "a row and a column": (
        lambda: elementwise().map("add", arrays((3, 1, 4), (5, 1)), [one((3, 5, 4))]),
        "copy_strided_4_3 1 + copy_strided_4_3 1 + map_add_float32_float32_to_float32_ff 1",
    ),
    "a column that comes again": (
        lambda: elementwise().map("add", arrays((2, 3, 4, 4), (3, 1, 1)), [one((2, 3, 4, 4))]),
        "map_add_float32_float32_to_float32_fm 1",
    ),
    "a large column that comes again, of two axes": (
        lambda: elementwise().map("add", arrays((16, 4, 8, 32), (1, 4, 8, 1)), [one((16, 4, 8, 32))]),
        "map_add_float32_float32_to_float32_fm_wide 16",
    ),
    "two columns of two lengths": (
        lambda: elementwise().map("add", arrays((3, 1, 1), (5, 1)), [one((2, 3, 5, 4))]),
        "copy_strided_4_3 1 + copy_strided_4_3 1 + map_add_float32_float32_to_float32_ff 1",
    ),
    "an unknown type": (
        lambda: elementwise().map("add", [one(SMALL, np.int16)] * 2, [one(SMALL, np.int16)]), "element types int16"
    ),
    "a float32 scalar": (
        lambda: elementwise().map("scale", arrays(SMALL), arrays(SMALL), [one((1,))]), "a scalar is not one float64"
    ),
    "fill": (lambda: moves().fill(2, one(SMALL)), "fill_float32 1"),
    "large fill": (lambda: moves().fill(2, one(LARGE)), "fill_float32_wide 16"),
    "large fill at an odd place": (lambda: moves().fill(2, at_odd_place(LARGE)), "fill_float32 64"),
    "copy": (lambda: moves().copy(one(SMALL), one(SMALL)), "map_identity_float32_to_float32_f 1"),
    "large copy": (lambda: moves().copy(one(LARGE), one(LARGE)), "copy of memory"),
    "copy of any type": (lambda: moves().copy(one(SMALL, np.int16), one(SMALL, np.int16)), "copy of memory"),
    "copy of a column": (lambda: moves().copy(one((33, 3))[:, 1:2], one((33, 1))), "copy_rows_word 1"),
    "copy into columns": (lambda: moves().copy(one((33, 8)), one((33, 24))[:, 8:16]), "copy_rows_quad 1"),
    "copy from rows into rows": (
        lambda: moves().copy(one((2, 9, 5), BOOL)[:, 2:4], one((2, 4, 5), BOOL)[:, :2]), "copy_rows_byte 1"
    ),
    "copy of rows of two lengths": (
        lambda: moves().copy(one((4, 6, 2))[:, :2], one((4, 2, 3))[..., :2]), "copy_strided_4_3 1"
    ),
    "copy of what is turned": (lambda: moves().copy(one((3, 4)).T, one((4, 3))), "copy_strided_4_2 1"),
    "copy from behind": (lambda: moves().copy(one((3, 4))[::-1], one((3, 4))), "copy_strided_4_2 1"),
    "copy to booleans": (lambda: moves().copy(one(SMALL), one(SMALL, BOOL)), "a conversion to booleans"),
    "copy of a transpose": (lambda: moves().copy(one((5, 7)).T, one((7, 5))[::-1]), "copy_strided_4_2 1"),
    "copy into another type, strided": (
        lambda: moves().copy(one((33, 1)), one((33, 2), np.float64)[:, 1:]),
        "map_identity_float32_to_float64_f 1 + copy_strided_8_1 1",
    ),
    "copy into itself": (lambda: (lambda x: moves().copy(x[1:], x[:-1]))(one(SMALL)), "the arrays overlap"),
    "rows of bytes": (
        lambda: moves().take_rows(one((5, 3), np.uint8), one((2,), INT), one((2, 3), np.uint8)), "take_rows_byte 1"
    ),
    "rows of words": (
        lambda: moves().take_rows(one((5, 3)), one((2,), INT), one((2, 3))), "take_rows_word 1"
    ),
    "rows of quads": (
        lambda: moves().take_batch(one((5, 784)), one((128,), INT), one((1,), INT), one((128, 784))),
        "take_batch_quad 98",
    ),
    "rows by short numbers": (
        lambda: moves().take_rows(one((5, 3)), one((2,), np.int32), one((2, 3))),
        "row numbers that are not contiguous int64",
    ),
    "a long sum": (
        lambda: launches().reduce("sum", one((1 << 17,)), (0,), one(())),
        "sum_long_rows_float32_float32 8 + sum_rows8_float32_float32 1",
    ),
    "axes that are no neighbours": (
        lambda: launches().reduce("sum", one((2, 3, 4)), (0, 2), one((3,))),
        "copy_strided_4_3 1 + sum_rows8_float32_float32 1",
    ),
    "labels of int32": (
        lambda: launches().cross_entropy(one((4, 3)), one((4,), np.int32), None, one((4,)), one((4, 3))),
        "labels that are not int64",
    ),
    "a gradient over its logits": (
        lambda: (lambda z: launches().cross_entropy(z, one((4,), INT), None, one((4,)), z))(one((4, 3))),
        "the gradient overwrites the logits",
    ),
    "a layer in one": (
        lambda: products().linear(*arrays((4, 3), (5, 3), (5,)), "identity", None, one((4, 5))), "cuBLASLt"
    ),
    "a layer with its activation behind": (
        lambda: products().linear(*arrays((4, 3), (5, 3), (5,)), "sigmoid", None, one((4, 5))),
        "cuBLASLt + linear_sigmoid",
    ),
    "whole matrices": (
        lambda: products().matmul(*[one((3, 3), INT) for _ in range(3)]),
        "cuBLASLt has no product of int64 and int64 into int64",
    ),
    "a convolution": (lambda: conv((2, 3, 8, 8), (4, 3, 3, 3)), "patches_4_2 1 + cuBLASLt"),
    "a convolution by single places": (lambda: conv((2, 3, 8, 8), (4, 3, 1, 1)), "cuBLASLt"),
    "a convolution's bias and activation": (
        lambda: conv((2, 3, 8, 8), (4, 3, 1, 1), (4,), "relu"), "cuBLASLt + conv_relu_float32_4_float32 1"
    ),
    "a convolution whose channels lie last": (
        lambda: conv((2, 3, 8, 8), (4, 3, 1, 1), (4,), "relu", last=True), "cuBLASLt + linear_relu"
    ),
    "a pool": (lambda: pool(one((2, 3, 8, 8)), one((2, 3, 4, 4))), "sum_pool_float32_2 1"),
    "a pool of what lies anyhow": (
        lambda: pool(one((2, 3, 8, 16))[..., ::2], turned((2, 3, 4, 4))), "sum_pool_float32_2_last 1"
    ),
    "a pool of what runs backwards": (
        lambda: pool(one((2, 3, 8, 8))[::-1], one((2, 3, 4, 4))), "copy_strided_4_2 2 + sum_pool_float32_2 1"
    ),
    "a pool of whole numbers": (
        lambda: pool(one((2, 3, 8, 8), INT), one((2, 3, 4, 4), INT)), "element types int64"
    ),
    "channels of many places": (
        lambda: normalized((2, 3, 64), 0),
        "normalize_moments_rows16_float32_float32 1 + normalize_fold1_float32_float32 1 + "
        "normalize_by_4_float32_none_float32_float32 1",
    ),
    "channels of one place": (
        lambda: normalized((300, 40, 1), 0),
        "normalize_moments_columns32_float32_float32 8 + normalize_fold1_float32_float32 1 + "
        "normalize_by_1_float32_none_float32_float32 47",
    ),
    "rows": (lambda: normalized((4, 300, 1), 1), "normalize_rows256_float32_none_float32_float32 4"),
}  # fmt: skip


def told(work: Any) -> str:
    """Work in words: its name, and the grid of each kernel."""
    if isinstance(work, str):
        return work
    parts = [getattr(part, "launch", part) for part in getattr(work, "parts", (work,))]
    return " + ".join(f"{part.name} {part.grid}" if hasattr(part, "grid") else part.name for part in parts)


@pytest.mark.parametrize("name", CASES)
def test_what_is_launched(name: str, device: str) -> None:
    call, expected = CASES[name]
    assert told(call()) == expected or (expected.startswith("cuBLASLt +") and told(call()).startswith(expected))


#: What is kept of a call depends on layouts alone: another call with the same may have arrays elsewhere.
ELSEWHERE: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "map": lambda make: elementwise().map("relu", [make(LARGE)], [make(LARGE)]),
    "copy of columns": lambda make: moves().copy(make((33, 8))[:, :4], make((33, 12))[:, 4:8]),
    "rows": lambda make: moves().take_rows(make((5, 4)), one((2,), INT), make((2, 4))),
    "linear": lambda make: products().linear(
        make((1024, 8)), make((1024, 8)), make((1024,)), "gelu", make((1024, 1024)), make((1024, 1024))
    ),
    "linear_grad": lambda make: products().linear_grad(
        make((1024, 8)), make((1024, 8)), *(make((1024, 1024)) for _ in range(2)), "gelu", make((1024, 1024)), None,
        make((1024, 8)), make((1024,)), (False, True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_kept_does_not_depend_on_where_arrays_begin(name: str, device: str) -> None:
    first, odd, again = (told(ELSEWHERE[name](make)) for make in (one, at_odd_place, one))
    assert first == again != odd


@pytest.mark.parametrize("way", ["in order", "turned", "strided", "reversed", "repeated", "empty"])
def test_arrays_are_told_apart(way: str, device: str) -> None:
    """As NumPy has it; neighbours in one memory, row by row and in between."""
    from nnkit.backends.cuda.arrays import apart
    from nnkit.backends.pool import shadow

    ways: dict[str, Callable[[Any], Any]] = {
        "in order": lambda x: x, "turned": lambda x: x.T, "strided": lambda x: x[:, ::2], "reversed": lambda x: x[::-1],
        "repeated": lambda x: backends.get("cuda").broadcast_to(x[:1], x.shape), "empty": lambda x: x[:, :0],
    }  # fmt: skip
    whole = one((8, 6))
    parts = [ways[way](whole[i : i + 4]) for i in range(5)] + [whole[:, 1::2], whole[3:5].T, whole[7:]]
    for x in parts:
        for y in parts:
            assert apart(x, y) is not np.shares_memory(shadow(x), shadow(y))


def test_launches_have_the_signature_of_their_primitive(device: str) -> None:
    from nnkit.backends.cuda.preparing import PREPARED

    assert {"map", "linear", "linear_grad", "conv", "cross_entropy", "dropout", "attention"} <= PREPARED.keys()
    for name, launch in PREPARED.items():
        names = [p for p in inspect.signature(getattr(Backend, name)).parameters if p != "self"]
        assert list(inspect.signature(launch).parameters) == names, name


def test_a_decision_is_made_once(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = arrays((5, 5), (5, 5))
    decided: list[str] = []
    choose = elementwise()._choose
    monkeypatch.setattr(elementwise(), "_choices", {})
    monkeypatch.setattr(elementwise(), "_choose", lambda *args: decided.append(args[1]) or choose(*args))
    for _ in range(3):
        elementwise().map("relu", (x,), (y,))
        elementwise().map("relu", (x.T,), (y,))
    assert decided == ["relu", "relu"]


def test_a_kernel_is_compiled_and_loaded_once(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnkit.backends.cuda import modules

    asked: list[tuple[str, str]] = []
    compile = modules.compile
    source = elementwise().map("sine", arrays(SMALL), arrays(SMALL)).kernel
    monkeypatch.setattr(modules, "compile", lambda *given: asked.append((given[0].name, given[1])) or compile(*given))
    assert modules.function(source) is modules.function(source)
    assert asked == [(source.name, "sm_90")]


def test_a_machine_without_a_compiler_says_so_once_and_computes_nevertheless(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnkit.backends.cuda import modules
    from nnkit.kernels.cuda.compiler import CompilerMissing

    def missing(source: Any, architecture: str) -> Any:
        raise CompilerMissing("no compiler for CUDA kernels works here (numba: not installed)")

    monkeypatch.setattr(modules, "compile", missing)
    monkeypatch.setattr(modules, "_functions", {})
    monkeypatch.setattr(modules, "_missing", [])
    backend = backends.get(device)
    x, out = backend.asarray([-1.0, 2.0], np.float32), backend.empty((2,), np.float32)
    with pytest.warns(modules.KernelsMissing, match=r"no CUDA kernels: no compiler .*CuPy's own functions") as caught:
        for formula, expected in (("relu", [0.0, 2.0]), ("neg", [1.0, -2.0])):
            backend.map(formula, (x,), (out,))
            assert backend.to_numpy(out).tolist() == expected
    assert len(caught) == 1


@pytest.mark.parametrize("written", ["ptx", "cubin"])
def test_a_driver_that_does_not_take_the_ptx_is_told_with_the_remedy(
    written: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a cubin it is another matter: that is a fault."""
    from nnkit.backends.cuda import modules

    monkeypatch.setattr(modules, "compile", lambda *given: stand_in.compile_source(*given)._replace(format=written))
    monkeypatch.setattr(modules, "_functions", {})
    monkeypatch.setattr(modules, "_missing", [])
    backend = backends.get(device)
    x, out = backend.asarray([-1.0, 2.0], np.float32), backend.empty((2,), np.float32)
    stand_in.fail("cuModuleLoadData", error="CUDA_ERROR_UNSUPPORTED_PTX_VERSION")
    if written == "cubin":
        with pytest.raises(DeviceFault, match="CUDA_ERROR_UNSUPPORTED_PTX_VERSION"):
            backend.map("relu", (x,), (out,))
        return
    with pytest.warns(modules.KernelsMissing, match=r"knows sm_90, and .* \(CUDA_ERROR_UNSUPPORTED.*nvidia-nvjitlink"):
        backend.map("relu", (x,), (out,))
    assert backend.to_numpy(out).tolist() == [0.0, 2.0]


def test_weights_are_not_added_to_twice_where_the_kernel_of_a_chain_is_missing(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuBLASLt is there, the compiler is not: the product must not have run before the reference body does."""
    from nnkit.backends.cuda import modules
    from nnkit.kernels.cuda.compiler import CompilerMissing

    backend = backends.get(device)
    x, w, dy = (backend.asarray(np.eye(2, dtype=np.float32)) for _ in range(3))
    dz, dw = backend.zeros((2, 2), np.float32), backend.asarray(np.ones((2, 2), np.float32))
    monkeypatch.setattr(modules, "_functions", {})
    monkeypatch.setattr(modules, "_missing", [CompilerMissing("none")])
    backend.linear_grad(x, w, x, dy, "sigmoid", dz, None, dw, None, (True, False))
    assert backend.to_numpy(dw).tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_the_emulator_runs_what_is_launched_in_any_order(device: str) -> None:
    backend = backends.get(device)
    values = np.random.default_rng(0).normal(size=(65, 40)).astype(np.float32)
    found = []
    for schedule in ("forward", "backward", "shuffled"):
        stand_in.threads(schedule, seed=1)
        x, y, total = backend.asarray(values), backend.empty((65, 40), np.float32), backend.empty((40,), np.float32)
        backend.softmax(x, True, y)
        backend.reduce("sum", y, (0,), total)
        found.append(backend.to_numpy(total).tobytes())
    stand_in.threads("forward")
    assert len(set(found)) == 1
