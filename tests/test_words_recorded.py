"""The words of training scripts in recorded steps: values and gradients as run plainly, to the bit; what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from captured import replays

import nnkit
from nnkit import Tensor, errors

pytest.mark.usefixtures(replays.__name__)

#: Of x (3, 4), i (3, 2) of places, m (3, 4) a mask. A line each, by which pytest's copy of a file is told apart.
STEPS: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "gather": lambda x, i, m: x.gather(1, i),
    "gather of a place found": lambda x, i, m: x.gather(1, x.argmax(1, True)),
    "take_along_dim": lambda x, i, m: nnkit.take_along_dim(x, x.argsort(1), 1),
    "take": lambda x, i, m: x.take(i),
    "scatter": lambda x, i, m: x.scatter(1, i, x[:, 2:]),
    "scatter_": lambda x, i, m: nnkit.zeros(3, 4).scatter_(1, i, 1.0) * x,
    "scatter_add": lambda x, i, m: x.scatter_add(1, i, x[:, :2]),
    "scatter_reduce": lambda x, i, m: x.scatter_reduce(1, i, x[:, :2], "amax"),
    "index_select": lambda x, i, m: x.index_select(1, i[:, 0]),
    "index_add": lambda x, i, m: x.index_add(0, i[:, 0], x * 2),
    "index_fill_": lambda x, i, m: x.clone().index_fill_(1, i[0], 3.0),
    "masked_fill": lambda x, i, m: x.masked_fill(m, -1.0),
    "masked_fill_": lambda x, i, m: x.clone().masked_fill_(m, 0.5),
    "masked_scatter": lambda x, i, m: x.masked_scatter(m, x * 3),
    "where": lambda x, i, m: nnkit.where(m, x, 0.0),
    "sort": lambda x, i, m: x.sort(1).values,
    "topk": lambda x, i, m: x.topk(2, 1),
    "kthvalue": lambda x, i, m: x.kthvalue(2, 1),
    "median": lambda x, i, m: x.median(1),
    "median of all": lambda x, i, m: x.median(),
    "mode": lambda x, i, m: x.round().mode(1),
    "quantile": lambda x, i, m: x.quantile(0.4, 1),
    "searchsorted": lambda x, i, m: nnkit.searchsorted(x.detach().sort(1).values, x.detach()),
    "histc": lambda x, i, m: x.histc(4),
    "cumsum": lambda x, i, m: x.cumsum(1),
    "cumprod": lambda x, i, m: x.cumprod(0),
    "cummax": lambda x, i, m: x.cummax(1),
    "logcumsumexp": lambda x, i, m: x.logcumsumexp(1),
    "tril": lambda x, i, m: x.tril(),
    "flip": lambda x, i, m: x.flip(0, 1),
    "roll": lambda x, i, m: x.roll(1, 1),
    "repeat": lambda x, i, m: x.repeat(2, 1),
    "repeat_interleave": lambda x, i, m: x.repeat_interleave(2, 0),
    "diag": lambda x, i, m: x[:, :3].diag(),
    "diag_embed": lambda x, i, m: x.diag_embed(),
    "unfold": lambda x, i, m: x.unfold(1, 2, 1),
    "meshgrid": lambda x, i, m: nnkit.meshgrid(x[0], x[1], indexing="xy"),
    "vstack": lambda x, i, m: nnkit.vstack([x, x[0]]),
    "chunk": lambda x, i, m: x.chunk(2, 1),
    "einsum": lambda x, i, m: nnkit.einsum("ij,kj->ik", x, x),
    "cross": lambda x, i, m: nnkit.cross(x, x * x, dim=0),
    "cdist": lambda x, i, m: nnkit.cdist(x, x.detach() + 1.0),
    "inv": lambda x, i, m: (x @ x.T + nnkit.eye(3)).inverse(),
    "solve": lambda x, i, m: nnkit.linalg.solve(x @ x.T + nnkit.eye(3), x),
    "det": lambda x, i, m: x[:, :3].det(),
    "cholesky": lambda x, i, m: nnkit.linalg.cholesky(x @ x.T + nnkit.eye(3)),
    "slogdet": lambda x, i, m: (x @ x.T + nnkit.eye(3)).slogdet()[1],
    "eigh": lambda x, i, m: nnkit.linalg.eigh(x @ x.T)[0],
    "svdvals": lambda x, i, m: nnkit.linalg.svdvals(x),
    "nansum": lambda x, i, m: nnkit.where(m, float("nan"), x).nansum(1),
    "lerp": lambda x, i, m: x.lerp(x * x, 0.3),
    "fmod": lambda x, i, m: x.fmod(0.7) + x % 0.3,
    "elementary": lambda x, i, m: x.sinh() + x.atan() + x.exp2() + (x * x + 1.0).log2(),
    "nan_to_num": lambda x, i, m: (1.0 / x.relu()).nan_to_num(posinf=3.0),
    "whole numbers": lambda x, i, m: (i // 2, i % 2, i << 1, i**2),
    "isclose": lambda x, i, m: nnkit.isclose(x, x.round()),
    "one element into another": lambda x, i, m: x.type(nnkit.float64).sum(axis=0, keepdims=True),
    "randperm": lambda x, i, m: x[:, :3].index_select(1, nnkit.randperm(3)),
    "new_zeros": lambda x, i, m: x.new_zeros(3, 4) + x,
    "out": lambda x, i, m: nnkit.add(x.detach(), 1.0, out=nnkit.empty(3, 4)),
    "bucketize": lambda x, i, m: nnkit.bucketize(x, nnkit.tensor([-1.0, 0.0, 1.0])),
}
#: Their result has a size that depends on values.
READING: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "nonzero": lambda x, i, m: m.nonzero(),
    "masked_select": lambda x, i, m: x.masked_select(m),
    "unique": lambda x, i, m: i.unique(),
    "bincount": lambda x, i, m: i.flatten().bincount(),
    "allclose": lambda x, i, m: x if nnkit.allclose(x, x) else -x,
    "repeat_interleave": lambda x, i, m: x.repeat_interleave(i[:, 0], 0),
    "where": lambda x, i, m: nnkit.where(m)[0],
}


def step_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """A step that returns the results, and the gradient of a sum of those that have one."""

    def step(x: Tensor, i: Tensor, m: Tensor) -> list[Tensor]:
        leaf = x.detach().clone().requires_grad_()
        found = function(leaf, i, m)
        parts = list(found) if isinstance(found, tuple) else [found]
        results = [part.detach() for part in parts]
        total = [(part * part).sum() for part in parts if part.requires_grad]
        if total:
            for part in total[1:]:
                total[0] = total[0] + part
            results.append(nnkit.grad(total[0], leaf)[0])
        return results

    return step


def inputs(turn: int) -> tuple[Tensor, Tensor, Tensor]:
    nnkit.manual_seed(turn)
    return nnkit.randn(3, 4), nnkit.randint(0, 3, (3, 2)), nnkit.rand(3, 4) > 0.5


def bits(results: list[Tensor]) -> list[tuple[Any, bytes]]:
    return [(t.dtype, t.numpy().tobytes()) for t in results]


@pytest.mark.parametrize("name", STEPS)
def test_recorded_as_run_plainly_to_the_bit(name: str, device: str, replays: Any) -> None:
    plain = step_of(STEPS[name])
    compiled = nnkit.compile(plain, fullgraph=True)
    for turn in range(4):
        given = inputs(turn)
        nnkit.manual_seed(turn + 9)
        expected = bits(plain(*given))
        nnkit.manual_seed(turn + 9)
        assert bits(compiled(*given)) == expected, turn
    assert len(replays) >= 2


@pytest.mark.parametrize("name", READING)
def test_what_depends_on_values_is_refused_as_a_whole_and_runs_plainly(name: str, device: str) -> None:
    function = READING[name]
    with pytest.raises(errors.GraphError, match="reads a value on the host"):
        compiled = nnkit.compile(function, fullgraph=True)
        for turn in range(3):
            compiled(*inputs(turn))
    compiled = nnkit.compile(function)
    with pytest.warns(UserWarning, match="it runs without recording"):
        for turn in range(4):
            given = inputs(turn)
            assert compiled(*given).tolist() == function(*given).tolist()


def test_an_index_out_of_range_is_refused_in_replays(device: str, replays: Any) -> None:
    gathered = nnkit.compile(lambda x, i: x.gather(1, i), fullgraph=True)
    x = nnkit.arange(6).reshape(2, 3)
    for _ in range(3):
        gathered(x, nnkit.tensor([[0], [2]]))
    with pytest.raises(IndexError, match="gather: index 3 is out of range for an axis of size 3"):
        gathered(x, nnkit.tensor([[0], [3]]))
