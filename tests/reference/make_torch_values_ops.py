"""What PyTorch computes at the corners of ops, where types meet, and for indices; stored in ``ops_values.npz``.

Every case is run by one function for both libraries, whose names are the same: the stored values are PyTorch's, nnkit
must give them again. Run it where PyTorch is installed: ``python tests/reference/make_torch_values_ops.py``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VALUES = Path(__file__).with_name("ops_values.npz")
INF, NAN = math.inf, math.nan

# ---- corners: zeros, bounds, infinities, NaN, constants, ties ------------------------------------------------------

#: Numbers where functions bend, jump or end.
EDGES = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, -6.0, 0.5, -0.5, 2.0, -2.0, 20.0, -20.0, INF, -INF, NAN, 100.0, -100.0]
#: The same without what a power of a half takes for another branch in each library: -0.0 and minus infinity.
ROOTS = [x for x in EDGES if x != -INF and math.copysign(1.0, x) * (x == 0.0) >= 0.0]
#: Without 0 and infinity: a sum of gelu's is NaN at infinity in PyTorch's vectorised loop.
INNER = [x for x in EDGES if math.isfinite(x)]
#: Rows with ties, constants, zeros, infinities and NaN.
ROWS = [
    [1, 2, 3], [2, 2, 2], [0, 0, 0], [-INF, 0, 1], [-INF, -INF, -INF], [INF, 0, 1], [INF, INF, 1], [NAN, 1, 2],
    [1, NAN, NAN], [5, 5, 1], [0, 2, 3], [0, 0, 3], [-0.0, 0, -0.0], [-2, 2, -2],
]  # fmt: skip


class Corner(NamedTuple):
    """A function of tensors in the words that both libraries share, and its operands."""

    name: str
    function: Callable[..., Any]  # of the library, its nn, and the tensors
    operands: tuple[Any, ...]


def _one(name: str, values: Any = EDGES, label: str = "", **options: Any) -> Corner:
    words = ", ".join(f"{k}={v}" for k, v in options.items())
    return Corner(f"{name}({words}){label}", lambda L, nn, x: getattr(L, name)(x, **options), (values,))


def _method(name: str, values: Any, *args: Any) -> Corner:
    return Corner(f"x.{name}{args} of {np.shape(values)}", lambda L, nn, x: getattr(x, name)(*args), (values,))


def _module(name: str, values: Any = EDGES, **options: Any) -> Corner:
    return Corner(f"{name}({options})", lambda L, nn, x: getattr(nn, name)(**options)(x), (values,))


def _pairs(name: str, function: Callable[..., Any], values: Any = EDGES[:17]) -> Corner:
    x, y = zip(*itertools.product(values, values), strict=True)
    return Corner(name, function, (x, y))


def _binary(name: str, values: Any = EDGES[:17]) -> Corner:
    return _pairs(name, lambda L, nn, x, y: getattr(L, name)(x, y), values)


def _loss(name: str, **options: Any) -> Corner:
    return _pairs(f"{name}({options})", lambda L, nn, x, y: getattr(nn, name)(reduction="none", **options)(x, y))


UNARY = ("exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "erf", "tanh", "reciprocal", "sigmoid", "relu", "neg",
         "square", "abs", "sign", "floor", "round")  # fmt: skip
BOUNDS = ((2, None), (None, 0), (-1, 1), (0, NAN), (NAN, 0), (1, -1), (3, 3), (NAN, None), (None, NAN), (-INF, INF))
CORNERS = [
    *map(_one, UNARY),
    *map(_binary, ("add", "sub", "mul", "div", "maximum", "minimum")), _binary("pow", ROOTS[:14]),
    *(Corner(f"x**{p}", lambda L, nn, x, p=p: x**p, (ROOTS,)) for p in (0, 0.5, 1, 1.5, 2, 3, -1, -2, INF, NAN)),
    *(Corner(f"{p}**x", lambda L, nn, x, p=p: p**x, (EDGES,)) for p in (0.0, 0.5, 1.0, 2.0)),
    *(_one("clamp", min=low, max=high) for low, high in BOUNDS),
    Corner("clamp of tensors", lambda L, nn, x, low, high: L.clamp(x, low, high),
           tuple(zip(*itertools.product((0.0, 1.0, -1.0, 2.0, NAN, INF, -INF), (0.0, 1.0, NAN), (1.0, 0.0, -INF)),
                     strict=True))),
    Corner("clamp from below", lambda L, nn, x, low: L.clamp(x, min=low), (EDGES[:13], INNER[:13][::-1])),
    *(_module(name) for name in ("ReLU", "LeakyReLU", "ELU", "SELU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softplus",
                                 "Softsign", "Hardtanh", "ReLU6", "Hardsigmoid", "Hardswish")),
    _module("LeakyReLU", negative_slope=-0.5), _module("ELU", alpha=-0.5), _module("GELU", [0.0, 1.0, -1.0, NAN, 20.0]),
    _module("Hardtanh", min_val=-2.0, max_val=0.5), _module("Softplus", beta=2.0, threshold=4.0),
    *(_one(name, ROWS, dim=1) for name in ("sum", "mean", "var", "std", "logsumexp", "softmax", "log_softmax", "amax",
                                           "amin")),
    *(_one(name, row, f" of {row}") for name in ("sum", "mean", "prod", "var", "std", "max", "min") for row in ROWS),
    _one("prod", [row for row in ROWS if NAN not in map(abs, row) and row[0] == row[0]], dim=1),
    *(_one(name, ROWS[:1], dim=0, correction=c) for name in ("var", "std") for c in (0, 1)),
    *(Corner(f"{name} along {dim}", lambda L, nn, x, name=name, dim=dim: getattr(L, name)(x, dim)[0], (ROWS,))
      for name in ("max", "min") for dim in (0, 1)),
    *(Corner(f"{name} where, along {dim}", lambda L, nn, x, name=name, dim=dim: getattr(L, name)(x, dim)[1], (ROWS,))
      for name in ("max", "min") for dim in (0, 1)),
    *(_one(f"arg{name}", ROWS, dim=1) for name in ("max", "min")),
    *(_one("norm", ROWS, p=p, dim=1) for p in (0, 0.5, 1, 1.5, 2, 3, 4, INF, -INF, -1, "fro")),
    _one("softmax", [1.0, 2.0], dim=0, dtype=None), *(_one(name, ROWS, dim=1, unbiased=u) for name in ("var", "std")
                                                      for u in (True, False)),
    *(_one("norm", row, f" of {row}", p=p) for p in (0.5, 1, 2, 3, INF) for row in ROWS[:3]),
    _one("norm", [[1.0, 0.0], [0.0, -3.0]], p=1.5, dim=(0, 1)),
    Corner("where, a branch infinite", lambda L, nn, x: L.where(x > 0, L.log(x), x), (EDGES,)),
    Corner("where, the argument chosen", lambda L, nn, x: L.where(x > 0, L.log(L.where(x > 0, x, 1.0)), x), (EDGES,)),
    *(Corner(f"normalize by {p}", lambda L, nn, x, p=p: nn.functional.normalize(x, p=p, dim=1), (ROWS,))
      for p in (1.0, 2.0, 3.0, INF)),
    _loss("MSELoss"), _loss("L1Loss"), _loss("HuberLoss"), _loss("SmoothL1Loss"), _loss("SmoothL1Loss", beta=0.0),
    _one("round", [1.25, 2.375, -1.5, 0.5, INF, NAN], decimals=1), _one("round", [123.0, -55.0], decimals=-1),
    *(_pairs(f"x {sign} y", lambda L, nn, x, y, f=f: f(x, y), [1.0, -1.0, 0.1, 7.5, -7.5, 0.0, 2.0, -2.0, INF, NAN])
      for sign, f in (("//", lambda x, y: (x // y).detach()), ("%", lambda x, y: x % y))),
]  # fmt: skip


def corner(library: Any, nn: Any, case: Corner, dtype: str, device: str) -> dict[str, np.ndarray]:
    """A case's value, and the gradient of each operand against one from 1 to 2 of the value."""
    operands = [
        library.tensor(np.array(x, dtype), dtype=getattr(library, dtype), device=device, requires_grad=True)
        for x in case.operands
    ]
    y = case.function(library, nn, *operands)
    found = {"value": y.detach().numpy()}
    if y.requires_grad:
        gradient = np.linspace(1.0, 2.0, max(y.numel(), 1)).reshape(tuple(y.shape))
        y.backward(library.tensor(gradient, dtype=y.dtype, device=device))
        grads = [x.grad for x in operands]
        found |= {f"gradient {k}": grad.numpy() for k, grad in enumerate(grads) if grad is not None}
    return found


