"""What an optimizer remembers of a training, as Keras's files have it: a list of arrays, in the order of its variables.

First the number of updates, then the learning rate where no schedule gives it; averages of ``use_ema`` and sums of
``gradient_accumulation_steps``; then for every weight the state of the formula. Keras names none of them in the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.keras.files.hdf5 import Stored
from nnkit.keras.optimizers import Optimizer
from nnkit.keras.variable import WeightView, parameter_of
from nnkit.tensors.creation import full, tensor, zeros_like
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["put_state", "state_arrays"]

#: Optimizer -> what it keeps of each weight: groups of states that lie weight by weight, side by side.
STATES: dict[str, tuple[tuple[str, ...], ...]] = {
    "SGD": (("velocity",),), "Adam": (("exp_avg", "exp_avg_sq"), ("max_exp_avg_sq",)),
    "AdamW": (("exp_avg", "exp_avg_sq"), ("max_exp_avg_sq",)),
    "RMSprop": (("square_avg",), ("velocity",), ("grad_avg",)), "Adagrad": (("sum",),),
    "Adadelta": (("square_avg", "acc_delta"),), "Adamax": (("exp_avg", "exp_inf"),), "Ftrl": (("sum", "linear"),),
    "Lamb": (("exp_avg", "exp_avg_sq"),), "Lion": (("exp_avg",),), "Nadam": (("exp_avg", "exp_avg_sq"),),
}  # fmt: skip
#: A state that Keras has only where an option says so.
OPTIONAL = {"velocity": "momentum", "grad_avg": "centered", "max_exp_avg_sq": "amsgrad"}
PRODUCT = "mu_product"  # Nadam's, one number for all weights


def _groups(optimizer: Any) -> list[tuple[str, ...]]:
    found = STATES[type(optimizer).__name__]
    return [group for group in found if all(getattr(optimizer, OPTIONAL.get(one, ""), True) for one in group)]


def _is_known(optimizer: Any) -> bool:
    return isinstance(optimizer, Optimizer) and type(optimizer).__name__ in STATES


# ---- writing --------------------------------------------------------------------------------------------------


def state_arrays(model: Any) -> list[np.ndarray]:
    """The arrays of a compiled model's optimizer; of one that has made no update yet only its settings."""
    optimizer = model.optimizer
    if not isinstance(optimizer, Optimizer):
        return []
    steps = optimizer.gradient_accumulation_steps or 1
    waiting = 0 if optimizer._accumulated is None else int(optimizer._accumulated.count.item())
    found = [np.array(optimizer.iterations * steps + waiting, dtype=np.int32)]
    if not optimizer.follows_schedule and not optimizer.decay:
        found.append(np.array(optimizer.learning_rate, dtype=np.float32))
    if not optimizer.built or not _is_known(optimizer):
        return found
    variables = model.trainable_variables
    for around, values in ((optimizer._average, "averages"), (optimizer._accumulated, "sums")):
        if around is not None:
            kept = {id(p): one for p, one in zip(around.parameters, getattr(around, values), strict=True)}
            found += [_shown(variable, kept[id(parameter_of(variable))]) for variable in variables]
    state = optimizer.state_dict()["state"]
    numbers = {id(parameter): number for number, parameter in enumerate(_parameters(optimizer))}
    initial = optimizer.initial_state(optimizer.param_groups[0]) if optimizer.has_formulas else {}
    for group in _groups(optimizer):
        for variable in variables:
            kept = state.get(numbers[id(parameter_of(variable))], {})
            found += [_of_state(variable, kept.get(name), initial.get(name, 0.0)) for name in group]
    if type(optimizer).__name__ == "Nadam":
        product = next((kept[PRODUCT] for kept in state.values() if PRODUCT in kept), None)
        found.append(np.array(1.0 if product is None else product.reshape(-1)[0].item(), dtype=np.float32))
    return found


def _of_state(variable: Any, kept: Tensor | None, initial: float) -> np.ndarray:
    if kept is None:
        return np.full(tuple(variable.shape), initial, dtype=np.float32)
    return _shown(variable, kept)


def _shown(variable: Any, value: Tensor) -> np.ndarray:
    """A tensor that belongs to a weight, laid out as Keras has the weight."""
    with no_grad():
        laid = variable.laid_out(value.detach()) if isinstance(variable, WeightView) else value.detach()
        return np.array(laid.numpy())


def _parameters(optimizer: Any) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


# ---- reading --------------------------------------------------------------------------------------------------


