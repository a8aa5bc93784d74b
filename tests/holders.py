"""Where a number can live that a step reads: one holder is one function, which gives ``read`` and ``change``.

``read()`` gives the number, as a user's code would; ``change(i)`` makes it another one. Where ``read`` itself changes what
it will give next (an iterator, a list that grows), ``change`` is ``nothing``. A new holder is a function below.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

Read, Change = Callable[[], Any], Callable[[int], Any]
HOLDERS: dict[str, Callable[[], tuple[Read, Change]]] = {}


def holder(make: Callable[[], tuple[Read, Change]]) -> Callable[[], tuple[Read, Change]]:
    """Add a holder to the table, by its name."""
    HOLDERS[make.__name__.strip("_").replace("_", " ")] = make
    return make


def nothing(i: int) -> None:
    """``read`` changes what it gives by itself."""


class Thing:
    """An object of the user's."""

    n: Any = 1.0


def thing(value: Any = 1.0) -> Thing:
    made = Thing()
    made.n = value
    return made


def setting(owner: Any, name: str = "n") -> Change:
    return lambda i: setattr(owner, name, float(i))


number = 1.0
numbers = [1.0]


def of(kind: type) -> Any:
    """An object of a class whose operators read its number."""
    made = kind()
    made.n = 1.0
    return made


# ---- objects and their classes ----------------------------------------------------------------------------------


# fmt: off
@holder
def attribute(): o = thing(); return lambda: o.n, setting(o)
@holder
def attribute_of_an_attribute(): o = thing(thing()); return lambda: o.n.n, setting(o.n)
@holder
def another_object(): o = thing(thing()); return lambda: o.n.n, lambda i: setattr(o, "n", thing(float(i)))
@holder
def attribute_by_a_made_up_name(): o = thing(); return lambda: getattr(o, "".join(["", "n"])), setting(o)
@holder
def dict_of_an_object(): o = thing(); return lambda: o.__dict__["n"], setting(o)
@holder
def vars_of_an_object(): o = thing(); return lambda: vars(o)["n"], setting(o)
@holder
def attrgetter(): o = thing(); get = operator.attrgetter("n"); return lambda: get(o), setting(o)
@holder
def methodcaller(): o = [1.0]; get = operator.methodcaller("__getitem__", 0); return lambda: get(o), lambda i: o.__setitem__(0, float(i))
@holder
def argparse_namespace():
    import argparse
    o = argparse.Namespace(n=1.0); return lambda: o.n, setting(o)
@holder
def simple_namespace(): o = types.SimpleNamespace(n=1.0); return lambda: o.n, setting(o)
@holder
def dataclass():
    @dataclasses.dataclass
    class Settings: n: float = 1.0
    o = Settings(); return lambda: o.n, setting(o)
@holder
def frozen_dataclass_replaced():
    @dataclasses.dataclass(frozen=True)
    class Settings: n: float = 1.0
    o = thing(Settings()); return lambda: o.n.n, lambda i: setattr(o, "n", dataclasses.replace(o.n, n=float(i)))
@holder
def dataclass_made_in_the_step():
    @dataclasses.dataclass
    class Settings: n: float = 1.0
    o = thing(); return lambda: Settings(o.n).n, setting(o)
@holder
def dataclass_with_a_factory():
    o = thing()
    @dataclasses.dataclass
    class Settings: n: float = dataclasses.field(default_factory=lambda: o.n)
    return lambda: Settings().n, setting(o)
@holder
def named_tuple_replaced():
    class Settings(NamedTuple): n: float = 1.0
    o = thing(Settings()); return lambda: o.n.n, lambda i: setattr(o, "n", Settings(float(i)))
@holder
def enumeration():
    class Mode(enum.Enum): ONE = 1.0; TWO = 2.0
    o = thing(Mode.ONE); return lambda: o.n.value, lambda i: setattr(o, "n", list(Mode)[i % 2])
@holder
def object_made_in_the_step():
    class Made:
        k = 1.0
        def __init__(self, n: float) -> None: self.n = n * self.k
    o = thing()
    return lambda: Made(o.n).n, lambda i: (setattr(o, "n", float(i)), setattr(Made, "k", float(i)))
