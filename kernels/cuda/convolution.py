"""What a convolution does besides its products on CUDA, over (B, O, P): bias, activation, the sum of each channel."""

from __future__ import annotations

import functools

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.linear import scalars_of
from nnkit.kernels.cuda.reductions import column_plan, row_plan
from nnkit.kernels.cuda.texts import Plan, Step, computed, indented, load, pointer, read, store
from nnkit.kernels.formulas import ACTIVATIONS

THREADS = 256


def conv_step(activation: str, dtype: str, bias: str | None, keeps: bool, wide: bool, sizes: tuple[int, ...]) -> Step:
    """y = activation(y + b) in place, b one number for each channel: y (B, O, P) is the product, ``sizes`` are its.

    Where ``keeps``, the product lies in z instead, and z becomes the value before the activation. Arguments: z where
    ``keeps``, y, b (O,) where ``bias`` is its type, the step's sizes, then the activation's scalars as float64. y and
    z are contiguous, of ``dtype``. ``wide``: they begin at multiples of 16 bytes. Elements are fewer than 2**32.
    """
    B, O, P = sizes
    width = 8 if "float16" in dtype else 4
    width = width if wide and P % width == 0 else 1
    source = _conv_source(activation, dtype, bias, keeps, width)
    return Step(source, -(-(B * O * P // width) // THREADS), (B * O * P // width, O, P // width))


@functools.cache
def _conv_source(activation: str, dtype: str, bias: str | None, keeps: bool, width: int) -> Source:
    scalars, values = scalars_of(activation), [f"t{k}" for k in range(width)]
    arrays = [*[("z", dtype)] * keeps, ("y", dtype), *([("b", bias)] if bias else [])]
    lines = load(dtype, values, "z" if keeps else "y", "i")
    if bias:
        lines += [
            "row = to_int64(to_uint32(to_uint32(i) // to_uint32(P)))",
            "channel = row - to_int64(to_uint32(to_uint32(row) // to_uint32(O))) * O",
            f"bias = element({read(bias, 'b[channel]')})",
            *(f"{t} = {t} + bias" for t in values),
            *(store(dtype, values, "z", "i") if keeps else []),
        ]
    results = [f"{ACTIVATIONS[activation]}({', '.join([t, *scalars])})" for t in values]
    lines = [*(f"{s} = number({s})" for s in scalars), *lines, *store(dtype, results, "y", "i")]
    names = [*(array for array, _ in arrays), "n", "O", "P", *scalars]
    text = f"def kernel({', '.join(names)}):\n    i = grid_thread()\n    if i < n:\n{indented(lines, 2)}"
    parameters = (*(pointer(stored) for _, stored in arrays), *["int64"] * 3, *["float64"] * len(scalars))
    name = f"conv_{activation}{'_keeping' * keeps}{f'_{bias}' if bias else ''}_{width}_{dtype}"
    return Source(name, text, parameters, computed(dtype), THREADS)


def channel_plans(x: str, y: str, sizes: tuple[int, int, int], add: bool) -> tuple[Plan, Plan]:
    """The sums of x (B, O, P) over samples and places into y (O,): first over places, then over samples.

    Between them are B O numbers of the type computed in. ``add``: they are added to y.
    """
    B, O, P = sizes
    return row_plan("sum", x, computed(x), B * O, P), column_plan("sum", computed(x), y, (1, B, O), add)
