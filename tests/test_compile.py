"""``nnkit.compile``: what is recorded and what is not, whose the results are, and what it says when it cannot."""

from __future__ import annotations

import copy
import functools
import re
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from captured import compare, flat, numbers, programs, replays, values

import nnkit
from nnkit import nn, optim
from nnkit.backends.recording import recorder
from nnkit.errors import GraphError
from nnkit.recording.compiled import MAXIMUM_PROGRAMS, MAXIMUM_RECORDINGS, MAXIMUM_VARIANTS
from nnkit.tensors.random import host_uniform

pytest.mark.usefixtures(replays.__name__)

Pair = namedtuple("Pair", "low high")


# ---- arguments and results ----------------------------------------------------------------------------------


def of_two(x: nnkit.Tensor, *, scale: float = 1.0, parts: Any = ()) -> nnkit.Tensor:
    for part in parts.values() if isinstance(parts, dict) else parts:
        x = x + part
    return x * scale


RESULTS: dict[str, Callable[..., Any]] = {
    "tensor": lambda x: x.exp(),
    "tuple": lambda x: (x + 1.0, (x * 2.0).sum()),
    "list with none": lambda x: [x + 1.0, None, 3],
    "dict": lambda x: {"a": x + 1.0, "b": [x * 2.0]},
    "ordered dict": lambda x: OrderedDict(a=x + 1.0),
    "named tuple": lambda x: Pair(x.min(), x.max()),
    "argument": lambda x: (x * 2.0, x),
    "part of an argument": lambda x: x[1:3],
    "view": lambda x: (x * 2.0).reshape(2, 3).T,
    "read and returned": lambda x: (lambda y: (y, y + 1.0))(x * 2.0),
    "nothing": lambda x: None,
    "text": lambda x: "done",
    "kinds": lambda x: (x > 1.0, x.argmax(), x.long(), x.double()),
    "empty": lambda x: (x[:0] * 2.0, x[:0].sum(), nnkit.cat([x[:0], x])),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_of_every_form(name: str, device: str, replays: list[Any]) -> None:
    compare(RESULTS[name], *[(numbers(start=float(i)),) for i in range(5)])
    assert len(replays) == 3


def test_arguments_of_every_form(device: str, replays: list[Any]) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda f: f(numbers(), scale=2.0),
        lambda f: f(numbers(), scale=3.0),
        lambda f: f(numbers(), parts=[numbers(), numbers(start=1.0)]),
        lambda f: f(numbers(), parts={"a": numbers(), "b": numbers(1)}),
        lambda f: f(x=numbers(start=2.0), parts=Pair(numbers(), numbers())),
        lambda f: f(numbers(), scale=np.float32(1.5)),
    ]
    compiled = nnkit.compile(of_two)
    for _ in range(3):
        for call in calls:
            assert values(call(compiled)) == values(call(of_two))
    assert len(replays) == 3 * len(calls) - 1 - len(calls)


def test_zeros_of_either_sign_are_told_apart(device: str) -> None:
    compare(lambda x, zero: x * zero, *[(numbers(start=1.0), zero) for zero in (0.0, 0.0, 0.0, -0.0, -0.0, 0, False)])


def test_a_function_without_tensors(device: str, replays: list[Any]) -> None:
    compiled = nnkit.compile(lambda: nnkit.rand(3))
    nnkit.manual_seed(0)
    found = [compiled().tolist() for _ in range(4)]
    nnkit.manual_seed(0)
    assert found == [nnkit.rand(3).tolist() for _ in range(4)]
    assert len(replays) == 2