@holder
def property_():
    class C(Thing):
        @property
        def p(self) -> float: return self.n * 2.0
    o = C(); return lambda: o.p, setting(o)
@holder
def property_replaced():
    class C: p = property(lambda self: 1.0)
    o = C(); return lambda: o.p, lambda i: setattr(C, "p", property(lambda self: float(i)))
@holder
def cached_property():
    class C(Thing):
        @functools.cached_property
        def p(self) -> float: return self.n * 2.0
    o = C(); return lambda: o.p, lambda i: (setattr(o, "n", float(i)), o.__dict__.pop("p", None))
@holder
def descriptor():
    class D:
        def __get__(self, o: Any, kind: Any) -> float: return o.n
    class C(Thing): p = D()
    o = C(); return lambda: o.p, setting(o)
@holder
def data_descriptor():
    class D:
        def __get__(self, o: Any, kind: Any) -> float: return o.n
        def __set__(self, o: Any, value: float) -> None: o.n = value
    class C(Thing): p = D()
    o = C(); return lambda: o.p, setting(o, "p")
@holder
def slots():
    class C: __slots__ = ("n",)
    o = of(C); return lambda: o.n, setting(o)
@holder
def class_attribute():
    class C(Thing): pass
    return lambda: C.n, setting(C)
@holder
def attribute_of_a_base_class():
    class B: n = 1.0
    class C(B): pass
    o = C(); return lambda: o.n, setting(B)
@holder
def shadowed_class_attribute(): o = Thing(); return lambda: o.n, setting(o)
@holder
def attribute_deleted():
    o = thing(2.0); return lambda: o.n, lambda i: o.__dict__.pop("n", None)
@holder
def class_method():
    class C(Thing):
        @classmethod
        def get(cls) -> float: return cls.n
    return lambda: C.get(), setting(C)
@holder
def static_method():
    o = thing()
    class C:
        @staticmethod
        def get() -> float: return o.n
    return lambda: C.get(), setting(o)
@holder
def method_replaced():
    class C:
        def get(self) -> float: return 1.0
    return (lambda o=C(): o.get()), lambda i: setattr(C, "get", lambda self: float(i))
@holder
def method_of_one_object():
    class C:
        def get(self) -> float: return 1.0
    o = C(); return lambda: o.get(), lambda i: setattr(o, "get", lambda: float(i))
@holder
def class_of_an_object():
    class A:
        def get(self) -> float: return 1.0
    class B:
        def get(self) -> float: return 2.0
    o = A(); return lambda: o.get(), lambda i: setattr(o, "__class__", (A, B)[i % 2])
@holder
def attribute_of_a_metaclass():
    class M(type):
        @property
        def p(cls) -> float: return cls.n
    class C(metaclass=M): n = 1.0
    return lambda: C.p, setting(C)
@holder
def attribute_made_by_getattr():
    class C:
        def __init__(self) -> None: self.__dict__["kept"] = {"n": 1.0}
        def __getattr__(self, name: str) -> Any: return self.kept[name]
    o = C(); return lambda: o.n, lambda i: o.kept.__setitem__("n", float(i))
@holder
def attribute_that_appears(): o = object.__new__(type("C", (), {})); return lambda: o.n if hasattr(o, "n") else 1.0, setting(o)
@holder
def attribute_that_appears_in_a_class():
    class C: pass
    o = C(); return lambda: getattr(o, "n", 1.0), setting(C)
@holder
def attribute_of_an_exception(): o = ValueError("x"); o.n = 1.0; return lambda: o.n, setting(o)
@holder
def attribute_of_a_module():
    o = types.ModuleType("of_a_test"); o.n = 1.0; return lambda: o.n, setting(o)
@holder
def weak_reference(): o = thing(); w = weakref.ref(o); return lambda keep=o: w().n, setting(o)
@holder
def weak_proxy(): o = thing(); w = weakref.proxy(o); return lambda keep=o: w.n, setting(o)
@holder
def a_set_of_objects(): o = thing(); s = {o}; return lambda: sum(x.n for x in s), setting(o)

# ---- operators of classes ---------------------------------------------------------------------------------------

@holder
def len_():
    class C(Thing):
        def __len__(self) -> int: return int(self.n)
    o = of(C); return lambda: len(o), setting(o)
