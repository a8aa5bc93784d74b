"""Objects that do anything when looked at: the analysis never raises, never hangs, and the numbers are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn

pytestmark = pytest.mark.filterwarnings("ignore:.* cannot be replayed:UserWarning")


class Base:
    n = 2.0


class RaisesKeyError(Base):
    def __getattr__(self, name: str) -> Any:
        return {"m": 2.0}[name]


class RaisesOnEverything(Base):
    def _raise(self, *arguments: Any) -> Any:
        raise RuntimeError("looked at")

    __eq__ = __len__ = __bool__ = __repr__ = __str__ = __iter__ = __float__ = __contains__ = _raise
    __hash__ = None  # type: ignore[assignment]


class LiesAboutItsClass(Base):
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return nnkit.Tensor


class AsksForever(Base):
    def __getattr__(self, name: str) -> Any:
        return getattr(self, name + "_")


class DecidesAttributes(Base):
    def __getattribute__(self, name: str) -> Any:
        if name != "n":
            raise RuntimeError("asked for " + name)
        return 2.0


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise RuntimeError("asked for " + name)
        return type.__getattribute__(cls, name)

    def __instancecheck__(cls, instance: Any) -> bool:
        raise RuntimeError("asked")


class OfAMetaclass(Base, metaclass=Meta):
    pass


class WithoutADict(Base):
    __slots__ = ()


class DictOfItsOwn(Base):
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("asked for the dict")


def containing_itself() -> Any:
    found: list[Any] = [2.0]
    found.append(found)
    return found


def deep(levels: int) -> Any:
    found: Any = 2.0
    for _ in range(levels):
        found = [found]
    return found


def cyclic() -> Any:
    one, two = Base(), Base()
    one.other, two.other = two, one  # type: ignore[attr-defined]
    return one


def with_attributes(count: int) -> Any:
    found = Base()
    found.__dict__.update({f"a{i}": i for i in range(count)})
    return found


def attribute(o: Any) -> Any:
    return o.n


OBJECTS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "raises KeyError": (RaisesKeyError, lambda o: o.m),
    "raises KeyError, asked for what is there": (RaisesKeyError, attribute),
    "raises on everything": (RaisesOnEverything, attribute),
    "lies about its class": (LiesAboutItsClass, attribute),
    "asks for ever": (AsksForever, attribute),
    "decides attributes": (DecidesAttributes, attribute),
    "of a metaclass": (OfAMetaclass, attribute),
    "a class of a metaclass": (lambda: OfAMetaclass, attribute),
    "without a dict": (WithoutADict, attribute),
    "a dict of its own": (DictOfItsOwn, attribute),
    "contains itself": (containing_itself, lambda o: o[0]),
    "contains itself, as a whole": (containing_itself, lambda o: float(len(o))),
    "deep": (lambda: deep(10_000), lambda o: 2.0 if o else 1.0),
    "deep, as a whole": (lambda: deep(100_000), lambda o: float(len([o]))),
    "cyclic": (cyclic, lambda o: o.other.other.n),
    "a million attributes": (lambda: with_attributes(10**6), attribute),
    "a million items": (lambda: [2.0] * 10**6, lambda o: o[0]),
    "a million items, as a whole": (lambda: [2.0] * 10**6, lambda o: o[0] + len(o)),
    "a million items in a tuple": (lambda: (2.0,) * 10**6, lambda o: o[0] + len(o)),
}


class Reading(nn.Module):
    def __init__(self, owner: Any, read: Callable[[Any], Any]) -> None:
        super().__init__()
        self.owner, self.read, self.fc = [owner], read, nn.Linear(1, 1)

    def forward(self, x: Any) -> Any:
        return x * self.read(self.owner[0]) + self.fc(x) * 0.0


@pytest.mark.parametrize("name", OBJECTS)
def test_looking_never_raises_or_hangs(name: str) -> None:
    make, read = OBJECTS[name]
    owner = make()
    expected = float(read(owner))
    function = nnkit.compile(lambda x: x * read(owner))
    model = Reading(owner, read)
    for _ in range(4):
        assert function(nnkit.ones(1)).item() == expected
        assert model.predict(np.ones((1, 1), np.float32))[0, 0] == expected


@pytest.mark.parametrize("call", ["function", "predict", "fit"])
def test_errors_of_the_users_code_are_the_users(call: str) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.calls = nn.Linear(1, 1), iter(range(99))

        def forward(self, x: Any) -> Any:
            if next(self.calls) == 3:
                raise ZeroDivisionError("mine")
            return self.fc(x)

    model, x = Fails(), np.ones((8, 1), np.float32)
    compiled = nnkit.compile(lambda x: model(x).detach())

    def run() -> None:
        for _ in range(5):
            if call == "function":
                compiled(nnkit.tensor(x))
            elif call == "predict":
                model.predict(x)
            else:
                model.fit(x, x, loss="mse", batch_size=2, verbose=0)

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        run()
    assert caught.traceback[-1].name == "forward"
