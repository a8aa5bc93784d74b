"""Twins: functions rewritten to tell what they do still do the same, and tell it in order."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from nnkit.recording.observer.source import CannotRead
from nnkit.recording.observer.twins import twin_of

# ---- the same results ---------------------------------------------------------------------------------------------


class Silent:
    """Hooks that do what is told and note nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda value, *_: value  # used, augmented, entered, made

    def attribute(self, owner: Any, name: str) -> Any:
        return getattr(owner, name)

    def item(self, container: Any, index: Any) -> Any:
        return container[index]

    def set_attribute(self, value: Any, owner: Any, name: str) -> None:
        setattr(owner, name, value)

    def set_item(self, value: Any, container: Any, index: Any) -> None:
        container[index] = value

    def call(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    def name(self, name: str, value: Any) -> Any:
        return value

    free = name

    def slice(self, *bounds: Any) -> slice:
        return slice(*bounds)

    def imported_module(self, name: str) -> None:
        pass

    def imported(self, module: str, name: str, value: Any) -> None:
        pass


def with_twins(name: str) -> tuple[Any, int]:
    """A copy of a module of Python's library whose functions are twins, and how many there are."""
    found = importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(f"{name}_of_twins", found.__file__)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    owners: list[Any] = [module, *(x for x in vars(module).values() if isinstance(x, type))]
    count = 0
    for owner in owners:
        for key, value in list(vars(owner).items()):
            function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            if not isinstance(function, types.FunctionType) or function.__module__ != spec.name:
                continue
            try:
                twin: Any = twin_of(function, Silent())
            except CannotRead:
                continue
            count += 1
            setattr(owner, key, type(value)(twin) if function is not value else twin)
    return module, count


LIBRARY: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "textwrap": (10, lambda m: (m.wrap("the quick brown fox " * 9, 30), m.shorten("a b c d e f g h", 12))),
    "statistics": (40, lambda m: (m.stdev([1, 2, 4.5]), m.quantiles(range(20)), m.NormalDist(1.0).cdf(0.5))),
    "difflib": (30, lambda m: (list(m.unified_diff("abcd", "abxd")), m.get_close_matches("appel", ["ape", "apple"]))),
    "fractions": (30, lambda m: (str(m.Fraction("3/7") + 1), str(m.Fraction(22, 7).limit_denominator(5)))),
    "shlex": (8, lambda m: (m.split("a 'b c' d # e", comments=True), m.quote("it's"))),
    "heapq": (5, lambda m: (m.nsmallest(3, [5, 1, 4, 2]), list(m.merge([1, 4], [2, 3])))),
    "configparser": (40, lambda m: read_configuration(m)),
    "argparse": (60, lambda m: parse_arguments(m)),
    "calendar": (40, lambda m: m.TextCalendar().formatyear(2024)),
    "pprint": (20, lambda m: m.pformat({"a": list(range(40)), "b": {"c": ("d", 1.0)}})),
    "urllib.parse": (40, lambda m: (tuple(m.urlsplit("http://u:p@h:80/p?q#f")), m.urlencode({"a": "b c"}))),
    "ipaddress": (60, lambda m: [str(host) for host in m.ip_network("10.0.0.0/29").hosts()]),
    "string": (5, lambda m: m.Template("$a ${b}").substitute(a=1, b=2) + m.Formatter().format("{0:>4}", "x")),
    "colorsys": (6, lambda m: m.hls_to_rgb(*m.rgb_to_hls(0.2, 0.4, 0.6))),
}  # fmt: skip


def read_configuration(module: Any) -> Any:
    parser = module.ConfigParser()
    parser.read_string("[a]\nx=1\ny=%(x)s2\n")
    return dict(parser["a"]), parser.getint("a", "y")


def parse_arguments(module: Any) -> Any:
    parser = module.ArgumentParser(prog="t")
    parser.add_argument("--x", type=int, default=3)
    parser.add_subparsers(dest="command").add_parser("go").add_argument("y", nargs="+")
    found = parser.parse_args(["--x", "4", "go", "a", "b"])
    return found.x, found.y, found.command


