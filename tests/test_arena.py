"""The arena: where parameters and their gradients lie, that they stay there, and what happens when they are moved."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import optim
from nnkit.backends.recording import recording
from nnkit.nn import Parameter
from nnkit.optim.arena import ALIGNMENT, Arena

SHAPES = ((3, 5), (64,), (65,), (), (0, 4), (2, 2, 2))


def parameters(*shapes: tuple[int, ...], dtype: Any = nnkit.float32) -> list[Any]:
    """Parameters of ones."""
    return [Parameter(nnkit.ones(*shape, dtype=dtype)) for shape in shapes]


def backward(*learned: Any) -> None:
    """The gradient of half the sum of squares: each parameter's own value."""
    for parameter in learned:
        (0.5 * parameter * parameter).sum().backward()


def host(block: Any, name: str = "values") -> np.ndarray:
    return np.asarray(block.backend.to_numpy(getattr(block, name)))


def seats(arena: Arena) -> list[tuple[int, int, int]]:
    """(block's identity, start, stop) of each parameter."""
    return [(id(s.block), s.start, s.stop) for s in arena.slots.values()]


def spans(arena: Arena, learned: list[Any] | None = None) -> list[tuple[int, int]]:
    return [(run.start, run.stop) for run in arena.runs(learned)]


# ---- layout -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [nnkit.float32, nnkit.float64])
def test_places_are_aligned_disjoint_and_in_order(device: str, dtype: Any) -> None:
    ps = parameters(*SHAPES, dtype=dtype)
    arena = Arena(ps, [f"p{i}" for i in range(len(ps))])
    table = arena.table()
    assert [(row.name, row.shape, row.block) for row in table] == [(f"p{i}", s, 0) for i, s in enumerate(SHAPES)]
    assert all(row.offset * dtype.itemsize % ALIGNMENT == 0 for row in table)
    ends = [row.offset + int(np.prod(row.shape)) for row in table]
    assert all(end <= row.offset for end, row in zip(ends, table[1:], strict=False))
    (block,) = arena.blocks()
    flat = host(block)
    assert flat.sum() == sum(p.numel() for p in ps)
    assert all((flat[row.offset : end] == 1).all() for row, end in zip(table, ends, strict=True))


def test_values_and_gradients_move_in_and_share_the_flat_memory(device: str) -> None:
    p, q = parameters((3,), (2, 2))
    backward(p)
    arena = Arena([p, q])
    assert p.tolist() == [1.0, 1.0, 1.0]
    assert p.grad.tolist() == [1.0, 1.0, 1.0]
    assert q.grad is None
    (block,) = arena.blocks()
    with nnkit.no_grad():
        q += 1.0
    backward(p, q)
    (row,) = [row for row in arena.table() if row.name == "1"]
    assert host(block)[row.offset : row.offset + 4].tolist() == [2.0] * 4
    assert host(block, "gradients")[row.offset : row.offset + 4].tolist() == [2.0] * 4
    assert host(block, "gradients")[:3].tolist() == [2.0] * 3  # added to what moved in
    assert arena.is_current()


def test_a_parameter_given_twice_has_one_place(device: str) -> None:
    p, q = parameters((3,), (2,))
    assert len(Arena([p, q, p]).table()) == 2


