"""Reading an optimizer's saved state: everything is compared before anything is changed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nnkit.errors import ModelFileError
from nnkit.optim.groups import ParameterGroup
from nnkit.tensors.loading import Fit
from nnkit.tensors.tensor import Tensor

#: What of a schedule has an entry for each parameter group; what may be negative.
PER_GROUP = ("base_lrs", "_last_lr", "max_lrs", "min_lrs")
UNBOUNDED = ("best", "phases", "last_epoch")


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
    fit, own = Fit(optimizer), optimizer.param_groups
    saved, state = fit.row("'param_groups'", state_dict["param_groups"]), fit.mapping("'state'", state_dict["state"])
    if len(saved) != len(own):
        fit.refuse(f"{len(saved)} parameter groups are in the state, {len(own)} in the optimizer")
    fit.settle()
    groups = [fit.mapping(f"group {number}", group) for number, group in enumerate(saved)]
    indices = [_indices(fit, f"group {number}", group) for number, group in enumerate(groups)]
    known = {index for group in indices for index in group}
    for index in state:
        if index not in known:
            fit.refuse(f"parameter {index!r} has a state, but is in no group")
    plans = [
        _plan_group(optimizer, fit, f"group {number}", group, saved_group, chosen, state)
        for number, (group, saved_group, chosen) in enumerate(zip(own, groups, indices, strict=True))
    ]
    fit.settle()
    return plans


def _indices(fit: Fit, where: str, saved: Mapping[str, Any]) -> list[Any]:
    """The numbers under which the state of a group's parameters is kept."""
    found: list[Any] = []
    for index in fit.row(f"{where}: 'params'", saved.get("params", ())):
        if not isinstance(index, Hashable) or index in found:
            fit.refuse(f"{where}: 'params' must be a different number for each parameter, got {index!r}")
        else:
            found.append(index)
    return found


def _plan_group(
    optimizer: Loadable,
    fit: Fit,
    where: str,
    group: ParameterGroup,
    saved: Mapping[str, Any],
    indices: Sequence[Any],
    state: Mapping[Any, Any],
) -> GroupPlan:
    if len(indices) != len(group["params"]):
        fit.refuse(f"{where}: {len(indices)} parameters in the state, {len(group['params'])} in the optimizer")
    entries_of = {index: fit.mapping(f"parameter {index}", state[index]) for index in indices if index in state}
    options = {name: value for name, value in saved.items() if name not in ("params", "param_names", "step")}
    names = _checked_options(optimizer, fit, where, group, options)
    entries = []
    for index, parameter in zip(indices, group["params"], strict=False):
        kept = {name: v for name, v in entries_of.get(index, {}).items() if name != "step" and v is not None}
        if kept and names is not None and optimizer.has_formulas:
            fit.names(names, kept, f"parameter {index}: ")
            values = {
                name: fit.tensor(f"parameter {index}: {name!r}", kept[name], parameter.shape)
                for name in names
                if name in kept
            }
            entries.append((parameter, values))
    return GroupPlan(group, options, _saved_steps(fit, where, saved, indices, entries_of), entries)  # type: ignore[arg-type]


def _checked_options(
    optimizer: Loadable, fit: Fit, where: str, group: ParameterGroup, options: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """What the group keeps of each parameter; None where the options cannot be used."""
    before = len(fit.problems)
    for name, default in optimizer.defaults.items():
        if name in options:
            fit.like(f"{where}: {name!r}", default, options[name])
        else:
            fit.refuse(f"{where}: option {name!r} is missing")
    if "initial_lr" in options:
        fit.like(f"{where}: 'initial_lr'", 0.0, options["initial_lr"])
    for name in options:
        if not isinstance(name, str):
            fit.refuse(f"{where}: {name!r} is no name of an option")
    merged = {**group, **options}
    try:
        optimizer.check(merged)
        return optimizer.state_names(merged) if len(fit.problems) == before else None
    except (ValueError, TypeError, ArithmeticError) as error:
        fit.refuse(f"{where}: {error}")
        return None


def _saved_steps(
    fit: Fit, where: str, saved: Mapping[str, Any], indices: Sequence[Any], entries: Mapping[Any, Mapping[str, Any]]
) -> list[int]:
    """The step count of each parameter: its own, as PyTorch keeps it, else its group's."""
    shared = fit.count(f"{where}: 'step'", saved["step"]) if "step" in saved else 0
    own = {i: fit.count(f"parameter {i}: 'step'", entry["step"]) for i, entry in entries.items() if "step" in entry}
    return [own.get(index, shared) for index in indices]


def check_schedule(schedule: Any, state_dict: Mapping[str, Any]) -> None:
    """Raise ModelFileError that lists what of the state does not fit a learning-rate schedule."""
    apart, fit = ("schedulers", "group_lrs"), Fit(schedule)  # which the schedule looks at itself
    own = {name: value for name, value in schedule.state_dict().items() if name not in apart}
    given = {name: value for name, value in fit.mapping("the state", state_dict).items() if name not in apart}
    fit.settle()
    fit.names(own, given)
    for name in own.keys() & given.keys():
        fit.like(repr(name), own[name], given[name])
    fit.settle()
    for name in given:
        if name not in UNBOUNDED:
            _not_negative(fit, repr(name), given[name])
    for name in schedule.divisors:
        if name in given and not given[name]:
            fit.refuse(f"{name!r} must be greater than 0, got {given[name]!r}")
    if "last_epoch" in given:
        if given["last_epoch"] != -1:  # which is one that a sequence has not begun with
            fit.count("'last_epoch'", given["last_epoch"])
    groups = len(schedule.optimizer.param_groups)
    for name in PER_GROUP:
        if name in own and len(given[name]) != groups:
            fit.refuse(f"{name!r} must have one value for each of {groups} parameter groups, got {len(given[name])}")
    fit.settle()


def _not_negative(fit: Fit, where: str, value: Any) -> None:
    """Numbers, at any depth, that a rate can be computed from."""
    if isinstance(value, (list, tuple, Mapping)):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            _not_negative(fit, f"{where}[{key!r}]", item)
    elif isinstance(value, (int, float)) and not 0 <= value < math.inf:
        fit.refuse(f"{where} must be a finite number of at least 0, got {value!r}")
