"""The base of all optimizers: parameters in an arena, options in groups, one kernel a step for each group.

A subclass gives its options with their defaults and says which formulas of ``nnkit.kernels.updates`` a group
uses; everything else, from memory to checkpoints, is here and is the same for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

from nnkit.backends.base import Array
from nnkit.backends.recording import paused, recorder
from nnkit.kernels.vocabulary import Formula, element_names
from nnkit.optim.arena import Arena, Block, Run, has_gradient
from nnkit.optim.checkpoint import GroupPlan, plan_load
from nnkit.optim.groups import (
    ParameterGroup,
    Rates,
    check_betas,
    check_not_negative,
    named_tensors,
    prepared_map,
)
from nnkit.optim.rows import apart_in_rows, step_rows
from nnkit.optim.state import State, transfer
from nnkit.recording.state import Watched, changed
from nnkit.tensors.tape import enable_grad
from nnkit.tensors.tensor import Tensor, written

Parameters = Iterable[Any]

#: Options that may not be negative, in every optimizer that has them.
NOT_NEGATIVE = frozenset(("lr", "eps", "weight_decay", "momentum", "alpha", "lr_decay", "initial_accumulator_value"))


class Optimizer(Watched):
    """Changes parameters along their gradients.

    To write one, subclass it; ``__init__`` passes the options and their defaults on. Either ``formulas`` names the
    mathematics, which is compiled; what is kept of each parameter follows from the formula's own parameter names.
    (``nnkit.optim.register`` makes such a class in one call.) Or ``step`` is your own, as in PyTorch: it goes through
    ``self.param_groups``, reads ``p.grad`` and keeps Tensors in ``self.state[p]``, all under ``nnkit.no_grad()``.

    Args:
        params: leaf Tensors, or (name, Tensor) pairs, or dicts ``{"params": [...], "lr": ...}`` with the options of
            one group each; any iterable, also a generator.
        defaults: the options of a group that does not set them.

    Steps are counted for each parameter, as in PyTorch; those of a group that took the same steps share a count. A
    frozen parameter, and one without gradient, is left alone.

    Raises TypeError for what is no Tensor, ValueError for an empty list, a non-leaf Tensor, a parameter that
    comes twice, or an option out of range.

    >>> import nnkit
    >>> from nnkit.kernels import updates
    >>> class Descent(Optimizer):
    ...     def __init__(self, params, lr=0.5):
    ...         super().__init__(params, {"lr": lr, "weight_decay": 0.0, "maximize": False})
    ...     def formulas(self, options):
    ...         return updates.sgd_rates, updates.sgd
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Descent([x])
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [0.0]
    >>> class Signs(Optimizer):
    ...     def __init__(self, params, lr=0.5):
    ...         super().__init__(params, {"lr": lr})
    ...     @nnkit.no_grad()
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.sub_(group["lr"] * p.grad.sign())
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Signs([x])
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """

    def __init__(self, params: Parameters, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[ParameterGroup] = []
        self.arena = Arena([])
        self._state = State(self.arena, {})
        self._launches: dict[tuple[int, ...], Callable[[], None]] = {}
        self._unless: list[Array] = []
        self._divisions: list[Callable[[list[Run]], list[Run]]] = []
        self._kept: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        self._adopt(params)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        """The rates formula and the update formula of a group with these options: functions of a module, not made here.

        See ``nnkit.kernels.updates`` for what they take and return, and ``nnkit.kernels.vocabulary`` for their words.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither formulas(options) nor step() of its own")

    @property
    def has_formulas(self) -> bool:
        """Whether the step is made of formulas; else the subclass has a ``step`` of its own."""
        return type(self).formulas is not Optimizer.formulas

    def initial_state(self, options: Mapping[str, Any]) -> dict[str, float]:
        """What a state starts from where that is not 0: name -> value."""
        return {}

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError or TypeError when an option of a group is out of range."""
        for name in sorted(NOT_NEGATIVE & self.defaults.keys()):
            check_not_negative(name, options[name])
        if "betas" in self.defaults:
            check_betas(options["betas"])

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What is kept of each parameter: the update's elements after parameter and gradient."""
        return element_names(self.formulas(options)[1])[2:] if self.has_formulas else ()

    # ---- groups -------------------------------------------------------------------------------------------

    def _adopt(self, params: Parameters) -> None:
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise TypeError(
                f"params must be an iterable of Tensors or of dicts, got {type(params).__name__}: "
                "write [tensor], or model.parameters()"
            )
        given = list(params)
        if not given:
            raise ValueError("params is an empty list: an optimizer needs at least one parameter")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self._append_group(group)
        self._lay_out()

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own: ``{"params": [...], "lr": 0.01}``."""
        self._append_group(param_group)
        self._lay_out()

    def _append_group(self, param_group: Mapping[str, Any]) -> None:
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f"a parameter group must be a dict with the key 'params', got {type(param_group).__name__}")
        names, tensors = named_tensors(param_group["params"])
        seen = {id(tensor) for group in self.param_groups for tensor in group["params"]}
        for tensor in tensors:
            if id(tensor) in seen:
                raise ValueError(f"a parameter of shape {tuple(tensor.shape)} comes twice; give each once")
            seen.add(id(tensor))
        options = {**self.defaults, **param_group, "params": tuple(tensors)}
        if names:
            options["param_names"] = names
        group = ParameterGroup(options, self.check)
        group.backend()
        self.param_groups.append(group)

    def _all_parameters(self) -> Iterator[Tensor]:
        return (tensor for group in self.param_groups for tensor in group["params"])

    # ---- memory -------------------------------------------------------------------------------------------

    def is_prepared(self) -> bool:
        """Whether ``prepare`` has nothing to do."""
        return self.arena.is_current() and all(
            not group.lanes or group.lanes[0].rates.formulas == self._chosen(group) for group in self.param_groups
        )

    def _chosen(self, group: ParameterGroup) -> tuple[Formula, Formula]:
        """The formulas of a group; a subclass is asked outside of recorded steps only, before each of which it is."""
        if group.formulas is None or recorder() is None:
            group.formulas = self.formulas(group.options)
        return group.formulas

    def prepare(self, also: Set[int] = frozenset(), alone: bool = False) -> None:
        """Bring back what was moved, and make the state of options that were switched on; cheap if there is nothing.

        ``step`` does it by itself. Call it before a step is recorded: a recorded step in which parameters have to
        be moved cannot be replayed.

        Args:
            also: the ids of frozen parameters that need a place nevertheless.
            alone: have the state where no other process sees it.
        """
        if also or not self.is_prepared() or (alone and self._state.shared):
            self._lay_out_once(also, alone)

    def _lay_out_once(self, also: Set[int] = frozenset(), alone: bool = False) -> None:
        at_work = recorder()
        if at_work is not None:
            at_work.unsettled()
        with paused():
            self._lay_out(also, alone)

    def _lay_out(self, also: Set[int] = frozenset(), alone: bool = False) -> None:
        """Give each parameter its place and state, each group its numbers; what there is already moves along."""
        names: list[str] = []
        wanted: dict[int, dict[str, float]] = {}
        for group in self.param_groups:
            names += group.names(len(names))
            initial = self.initial_state(group.options)
            for tensor in group["params"]:
                wanted[id(tensor)] = {name: initial.get(name, 0.0) for name in self.state_names(group.options)}
            backend = group.backend()
            if backend is not None and self.has_formulas:
                group.bind(backend, self._chosen(group))
        self.arena = Arena(self._all_parameters(), names, also | self._state.slots.keys())
        self._state = State(self.arena, wanted, self._state, alone)
        self._launches.clear()
        changed()

    def _launch(self, run: Run, rates: Rates, unless: Array | None) -> Callable[[], None]:
        """The update of a run, over the same memory every step."""
        key = (id(run.block), run.start, run.stop, id(rates), id(unless))
        if key not in self._launches:
            values = run.block.values[run.start : run.stop]
            gradients = run.block.gradients[run.start : run.stop]
            states = tuple(self._state.flat(run, name) for name in element_names(rates.update)[2:])
            inputs, outputs = (values, gradients, *states), (values, *states)
            name = rates.update.__name__
            self._launches[key] = prepared_map(rates.backend, unless, name, inputs, outputs, rates.scalars)
        return self._launches[key]

    # ---- use ----------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; ``set_to_none=False`` makes them zeros instead, where there are any."""
        for parameter in self._all_parameters():
            gradient = parameter.gradient
            if set_to_none:
                parameter.forget_grad()
            elif gradient.filled:
                parameter.backend.fill(0.0, gradient.array)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. Returns what ``closure``, called first, returns."""
        if not self.has_formulas:
            self.formulas({})
        at_work = recorder()
        if at_work is not None:
            at_work.optimizers[id(self)] = self
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        division = self._divisions[-1] if self._divisions else None
        self.prepare(alone=division is None)
        unless = self._unless[-1] if self._unless else None
        for group in self.param_groups:
            group.split(has_gradient)
            for parameters, rates in group.lanes:
                apart = apart_in_rows(self, group) if unless is None else ()
                runs = self.arena.runs([p for p in parameters if p not in apart] if apart else parameters)
                if runs or apart:
                    rates.advance(unless)
                for parameter in apart:
                    step_rows(parameter, rates)
                for run in runs if division is None else division(runs):
                    self._launch(run, rates, unless)()
            written(*[p for p in group["params"] if p.requires_grad and p.gradient._filled])
        return loss

    def changes_rows(self, options: Mapping[str, Any]) -> bool:
        """Whether a row with a gradient of 0 stays as it is, and a sum of gradients may be taken one by one."""
        return False

    @contextmanager
    def unless(self, flag: Array) -> Iterator[None]:
        """Inside, a step changes nothing where ``flag`` is not 0: float64, one element, in the parameters' memory.

        The device decides, so a recorded step decides anew in every replay. ``GradScaler`` uses it.
        """
        if not self.has_formulas:
            raise TypeError(
                f"{type(self).__name__} has a step of its own, which cannot be left out where a scaled gradient "
                "overflowed: GradScaler needs an optimizer made of formulas, or use precision='bfloat16'"
            )
        self._unless.append(flag)
        try:
            yield
        finally:
            self._unless.pop()

    # ---- several processes --------------------------------------------------------------------------------

    @contextmanager
    def divided(self, parts: Callable[[list[Run]], list[Run]]) -> Iterator[None]:
        """Inside, a step updates these parts of its runs alone; other processes, with the same state, the rest."""
        self._divisions.append(parts)
        try:
            yield
        finally:
            self._divisions.pop()

    def shares_state(self, block: Block) -> bool:
        """Whether all state beside a block lives in memory that ``share_state`` was given."""
        return self._state.is_shared(block)

    def share_state(self, block: Block, memory: Callable[[tuple[int, int], Any], Array], part: slice) -> None:
        """Let the state beside a block live where other processes see it, too, until a step is not ``divided``.

        ``memory`` makes an array of a shape (names, elements), of which this process fills ``part``.
        """
        with paused():
            self._state.share(block, memory, part)
        self._lay_out_once()

    # ---- checkpoints --------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        """What is kept of each parameter, as views: ``optimizer.state[parameter]["exp_avg"]``.

        In an optimizer with a ``step`` of its own: what that keeps there, a dict for each parameter, at first empty.
        """
        if not self.has_formulas:
            return self._kept
        return {parameter: self._state_tensors(parameter) for parameter in self._all_parameters()}

    def memory(self) -> list[Array]:
        """Every array that a step writes."""
        return [*(block.values for block in self.arena.blocks()), *self._state.buffers.values()]

    def everything(self) -> list[Array]:
        """All memory of an optimizer made of formulas: values, gradients, state, and each lane's numbers."""
        rates = [lane.rates.vector for group in self.param_groups for lane in group.lanes]
        return [*self.memory(), *(block.gradients for block in self.arena.blocks()), *rates]

    def _state_tensors(self, parameter: Tensor) -> dict[str, Tensor]:
        arrays = self._state.of(parameter)
        return {name: Tensor(array, parameter.backend) for name, array in arrays.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later: ``{"state": {index: {name: Tensor}}, "param_groups": [options]}``.

        As PyTorch's, but the Tensors are copies, and "step" stands with the group; with a parameter where its own
        count is another.
        """
        state: dict[int, dict[str, Any]] = {}
        groups: list[dict[str, Any]] = []
        first = 0
        for group in self.param_groups:
            step, steps, indices = group.step, group.steps(), list(range(first, first + len(group["params"])))
            first += len(indices)
            groups.append({**group, "step": step, "params": indices})
            for index, parameter, own in zip(indices, group["params"], steps, strict=True):
                kept = self._state_tensors(parameter)
                if not self.has_formulas and parameter in self._kept:
                    state[index] = {name: _cloned(value) for name, value in self._kept[parameter].items()}
                elif own and kept:
                    state[index] = {name: tensor.clone() for name, tensor in kept.items()}
                if own != step and self.has_formulas:
                    state.setdefault(index, {})["step"] = own
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned, here or in PyTorch; the parameters themselves are not in it.

        Raises ModelFileError that lists everything that does not fit; then nothing is changed.
        """
        plans = plan_load(self, state_dict)
        if not self.has_formulas:
            self._kept.clear()
            parameters = list(self._all_parameters())
            for index, kept in state_dict["state"].items():
                self._kept[parameters[index]] = {name: _cloned(value) for name, value in kept.items()}
            changed()
        for plan in plans:
            plan.group.assign(plan.options)
        homeless = {id(parameter) for plan in plans for parameter, _ in plan.entries} - self._state.slots.keys()
        self.prepare(homeless, alone=True)
        for plan in plans:
            self._load_group(plan)

    def _load_group(self, plan: GroupPlan) -> None:
        initial = self.initial_state(plan.group.options)
        for parameter in plan.group["params"]:
            for name, array in self._state.of(parameter).items():
                parameter.backend.fill(initial.get(name, 0.0), array)
        for parameter, entry in plan.entries:
            for name, array in self._state.of(parameter).items():
                transfer(entry[name].array, entry[name].backend, array, parameter.backend)
        plan.group.set_steps(plan.steps)

    def __getstate__(self) -> dict[str, Any]:
        groups = [dict(group) for group in self.param_groups]
        return {"defaults": self.defaults, "groups": groups, "state": self.state_dict()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        Optimizer.__init__(self, saved["groups"], saved["defaults"])
        self.load_state_dict(saved["state"])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


def _cloned(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
