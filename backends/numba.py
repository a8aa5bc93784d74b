"""The CPU with compiled kernels: NumPy, and where a kernel fits the arrays at hand, the kernel.

``backends.cpu`` prepares the kernels; here is the one place that picks. For each primitive a ``prepare`` function
looks at the arrays and returns the launch, or the reason why none fits, and then NumPy's
body runs.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends import recording
from nnkit.backends.base import Array, Scalar
from nnkit.backends.cpu import elementwise
from nnkit.backends.cpu.launch import Launch
from nnkit.backends.cpu.preparing import PREPARED
from nnkit.backends.cpu.program import KernelProgram
from nnkit.backends.numpy import NumpyBackend
from nnkit.backends.program import ProgramRecorder

# Kernels that are compiled already run without Numba, so it is looked for and not imported: that takes 0.15 seconds.
if importlib.util.find_spec("numba") is None:
    raise ModuleNotFoundError("No module named 'numba'", name="numba")


def picks(prepare: Callable[..., Launch | str]) -> Callable[..., None]:
    """The primitive named like ``prepare``: its kernel where ``prepare`` says so, else NumPy's body."""
    body = getattr(NumpyBackend, prepare.__name__)

    @functools.wraps(body)
    def primitive(self: NumpyBackend, *args: Any, **options: Any) -> None:
        launch = prepare(*args, **options)
        at_work = recording.recorder()
        if isinstance(launch, str):
            if at_work is None or not hasattr(body, "__wrapped__"):  # one that is made of primitives
                body(self, *args, **options)
            else:
                recording.note_call(body.__wrapped__, launch, self, args, options)
            return
        launch.run()
        if at_work is not None:
            arrays = recording.arrays_in([*args, *options.values()])
            at_work.note(
                recording.describe(prepare.__name__, launch, launch.run, launch.name, arrays), arrays, (args, options)
            )

    return primitive


class NumbaBackend(NumpyBackend):
    """Arrays are ``numpy.ndarray``."""

    name = "numba"

    def recorder(self) -> ProgramRecorder:
        return ProgramRecorder(KernelProgram)

    def prepared_map(
        self, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()
    ) -> Callable[[], None]:
        launch = elementwise.map(formula, inputs, out, scalars)
        if isinstance(launch, str):
            return super().prepared_map(formula, inputs, out, scalars)
        run = launch.run

        def call() -> None:
            if recording.recorder() is None:
                run()
            else:
                self.map(formula, inputs, out, scalars)

        return call

    def versions(self) -> str:
        from importlib.metadata import version

        return f"numba {version('numba')}, numpy {np.__version__}"


for _name, _prepare in PREPARED.items():
    setattr(NumbaBackend, _name, picks(_prepare))