# ---- types that meet ------------------------------------------------------------------------------------------------

DTYPES = ("bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64")
PYTHON = {"True": True, "2": 2, "300": 300, "-1": -1, "2.5": 2.5}
#: The second operand as a tensor with axes, as one without, and as a Python number.
MEETINGS: list[tuple[str, str, str]] = [
    *(("axes", a, f"axes {b}") for a in DTYPES for b in DTYPES),
    *(("axes", a, f"single {b}") for a in DTYPES for b in DTYPES),
    *(("single", a, f"single {b}") for a in DTYPES for b in DTYPES),
    *((form, a, number) for form in ("axes", "single") for a in DTYPES for number in PYTHON),
]
TOGETHER: dict[str, Callable[..., Any]] = {
    "add": lambda L, x, y: x + y, "radd": lambda L, x, y: y + x, "sub": lambda L, x, y: x - y,
    "mul": lambda L, x, y: x * y, "div": lambda L, x, y: x / y, "rdiv": lambda L, x, y: y / x,
    "eq": lambda L, x, y: x == y, "lt": lambda L, x, y: x < y, "pow": lambda L, x, y: x**y,
    "floor_divide": lambda L, x, y: x // y, "remainder": lambda L, x, y: x % y, "and": lambda L, x, y: x & y,
    "xor": lambda L, x, y: x ^ y, "ror": lambda L, x, y: y | x,
    "maximum": lambda L, x, y: L.maximum(x, y), "minimum": lambda L, x, y: L.minimum(x, y),
    "where": lambda L, x, y: L.where(L.tensor([True, False]), x, y), "clamp": lambda L, x, y: L.clamp(x, y),
    "clamp to": lambda L, x, y: L.clamp(x, max=y),
    "add in place": lambda L, x, y: x.add_(y), "mul in place": lambda L, x, y: x.mul_(y),
    "div in place": lambda L, x, y: x.div_(y), "clamp in place": lambda L, x, y: x.clamp_(y),
    "copy": lambda L, x, y: L.ones(2, dtype=x.dtype).copy_(y if hasattr(y, "dtype") else L.tensor(y)),
}  # fmt: skip
#: What PyTorch asks tensors for, and here numbers do as well.
OF_TENSORS = ("maximum", "minimum")


