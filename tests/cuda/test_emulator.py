"""The emulator: it runs a kernel's text as a GPU might, in several orders, and notices what a GPU would not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from kernel_checks import stored_as

from nnkit.kernels.cuda import emulator
from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.emulator import SCHEDULES, Divergence, KernelError, OutOfBounds, Race, run
from nnkit.kernels.cuda.words import bfloat16_bits

pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: no greenlet")

# A sum as GPUs do it: each thread its share, then halves of the block in shared memory, then a warp by shuffles.
SUM = """
def kernel(x, out, n):
    part = shared(128, float32)
    t = thread()
    total = element(0)
    i = grid_thread()
    while i < n:
        total += x[i]
        i += grid_size()
    part[t] = total
    barrier()
    half = 64
    while half >= 32:
        if t < half:
            part[t] = part[t] + part[t + half]
        barrier()
        half //= 2
    if t < 32:
        total = part[t]
        lanes = 16
        while lanes > 0:
            total += shuffle_xor(total, lanes)
            lanes //= 2
        if t == 0:
            out[block()] = total
"""
X = np.random.default_rng(0).normal(size=1000).astype("float32")


def kernel(text: str, *parameters: str, threads: int = 32, dtype: str = "float32") -> Source:
    return Source("tried", text, parameters, dtype, threads)


def body(line: str, *parameters: str, threads: int = 32) -> Source:
    """A kernel of one line over a, b, …"""
    names = ", ".join("abcdef"[: len(parameters)])
    return kernel(f"def kernel({names}):\n    {line}", *parameters, threads=threads)


def summed(text: str, schedule: str = "forward", seed: int = 0) -> np.ndarray:
    out = np.full(3, np.nan, "float32")
    run(kernel(text, "float32*", "float32*", "int64", threads=128), 3, [X, out, X.size], schedule, seed)
    return out


# ---- what a right kernel gives --------------------------------------------------------------------------------------


def test_a_right_kernel_gives_the_same_under_every_schedule() -> None:
    forward = summed(SUM)
    np.testing.assert_allclose(forward.sum(), X.sum(dtype="float64"), rtol=1e-5)
    for schedule in SCHEDULES:
        for seed in range(3):
            assert summed(SUM, schedule, seed).tobytes() == forward.tobytes()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_thread_knows_its_place(schedule: str) -> None:
    line = (
        "a[grid_thread()] = ((block() * 1000 + thread()) * 1000 + lane()) * 10000 + blocks() * threads() + grid_size()"
    )
    out = np.zeros(3 * 64, "int64")
    run(body(line, "int64*", threads=64), 3, [out], schedule)
    expected = [((b * 1000 + t) * 1000 + t % 32) * 10000 + 2 * 3 * 64 for b in range(3) for t in range(64)]
    assert out.tolist() == expected


WARP = np.arange(32)
#: Line -> what thread t of the only warp writes, from a holding 0 to 31.
EXCHANGES = (
    ("b[lane()] = shuffle_xor(a[lane()], 5)", WARP ^ 5),
    ("b[lane()] = shuffle_down(a[lane()], 4)", np.where(WARP < 28, WARP + 4, WARP)),
    ("b[lane()] = ballot(a[lane()] > 29)", np.full(32, 3 << 30)),
    ("b[lane()] = lowest_bit(a[lane()] | 16)", [int(n | 16).__format__("b")[::-1].index("1") for n in WARP]),
)


@pytest.mark.parametrize(("line", "expected"), EXCHANGES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_lanes_exchange(line: str, expected: Sequence[int], schedule: str) -> None:
    out = np.zeros(32, "int64")
    run(body(line, "int64*", "int64*"), 1, [WARP.copy(), out], schedule)
    assert out.tolist() == list(expected)


def test_warps_exchange_each_for_itself() -> None:
    out = np.zeros(128, "int64")
    run(body("a[thread()] = shuffle_xor(thread(), 1) + shuffle_down(thread(), 32)", "int64*", threads=128), 1, [out])
    assert out.tolist() == [(t ^ 1) + t for t in range(128)]


@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_neighbours_at_once(count: int, dtype: str) -> None:
    x, y = np.arange(2 * count).astype(dtype), np.zeros(2 * count, dtype)
    names = ", ".join(f"v{k}" for k in range(count))
    text = f"def kernel(x, y):\n    if thread() < 2:\n        {names} = load{count}(x, thread())\n"
    text += f"        store{count}(y, 1 - thread(), {names})"
    run(kernel(text, f"{dtype}*", f"{dtype}*"), 1, [x, y])
    assert y.tolist() == [*range(count, 2 * count), *range(count)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_formulas_are_computed_in_the_kernels_type(dtype: str) -> None:
    text = "def kernel(x, y):\n    y[thread()] = gelu(x[thread()]) + element(1) / element(3) + number(to_float64(0.1))"
    given = np.linspace(-2, 2, 32).astype(dtype)
    seen: list[Any] = []

    class Watched(np.ndarray):
        def __setitem__(self, index: Any, value: Any) -> None:
            seen.append(type(value))
            super().__setitem__(index, value)

    out = np.zeros(32, dtype).view(Watched)
    run(kernel(text, f"{dtype}*", f"{dtype}*", dtype=dtype), 1, [given, out])
    assert set(seen) == {np.dtype(dtype).type}


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_sixteen_bit_floats_are_bits_in_memory(stored: str) -> None:
    dtype = stored_as(stored)
    bits = np.arange(2**16, dtype="uint16")
    source = body(f"b[grid_thread()] = load_{stored}(a[grid_thread()])", f"{stored}*", "float32*", threads=1024)
    numbers = np.zeros(2**16, "float32")
    run(source, 64, [bits.view(dtype), numbers])
    np.testing.assert_array_equal(numbers, bits.view(dtype).astype("float32"))
    between = np.random.default_rng(0).normal(0, 1e3, 2**14).astype("float32")
    # Halfway between two neighbours, beyond the largest, and what is no number.
    between[:6] = [1 + 2**-8, 1 + 3 * 2**-8, 2049, 2051, np.inf, 3.4e38]
    back = np.zeros(2**14, dtype)
    run(body(f"b[grid_thread()] = store_{stored}(a[grid_thread()])", "float32*", f"{stored}*", threads=1024), 16, [
        between, back,
    ])  # fmt: skip
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(back.view("uint16"), between.astype(dtype).view("uint16"))
    assert bfloat16_bits(np.nan) == 0x7FC0


# ---- what it notices ------------------------------------------------------------------------------------------------

BARRIER, INSIDE = "    barrier()\n    half", "        barrier()\n        half"
#: What is wrong -> (text before, text instead, the error).
MISTAKES = {
    "no barrier after the first write": (BARRIER, "    half", Race),
    "no barrier in the loop": (INSIDE, "        half", Race),
    "a thread reads what nobody wrote": ("    part[t] = total", "    if t != 7:\n        part[t] = total", Race),
    "a barrier that some threads miss": (
        "        barrier()",
        "        if t < half:\n            barrier()",
        Divergence,
    ),
    "a barrier that one thread leaves out": (BARRIER, "    if t == 99:\n        return\n" + BARRIER, Divergence),
    "a shuffle that some lanes miss": ("if t < 32:", "if t < 31:", Divergence),
    "lanes that ask differently": ("shuffle_xor(total, lanes)", "shuffle_xor(total, lanes if t else 1)", Divergence),
    "an element too far": ("x[i]", "x[i + 1]", OutOfBounds),
    "an element before the first": ("x[i]", "x[i - 1]", OutOfBounds),
    "shared memory too small": ("shared(128", "shared(127", OutOfBounds),
    "blocks that write to one place": ("out[block()]", "out[0]", Race),
    "a block that reads another's result": ("out[block()] =", "out[block()] = out[2 - block()] +", Race),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_mistake_is_noticed_under_every_schedule(mistake: str, schedule: str) -> None:
    before, instead, error = MISTAKES[mistake]
    assert before in SUM
    with pytest.raises(error) as caught:
        summed(SUM.replace(before, instead), schedule)
    assert caught.value.__notes__[0].startswith("in kernel tried, block ")


def test_threads_that_never_wait_may_not_meet_either() -> None:
    with pytest.raises(Race, match=r"a\[0\]: this thread writes what thread 0 wrote"):
        run(body("a[0] = thread()", "int64*"), 1, [np.zeros(1, "int64")])
    with pytest.raises(Race, match=r"b\[1\]: this thread writes what thread 0 read"):
        x = np.zeros(40, "int64")
        run(body("b[thread()] = a[thread() + 1]", "int64*", "int64*"), 1, [x, x])


def test_a_thread_may_overwrite_what_it_read() -> None:
    x = np.ones(32, "float32")
    run(body("b[thread()] = a[thread()] + a[thread()]", "float32*", "float32*"), 1, [x, x])
    assert x.tolist() == [2] * 32


def test_four_elements_have_to_be_aligned() -> None:
    x = np.zeros(9, "float32")[1:]
    with pytest.raises(OutOfBounds, match="not aligned"):
        run(body("a0, a1, a2, a3 = load4(a, 0)", "float32*"), 1, [x])


def test_a_divergence_says_who_waits_where() -> None:
    with pytest.raises(Divergence, match=r"31 threads \(0 …\) wait at barrier in line 3; 1 threads \(31 …\) ended"):
        run(kernel("def kernel():\n    if thread() < 31:\n        barrier()"), 1, [])


ARGUMENTS = (
    ("float32*", np.zeros(3), "expected an array of float32, got an array of float64"),
    ("float32*", np.zeros(3, "int32"), "expected an array of float32, got an array of int32"),
    ("bfloat16*", np.zeros(3, "float16"), "expected an array of bfloat16, got an array of float16"),
    ("float32*", 3, "expected an array of float32, got int"),
    ("float32*", np.zeros((4, 4), "float32")[:, 1], "expected a C-contiguous array"),
    ("int64", 3.0, "expected a Python int, got float"),
    ("float64", 3, "expected a Python float, got int"),
)  # fmt: skip


@pytest.mark.parametrize(("parameter", "argument", "message"), ARGUMENTS)
def test_an_argument_has_to_be_what_the_parameter_says(parameter: str, argument: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        run(body("pass", parameter), 1, [argument])


def test_there_are_as_many_arguments_as_parameters() -> None:
    with pytest.raises(TypeError, match="tried takes 1 arguments, got 2"):
        run(body("pass", "int64"), 1, [1, 2])


def test_every_error_of_a_kernel_is_one_kind() -> None:
    assert all(issubclass(error, KernelError) for error in (OutOfBounds, Race, Divergence))
    assert emulator.WARP == 32
