"""Layers of a program that round their output at once for the next product: when, and to the bit the same numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from captured import flat, values
from stand_in.machine import Machine

import nnkit
from nnkit import backends, nn, ops, optim
from nnkit.backends.recording import recording
from nnkit.backends.trace import Trace
from nnkit.kernels.cuda.compiler import CompilerMissing
from nnkit.recording.observer.places import Places
from nnkit.training import second_look

pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes (test-cuda)")
HALVES = ("bfloat16", "float16")
Tensor = nnkit.Tensor


def filled(*shape: int, seed: int = 0) -> Tensor:
    host = np.random.default_rng([seed, *shape]).normal(size=shape)
    return nnkit.tensor(host.astype(np.float32), device="cuda")


def leaf(x: Tensor | None) -> Tensor | None:
    """The same numbers, with a gradient that only this step has."""
    return None if x is None else x.detach().requires_grad_()


def layers(activation: str, *sizes: int, bias: bool = True) -> Callable[[Tensor], Tensor]:
    """A layer from each size to the next, all but the last with an activation."""
    weights = [(filled(O, I, seed=1), filled(O, seed=2) if bias else None) for I, O in pairwise(sizes)]

    def forward(x: Tensor) -> Tensor:
        for number, (w, b) in enumerate(weights, 1):
            x = ops.linear(x, leaf(w), leaf(b), activation if number < len(weights) else None)
        return x

    return forward


def then(follow: Callable[[Tensor, Tensor], Any], activation: str = "relu") -> Callable[[Tensor], Any]:
    """A layer (·, 5) to (·, 8) and what follows it, with a weight of (8, 8)."""
    w, b, square = filled(8, 5), filled(8, seed=2), filled(8, 8)
    return lambda x: follow(ops.linear(x, leaf(w), leaf(b), activation), leaf(square))


def added_to(y: Tensor, w: Tensor) -> Tensor:
    with nnkit.no_grad():
        y.detach().add_(1.0)
    return ops.linear(y.detach(), w)


def without_a_tape(y: Tensor, w: Tensor) -> Tensor:
    with nnkit.no_grad():
        return ops.linear(ops.linear(ops.linear(y, w, activation="gelu"), w, activation="relu"), w)


def in_both_types(y: Tensor, w: Tensor) -> Tensor:
    first = ops.linear(y, w)
    with nnkit.autocast("float16"):
        second = y @ w
    with nnkit.autocast("bfloat16"):
        return first + second + y @ w


#: Name -> what makes a step from x (6, 5) to results; in how many layers a kernel rounds, too.
CASES: dict[str, tuple[Callable[[], Callable[[Tensor], Any]], int]] = {
    "relu": (lambda: layers("relu", 5, 8, 12, 3), 2),
    "odd widths": (lambda: layers("relu", 5, 7, 33, 1), 2),
    "without a bias": (lambda: layers("relu", 5, 8, 3, bias=False), 1),
    "an activation that keeps its input": (lambda: layers("gelu", 5, 8, 12, 3), 2),
    "one with a scalar": (lambda: layers("leaky_relu", 5, 8, 3), 1),
    "a large layer": (lambda: layers("gelu", 5, 1024, 3), 1),
    "none: the library adds the bias": (lambda: layers("identity", 5, 8, 3), 0),
    "the same elements in another shape": (lambda: then(lambda y, w: ops.linear(y.reshape(3, 2, 8), w)), 1),
    "other rows of the same elements": (lambda: then(lambda y, w: y.reshape(12, 4) @ w[:4]), 1),
    "a part of it": (lambda: then(lambda y, w: ops.linear(y[1:], w)), 0),
    "turned": (lambda: then(lambda y, w: w @ y.permute(1, 0)), 0),
    "for two products": (lambda: then(lambda y, w: ops.linear(y, w) + y @ w), 1),
    "twice for one": (lambda: then(lambda y, w: y.reshape(2, 3, 8) @ y.reshape(2, 8, 3)), 1),
    "in two types": (lambda: then(in_both_types), 1),
    "an output that is returned": (lambda: then(lambda y, w: (y, ops.linear(y, w))), 1),
    "an output that is read": (lambda: then(lambda y, w: ops.linear(y, w) + y), 1),
    "after another instruction": (lambda: then(lambda y, w: (y.sum(), ops.linear(y, w))), 0),
    "changed in place": (lambda: then(added_to), 0),
    "without a tape": (lambda: then(without_a_tape), 3),
}  # fmt: skip


def step_of(forward: Callable[[Tensor], Any], x: Tensor, half: str) -> Callable[[], list[Tensor]]:
    """What a step returns: results, and the gradient of x where they have one."""

    def step() -> list[Tensor]:
        given = x.detach().requires_grad_()
        with nnkit.autocast(half):
            outputs = flat(forward(given))
        for y in outputs:
            if y.requires_grad:
                y.square().sum().backward(retain_graph=True)
        return [*(y.detach() for y in outputs), *([] if given.grad is None else [given.grad])]

    return step


def recorded(step: Callable[[], Any]) -> tuple[Any, Any, Trace]:
    """The program of a step, what the step returned while it was recorded, and what is compared with a later one."""
    work = backends.get("cuda").recorder()
    work.trace = Trace()
    with recording(work):
        found = step()
    assert not work.obstacles
    return work.finish(), found, work.trace


def notes(program: Any) -> list[str]:
    return [instruction.note for instruction in program.instructions]


def rounding(program: Any) -> int:
    """How many layers of a program round what they leave."""
    return sum("linear_" in note and ("_to_bfloat16" in note or "_to_float16" in note) for note in notes(program))


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Whether layers are to leave the rounding to copies."""
    from nnkit.backends.cuda import products

    usual = products.writing
    yield lambda yes: monkeypatch.setattr(products, "writing", (lambda *_: None) if yes else usual)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", CASES)