def meeting(library: Any, op: str, case: tuple[str, str, str]) -> tuple[str, np.ndarray]:
    """The type and values (2,) of an op of two types; "refused" where the library raises."""

    def operand(form: str, dtype: str, values: list[int]) -> Any:
        kind = getattr(library, "bool_" if dtype == "bool" and hasattr(library, "bool_") else dtype)
        return library.tensor(values if form == "axes" else values[0]).to(kind)

    form, dtype, other = case
    x = operand(form, dtype, [3, 1])
    y = PYTHON[other] if other in PYTHON else operand(*other.split(), [2, 1])  # type: ignore[arg-type]
    if other in PYTHON and op in OF_TENSORS:
        y = library.tensor(y)
    try:
        z = TOGETHER[op](library, x, y)
    except (RuntimeError, TypeError, ValueError, ZeroDivisionError, OverflowError, NotImplementedError):
        return "refused", np.zeros(2)
    return str(z.dtype).removeprefix("torch."), np.broadcast_to(z.detach().numpy().astype("float64"), (2,))


# ---- indices --------------------------------------------------------------------------------------------------------

#: Indices of a tensor t (2, 3, 4); i, j and m are tensors: [1, 0], [0, 2] and a mask (2, 3).
INDICES = [
    "0", "-1", "1, 2, 3", "0, :, [0, 1]", ":, 0, [0, 1]", "[0, 1], :, 0", "[0, 1], 0", "[0, 1], :, [0, 1]", "i, j",
    "i, :, j", "i, 0, j", "0, i", "0, i, :2", "..., i", "..., i, None", "None, i, ..., j", "i, None, j", "i, ..., j, 0",
    "i, j, ..., 0", "m", "m, 1", "m, None", "m, [0, 1, 3]", "None, m", ":, [True, False, True]", "True", "False",
    "True, i",
    "None, 0, ..., None", "::2, 1:, ::3", "1:0", "5:", ":, -2:, [-1, -1, 0]", "[]", "L.arange(0)", "L.tensor(1)",
    "L.tensor(1), :, i", "N.int64(1), :, [3, 3]", "N.array([1, 1]), j", "i.unsqueeze(1), j", "0, i.unsqueeze(1), j",
    "i.int(), :, 0", "L.tensor([0, 0, 0, 1])", "0, 1, [2, 2, 2]", "..., 0, i", "i, 0, :", "m, ...",
    "range(2)", "(0, 1),", "m.any(1)", "L.tensor(True)", "L.tensor(True), 0",
]  # fmt: skip