def test_each_dtype_has_its_own_block(device: str) -> None:
    p, q, r = parameters((3,)) + parameters((2,), dtype=nnkit.float64) + parameters((4,))
    arena = Arena([p, q, r])
    assert [row.block for row in arena.table()] == [0, 1, 0]
    assert [block.dtype for block in arena.blocks()] == [nnkit.float32, nnkit.float64]
    optimizer = optim.Adam([p, q, r], lr=0.5)
    backward(p, q, r)
    optimizer.step()
    for parameter in (p, q, r):
        np.testing.assert_allclose(parameter.tolist(), [0.5] * parameter.numel(), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
        (optim.SGD, {"maximize": True}),
        (optim.Adam, {"amsgrad": True, "weight_decay": 0.1}),
        (optim.AdamW, {"eps": 0.0}),
        (optim.RMSprop, {"centered": True, "momentum": 0.9, "eps": 0.0}),
        (optim.Adagrad, {"eps": 0.0, "initial_accumulator_value": 0.1}),
    ],
)
def test_padding_stays_zero(device: str, kind: Any, options: dict[str, Any]) -> None:
    ps = parameters(*SHAPES)
    optimizer = kind(ps, lr=0.1, **options)
    for _ in range(3):
        optimizer.zero_grad()
        backward(*ps)
        optim.clip_grad_norm_(ps, 1.0)
        optim.clip_grad_value_(ps, 0.1)
        optimizer.step()
    (block,) = optimizer.arena.blocks()
    padding = np.ones(host(block).shape, bool)
    for row in optimizer.arena.table():
        padding[row.offset : row.offset + int(np.prod(row.shape))] = False
    assert padding.any()
    for name in ("values", "gradients"):
        assert (host(block, name)[padding] == 0.0).all()
        assert (host(block, name)[~padding] != 0.0).all()


# ---- runs -------------------------------------------------------------------------------------------------


def test_runs_join_neighbours_that_have_a_gradient(device: str) -> None:
    a, b, c, d = ps = parameters((3,), (65,), (2,), (4,))
    arena = Arena(ps)
    assert spans(arena) == []
    backward(*ps)
    assert spans(arena) == [(0, 64 * 4 + 4)]
    assert spans(arena, [d, a, b]) == [(0, 129), (256, 260)]
    c.grad = None
    assert spans(arena) == [(0, 129), (256, 260)]
    a.requires_grad = False
    assert spans(arena) == [(64, 129), (256, 260)]
    b.grad = d.grad = None
    assert spans(arena) == []


def test_a_step_is_one_kernel_for_a_group(device: str) -> None:
    ps = parameters(*SHAPES)
    optimizer = optim.Adam(ps)
    backward(*ps)
    recorder = ps[0].backend.recorder()
    with recording(recorder):
        optimizer.step()
    (rates, update) = recorder.instructions
    assert (rates.name, update.name) == ("map", "map")
    assert max(rates.shapes) == (1,) and max(update.shapes) == (328,), "all parameters and the padding between"


# ---- sharing ----------------------------------------------------------------------------------------------


def test_a_second_optimizer_works_on_the_same_memory(device: str) -> None:
    ps = parameters((3,), (70,), (2,))
    first = optim.SGD(ps, lr=0.5)
    second = optim.Adam(ps)
    assert seats(first.arena) == seats(second.arena)
    backward(*ps)
    first.step()
    assert first.arena.is_current()
    assert second.arena.is_current()


def test_optimizers_of_overlapping_parts_leave_each_other_in_place(device: str) -> None:
    body, head, other = parameters((3,), (70,), (2,))
    first, second = optim.Adam([body, head], lr=0.1), optim.Adam([other, body], lr=0.1)
    for _ in range(2):
        for optimizer in (first, second):
            optimizer.zero_grad()
            backward(body, head, other)
            optimizer.step()
            assert first.arena.is_current()
            assert second.arena.is_current()
    assert second.arena.slots[id(body)] is first.arena.slots[id(body)]
    (window,) = {second.arena.window(s.block) for s in [second.arena.slots[id(body)]]}
    assert window == (0, 64)


def test_an_arena_does_not_outlive_its_users(device: str) -> None:
    (p,) = parameters((3,))
    optimizer = optim.Adam([p])
    arena = weakref.ref(optimizer.arena)
    del optimizer
    gc.collect()
    assert arena() is None
    backward(p)
    assert p.grad.tolist() == [1.0, 1.0, 1.0]


def test_a_group_added_next_to_a_shared_place_gets_its_state(device: str) -> None:
    p, q = parameters((3,), (2,))
    optim.SGD([p, q])
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    backward(p)
    optimizer.step()
    optimizer.add_param_group({"params": [q]})
    optimizer.zero_grad()
    p.grad, q.grad = nnkit.full((3,), 4.0), nnkit.full((2,), 8.0)
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].tolist() == [4.5] * 3
    assert optimizer.state[q]["momentum_buffer"].tolist() == [8.0] * 2


