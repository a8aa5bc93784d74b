"""Reading an optimizer's saved state: everything is compared before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nnkit.creation import as_tensor
from nnkit.errors import ModelFileError
from nnkit.optim.groups import ParameterGroup
from nnkit.tensor import Tensor


class Loadable(Protocol):
    """What of an optimizer this file uses."""

    defaults: dict[str, Any]
    param_groups: list[ParameterGroup]

    @property
    def has_formulas(self) -> bool:
        """Whether the step is made of formulas."""

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise when an option is out of range."""

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What a group with these options keeps of each parameter."""


class GroupPlan(NamedTuple):
    """What is to be loaded into one group; ``entries`` has the parameters with saved state."""

    group: ParameterGroup
    options: dict[str, Any]
    steps: list[int]
    entries: list[tuple[Tensor, dict[str, Tensor]]]


def plan_load(optimizer: Loadable, state_dict: Mapping[str, Any]) -> list[GroupPlan]:
    """What to do for each group. Raises ModelFileError that lists every mismatch."""
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
        raise ModelFileError(
            "state_dict must be what an optimizer's state_dict() returned: a dict with 'state' and 'param_groups'"
        )
    saved, own = state_dict["param_groups"], optimizer.param_groups
    if len(saved) != len(own):
        _refuse(optimizer, [f"{len(saved)} parameter groups are in the state, {len(own)} in the optimizer"])
    problems: list[str] = []
    plans = [
        _plan_group(optimizer, number, group, saved_group, state_dict["state"], problems)
        for number, (group, saved_group) in enumerate(zip(own, saved, strict=True))
    ]
    if problems:
        _refuse(optimizer, problems)
    return plans


def _refuse(optimizer: Loadable, problems: Sequence[str]) -> None:
    raise ModelFileError(
        f"the state does not fit this {type(optimizer).__name__}; nothing was loaded. "
        f"{len(problems)} mismatches:\n  " + "\n  ".join(problems)
    )


def _plan_group(
    optimizer: Loadable,
    number: int,
    group: ParameterGroup,
    saved: Mapping[str, Any],
    state: Mapping[int, Mapping[str, Any]],
    problems: list[str],
) -> GroupPlan:
    where, indices = f"group {number}", saved.get("params", ())
    options = {name: value for name, value in saved.items() if name not in ("params", "param_names", "step")}
    problems += [f"{where}: option {name!r} is missing" for name in optimizer.defaults if name not in saved]
    if len(indices) != len(group["params"]):
        problems.append(f"{where}: {len(indices)} parameters in the state, {len(group['params'])} in the optimizer")
    merged = {**group, **options}
    try:
        optimizer.check(merged)
    except (ValueError, TypeError) as error:
        problems.append(f"{where}: {error}")
        return GroupPlan(group, options, [0] * len(group["params"]), [])
    entries = []
    names = optimizer.state_names(merged)
    if not optimizer.has_formulas:
        return GroupPlan(group, options, [0] * len(group["params"]), [])
    for index, parameter in zip(indices, group["params"], strict=False):
        kept = {name: value for name, value in state.get(index, {}).items() if name != "step" and value is not None}
        found = list(_entry_problems(f"parameter {index}", kept, names, parameter))
        problems += found
        if kept and not found:
            entries.append((parameter, {name: as_tensor(kept[name]) for name in names}))
    return GroupPlan(group, options, _saved_steps(saved, indices, state), entries)


def _entry_problems(where: str, kept: Mapping[str, Any], names: Sequence[str], parameter: Tensor) -> Iterator[str]:
    if not kept:
        return
    yield from (f"{where}: {name!r} is missing" for name in names if name not in kept)
    for name, value in kept.items():
        shape = tuple(getattr(value, "shape", ()))
        if name not in names:
            yield f"{where}: {name!r} is not kept by this optimizer"
        elif shape != parameter.shape:
            yield f"{where}: {name!r} has shape {shape} in the state, the parameter has {parameter.shape}"


def _saved_steps(saved: Mapping[str, Any], indices: Sequence[int], state: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """The step count of each parameter: its own, as PyTorch keeps it, else its group's."""
    return [int(state.get(index, {}).get("step", saved.get("step", 0))) for index in indices]