@holder
def float_():
    class C(Thing):
        def __float__(self) -> float: return self.n
    o = of(C); return lambda: float(o), setting(o)
@holder
def index():
    class C(Thing):
        def __index__(self) -> int: return int(self.n)
    o = of(C); return lambda: range(99)[o], setting(o)
@holder
def getitem():
    class C(Thing):
        def __getitem__(self, key: Any) -> float: return self.n
    o = of(C); return lambda: o["a"], setting(o)
@holder
def call():
    class C(Thing):
        def __call__(self) -> float: return self.n
    o = of(C); return lambda: o(), setting(o)
@holder
def multiplication():
    class C(Thing):
        def __mul__(self, other: Any) -> Any: return self.n * other
    o = of(C); return lambda: o * 2.0, setting(o)
@holder
def truth():
    class C(Thing):
        def __bool__(self) -> bool: return self.n > 2
    o = of(C); return lambda: 2.0 if o else 1.0, setting(o)
@holder
def iteration():
    class C(Thing):
        def __iter__(self) -> Any: return iter([self.n])
    o = of(C); return lambda: sum(o), setting(o)
@holder
def membership():
    class C(Thing):
        def __contains__(self, x: Any) -> bool: return x < self.n
    o = of(C); return lambda: 1.0 + (2 in o), setting(o)
@holder
def equality():
    class C(Thing):
        __hash__ = None
        def __eq__(self, x: Any) -> bool: return x < self.n
    o = of(C); return lambda: 1.0 + (o == 2), setting(o)
@holder
def text():
    class C(Thing):
        def __str__(self) -> str: return str(self.n)
    o = of(C); return lambda: float("%s" % o), setting(o)  # noqa: UP031
@holder
def format_():
    class C(Thing):
        def __format__(self, how: str) -> str: return str(self.n)
    o = of(C); return lambda: float(f"{o}"), setting(o)
@holder
def attribute_access():
    class C(Thing):
        def __getattribute__(self, name: str) -> Any: return object.__getattribute__(self, "n")
    o = of(C); return lambda: o.anything, setting(o)
@holder
def entering():
    o = thing()
    class C:
        def __enter__(self) -> None: o.n += 1.0
        def __exit__(self, *exception: Any) -> None: pass
    def read() -> float:
        with C(): return o.n
    return read, nothing
@holder
def float_of_ones_own():
    class F(float): pass
    o = thing(F(1.0)); return lambda: o.n, lambda i: setattr(o, "n", F(i))

# ---- functions --------------------------------------------------------------------------------------------------

@holder
def global_(): return lambda: number, lambda i: globals().__setitem__("number", float(i))
@holder
def global_of_a_helper(): return lambda: helper(), lambda i: globals().__setitem__("number", float(i))
@holder
def list_in_a_global(): return lambda: numbers[0], lambda i: numbers.__setitem__(0, float(i))
@holder
def name_in_globals(): return lambda: globals()["number"], lambda i: globals().__setitem__("number", float(i))
@holder
def word_of_python_replaced(): return lambda: float(len([1])), lambda i: globals().__setitem__("len", lambda x: i) if i % 2 else globals().pop("len", 0)
@holder
def closure():
    n = 1.0
    def change(i: int) -> None:
        nonlocal n
        n = float(i)
    return lambda: n, change
@holder
def closure_of_a_function_inside():
    n = 1.0
    def change(i: int) -> None:
        nonlocal n
        n = float(i)
    def outer() -> Any: return lambda: n
    return lambda: outer()(), change
@holder
def closure_set_by_the_step():
    n = 0.0
    def read() -> float:
        nonlocal n
        n += 1.0
        return n
    return read, nothing
@holder
def default_argument():
    def f(n: float = 1.0) -> float: return n
    return lambda: f(), lambda i: setattr(f, "__defaults__", (float(i),))
@holder
def list_as_default_argument():
    o = [1.0]
    def f(n: Any = o) -> float: return n[0]
    return lambda: f(), lambda i: o.__setitem__(0, float(i))
@holder
def default_of_a_keyword():
    def f(*, n: float = 1.0) -> float: return n
    return lambda: f(), lambda i: f.__kwdefaults__.__setitem__("n", float(i))
