"""What cuBLASLt offers here: which epilogue for which type, whether it means what nnkit means, what BGRADB costs."""

from __future__ import annotations

import importlib
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.gpu.samples import normal, type_named
from nnkit import backends

#: A type and the precision of its products.
KINDS = (
    ("float32", "highest"), ("float32", "high"), ("float32", "medium"), ("bfloat16", "highest"),
    ("float16", "highest"), ("float64", "highest"),
)  # fmt: skip
#: Rows, inputs and outputs of a layer.
SHAPES = ((128, 784, 128), (1024, 512, 512), (4096, 4096, 4096))
#: Epilogue -> whether it has a vector (the bias or its gradient), and whether it writes z.
EPILOGUES = {
    "BIAS": (True, False), "RELU": (False, False), "RELU_BIAS": (True, False), "GELU": (False, False),
    "GELU_BIAS": (True, False), "GELU_AUX_BIAS": (True, True), "BGRADB": (True, False),
}  # fmt: skip


def offered(shape: tuple[int, int, int] = SHAPES[0]) -> dict[str, dict[str, bool | str]]:
    """For each type: whether each epilogue has an algorithm for a layer of this shape, or the error."""
    cuda = "nnkit.backends.cuda."
    cublaslt, plans = importlib.import_module(f"{cuda}cublaslt"), importlib.import_module(f"{cuda}plans")
    blas, layouts = importlib.import_module(f"{cuda}blas"), importlib.import_module(f"{cuda}column_major")
    library = cublaslt.load()
    handle = cublaslt.Object(library, "")
    M, I, O = shape
    found: dict[str, dict[str, bool | str]] = {}
    for dtype, precision in KINDS:
        result = "float64" if dtype == "float64" else "float32"
        wide = cublaslt.ComputeType.COMPUTE_64F if dtype == "float64" else cublaslt.ComputeType.COMPUTE_32F
        compute = blas.PRECISIONS[precision] if dtype == "float32" else wide
        row = found[f"{dtype} {precision}" if dtype == "float32" else f"{dtype} into {result}"] = {}
        x, w = _view(layouts, (M, I), dtype), _view(layouts, (O, I), dtype)
        dz, dw, out = _view(layouts, (M, O), dtype), _view(layouts, (O, I), result), _view(layouts, (M, O), result)
        forward, backward = layouts.problem(x, w.transposed, out), layouts.problem(dz.transposed, x, dw)
        for name, (vector, keeps) in EPILOGUES.items():
            problem = backward if name == "BGRADB" else forward
            request = plans.Request(
                problem, compute, epilogue=cublaslt.Epilogue[name], uses_vector=vector, leading_z=O if keeps else 0
            )
            try:
                row[name] = plans.offered(library, handle.pointer, request, 16) is not None
            except RuntimeError as error:
                row[name] = str(error)
    return found


def _view(layouts: Any, shape: tuple[int, int], dtype: str) -> Any:
    itemsize = {"float64": 8, "float32": 4}.get(dtype, 2)
    return layouts.View(shape, (shape[1], 1), dtype, itemsize)


def meaning() -> dict[str, str]:
    """Whether the RELU epilogue lets NaN pass, and whose GELU the GELU epilogue is."""
    # Asked for by name: nnkit itself leaves to the library only what was seen to be right.
    blas = importlib.import_module("nnkit.backends.cuda.products").made(0, ("relu", "gelu_tanh"))
    if isinstance(blas, str):
        return {"cuBLASLt": blas}
    backend = backends.get("cuda")
    host = np.zeros((64, 64), np.float32)
    host[0, :9], host[1, :3] = np.linspace(-4.0, 4.0, 9), (np.nan, np.inf, -np.inf)
    x, w = backend.asarray(host), backend.asarray(np.eye(64, dtype=np.float32))
    said = {}
    for activation in ("relu", "gelu_tanh"):
        out = backend.zeros((64, 64), np.float32)
        product = blas.linear(x, w, None, activation, None, out)
        if isinstance(product, str) or not product.done.activation:
            said[activation] = "not offered for float32"
            continue
        product.run(importlib.import_module("cupy").cuda.get_current_stream().ptr)
        y = backend.to_numpy(out)
        said[activation] = _nan(host, y) if activation == "relu" else _gelu(host[0, :9], y[0, :9])
    return said


def _nan(x: np.ndarray, y: np.ndarray) -> str:
    """NaN of one product, 0 times infinity, is in the whole row: only that it stays is looked at."""
    return "NaN passes" if np.isnan(y[1, 0]) else f"NaN becomes {y[1, 0]}"


def _gelu(x: np.ndarray, y: np.ndarray) -> str:
    exact = np.array([v / 2 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])
    by_tanh = np.array([v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x.tolist()])
    errors = {"erf": float(np.abs(y - exact).max()), "tanh": float(np.abs(y - by_tanh).max())}
    nearest = min(errors, key=lambda name: errors[name])
    return f"that of {nearest} (off by {errors[nearest]:.1e}; from the other by {max(errors.values()):.1e})"


# ---- what the gradient of the bias costs ----------------------------------------------------------------------------


def bias_gradient(turns: int = 7, shapes: Sequence[Sequence[int]] = SHAPES) -> list[dict[str, Any]]:
    """For each type and shape, seconds of dw alone, of dw with BGRADB, and of the kernel that adds up columns."""
    blas = importlib.import_module("nnkit.backends.cuda.products").blas()
    if isinstance(blas, str):
        return []
    backend = backends.get("cuda")
    stream = importlib.import_module("cupy").cuda.get_current_stream().ptr
    rows = []
    for dtype, precision in KINDS[:4]:
        for M, I, O in shapes:
            kind = type_named(dtype)
            x, w, dz = (backend.asarray(normal(*s).astype(kind)) for s in ((M, I), (O, I), (M, O)))
            dw, db = backend.zeros((O, I), np.float32), backend.zeros((O,), np.float32)
            with_db = blas.linear_grad(x, w, dz, None, dw, db, (False, False), precision)
            without = blas.linear_grad(x, w, dz, None, dw, None, (False, False), precision)
            if isinstance(with_db, str) or isinstance(without, str):
                continue
            sums = partial(backend.reduce, "sum", dz, (0,), db)
            rows.append({
                "type": f"{dtype} {precision}",
                "shape": [M, I, O],
                "dw": seconds(backend, partial(without.run, stream), turns),
                "with BGRADB": seconds(backend, partial(with_db.run, stream), turns) if with_db.db else None,
                "column sums": seconds(backend, sums, turns),
            })  # fmt: skip
    return rows


def seconds(backend: Any, call: Callable[[], object], turns: int, least: float = 0.005) -> float:
    """The median of some turns of at least ``least`` seconds, the GPU's work included."""

    def turn(count: int) -> float:
        backend.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            call()
        backend.synchronize()
        return time.perf_counter() - start

    turn(2)
    count = 1
    while (spent := turn(count)) < least:
        count = max(2 * count, int(count * min(1.2 * least / max(spent, 1e-9), 50)))
    return statistics.median(turn(count) / count for _ in range(turns))