def index(library: Any, expression: str) -> dict[str, np.ndarray]:
    """The part at an index, the gradient of a weighted sum of it, and the tensor after writing there."""
    words = {"L": library, "N": np, "i": library.tensor([1, 0]), "j": library.tensor([0, 2])}
    words["m"] = library.tensor([[True, False, True], [False, False, True]])

    def at() -> Any:
        return eval(f"T[{expression}]", {"T": _Index(), **words})

    t = library.tensor(np.arange(24, dtype="float32").reshape(2, 3, 4), requires_grad=True)
    part = t[at()]
    (part * library.tensor(np.arange(1, part.numel() + 1, dtype="float32").reshape(tuple(part.shape)))).sum().backward()
    target = t.detach().clone()
    target[at()] = -1.5
    written = t.detach().clone()
    written[at()] = library.tensor(np.full((1, *part.shape), 7.0, "float32"))
    return {
        "part": part.detach().numpy(), "gradient": t.grad.numpy(), "filled": target.numpy(), "written": written.numpy(),
    }  # fmt: skip


class _Index:
    def __getitem__(self, index: Any) -> Any:
        return index


# ---- reductions of half types -------------------------------------------------------------------------------------

#: Reductions of numbers of a half type, whose sums or squares it does not hold or not well.
HALVES: dict[str, Callable[..., Any]] = {
    "mean of 70000": lambda L, nn, half: L.ones(70000, dtype=half).mean(),
    "mean of rows": lambda L, nn, half: L.full((3, 900), 300.0, dtype=half).mean(1),
    "mse_loss": lambda L, nn, half: nn.functional.mse_loss(L.full((1000,), 10.0, dtype=half),
                                                     L.zeros(1000, dtype=half)),
    "l1_loss": lambda L, nn, half: nn.functional.l1_loss(L.full((1000,), 100.0, dtype=half),
                                                   L.zeros(1000, dtype=half)),
    "cross_entropy": lambda L, nn, half: nn.functional.cross_entropy(L.zeros(40, 10, dtype=half),
                                                               L.zeros(40, dtype=L.int64)),
    "normalize": lambda L, nn, half: nn.functional.normalize(L.full((1, 4), 300.0, dtype=half)),
    "norm": lambda L, nn, half: L.norm(L.full((4,), 300.0, dtype=half)),
    "norm of order 3": lambda L, nn, half: L.norm(L.full((4,), 60.0, dtype=half), p=3),
    "var": lambda L, nn, half: L.var(L.arange(1000.0).to(half) / 4),
    "std": lambda L, nn, half: L.std(L.arange(1000.0).to(half)),
    "sum of many": lambda L, nn, half: L.full((6000,), 0.1, dtype=half).sum(),
    "sum that is infinite": lambda L, nn, half: L.ones(70000, dtype=half).sum(),
    "softmax": lambda L, nn, half: L.softmax(L.zeros(3000, dtype=half), dim=0),
    "logsumexp": lambda L, nn, half: L.logsumexp(L.zeros(7000, dtype=half), dim=0),
    "matmul": lambda L, nn, half: L.full((1, 3000), 0.1, dtype=half) @ L.ones(3000, 1, dtype=half),
}  # fmt: skip


def half(library: Any, nn: Any, name: str, dtype: str) -> np.ndarray:
    """The result as float32; its type is ``dtype``."""
    value = HALVES[name](library, nn, getattr(library, dtype))
    assert str(value.dtype).removeprefix("torch.") == dtype, value.dtype
    return value.float().numpy()


def all_values(library: Any, nn: Any) -> dict[str, np.ndarray]:
    """Every value of every case by name."""
    values = {}
    for dtype in ("float32", "float64"):
        for case in CORNERS:
            for what, value in corner(library, nn, case, dtype, "cpu").items():
                values[f"corner/{dtype}/{case.name}/{what}"] = value
    for op in TOGETHER:
        types, numbers = zip(*(meeting(library, op, case) for case in MEETINGS), strict=True)
        values[f"types/{op}"], values[f"numbers/{op}"] = np.array(types), np.array(numbers)
    for expression in INDICES:
        for what, value in index(library, expression).items():
            values[f"index/{expression}/{what}"] = value
    for dtype in ("float16", "bfloat16"):
        for name in HALVES:
            values[f"half/{dtype}/{name}"] = half(library, nn, name, dtype)
    return values


def main() -> None:
    """Write ``ops_values.npz``."""
    import torch

    values = all_values(torch, torch.nn)
    np.savez_compressed(VALUES, **values)
    print(f"{len(values)} values of PyTorch {torch.__version__} are in {VALUES}")


if __name__ == "__main__":
    main()
