"""How many digits of their operands matrix products keep: a setting of the process, and the half types.

A GPU has units for products of short numbers, which are faster than those for float32. The setting says how far a
product of float32 matrices may go: "highest" keeps all 24 binary digits of the operands, "high" 11 of them
(TensorFloat-32), "medium" 8 (bfloat16); sums are float32 always. A CPU has no such units: there every setting means
"highest".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: The settings, the most exact first.
MATMUL_PRECISIONS = ("highest", "high", "medium")
#: The sixteen-bit floating types that ``Backend.rounded`` knows.
HALF_TYPES = ("bfloat16", "float16")

_setting = {"matmul": "highest"}
#: What is called when the setting has changed.
listeners: list[Callable[[], None]] = []


def get_matmul_precision() -> str:
    """The setting: "highest" unless changed.

    As ``torch.get_float32_matmul_precision``.

    >>> get_matmul_precision()
    'highest'
    """
    return _setting["matmul"]


def set_matmul_precision(precision: str) -> None:
    """Set how products of float32 matrices are computed, from now on and in all threads.

    Raises ValueError for another name.
    """
    if precision not in MATMUL_PRECISIONS:
        known = ", ".join(map(repr, MATMUL_PRECISIONS))
        raise ValueError(f"precision: expected one of {known}, got {precision!r}")
    if precision != _setting["matmul"]:
        _setting["matmul"] = precision
        for listener in listeners:
            listener()


def is_half(dtype: np.dtype) -> bool:
    """Whether this is float16 or bfloat16.

    >>> is_half(np.dtype("float16")), is_half(np.dtype("int16"))
    (True, False)
    """
    return dtype.itemsize == 2 and (dtype.kind == "f" or dtype.name == "bfloat16")