@holder
def attribute_of_a_function():
    def f() -> float: return f.n
    f.n = 1.0; return lambda: f(), setting(f)
@holder
def code_of_a_function():
    def f() -> float: return 1.0
    def g() -> float: return 2.0
    codes = f.__code__, g.__code__; return lambda: f(), lambda i: setattr(f, "__code__", codes[i % 2])
@holder
def partial(): o = thing(); p = functools.partial(lambda x: x.n, o); return lambda: p(), setting(o)
@holder
def keyword_of_a_partial(): p = functools.partial(lambda n: n, n=1.0); return lambda: p(), lambda i: p.keywords.__setitem__("n", float(i))
@holder
def lru_cache():
    o = thing()
    @functools.lru_cache
    def f() -> float: return o.n
    return lambda: f(), lambda i: (setattr(o, "n", float(i)), f.cache_clear())
@holder
def single_dispatch():
    o = thing()
    @functools.singledispatch
    def f(x: Any) -> float: return o.n
    return lambda: f(1), setting(o)
@holder
def decorated():
    o = thing()
    def twice(f: Any) -> Any:
        @functools.wraps(f)
        def g() -> float: return f() * 2.0
        return g
    @twice
    def f() -> float: return o.n
    return lambda: f(), setting(o)
@holder
def function_in_an_attribute(): o = thing(lambda: 1.0); return lambda: o.n(), lambda i: setattr(o, "n", lambda: float(i))
@holder
def map_(): o = thing(); return lambda: sum(map(lambda k: k * o.n, [1, 2])), setting(o)  # noqa: C417
@holder
def filter_(): o = thing(); return lambda: sum(filter(lambda k: k > o.n, [1, 2, 3])), setting(o)
@holder
def reduce(): o = thing(); return lambda: functools.reduce(lambda a, b: a + b * o.n, [1, 2, 3]), setting(o)
@holder
def sorted_(): o = thing(); return lambda: sorted([1, 2, 3], key=lambda k: k * o.n)[0], lambda i: setattr(o, "n", float((-1) ** i))
@holder
def generator_function():
    o = thing()
    def f() -> Any:
        for k in range(3): yield k * o.n
    return lambda: sum(f()), setting(o)
@holder
def comprehension(): o = thing(); return lambda: sum([k * o.n for k in range(3) if k < o.n]), setting(o)
@holder
def walrus(): o = thing(); return lambda: n * 2.0 if (n := o.n) > 2 else 1.0, setting(o)
@holder
def arguments_by_star(): o = [1.0]; return lambda: (lambda *a: a[0])(*o), lambda i: o.__setitem__(0, float(i))
@holder
def arguments_by_two_stars(): o = {"n": 1.0}; return lambda: (lambda n: n)(**o), lambda i: o.__setitem__("n", float(i))
@holder
def import_from():
    o = types.ModuleType("of_a_test"); o.n = 1.0; sys.modules["of_a_test"] = o
    def read() -> float:
        from of_a_test import n
        return n
    return read, setting(o)
@holder
def import_():
    def change(i: int) -> None:
        o = types.ModuleType("of_a_test"); o.n = float(i); sys.modules["of_a_test"] = o
    def read() -> float:
        import of_a_test
        return of_a_test.n
    change(1); return read, change
@holder
def caught_exception():
    o = {}
    def read() -> float:
        try: return o["n"]
        except KeyError: return 1.0
    return read, lambda i: o.__setitem__("n", float(i))
@holder
def evaluated_text(): o = thing(); return lambda: eval("o.n", {"o": o}), setting(o)
@holder
def type_of_a_number(): o = thing(1); return lambda: 2.0 if isinstance(o.n, float) else 1.0, lambda i: setattr(o, "n", (1, 1.0)[i % 2])
@holder
def sign_of_zero(): o = thing(0.0); return lambda: o.n, lambda i: setattr(o, "n", (0.0, -0.0)[i % 2])

# fmt: on


def helper() -> float:
    return number


def reset() -> None:
    """The globals as they were."""
    global number
    number, numbers[:] = 1.0, [1.0]
    globals().pop("len", None)