LAYOUTS: dict[str, Callable[[nnkit.Tensor], nnkit.Tensor]] = {
    "transposed": lambda x: x.T,
    "columns": lambda x: x[:, 1:3],
    "every second": lambda x: x[::2],
    "repeated": lambda x: x[:1].expand(6, 4),
    "empty": lambda x: x[:0],
    "single": lambda x: x[0, 0],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_arguments_of_any_layout_give_the_same_bits(name: str, device: str) -> None:
    random = np.random.default_rng(0)
    calls = [(LAYOUTS[name](nnkit.tensor(random.normal(size=(6, 4)).astype(np.float32))),) for _ in range(5)]
    compare(lambda x: (x.exp(), (x * 0.1).sum(), x.T if x.ndim == 2 else x), *calls)
    if name not in ("single", "empty"):
        compare(lambda x: x @ x.T, *calls)


def test_arguments_that_share_memory(device: str, replays: list[Any]) -> None:
    x = numbers(8)
    compiled = compare(lambda a, b: a * 2.0 + b, *[(x, x)] * 4, *[(x[1:], x[:-1])] * 4)
    assert len(replays) == 3 and programs(compiled) == 2


def test_a_numpy_array_is_refused(device: str) -> None:
    with pytest.raises(TypeError, match=r"takes Tensors, got a numpy array: make it one with nnkit.tensor\(x\)"):
        nnkit.compile(of_two)(np.ones(3))


def test_methods_and_other_callables(device: str, replays: list[Any]) -> None:
    class Scaler:
        def __init__(self, by: float) -> None:
            self.by = by

        @nnkit.compile
        def scale(self, x: nnkit.Tensor) -> nnkit.Tensor:
            return x * self.by

        def __call__(self, x: nnkit.Tensor) -> nnkit.Tensor:
            return x + self.by

    scaler, other = Scaler(2.0), Scaler(3.0)
    for _ in range(3):
        assert scaler.scale(numbers()).tolist() == (numbers() * 2.0).tolist()
        assert other.scale(numbers()).tolist() == (numbers() * 3.0).tolist()
    assert len(replays) == 3
    scaler.by = 5.0
    assert scaler.scale(numbers()).tolist() == (numbers() * 5.0).tolist()
    for function in (scaler, functools.partial(of_two, scale=2.0), nnkit.no_grad()(nn.Linear(6, 2))):
        compare(function, *[(numbers(),)] * 4)
    assert len(replays) == 3 + 3 * 2


def test_a_compiled_function_inside_another(device: str, replays: list[Any]) -> None:
    inner = nnkit.compile(lambda x: x * 2.0)
    outer = nnkit.compile(lambda x: inner(x) + inner(x + 1.0))
    for i in range(4):
        x = numbers(start=float(i))
        assert outer(x).tolist() == (x * 2.0 + (x + 1.0) * 2.0).tolist()
    assert [found.program.instructions[0].name for found in replays[-2:]] == ["map", "map"]
    assert programs(outer) == 1


def test_copies_begin_anew(device: str) -> None:
    layer = nn.Linear(6, 2)
    layer.fast = nnkit.compile(nnkit.no_grad()(layer.forward))
    for _ in range(3):
        layer.fast(numbers())
    copied = copy.deepcopy(layer)
    assert programs(layer.fast) == 1 and programs(copied.fast) == 0
    assert copied.fast(numbers()).tolist() == layer.fast(numbers()).tolist()


# ---- how many programs ----------------------------------------------------------------------------------------


def test_shapes_types_and_modes_have_programs_of_their_own(device: str, replays: list[Any]) -> None:
    compiled = nnkit.compile(lambda x: x * 2.0)
    for _ in range(3):
        for count in (2, 3):
            assert compiled(numbers(count)).shape == (count,)
        compiled(numbers(2).double())
        with nnkit.no_grad():
            compiled(numbers(2))
    assert programs(compiled) == 4 and len(replays) == 12 - 1 - 4


def test_programs_are_bounded(device: str) -> None:
    compiled = nnkit.compile(lambda x: x * 2.0)
    for count in range(1, MAXIMUM_PROGRAMS + 6):
        compiled(numbers(count))
    assert programs(compiled) == MAXIMUM_PROGRAMS
    switch = nn.Dropout(0.5)
    compiled = nnkit.compile(lambda x: switch(x))
    for i in range(MAXIMUM_VARIANTS + 3):
        switch.p = i / 10
        compiled(numbers())
    assert programs(compiled) == MAXIMUM_VARIANTS


def test_a_function_that_is_never_replayed_is_no_longer_recorded(device: str) -> None:
    compiled = nnkit.compile(lambda x, number: x * number)
    with pytest.warns(UserWarning, match="recorded 64 times without a replay: its arguments") as caught:
        for i in range(MAXIMUM_RECORDINGS + 10):
            assert compiled(numbers(2), float(i)).tolist() == [0.0, 0.5 * i]
    assert len(caught) == 1 and programs(compiled) == 0


# ---- what cannot be replayed ------------------------------------------------------------------------------------


class Result:
    def __init__(self, x: nnkit.Tensor) -> None:
        self.x = x


memory: list[Any] = []
counter = 0
weight = nn.Parameter([1.0])
draw = nn.init.uniform_
scheduled = optim.SGD([weight], lr=0.1)


def counts(x: nnkit.Tensor) -> nnkit.Tensor:
    global counter
    counter += 1
    return x * float(counter)


REASONS: dict[str, tuple[Callable[..., Any], str]] = {
    "item": (lambda x: x.sum().item(), "reads a value on the host"),
    "if": (lambda x: x if x.sum() > 0 else -x, "reads a value on the host"),
    "numpy": (lambda x: x.exp().numpy().sum(), "reads a value on the host"),
    "print": (lambda x: print(x.sum()), "it calls print"),
    "tolist": (lambda x: x.tolist(), "reads a value on the host"),
    "dlpack": (
        lambda x: np.from_dlpack(x) if isinstance(x.array, np.ndarray) else x.tolist(),
        "calls numpy.from_dlpack|reads a value",
    ),
    "mask": (lambda x: x[x > 1.0], "reads a value on the host"),
    "move": (lambda x: x.to("numpy" if str(x.device) != "numpy" else "numba"), "reads a value on the host"),
    "host random": (
        lambda x: x + nnkit.tensor(host_uniform((6,))),
        "draws random numbers on the host",
    ),
    "in place": (lambda x: x.add_(1.0), "changes an argument in place"),
    "in place, a part": (lambda x: x[1:3].zero_(), "changes an argument in place"),
    "learned": (lambda x: x.requires_grad_().sum().backward(), "sets requires_grad of an argument"),
    "rate": (lambda x: scheduled.param_groups[0].update(lr=0.1), "sets an option of an optimizer"),
    "global": (counts, "it sets a global variable"),
    "list": (lambda x: memory.append(x * 2.0), "it calls append of a list from outside"),
    "object": (lambda x: Result(x * 2.0), "returns a Result"),
    "tape": (lambda x: x * nn.Parameter([1.0]), "still on the tape: call backward inside"),
}


def line_of(function: Callable[..., Any]) -> str:
    return f"{Path(__file__)}:{function.__code__.co_firstlineno}"


@pytest.mark.parametrize("name", REASONS)
def test_what_cannot_be_replayed_runs_plainly_after_one_warning(name: str, device: str, capsys: Any) -> None:
    function, reason = REASONS[name]
    results = []
    for tried in (function, nnkit.compile(function)):
        global counter
        counter = 0
        nnkit.manual_seed(0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            inputs = [numbers(start=float(i)) for i in range(4)]
            results.append([[values(t) for t in flat([tried(x), x, x.grad])] for x in inputs])
    assert results[0] == results[1]
    (warning,) = caught
    assert re.search(reason, str(warning.message)) and "it runs without recording" in str(warning.message)
    assert warning.filename == __file__
    if "returns" not in reason and "tape" not in reason and "own" not in reason and "sets req" not in reason:
        assert line_of(function) in str(warning.message)


@pytest.mark.parametrize("name", REASONS)
def test_a_full_graph_is_refused_with_file_and_line(name: str, device: str, capsys: Any) -> None:
    function, reason = REASONS[name]
    compiled = nnkit.compile(function, fullgraph=True)
    compiled(numbers())
    for _ in range(2):
        with pytest.raises(GraphError, match=reason):
            compiled(numbers())
    assert recorder() is None


def test_a_full_graph_sets_nothing_in_every_call(device: str) -> None:
    layer = nn.Dropout(0.0)

    @nnkit.compile(fullgraph=True)
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        layer.p += 0.01
        return layer(x)

    with pytest.raises(GraphError, match=r"step cannot be replayed: it sets Dropout\.p"):
        for _ in range(5):
            step(numbers())


def test_an_exception_while_recording_leaves_no_trace(device: str) -> None:
    failing = [False]

    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        y = x * 2.0
        if failing[0]:
            raise KeyError("in the middle")
        return y

    compiled = nnkit.compile(step)
    compiled(numbers())
    failing[0] = True
    with pytest.raises(KeyError, match="in the middle"):
        compiled(numbers())
    assert recorder() is None and programs(compiled) == 0
    failing[0] = False
    assert compiled(numbers()).tolist() == compiled(numbers()).tolist() == (numbers() * 2.0).tolist()
    assert programs(compiled) == 1


# ---- switched off --------------------------------------------------------------------------------------------------


def test_the_environment_switches_it_off(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNKIT_COMPILE", "0")
    compiled = nnkit.compile(lambda x: x.sum().item(), fullgraph=True)
    assert [compiled(nnkit.ones(2)) for _ in range(3)] == [2.0, 2.0, 2.0]
    assert not compiled.programs and not compiled.plain
