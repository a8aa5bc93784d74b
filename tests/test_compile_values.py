"""Compiled functions whose way depends on values: labels, indices, and memory that is reached in two ways."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from captured import compare, numbers, replays, values

import nnkit
from nnkit import nn, optim
from nnkit.errors import LabelError

pytest.mark.usefixtures(replays.__name__)

# ---- labels and indices --------------------------------------------------------------------------------------------


def converted(y: nnkit.Tensor) -> nnkit.Tensor:
    return (y + 0).long()


@pytest.mark.parametrize("prepare", [lambda y: y, converted, lambda y: y.reshape(2, 2).reshape(-1)])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.functional.nll_loss])
def test_a_label_out_of_range_changes_no_weight(loss: Any, prepare: Any, device: str) -> None:
    model = nn.Linear(3, 4)
    optimizer = optim.Adam(model.parameters(), lr=0.1)

    @nnkit.compile
    def step(x: nnkit.Tensor, y: nnkit.Tensor) -> None:
        optimizer.zero_grad()
        loss(model(x), prepare(y)).backward()
        optimizer.step()

    x, good = nnkit.ones(4, 3), nnkit.tensor([0, 1, 2, 3])
    for _ in range(4):
        step(x, good)
    before = [values(p) for p in model.parameters()]
    for wrong in (4, -1):
        with pytest.raises(LabelError, match=f"from 0 to 3, got {wrong} at index 2"):
            step(x, nnkit.tensor([0, 1, wrong, 3]))
    assert [values(p) for p in model.parameters()] == before
    step(x, good)
    assert [values(p) for p in model.parameters()] != before


def test_indices_from_either_end_in_any_integer_type(device: str) -> None:
    table = numbers(6).reshape(3, 2)
    calls = [[0, 1, 2], [2, 2, 0], [0, 0, 1], [-1, 0, -3], [1, 0, 2], [-2, -2, 2]]
    for dtype in (nnkit.int64, nnkit.int32):
        compiled = compare(lambda rows: table[rows], *[(nnkit.tensor(rows, dtype=dtype),) for rows in calls])
        with pytest.raises(IndexError, match="3 is out of range for 3 rows"):
            compiled(nnkit.tensor([0, 1, 3], dtype=dtype))
    computed = nnkit.compile(lambda rows: table[rows * 2])
    for rows in ([0, 1], [1, 0], [-1, 1], [1, 1]):
        assert computed(nnkit.tensor(rows)).tolist() == table[nnkit.tensor(rows) * 2].tolist()
    with pytest.raises(IndexError, match="4 is out of range"):
        computed(nnkit.tensor([0, 2]))


# ---- memory that is reached in two ways ---------------------------------------------------------------------------


def test_an_argument_that_is_also_used_directly(device: str) -> None:
    def run(decorate: Callable[[Any], Any]) -> list[Any]:
        state = nnkit.tensor([1.0, 2.0])

        @decorate
        def step(x: nnkit.Tensor) -> nnkit.Tensor:
            state.mul_(2.0)
            return x + state

        return [step(state).tolist() for _ in range(5)]

    with pytest.warns(UserWarning, match="an argument shares memory with another tensor"):
        found = run(nnkit.compile)
    assert found == run(lambda function: function)


def test_state_outside_is_changed_in_place(device: str, replays: list[Any]) -> None:
    state = nnkit.zeros(2)

    @nnkit.compile
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        state.add_(x)
        return state * 2.0

    seen = [step(nnkit.ones(2)).tolist() for _ in range(5)]
    assert seen == [[2.0 * i] * 2 for i in range(1, 6)] and state.tolist() == [5.0, 5.0]
    assert len(replays) == 3


def test_gradients_of_an_input_made_inside(device: str, replays: list[Any]) -> None:
    def saliency(x: nnkit.Tensor) -> nnkit.Tensor:
        leaf = x.clone().requires_grad_()
        (leaf * leaf).sum().backward()
        return leaf.grad

    compare(saliency, *[(numbers(start=float(i)),) for i in range(5)], fullgraph=True)
    assert len(replays) == 3


def test_arguments_are_not_kept(device: str) -> None:
    compiled = nnkit.compile(lambda x, parts: x * 2.0 + parts["a"])
    kept = []
    for _ in range(4):
        x, y = nnkit.ones(5), nnkit.zeros(5)
        compiled(x, {"a": y})
        kept += [weakref.ref(x), weakref.ref(y)]
    del x, y
    gc.collect()
    assert [reference() for reference in kept] == [None] * 8
