"""Parameter groups: options that a person reads and sets, mirrored in device memory where kernels read them.

``group["lr"] = 0.01`` looks like a dict, and also writes one number on the device. The step count and the
numbers that follow from it (bias corrections and the like) live beside it and are computed there: nothing
that changes from step to step is ever inside a kernel's code or in Python.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from nnkit.backends.base import Array, Backend
from nnkit.backends.recording import paused, recorder
from nnkit.errors import DeviceError
from nnkit.kernels.registered import adopt
from nnkit.kernels.vocabulary import Formula, element_names, scalar_names
from nnkit.recording.state import changed
from nnkit.tensors.tensor import Tensor

#: Options that are two numbers -> what rates formulas call these.
PAIRS = {"betas": ("beta1", "beta2"), "etas": ("eta_minus", "eta_plus"), "step_sizes": ("least_step", "most_step")}


#: Formulas, with names of options, that fit together.
_checked: set[tuple[Any, ...]] = set()


class Rates:
    """The numbers of one group in one float64 vector on its device: step, the update's scalars, the options.

    Args:
        rates: the formula from (step; options) to (next step, the update's scalars).
        update: the formula that those scalars are for.
        options: a value for each scalar of ``rates``, by name.
        step: how many steps were taken.
    """

    def __init__(
        self,
        backend: Backend,
        rates: Formula,
        update: Formula,
        options: Mapping[str, float],
        step: float = 0.0,
    ) -> None:
        self.backend, self.formulas = backend, (rates, update)
        self.rates, self.update = adopt(rates), adopt(update)
        if (rates, update, *options) not in _checked:
            check_pair(rates, update, options)
            _checked.add((rates, update, *options))
        self.options = {name: options[name] for name in scalar_names(rates)}
        derived = len(scalar_names(update))
        self.vector = backend.asarray([step, *[0.0] * derived, *self.options.values()], "float64")
        views = [self.vector[i : i + 1] for i in range(1 + derived + len(self.options))]
        self._outputs, self._inputs = tuple(views[: 1 + derived]), tuple(views[1 + derived :])
        self._places = dict(zip(self.options, self._inputs, strict=True))
        #: One-element views: the scalars of the update, in the order of its formula.
        self.scalars: tuple[Array, ...] = self._outputs[1:]
        self._advance = self._prepared(None)

    @property
    def step(self) -> int:
        """How many steps were taken; read from the device."""
        return int(self.backend.to_numpy(self.vector)[0])

    def set(self, options: Mapping[str, float]) -> None:
        """Write the options that changed."""
        for name, place in self._places.items():
            if options[name] != self.options[name]:
                self.options[name] = options[name]
                self._write(options[name], place)

    def set_step(self, step: int) -> None:
        """Write the step count."""
        self._write(float(step), self._outputs[0])

    def _write(self, value: float, place: Array) -> None:
        # The obstacle is in ``ParameterGroup.assign``: a value from Python would be the same in every replay.
        with paused():
            self.backend.fill(value, place)

    def _prepared(self, unless: Array | None) -> Callable[[], None]:
        return prepared_map(self.backend, unless, self.rates.__name__, self._outputs[:1], self._outputs, self._inputs)

    def advance(self, unless: Array | None = None) -> None:
        """Count one step and compute its scalars, on the device; not where ``unless`` is not 0 there."""
        (self._advance if unless is None else self._prepared(unless))()


class Lane(NamedTuple):
    """Parameters of a group that have taken the same number of steps, and the numbers of their next one."""

    parameters: list[Tensor]
    rates: Rates


def prepared_map(
    backend: Backend, unless: Array | None, formula: str, inputs: Sequence[Array], out: Sequence[Array],
    scalars: Sequence[Array],
) -> Callable[[], None]:  # fmt: skip
    """``map`` of these very arrays, to be run often; with ``unless`` it does nothing where that is not 0."""
    if unless is None:
        return backend.prepared_map(formula, inputs, out, scalars)
    return functools.partial(backend.map_unless, unless, formula, inputs, out, scalars)


def check_pair(rates: Formula, update: Formula, options: Mapping[str, float]) -> None:
    """Raise ValueError where a rates formula and an update formula do not fit together, or an option lacks."""
    lacking = [name for name in scalar_names(rates) if name not in options]
    if lacking:
        raise ValueError(
            f"{rates.__name__} reads {lacking[0]!r}, which is no number among the options: {', '.join(options)}"
        )
    scalars, elements = scalar_names(update), element_names(update)
    try:
        found = rates(0.0, **{name: options[name] for name in scalar_names(rates)})
        new = update(*[0.5] * len(elements), **dict.fromkeys(scalars, 0.5))
    except ArithmeticError:
        return
    if _count(found) != 1 + len(scalars):
        raise ValueError(
            f"{rates.__name__} returns {_count(found)} numbers, expected the next step and the {len(scalars)} scalars "
            f"of {update.__name__}: {', '.join(scalars)}"
        )
    if _count(new) != len(elements) - 1:
        raise ValueError(
            f"{update.__name__} returns {_count(new)} numbers, expected the new parameter and the new state: "
            f"{', '.join((*elements[:1], *elements[2:]))}"
        )


def _count(returned: Any) -> int:
    return len(returned) if isinstance(returned, tuple) else 1


def scalar_options(options: Mapping[str, Any]) -> dict[str, float]:
    """The options as the numbers that rates formulas take.

    A pair such as ``betas`` becomes ``beta1`` and ``beta2``; ``maximize`` becomes ``direction``; True is 1.

    >>> scalar_options({"lr": 1, "betas": (0.9, 0.999), "maximize": True, "params": []})
    {'lr': 1.0, 'beta1': 0.9, 'beta2': 0.999, 'direction': -1.0}
    """
    numbers: dict[str, float] = {}
    for name, value in options.items():
        if name == "maximize":
            numbers["direction"] = -1.0 if value else 1.0
        elif name in PAIRS:
            numbers |= zip(PAIRS[name], map(float, value), strict=True)
        elif name != "params" and isinstance(value, Real):
            numbers[name] = float(value)
    return numbers


class ParameterGroup(MutableMapping[str, Any]):
    """Some parameters with their options: ``group["params"]``, ``group["lr"]``, as in PyTorch.

    Setting an option checks it, and reaches the device at once. Further keys of your own are kept.
    """

    def __init__(self, options: dict[str, Any], check: Callable[[Mapping[str, Any]], None]) -> None:
        check(options)
        self._options, self._check, self._required = options, check, frozenset(options)
        #: Parameters that have taken the same number of steps, with that number; usually one lane has them all.
        self.lanes: list[Lane] = []
        self.formulas: tuple[Formula, Formula] | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """The options as they are now. For nnkit's own steps, which read the numbers on the device."""
        return self._options

    def __getitem__(self, name: str) -> Any:
        value = self._options[name]
        if recorder() is not None and name not in ("params", "param_names"):
            note_option_read(self, name, value)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.assign({name: value})

    def assign(self, options: Mapping[str, Any]) -> None:
        """Set several options at once; all or, if their check fails, none."""
        if "params" in options:
            raise ValueError("a group's parameters are fixed: use optimizer.add_param_group, or make a new optimizer")
        options = {**self._options, **options}
        self._check(options)
        at_work = recorder()
        if at_work is not None:
            at_work.obstacle("it sets an option of an optimizer")
        self._options = options
        changed()
        for lane in self.lanes:
            lane.rates.set(scalar_options(options))

    def __delitem__(self, name: str) -> None:
        if name in self._required:
            raise KeyError(f"{name!r} is an option of this optimizer and cannot be deleted; set it instead")
        del self._options[name]
        changed()

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __repr__(self) -> str:
        return repr(self._options)

    def names(self, first: int) -> list[str]:
        """The parameters' names; where none were given their numbers, from ``first`` on."""
        count = len(self["params"])
        return self.get("param_names") or [str(first + i) for i in range(count)]

    def backend(self) -> Backend | None:
        """Where the group's parameters live; None without any. Raises DeviceError for several devices."""
        first, *rest = self._options["params"] or [None]
        for tensor in rest:
            if tensor.backend is not first.backend:
                raise DeviceError(
                    "the parameters of a group must be on one device, got "
                    f"{str(first.device)!r} and {str(tensor.device)!r}: "
                    "move the model with .to(...), or make a group for each device"
                )
        return None if first is None else first.backend

    @property
    def step(self) -> int:
        """How many steps were taken by those of its parameters that took most."""
        return max((lane.rates.step for lane in self.lanes), default=0)

    def steps(self) -> list[int]:
        """How many steps each parameter has taken."""
        counts = {id(tensor): lane.rates.step for lane in self.lanes for tensor in lane.parameters}
        return [counts.get(id(tensor), 0) for tensor in self._options["params"]]

    def set_steps(self, steps: Sequence[int]) -> None:
        """Write each parameter's count: a lane for those with the same one."""
        if not self.lanes:
            return
        first = self.lanes[0].rates
        kinds = list(dict.fromkeys(steps))
        self.lanes = [
            Lane([p for p, own in zip(self._options["params"], steps, strict=True) if own == step], self._rates(step))
            for step in kinds[1:]
        ]
        first.set_step(kinds[0])
        with_first = [p for p, own in zip(self._options["params"], steps, strict=True) if own == kinds[0]]
        self.lanes.insert(0, Lane(with_first, first))
        changed()

    def split(self, has_gradient: Callable[[Tensor], bool]) -> None:
        """Where a lane has parameters with and without a gradient, count those without one by themselves."""
        for lane in list(self.lanes):
            left = [tensor for tensor in lane.parameters if not has_gradient(tensor)]
            if left and len(left) < len(lane.parameters):
                at_work = recorder()
                if at_work is not None:
                    at_work.unsettled()
                with paused():
                    self.lanes.append(Lane(left, self._rates(lane.rates.step)))
                apart = {id(tensor) for tensor in left}
                lane.parameters[:] = [tensor for tensor in lane.parameters if id(tensor) not in apart]

    def _rates(self, step: int) -> Rates:
        """Numbers like those of the first lane, at another count."""
        first = self.lanes[0].rates
        return Rates(first.backend, *first.formulas, scalar_options(self._options), float(step))

    def bind(self, backend: Backend, formulas: tuple[Formula, Formula]) -> None:
        """Have the numbers on ``backend`` for (rates, update); the step counts move along."""
        numbers = scalar_options(self._options)
        if not self.lanes:
            self.lanes = [Lane(list(self._options["params"]), Rates(backend, *formulas, numbers))]
        for index, (parameters, rates) in enumerate(self.lanes):
            if rates.backend is not backend or rates.formulas != formulas:
                self.lanes[index] = Lane(parameters, Rates(backend, *formulas, numbers, float(rates.step)))


def check_not_negative(name: str, value: Any) -> None:
    """Raise ValueError when an option is below 0 or NaN, TypeError when it is no number."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    if not float(value) >= 0.0:
        raise ValueError(f"{name} must be at least 0, got {value!r}")


def check_betas(betas: Any) -> None:
    """Raise ValueError unless these are two numbers from 0 up to, but not including, 1."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"betas must be two numbers, got {betas!r}")
    for index, beta in enumerate(betas):
        if not (isinstance(beta, Real) and 0.0 <= float(beta) < 1.0):
            raise ValueError(f"betas[{index}] must be at least 0 and less than 1, got {beta!r}")


def note_option_read(owner: Any, name: str, value: Any) -> None:
    """Tell a recorder at work that the step uses a number of ``owner`` as it is now: a replay would not read it again.

    So the program holds while that number stays; what can change in itself cannot be replayed.
    """
    at_work = recorder()
    if at_work is None:
        return
    parts = value if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(part, (Real, str, type(None))) for part in parts):
        at_work.obstacle(f"it reads the option {name!r} of an optimizer, a {type(value).__name__}")
    kept = tuple(parts)

    def holds() -> bool:
        now = owner._options.get(name) if isinstance(owner, ParameterGroup) else getattr(owner, name)
        return (tuple(now) if isinstance(now, (tuple, list)) else (now,)) == kept

    at_work.relied[id(owner), name] = holds