def test_a_copied_parameter_leaves_the_arena(device: str) -> None:
    (p,) = parameters((3,))
    optimizer = optim.SGD([p], lr=1.0)
    twin = copy.deepcopy(p)
    backward(p, twin)
    optimizer.step()
    assert (p.tolist(), twin.tolist()) == ([0.0] * 3, [1.0] * 3)
    assert twin.grad.tolist() == [1.0] * 3


# ---- moving -----------------------------------------------------------------------------------------------


def replaced(p: Any) -> None:
    """New memory under the parameter."""
    p.data = nnkit.full(p.shape, 4.0, dtype=p.dtype)


def in_double(p: Any) -> None:
    """Another type."""
    p.data = p.data.double()


def elsewhere(p: Any) -> None:
    """Another device."""
    p.data = p.data.to("strict" if str(p.device) != "strict" else "numpy")


@pytest.mark.parametrize("move", [replaced, in_double, elsewhere])
def test_moved_parameters_are_brought_back_with_their_state(device: str, move: Any) -> None:
    ps, twins = parameters((3,), (2, 2)), parameters((3,), (2, 2))
    optimizer, undisturbed = optim.Adam(ps, lr=0.5), optim.Adam(twins, lr=0.5)
    for one, learned in ((optimizer, ps), (undisturbed, twins)):
        backward(*learned)
        one.step()
        one.zero_grad()
    for p, twin in zip(ps, twins, strict=True):
        move(p)
        twin.data = nnkit.tensor(p.tolist())
    assert not optimizer.arena.is_current()
    for _ in range(2):
        for one, learned in ((optimizer, ps), (undisturbed, twins)):
            one.zero_grad()
            backward(*learned)
            one.step()
    assert optimizer.arena.is_current()
    assert optimizer.param_groups[0].step == 3
    for p, twin in zip(ps, twins, strict=True):
        np.testing.assert_allclose(np.array(p.tolist()), np.array(twin.tolist()), rtol=1e-5)
    optimizer.param_groups[0]["lr"] = 0.0
    before = [p.tolist() for p in ps]
    optimizer.step()
    assert [p.tolist() for p in ps] == before


def test_one_replaced_parameter_returns_to_its_place(device: str) -> None:
    ps = parameters((3,), (2, 2), (5,))
    optimizer = optim.SGD(ps, lr=1.0)
    before = seats(optimizer.arena)
    backward(*ps)
    replaced(ps[1])
    optimizer.step()
    assert seats(optimizer.arena) == before
    assert [p.sum().item() for p in ps] == [0.0, 12.0, 0.0]


def test_a_frozen_parameter_keeps_its_state_when_it_moves(device: str) -> None:
    p, q = parameters((3,), (2,))
    optimizer = optim.SGD([p, q], lr=0.5, momentum=0.5)
    backward(p, q)
    optimizer.step()
    q.requires_grad = False
    in_double(p)
    in_double(q)
    backward(p)
    optimizer.step()
    q.requires_grad = True
    q.grad = nnkit.full((2,), 0.25, dtype=nnkit.float64)
    optimizer.step()
    assert optimizer.state[q]["momentum_buffer"].tolist() == [0.75, 0.75]


def test_a_module_moves_and_trains_on(device: str) -> None:
    model = nnkit.nn.Sequential(nnkit.nn.Linear(3, 4), nnkit.nn.ReLU(), nnkit.nn.Linear(4, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x = nnkit.ones(5, 3)

    def train() -> float:
        optimizer.zero_grad()
        loss = (model(x) * model(x)).mean()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    losses = [train(), train()]
    model.double()
    x = x.double()
    losses += [train(), train()]
    assert optimizer.arena.blocks()[0].dtype == nnkit.float64
    assert losses == sorted(losses, reverse=True)
    copied = copy.deepcopy(model)
    copied.load_state_dict(model.state_dict())
    model.load_state_dict(copied.state_dict())
    assert optimizer.arena.is_current()
