"""How tensors are shown: digits, how many elements, how wide. PyTorch's words, NumPy's printer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["set_printoptions", "shown"]

DEFAULT: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
PROFILES: dict[str, dict[str, Any]] = {
    "default": DEFAULT,
    "short": {**DEFAULT, "precision": 2, "edgeitems": 2},
    "full": {**DEFAULT, "threshold": math.inf},
}
_options = dict(DEFAULT)


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are shown from now on; what is left out stays as it is, but ``sci_mode``.

    Args:
        precision: digits after the point.
        threshold: how many elements a tensor has at most that is shown whole.
        edgeitems: how many elements are shown at each end of the axes of a larger one.
        linewidth: characters of a line.
        profile: where to start from: "default", "short" or "full".
        sci_mode: always (True) or never (False) in powers of ten; NumPy chooses while it is None.

    Raises ValueError for another profile. Numbers of every dtype are shown so. As ``torch.set_printoptions``.

    >>> import nnkit
    >>> set_printoptions(precision=2); nnkit.tensor([0.1234])
    tensor([0.12])
    >>> set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(map(repr, PROFILES))}, got {profile!r}")
        _options.update(PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({name: value for name, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


def shown(values: np.ndarray, prefix: str) -> str:
    """The elements as text, under the options."""
    precision, scientific = _options["precision"], _options["sci_mode"]
    formatter: Any = None
    if scientific is not None and values.dtype.kind == "f":
        letter = "e" if scientific else "f"
        formatter = {"float_kind": lambda value: f"{value:.{precision}{letter}}"}
    elements = _options["threshold"]
    return np.array2string(
        values,
        separator=", ",
        prefix=prefix,
        precision=precision,
        threshold=2**62 if math.isinf(elements) else int(elements),
        edgeitems=_options["edgeitems"],
        max_line_width=_options["linewidth"] if math.isfinite(_options["linewidth"]) else 2**31,
        formatter=formatter,
    )