def test_a_program_computes_what_eager_calls_do(
    name: str, half: str, device: str, apart: Callable[[bool], None]
) -> None:
    make, count = CASES[name]
    x, forward = filled(6, 5), make()
    step = step_of(forward, x, half)
    program, found, trace = recorded(step)
    assert [values(y) for y in found] == [values(y) for y in step()], "while it is recorded"
    x.array[...] = filled(6, 5, seed=7).array
    program.replay()
    assert [values(y) for y in found] == [values(y) for y in step()], "when it is replayed"
    assert rounding(program) == count
    assert trace.difference(recorded(step)[2]) is None
    apart(True)
    longer, _, other = recorded(step)
    assert rounding(longer) == 0 and len(longer.instructions) == len(program.instructions) + count
    assert trace.difference(other) is None, "the same was asked for"


def test_the_kernel_does_not_round_to_what_it_reads(device: str) -> None:
    """Without a tape z is free again when its layer is over: the next array might lie there."""
    from nnkit.backends.cuda import products

    backend, work = backends.get(device), backends.get(device).recorder()
    w, b, x = (filled(*shape).array for shape in ((8, 8), (8,), (6, 8)))
    with recording(work):
        z, y = backend.empty((6, 8), np.float32), backend.empty((6, 8), np.float32)
        backend.linear(x, w, b, "gelu", z, y)
        place, other = z.data.ptr, filled(6, 8).array
        del z
        assert backend.empty((6, 8), "float16").data.ptr == place, "else this tests nothing"
        last = products.writing(work.last().kernel, y)
        assert last is not None and products.writing(work.last().kernel, other) is None
        rounded = backend.rounded(y, "float16")
        assert products.writing(work.last().kernel, y) is None, "once only"
    assert rounded.data.ptr != place and [i.name for i in work.instructions] == ["linear"]
    program, expected = work.finish(), backend.download(rounded).tobytes()
    backend.fill(0.0, rounded)
    program.replay()
    assert backend.download(rounded).tobytes() == expected


def test_a_kernel_that_cannot_be_had_leaves_the_copy(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnkit.backends.cuda import modules

    usual = modules.function

    def function(source: Any) -> Any:
        if source.name.startswith("linear_") and "_to_" in source.name:
            raise CompilerMissing("none")
        return usual(source)

    monkeypatch.setattr(modules, "function", function)
    step = step_of(layers("relu", 5, 8, 3), filled(6, 5), "bfloat16")
    program, found, _ = recorded(step)
    program.replay()
    assert rounding(program) == 0 and [values(y) for y in found] == [values(y) for y in step()]


# ---- training -------------------------------------------------------------------------------------------------------


def network() -> nn.Sequential:
    nnkit.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 3))


def training_step(half: str = "bfloat16") -> Callable[[], Tensor]:
    model, x, labels = network(), filled(16, 5), nnkit.arange(16) % 3
    optimizer = optim.Adam(model.parameters())

    def step() -> Tensor:
        optimizer.zero_grad()
        with nnkit.autocast(half):
            loss = ops.cross_entropy(model(x), labels).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def test_explain_names_the_kernel_that_rounds(device: str, capsys: Any) -> None:
    kernels = [row.kernel for row in nnkit.explain(training_step()).rows if row.instruction == "linear"]
    assert "linear_relu_to_bfloat16" in kernels[0] and "linear_gelu_keeping_to_bfloat16" in kernels[1]
    assert "linear_relu_to_bfloat16" in capsys.readouterr().out


def test_a_step_has_an_instruction_less_for_each_hidden_layer(device: str, apart: Callable[[bool], None]) -> None:
    counts = []
    for yes in (False, True):
        apart(yes)
        step = training_step()
        step()
        program = recorded(step)[0]
        counts.append((len(program.instructions), sum(i.nbytes for i in program.instructions)))
    (count, nbytes), (more, more_nbytes) = counts
    assert count == more - 2 and nbytes == more_nbytes - 16 * 4 * (8 + 12), "y is not read again"


class Layers(nn.Module):
    """Code of the user's, so that its step is looked at again."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = network()

    def forward(self, x: Any) -> Any:
        return self.layers(x)


def test_a_second_look_at_a_fit_finds_the_same(
    device: str, whole_gpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Places, "watch", lambda self: lambda: True)
    monkeypatch.setattr(second_look, "FIRST_COST", 0.0)
    monkeypatch.setattr(second_look, "SHARE", 1e9)
    x = np.random.default_rng(0).normal(size=(48, 5)).astype(np.float32)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for compile in (True, False):
            model = Layers()
            options = {"loss": "cross_entropy", "epochs": 3, "batch_size": 8, "verbose": 0, "precision": "bfloat16"}
            history = model.fit(x, np.arange(48) % 3, compile=compile, **options)
            found.append((history.history["loss"], [values(p) for p in model.parameters()]))
    assert found[0] == found[1]