def named_tensors(params: Any) -> tuple[list[str], list[Tensor]]:
    """A group's "params" as names (none, or one for each) and leaf Tensors.

    params: a Tensor, or an iterable of Tensors or of (name, Tensor) pairs, but no set: a set has no order.
    Raises TypeError for anything else in it, ValueError for a Tensor that is a result, not a leaf.
    """
    if isinstance(params, (set, frozenset)):
        raise TypeError("params must be in a fixed order, but a set has none: use a list")
    if not isinstance(params, Iterable):
        raise TypeError(f"params must be Tensors, got {type(params).__name__}")
    given = [params] if isinstance(params, Tensor) else list(params)
    pairs: list[tuple[str, Any]] = [
        item if isinstance(item, tuple) and len(item) == 2 else ("", item) for item in given
    ]
    for _, tensor in pairs:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"params must be Tensors, but one of them is {type(tensor).__name__}")
        if not tensor.is_leaf:
            raise ValueError(
                f"params: a Tensor of shape {tensor.shape} is the result of an operation and cannot be "
                "optimized; only leaves can, such as nnkit.Parameter"
            )
    names = [name for name, _ in pairs]
    if any(names) and not all(names):
        raise ValueError("params: give every parameter a name, or none")
    return (names if any(names) else []), [tensor for _, tensor in pairs]


def refuse_differentiable(differentiable: bool) -> None:
    """Raise ValueError for the one option of PyTorch's that would change what a step is."""
    if differentiable:
        raise ValueError("differentiable=True: a step is no part of the tape here; leave it out")
