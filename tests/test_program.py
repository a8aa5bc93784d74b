"""Programs: the primitives that a thread ran, run again on the same memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn, ops, optim
from nnkit.backends import get
from nnkit.backends.cpu.program import KernelProgram
from nnkit.backends.program import Program, ProgramRecorder
from nnkit.backends.recording import paused, recorder, recording


def record(function: Callable[[], Any], device: str | None = None) -> tuple[Program, Any, ProgramRecorder]:
    """The program of a function, and what the function returned."""
    work = get(device or nnkit.get_default_device()).recorder()
    with recording(work):
        value = function()
    return work.finish(), value, work


FUNCTIONS: dict[str, Callable[[nnkit.Tensor], nnkit.Tensor]] = {
    "formula": lambda x: x.exp(),
    "broadcast": lambda x: x + x[0] * x[:, :1],
    "transposed and reshaped": lambda x: x.T.reshape(-1) * 2.0,
    "matrix product": lambda x: x @ x.T,
    "batched product": lambda x: x.reshape(2, 2, 3) @ x.T.reshape(2, 3, 2),
    "reductions": lambda x: nnkit.stack([x.sum(), x.max(), x.var(), x.mean(dim=1).min()]),
    "position": lambda x: x.argmax(dim=1),
    "whole numbers": lambda x: (x * 4.0).long() * 3 - 1,
    "booleans": lambda x: (x > 0.5).any(dim=0),
    "types": lambda x: x.double().sin().float() + x.long(),
    "choice": lambda x: nnkit.where(x > 0.0, x, -x.square()),
    "rows": lambda x: x[nnkit.tensor([2, 0, 2])],
    "parts": lambda x: nnkit.cat([x[1:], x[:, ::2].expand(4, 2).T[:1].reshape(-1)[:3].unsqueeze(0)]),
    "softmax": lambda x: x.log_softmax(dim=0).softmax(),
    "linear": lambda x: ops.linear(x, x, x[:, 0], "gelu"),
    "new memory": lambda x: nnkit.zeros(4, 3) + nnkit.full((3,), 2.0) - x,
    "clamped": lambda x: x.clamp(-0.5, 0.5).norm(dim=1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_replay_repeats_every_primitive(name: str, device: str) -> None:
    x = nnkit.zeros(4, 3)
    program, y, work = record(lambda: FUNCTIONS[name](x))
    assert not work.obstacles
    for seed in range(3):
        values = nnkit.tensor(np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32))
        x.copy_(values)
        program.replay()
        assert y.tolist() == FUNCTIONS[name](values).tolist()


def test_a_replay_of_many_times(device: str) -> None:
    x = nnkit.ones(3)
    program, _, _ = record(lambda: x.add_(x))
    program.replay(4)
    assert x.tolist() == [32.0] * 3


def test_a_program_keeps_what_it_works_on(device: str) -> None:
    x = nnkit.ones(3)
    program, y, _ = record(lambda: (x * nnkit.tensor([1.0, 2.0, 3.0])).exp() + nn.Parameter([0.5, 0.5, 0.5]))
    expected = y.detach().tolist()
    y.array[...] = nnkit.zeros(3).array
    noise = [nnkit.full((3,), float("nan")) for _ in range(500)]
    program.replay()
    assert y.detach().tolist() == expected and len(noise) == 500


def test_what_is_paused_is_not_recorded(device: str) -> None:
    x = nnkit.ones(3)

    def step() -> None:
        with paused():
            x.mul_(3.0)
        x.add_(1.0)

    program, _, _ = record(step)
    assert x.tolist() == [4.0] * 3
    program.replay()
    assert x.tolist() == [5.0] * 3


def test_recording_belongs_to_one_thread(device: str) -> None:
    x, y = nnkit.ones(3), nnkit.ones(3)
    seen: list[Any] = []

    def step() -> None:
        other = threading.Thread(target=lambda: seen.append((recorder(), y.add_(1.0))))
        other.start()
        other.join()
        x.add_(1.0)

    program, _, _ = record(step)
    program.replay()
    assert seen[0][0] is None and recorder() is None
    assert x.tolist() == [3.0] * 3 and y.tolist() == [2.0] * 3


def test_each_instruction_says_what_it_is(device: str) -> None:
    x, w = nnkit.ones(4, 3), nn.Parameter(nnkit.ones(2, 3))
    program, _, _ = record(lambda: ops.linear(x, w).sum().backward())
    assert [i.name for i in program.instructions] == ["linear", "reduce", "copy", "linear_grad"]
    first = program.instructions[0]
    assert first.shapes[:2] == ((4, 3), (2, 3)) and first.nbytes == 4 * (12 + 6 + 8)
    if device == "numba":
        assert type(program) is KernelProgram
        assert all(i.kernel is not None and i.note == i.kernel.name for i in program.instructions)
    else:
        assert type(program) is Program
        assert {(i.kernel, i.note) for i in program.instructions} == {(None, "this backend has no kernel for it")}


def test_kernels_and_python_take_turns() -> None:
    x = nnkit.tensor(np.linspace(0.0, 1.0, 12, dtype=np.float32).reshape(3, 4), device="numba")
    program, y, _ = record(lambda: ((x * 2.0).sort().values + 1.0).square(), "numba")
    assert [i.kernel is None for i in program.instructions] == [False, True, False, False]
    assert program.instructions[1].note == "this backend has no kernel for it"
    expected = y.tolist()
    y.array.fill(0.0)
    program.replay()
    assert y.tolist() == expected


@pytest.mark.parametrize("name", ["kept", "changed", "changed back"])
def test_what_a_step_sets_must_be_as_before(name: str, device: str) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))

    def step() -> None:
        model.train(name == "kept")
        model(nnkit.ones(2, 3))
        nn.CrossEntropyLoss()
        if name == "changed back":
            model.train()

    _, _, work = record(step)
    expected = {"kept": None, "changed": "it sets Sequential.training", "changed back": None}
    assert work.restless() == expected[name]


def test_an_optimizer_that_moves_parameters_is_recorded_anew(device: str) -> None:
    weight = nn.Parameter([1.0, 2.0])

    def step() -> None:
        weight.sum().backward()
        optim.Adam([weight]).step()

    assert record(step)[2].restless() is not None


def test_labels_made_inside_are_checked_in_every_replay(device: str) -> None:
    y, z = nnkit.tensor([0, 1]), nnkit.zeros(2, 2)
    program, _, _ = record(lambda: ops.cross_entropy(z, y + 0))
    assert [i.name for i in program.instructions] == ["map", "check", "cross_entropy"]
    program.replay()
    y.copy_(nnkit.tensor([0, 2]))
    with pytest.raises(nnkit.errors.LabelError, match="got 2 at index 1"):
        program.replay()


def test_labels_of_a_batch_are_checked_once_and_all(device: str) -> None:
    rows, order, cursor = nnkit.tensor([0, 1, 1, 5]), nnkit.arange(4), nnkit.zeros(1, dtype=nnkit.int64)

    def step() -> None:
        ops.cross_entropy(nnkit.zeros(2, 2), ops.take_batch(rows, order, cursor, 2))

    with pytest.raises(nnkit.errors.LabelError, match="got 5 at index 3"):
        record(step)
    rows.copy_(nnkit.tensor([0, 1, 1, 0]))
    program, _, _ = record(step)
    assert [i.name for i in program.instructions].count("check") == 0 and not program.checks