def put_state(model: Any, stored: Sequence[Stored]) -> None:
    """Let the optimizer of a built and compiled model go on from the arrays of a file.

    Where their number is another, or the optimizer is one whose state is kept in another form, it begins afresh, and
    one warning says so. Raises ModelFileError where a shape does not fit.
    """
    optimizer = model.optimizer
    if not isinstance(optimizer, Optimizer) or not stored:
        return
    model.build_optimizer()
    variables = model.trainable_variables
    has_rate = not optimizer.follows_schedule
    if optimizer.built and _is_known(optimizer):
        wanted = _expected(optimizer, len(variables)) + 1 + has_rate
        if len(stored) == wanted:
            _put(optimizer, variables, iter(stored), has_rate)
            return
    if int(_number(stored[0])) > 0:
        warnings.warn(
            f"the file's state of the optimizer {optimizer.name!r} ({len(stored)} arrays) is not one that nnkit "
            "takes over; training goes on from the weights with an optimizer that begins afresh",
            stacklevel=5,
        )


def _expected(optimizer: Any, variables: int) -> int:
    around = (optimizer._average is not None) + (optimizer._accumulated is not None)
    each = sum(len(group) for group in _groups(optimizer)) + around
    return each * variables + (type(optimizer).__name__ == "Nadam")


@no_grad()
def _put(optimizer: Any, variables: Sequence[Any], stored: Iterator[Stored], has_rate: bool) -> None:
    batches = int(_number(next(stored)))
    if not 0 <= batches < 2**62:
        raise ModelFileError(f"the file says that the optimizer has made {batches} updates")
    steps = optimizer.gradient_accumulation_steps or 1
    if has_rate:
        rate = float(_number(next(stored)))
        if not 0 <= rate < float("inf"):
            raise ModelFileError(f"the file says that the learning rate is {rate}")
        optimizer.learning_rate = rate
    if optimizer._average is not None:
        _put_around(optimizer._average, optimizer._average.averages, variables, stored, batches)
    if optimizer._accumulated is not None:
        _put_around(optimizer._accumulated, optimizer._accumulated.sums, variables, stored, batches % steps)
    state = _read(optimizer, variables, stored, batches // steps)
    groups = [{**group, "step": batches // steps} for group in optimizer.state_dict()["param_groups"]]
    optimizer.load_state_dict({"state": state if batches >= steps else {}, "param_groups": groups})


def _put_around(
    around: Any, values: Sequence[Tensor], variables: Sequence[Any], stored: Iterator[Stored], count: int
) -> None:
    kept = {id(parameter): value for parameter, value in zip(around.parameters, values, strict=True)}
    for variable in variables:
        kept[id(parameter_of(variable))].copy_(_laid_back(variable, next(stored)))
    around.count.fill_(count)


def _read(optimizer: Any, variables: Sequence[Any], stored: Iterator[Stored], step: int) -> dict[int, dict[str, Any]]:
    parameters = _parameters(optimizer)
    numbers = {id(parameter): number for number, parameter in enumerate(parameters)}
    state: dict[int, dict[str, Any]] = {number: {} for number in range(len(parameters))}
    for group in _groups(optimizer):
        for variable in variables:
            own = state[numbers[id(parameter_of(variable))]]
            own |= {name: _laid_back(variable, next(stored)) for name in group}
    product = float(_number(next(stored))) if type(optimizer).__name__ == "Nadam" else 1.0
    options = optimizer.param_groups[0]
    initial = dict(optimizer.initial_state(options)) if optimizer.has_formulas else {}
    names = set(optimizer.state_names(options)) if optimizer.has_formulas else set(state[0])
    for number, parameter in enumerate(parameters):
        own = state[number]
        if not optimizer.has_formulas:
            own["step"] = full((1,), float(step), device=parameter.device)
        for name in names - set(own):  # Weights that are not trained, and states that Keras leaves out.
            own[name] = zeros_like(parameter.detach()) + (product if name == PRODUCT else initial.get(name, 0.0))
    return state


def _laid_back(variable: Any, stored: Stored) -> Tensor:
    """An array of the file in the layout of the weight's parameter."""
    parameter = parameter_of(variable)
    array = tensor(stored.read(tuple(variable.shape)), dtype=parameter.dtype, device=parameter.device)
    whole = zeros_like(parameter.detach())
    (variable.laid_out(whole) if isinstance(variable, WeightView) else whole).copy_(array)
    return whole


def _number(stored: Stored) -> Any:
    return stored.read(()).item()
