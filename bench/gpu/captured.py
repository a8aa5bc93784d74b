"""Whole trainings, captured against eager: the same losses and the same weights to the bit, on the GPU alone."""

from __future__ import annotations

import functools

from bench.gpu.checks import Check, Sizes
from bench.gpu.training import GPU, OVERFLOWING, RUNS, Run, possible, steps, train


def _check(run: Run, sizes: Sizes) -> None:
    captured, eager = train(run, sizes), train(run, sizes, compile=False)
    assert captured.losses == eager.losses, f"captured losses {captured.losses}, eager {eager.losses}"
    assert captured.weights == eager.weights, "captured weights differ from eager ones"


def _scaled(sizes: Sizes) -> None:
    captured, eager = (steps(GPU, sizes, compiled, **OVERFLOWING) for compiled in (True, False))
    assert captured == eager, f"captured losses and scale {captured}, eager {eager}"


CHECKS: dict[str, Check] = {
    **{name: functools.partial(possible(_check), run) for name, run in RUNS.items()},
    "scaled float16 steps that overflow": _scaled,
}
