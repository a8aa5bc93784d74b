"""The CPU with compiled kernels: NumPy, and where a kernel fits the arrays at hand, the kernel.

``launches`` prepares the kernels; here is the one place that picks. For each primitive a ``prepare`` function
looks at the arrays and returns the kernel and its argument block, or the reason why none fits, and then NumPy's
body runs.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends import launches, recording
from nnkit.backends.base import Array, Scalar
from nnkit.backends.kernel_program import KernelProgram
from nnkit.backends.launches import Launch
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
            if at_work is None:
                body(self, *args, **options)
            else:
                recording.note_call(body.__wrapped__, launch, self, args, options)
            return
        launch.run()
        if at_work is not None:
            arrays = recording.arrays_in([*args, *options.values()])
            name = launch.kernel.name
            at_work.note(recording.describe(prepare.__name__, launch, launch.run, name, arrays), arrays)

    return primitive


class NumbaBackend(NumpyBackend):
    """Arrays are ``numpy.ndarray``."""

    name = "numba"

    map = picks(launches.map)
    fill = picks(launches.fill)
    copy = picks(launches.copy)
    reduce = picks(launches.reduce)
    arg_reduce = picks(launches.arg_reduce)
    matmul = picks(launches.matmul)
    linear = picks(launches.linear)
    linear_grad = picks(launches.linear_grad)
    softmax = picks(launches.softmax)
    softmax_grad = picks(launches.softmax_grad)
    cross_entropy = picks(launches.cross_entropy)
    take_rows = picks(launches.take_rows)
    take_batch = picks(launches.take_batch)
    random_bits = picks(launches.random_bits)
    add_rows = picks(launches.add_rows)
    next_key = picks(launches.next_key)
    uniform = picks(launches.uniform)
    dropout = picks(launches.dropout)

    def recorder(self) -> ProgramRecorder:
        return ProgramRecorder(KernelProgram)

    def prepared_map(
        self, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()
    ) -> Callable[[], None]:
        launch = launches.map(formula, inputs, out, scalars)
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
