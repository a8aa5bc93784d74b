"""Programs on the tape with what PyTorch makes of them: a loss with its gradients, or a refusal."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import Tensor, errors

Program = Callable[[Tensor, Tensor], Tensor]
REFUSED = (errors.GradientError, errors.ShapeError)


class Table:
    """Programs of x (2, 3) and w (3,), by name, with their outcome; None is a refusal."""

    def __init__(self) -> None:
        self.programs: dict[str, tuple[Program, Any]] = {}

    def gives(self, loss: float, x: list[float] | None, w: list[float] | None) -> Callable[[Program], Program]:
        """The loss, and the gradients of x (row after row) and w."""

        def add(program: Program) -> Program:
            self.programs[program.__name__] = program, (loss, x, w)
            return program

        return add

    def refused(self, program: Program) -> Program:
        """PyTorch raises RuntimeError."""
        self.programs[program.__name__] = program, None
        return program

    @property
    def replayed(self) -> list[str]:
        """The programs that have an outcome."""
        return [name for name, (_, outcome) in self.programs.items() if outcome is not None]

    def check(self, name: str) -> None:
        """Run a program and compare."""
        program, outcome = self.programs[name]
        x, w = _leaves()
        if outcome is None:
            with pytest.raises(REFUSED):
                program(x, w).backward()
            return
        loss = program(x, w)
        loss.backward()
        found = (loss.item(), *(None if t.grad is None else t.grad.reshape(-1).tolist() for t in (x, w)))
        for value, expected in zip(found, outcome, strict=True):
            if expected is None:
                assert value is None
            else:
                np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-4)

    def check_recorded(self, name: str) -> None:
        """The same to the bit, call after call, where the step is recorded."""
        program, _ = self.programs[name]
        assert _calls(program, recorded=True) == _calls(program, recorded=False)


def _leaves() -> tuple[Tensor, Tensor]:
    x = nnkit.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    return x, nnkit.tensor([2.0, -1.0, 0.5], requires_grad=True)


def _calls(program: Program, recorded: bool) -> list[Any]:
    x, w = _leaves()

    def step() -> Tensor:
        loss = program(x, w)
        loss.backward()
        return loss.detach()

    call = nnkit.compile(step) if recorded else step
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a mask is read on the host: that runs plainly, after a warning
        for _ in range(4):
            x.grad = w.grad = None
            loss = call()
            seen.append([t if t is None else t.tolist() for t in (loss, x.detach(), w.detach(), x.grad, w.grad)])
    return seen
