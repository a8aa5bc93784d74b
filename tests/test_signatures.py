"""Signatures show types as a reader writes them, and whatever reads annotations reads what it read before."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re
import subprocess
import sys
import typing
from typing import Any

import pytest

from nnkit.utils.signatures import SHOWING, Finder, Unquoted

#: A signature, or a class's table of annotations, in which a type is a text in quotes.
QUOTED = re.compile(r"""^[ |]*[\w.]+( = [\w.]+)?\(.*(: |-> )['"]|__annotations__ = \{'\w+': ['"]|ForwardRef\(""", re.M)
EXAMPLE = re.compile(r"^[ |]*>>> (.|\n)*?(\n[ |]*\n|\Z)", re.M)
HELP = """
import importlib, pydoc, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    print(pydoc.render_doc(module, renderer=pydoc.plaintext))
    for word in dir(module):
        value = getattr(module, word)
        if callable(value):
            print(pydoc.render_doc(value, renderer=pydoc.plaintext))
"""
#: What is run first -> what help() is asked about then.
ASKED = [
    ("", ("nnkit", "nnkit.nn", "nnkit.ops", "nnkit.keras")),
    ("import nnkit, nnkit.sklearn, nnkit.keras.layers", ("nnkit.sklearn", "nnkit.keras.layers", "nnkit.training")),
    ("import pydoc, nnkit; assert 'nnkit.tune' not in sys.modules", ("nnkit.nn.functional", "nnkit.tune")),
    ("import nnkit, pydoc; assert 'nnkit.distributions' not in sys.modules", ("nnkit.distributions", "nnkit.nn.init")),
]


def printed(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", f"import sys\n{script}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("before", "names"), ASKED)
def test_help_shows_types_without_quotes(before: str, names: tuple[str, ...]) -> None:
    text = EXAMPLE.sub("", printed(before + HELP, *names))
    assert len(re.findall(r"\(.*\) -> \w", text)) > 50
    assert [line for line in text.splitlines() if QUOTED.search(line)] == []


@pytest.mark.parametrize("name", SHOWING)
def test_annotations_are_left_alone_until_something_shows_them(name: str) -> None:
    fake = f"sys.modules['IPython'] = sys.modules['IPython.core'] = type(sys)('IPython'); sys.modules[{name!r}] = sys"
    asked = "import inspect, nnkit; print(inspect.signature(nnkit.nn.ReLU.forward))"
    assert printed(asked) == "(self, x: 'Tensor') -> 'Tensor'\n"
    assert printed(f"{fake}; {asked}") == "(self, x: Tensor) -> Tensor\n"


def own_module(folder: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package of every kind of thing that has annotations, imported below a Finder of its own."""
    (folder / "shown").mkdir()
    (folder / "shown" / "__init__.py").write_text("")
    (folder / "shown" / "kinds.py").write_text(KINDS)
    monkeypatch.syspath_prepend(folder)
    finder = Finder("shown")
    finder.shown = True
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    return importlib.import_module("shown.kinds")


KINDS = """
from __future__ import annotations
import functools
from dataclasses import dataclass, field
from typing import NamedTuple

def function(x: int, *, y: "str | None" = None) -> list[Point]: return [x, y]

@functools.cache
def cached(x: int) -> int: return x

@dataclass
class Point:
    x: int = 0
    y: list[int] = field(default_factory=list)

class Pair(NamedTuple):
    first: int
    second: Point

class Class:
    table: dict[str, int] = {}
    def method(self, x: int) -> Class: return self
    @staticmethod
    def of_none(x: int) -> int: return x
    @classmethod
    def of_class(cls, x: int) -> Class: return cls()
    @property
    def place(self) -> Point: return Point()
    @functools.cached_property
    def once(self) -> Point: return Point()
    class Inner:
        def method(self, x: Pair) -> None: ...
"""
#: A name in that module -> how its signature or table reads.
SHOWN = {
    "function": "(x: int, *, y: 'str | None' = None) -> list[Point]",
    "cached": "(x: int) -> int",
    "Point": "(x: int = 0, y: list[int] = <factory>) -> None",
    "Pair": "(first: int, second: Point)",
    "Class.method": "(self, x: int) -> Class",
    "Class.of_none": "(x: int) -> int",
    "Class.of_class": "(x: int) -> Class",
    "Class.place.fget": "(self) -> Point",
    "Class.__dict__['once'].func": "(self) -> Point",
    "Class.Inner.method": "(self, x: Pair) -> None",
}


def test_what_reads_annotations_reads_what_was_written(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = own_module(tmp_path, monkeypatch)
    for name, expected in SHOWN.items():
        assert str(inspect.signature(eval(name, vars(module)))) == expected
    assert repr(module.Class.__annotations__) == "{'table': dict[str, int]}"
    assert typing.get_type_hints(module.function) == {"x": int, "y": str | None, "return": list[module.Point]}
    assert typing.get_type_hints(module.Pair) == {"first": int, "second": module.Point}
    assert typing.get_type_hints(module.Class) == {"table": dict[str, int]}
    assert inspect.signature(module.cached, eval_str=True).return_annotation is int
    assert "def method(self, x: Pair)" in inspect.getsource(module.Class)
    for value in (module.function, module.Point(2, [3]), module.Pair(1, module.Point()), Unquoted("int")):
        assert pickle.loads(pickle.dumps(value)) == value
    assert inspect.signature(module.function).parameters["x"].annotation == "int"


def test_types_of_nnkit_can_be_evaluated_after_help() -> None:
    evaluated = "import inspect, pydoc, nnkit; print(inspect.signature(nnkit.nn.Linear, eval_str=True))"
    assert "(in_features: int, out_features: int, bias: bool = True" in printed(evaluated)
