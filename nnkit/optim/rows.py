"""Steps of parameters whose gradient came in rows: of a table, say, of which a batch takes a few rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from nnkit.optim.arena import Slot, has_gradient
from nnkit.optim.groups import ParameterGroup, Rates, note_option_read
from nnkit.tensors.tensor import Tensor

if TYPE_CHECKING:
    from nnkit.optim.optimizer import Optimizer

__all__ = ["apart_in_rows", "step_rows"]


def apart_in_rows(optimizer: Optimizer, group: ParameterGroup) -> set[Tensor]:
    """The parameters whose gradient came in rows, where those rows alone change in a step."""
    found = {p for p in group.options["params"] if has_gradient(p) and cast(Slot, p.gradient).rows}
    if not found or not optimizer.changes_rows(group.options):
        return set()
    for name, value in group.options.items():
        if name not in ("lr", "params", "param_names"):
            note_option_read(group, name, value)  # a recorded step is true while these stay
    return found


def step_rows(parameter: Tensor, rates: Rates) -> None:
    """The step of a parameter whose other rows stay: what it adds to 0 is added to those rows."""
    backend, zero = parameter.backend, parameter.backend.zeros((), parameter.dtype)
    for indices, rows in cast(Slot, parameter.gradient).rows:
        change = backend.empty(tuple(rows.shape), parameter.dtype)
        backend.map(rates.update.__name__, (backend.broadcast_to(zero, change.shape), rows), (change,), rates.scalars)
        backend.add_rows(change, indices, parameter.array)
