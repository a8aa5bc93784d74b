"""What PyTorch's ``grid_sample`` and ``affine_grid`` compute, and their gradients, stored in ``grids_values.npz``.

Every case is run by one function for both libraries. Run it where PyTorch is installed:
``python tests/reference/make_torch_values_grids.py``.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("grids_values.npz")
IMAGES = {"image": (2, 3, 4, 5), "line": (2, 2, 1, 6), "point": (1, 2, 1, 1), "volume": (1, 2, 3, 4, 2)}
CASES = list(itertools.product(IMAGES, ("bilinear", "nearest"), ("zeros", "border", "reflection"), (False, True)))


def compute(library: Any, case: tuple[str, str, str, bool], dtype: str) -> dict[str, np.ndarray]:
    """Images at places inside, outside and far outside, and at places that an affine map gives; and the gradients."""
    name, mode, padding, corners = case
    shape, F = IMAGES[name], library.nn.functional
    axes, rng = len(shape) - 2, np.random.default_rng(7)
    kind = getattr(library, dtype)
    x = library.tensor(rng.normal(size=shape), dtype=kind, requires_grad=True)
    places = rng.uniform(-1.6, 1.6, (shape[0], *(3, 4, 2)[:axes], axes))
    places.reshape(-1, axes)[:3] = [[-7.3, 1.0, 0.2][:axes], [1.0, -1.0, 1.0][:axes], [5.4, -2.9, 12.3][:axes]]
    grid = library.tensor(places, dtype=kind, requires_grad=True)
    theta = library.tensor(rng.normal(size=(shape[0], axes, axes + 1)) * 0.6, dtype=kind, requires_grad=True)
    made = F.affine_grid(theta, shape, align_corners=corners)
    found = {"grid": made}
    total = 0.0
    for which, given in (("given", grid), ("made", made)):
        y = found[which] = F.grid_sample(x, given, mode, padding, corners)
        total = total + (y * library.tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)), dtype=kind)).sum()
    total.backward()
    found |= {"image's gradient": x.grad, "grid's gradient": grid.grad, "map's gradient": theta.grad}
    return {what: t.detach().numpy() for what, t in found.items() if t is not None}


def key_of(case: tuple[str, str, str, bool]) -> str:
    """A key for a case."""
    return ", ".join(map(str, case))


if __name__ == "__main__":
    import torch

    stored = {
        f"{key_of(case)}/{what}": value for case in CASES for what, value in compute(torch, case, "float64").items()
    }
    np.savez_compressed(VALUES, **stored)
    print(f"{len(stored)} values of PyTorch {torch.__version__}")