@pytest.mark.parametrize("name", LIBRARY)
def test_functions_of_pythons_library_do_the_same_as_twins(name: str) -> None:
    least, use = LIBRARY[name]
    module, count = with_twins(name)
    assert count >= least
    assert use(module) == use(importlib.import_module(name))


# ---- what is told ---------------------------------------------------------------------------------------------------

outside = [1.0, 2.0]


class Owner:
    def __init__(self) -> None:
        self.number = 1
        self.items = {"a": 1}
        self.__own = 2

    def hidden(self) -> int:
        return self.__own


class Telling(Silent):
    """Hooks that note what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def attribute(self, owner: Any, name: str) -> Any:
        self.told.append(f".{name}")
        return getattr(owner, name)

    def item(self, container: Any, index: Any) -> Any:
        self.told.append(f"[{index!r}]")
        return container[index]

    def set_attribute(self, value: Any, owner: Any, name: str) -> None:
        self.told.append(f".{name}={value}")
        setattr(owner, name, value)

    def set_item(self, value: Any, container: Any, index: Any) -> None:
        self.told.append(f"[{index!r}]={value}")
        container[index] = value

    def call(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
        self.told.append(f"{function.__name__}()")
        return function(*arguments, **options)

    def name(self, name: str, value: Any) -> Any:
        self.told.append(name)
        return value

    free = name

    def augmented(self, value: Any) -> Any:
        self.told.append("+=")
        return value


def of_attributes(o: Owner) -> Any:
    o.number += o.items["a"]
    o.items["a"] = o.number
    return o.number


def of_names(o: Owner) -> Any:
    local = len(outside)
    return [outside[local - 1] for _ in range(1)]


def of_unpacking(o: Owner) -> Any:
    o.number, (first, o.items["b"]) = 5, (6, 7)
    return first


def around() -> Callable[[Owner], Any]:
    free = 3
    return lambda o: (lambda y: y + free)(o.number)


TOLD: dict[str, tuple[Any, list[str]]] = {
    "attributes": (of_attributes, ".number += .items ['a'] .number=2 .number .items ['a']=2 .number".split()),
    "names": (of_names, ["len", "outside", "len()", "range", "range()", "outside", "[1]"]),
    "unpacking": (of_unpacking, [".number=5", ".items", "['b']=7"]),
    "closure": (around(), [".number", "<lambda>()", "free"]),
    "names of a class": (Owner.hidden, ["._Owner__own"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_a_twin_tells_what_it_reads_and_sets_in_order(name: str) -> None:
    function, expected = TOLD[name]
    hooks = Telling()
    assert twin_of(function, hooks)(Owner()) == function(Owner())
    assert hooks.told == expected


def deletes(o: Owner) -> None:
    del o.number


def sets_global(o: Owner) -> None:
    global outside
    outside = []


def defines(o: Owner) -> Any:
    class Inner:
        pass

    return Inner


REFUSED = {
    "it deletes something": deletes,
    "it sets a global variable": sets_global,
    "it defines a class": defines,
    "it uses locals": lambda o: locals(),
    "its source is not at hand": eval("lambda o: o"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_a_twin_could_not_tell_is_refused(reason: str) -> None:
    with pytest.raises(CannotRead, match=reason):
        twin_of(REFUSED[reason], Silent())


def test_errors_point_to_the_line_that_was_written() -> None:
    def fails(o: Owner) -> Any:
        return o.number / 0

    lines = []
    for function in (fails, twin_of(fails, Silent())):
        with pytest.raises(ZeroDivisionError) as caught:
            function(Owner())
        entry = caught.traceback[-1]
        lines.append((entry.path, entry.lineno, entry.name))
    assert lines[0] == lines[1]


def test_code_that_was_edited_since_is_not_taken_for_its_source(tmp_path: Any) -> None:
    path = tmp_path / "edited_since.py"
    path.write_text("def f(x):\n    return x + 1\n")
    spec = importlib.util.spec_from_file_location("edited_since", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.write_text("def f(x):\n    return x + 2\n")
    with pytest.raises(CannotRead, match="its source is not at hand"):
        twin_of(module.f, Silent())
