"""What a recorded function reads from outside: a change of it is never missed, and what it changes there is noticed."""

from __future__ import annotations

import collections
import random
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captured import replays

import nnkit
from nnkit import nn

pytest.mark.usefixtures(replays.__name__)

CALLS = 6
factor = 1.0


class Base:
    shared = 2.0

    def by_method(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return x * self.shared * factor


class Plain(Base):
    def __init__(self) -> None:
        self.number = 1.0
        self.inner: Any = None

    def __call__(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return x * self.number


class Slotted:
    __slots__ = ("number",)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(3, 3)])
        self.number = 1.0
        self.options = {"scale": 1.0}
        self.factor = nnkit.tensor([1.0, 2.0, 3.0])
        self.after: Callable[[Any], Any] = nnkit.relu

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        for part in self.parts:
            x = part(x)
        return self.after(x * self.number * self.options["scale"] * self.factor).detach()

    def encode(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return x * self.number


def helped(x: nnkit.Tensor) -> nnkit.Tensor:
    return x * factor


class World:
    """What the functions below read."""

    def __init__(self) -> None:
        global factor
        factor, Base.shared = 1.0, 2.0
        self.number = 1.0
        self.plain, self.slotted, self.layer = Plain(), Slotted(), Layer()
        self.plain.inner, self.slotted.number = Plain(), 1.0
        self.list, self.dict = [1.0, 2.0], {"a": {"b": 1.0}}
        self.array = np.ones(3, np.float32)
        self.module = types.ModuleType("settings_of_the_test")
        self.module.number = 1.0  # type: ignore[attr-defined]
        self.linear = nn.Linear(3, 2, activation=lambda x: x * self.list[0])
        self.linear.regularizers["weight"] = lambda w: w.sum() * self.list[1]


def penalized(world: World) -> Callable[[Any], Any]:
    return lambda x: (world.linear(x).sum() + world.linear.penalty()).detach()


def of(read: Callable[[World], float]) -> Callable[[World], Callable[[Any], Any]]:
    return lambda world: lambda x: x * read(world)


def set_global(value: float) -> Callable[[World], None]:
    return lambda world: globals().__setitem__("factor", value)


def set_class(world: World) -> None:
    Base.shared = 7.0


Reader = Callable[[World], Callable[[nnkit.Tensor], nnkit.Tensor]]

CHANGES: dict[str, tuple[Reader, Callable[[World], Any]]] = {
    "attribute": (of(lambda w: w.number), lambda w: setattr(w, "number", 7.0)),
    "global": (lambda w: lambda x: x * factor, set_global(7.0)),
    "global of a helper": (lambda w: lambda x: helped(x), set_global(7.0)),
    "attribute of an attribute": (of(lambda w: w.plain.inner.number), lambda w: setattr(w.plain.inner, "number", 7.0)),
    "another object": (of(lambda w: w.plain.inner.number), lambda w: set_objects(w)),
    "called object": (lambda w: lambda x: w.plain(x), lambda w: setattr(w.plain, "number", 7.0)),
    "class": (of(lambda w: Base.shared), set_class),
    "class of an object": (lambda w: lambda x: w.plain.by_method(x), set_class),
    "global of a method": (lambda w: lambda x: w.plain.by_method(x), set_global(7.0)),
    "shadowed class": (lambda w: lambda x: w.plain.by_method(x), lambda w: setattr(w.plain, "shared", 7.0)),
    "slots": (of(lambda w: w.slotted.number), lambda w: setattr(w.slotted, "number", 7.0)),
    "python module": (of(lambda w: w.module.number), lambda w: setattr(w.module, "number", 7.0)),
    "list": (of(lambda w: w.list[0]), lambda w: w.list.__setitem__(0, 7.0)),
    "longer list": (of(lambda w: sum(w.list)), lambda w: w.list.append(7.0)),
    "nested dict": (of(lambda w: w.dict["a"]["b"]), lambda w: w.dict["a"].__setitem__("b", 7.0)),
    "array": (lambda w: lambda x: x * nnkit.tensor(w.array), lambda w: w.array.fill(7.0)),
    "module": (lambda w: lambda x: w.layer(x), lambda w: setattr(w.layer, "number", 7.0)),
    "module without a call": (lambda w: lambda x: w.layer.encode(x), lambda w: setattr(w.layer, "number", 7.0)),
    "number of a module": (of(lambda w: w.layer.number), lambda w: setattr(w.layer, "number", 7.0)),
    "dict of a module": (lambda w: lambda x: w.layer(x), lambda w: w.layer.options.update(scale=7.0)),
    "tensor of a module": (lambda w: lambda x: w.layer(x), lambda w: setattr(w.layer, "factor", nnkit.full((3,), 7.0))),
    "function of a module": (lambda w: lambda x: w.layer(x), lambda w: setattr(w.layer, "after", nnkit.tanh)),
    "part of a module": (lambda w: lambda x: w.layer(x), lambda w: w.layer.parts.append(nn.Linear(3, 3))),
    "closure of an activation": (lambda w: lambda x: w.linear(x).detach(), lambda w: w.list.__setitem__(0, 7.0)),
    "closure of a regularizer": (penalized, lambda w: w.list.__setitem__(1, 7.0)),
    "regularizers": (penalized, lambda w: w.linear.regularizers.update(bias=nnkit.sum)),
}  # fmt: skip


def set_objects(world: World) -> None:
    world.plain = Plain()
    world.plain.inner = Plain()
    world.plain.inner.number = 7.0


def results(compiled: bool, make: Reader, change: Callable[[World], Any]) -> list[Any]:
    nnkit.manual_seed(0)
    world = World()
    function = make(world)
    function = nnkit.compile(function) if compiled else function
    found = []
    for call in range(CALLS):
        if call == 4:
            change(world)
        found.append(function(nnkit.tensor([[1.0 + call, 2.0, 3.0]])).tolist())
    return found


@pytest.mark.parametrize("name", CHANGES)
def test_no_change_is_missed(name: str, replays: list[Any]) -> None:
    make, change = CHANGES[name]
    found = results(True, make, change)
    assert found == results(False, make, change)
    assert found != results(False, make, lambda world: None)
    assert len(replays) == 3


@pytest.mark.parametrize("name", CHANGES)
def test_what_stays_is_replayed(name: str, replays: list[Any]) -> None:
    results(True, CHANGES[name][0], lambda world: nnkit.zeros(3, requires_grad=True))
    assert len(replays) == CALLS - 2


# ---- what a function does to its variables ---------------------------------------------------------------------


def running(world: World) -> Callable[[Any], Any]:
    state = nnkit.zeros(1, 3)

    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        nonlocal state
        state = state * 0.5 + x
        return state

    return step


def of_object(world: World) -> Callable[[Any], Any]:
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        world.number = x if isinstance(world.number, float) else world.number * 0.5 + x
        return world.number

    return step


def of_dict(world: World) -> Callable[[Any], Any]:
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        world.dict["a"]["b"] = world.dict["a"]["b"] * 0.5 + x
        return world.dict["a"]["b"]

    return step


def of_iterator(world: World) -> Callable[[Any], Any]:
    numbers = iter(range(100))
    return lambda x: x * next(numbers)


def of_generator(world: World) -> Callable[[Any], Any]:
    generator = np.random.default_rng(0)
    return lambda x: x + float(generator.normal())


def of_numpy(world: World) -> Callable[[Any], Any]:
    np.random.seed(0)  # noqa: NPY002
    return lambda x: x + float(np.random.normal())  # noqa: NPY002


def of_python(world: World) -> Callable[[Any], Any]:
    random.seed(0)
    return lambda x: x + random.random()


class Noisy(nn.Module):
    """Draws from NumPy in a part of a model."""

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return x + float(np.random.normal())  # noqa: NPY002


def noisy() -> nn.Module:
    np.random.seed(0)  # noqa: NPY002
    return nn.Sequential(Noisy(), nn.Identity())


def of_module(world: World) -> Callable[[Any], Any]:
    model = noisy()
    return lambda x: model(x)


EFFECTS: dict[str, tuple[Reader, str]] = {
    "closure": (running, "it sets a variable of a function around it"),
    "attribute": (of_object, "it sets World.number at "),
    "dict": (of_dict, "it sets an item of a dict from outside (['b'])"),
    "iterator": (of_iterator, "it uses an iterator from outside"),
    "numpy generator": (of_generator, "it draws random numbers that are not nnkit's"),
    "numpy random": (of_numpy, "it draws random numbers that are not nnkit's"),
    "part of a model": (of_module, "it draws random numbers that are not nnkit's"),
    "python random": (of_python, "it draws random numbers that are not nnkit's"),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_changes_its_variables_runs_plainly(name: str, replays: list[Any]) -> None:
    make, reason = EFFECTS[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = results(True, make, lambda world: None)
    assert found == results(False, make, lambda world: None)
    assert not replays and len(caught) == 1
    assert reason in str(caught[0].message)


@pytest.mark.filterwarnings("ignore:a step of Sequential cannot be replayed. it draws random numbers")
def test_noise_of_numpy_in_a_model_is_never_repeated() -> None:
    x = np.zeros((24, 1), np.float32)
    model = noisy()
    assert len({model.predict(x[:1]).item() for _ in range(6)}) == 6
    seen = []
    for compiled in (True, False):
        model = nn.Sequential(noisy(), nn.Linear(1, 1))
        with nnkit.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.5)
        seen.append(model.fit(x, x, loss="mse", batch_size=4, epochs=2, verbose=0, compile=compiled).history["loss"])
    assert seen[0] == seen[1]


def test_other_names_do_not_matter(replays: list[Any]) -> None:
    """A global that only shares its name with an attribute or a local variable may change."""
    Pair = collections.namedtuple("Pair", "factor")
    function = nnkit.compile(lambda x: Pair(x).factor * 2.0)
    for call in range(CALLS):
        set_global(float(call))(World())
        function(nnkit.ones(3))
    assert len(replays) == CALLS - 2
