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
from nnkit.backends.cpu import attention as attending
from nnkit.backends.cpu import convolution, elementwise, images, launches, products, recurrent
from nnkit.backends.cpu.launch import Launch
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

    map = picks(elementwise.map)
    fill = picks(elementwise.fill)
    copy = picks(elementwise.copy)
    reduce = picks(launches.reduce)
    arg_reduce = picks(launches.arg_reduce)
    matmul = picks(products.matmul)
    linear = picks(products.linear)
    linear_grad = picks(products.linear_grad)
    conv = picks(convolution.conv)
    conv_grad = picks(convolution.conv_grad)
    conv_pooled = picks(convolution.conv_pooled)
    max_pool = picks(images.max_pool)
    max_pool_grad = picks(images.max_pool_grad)
    sum_pool = picks(images.sum_pool)
    sum_pool_grad = picks(images.sum_pool_grad)
    normalize = picks(images.normalize)
    normalize_grad = picks(images.normalize_grad)
    normalize_by = picks(images.normalize_by)
    normalize_by_grad = picks(images.normalize_by_grad)
    attention = picks(attending.attention)
    attention_grad = picks(attending.attention_grad)
    recurrence = picks(recurrent.recurrence)
    recurrence_grad = picks(recurrent.recurrence_grad)
    softmax = picks(launches.softmax)
    softmax_grad = picks(launches.softmax_grad)
    cross_entropy = picks(launches.cross_entropy)
    take_rows = picks(launches.take_rows)
    take_batch = picks(launches.take_batch)
    random_bits = picks(launches.random_bits)
    add_rows = picks(launches.add_rows)
    gather = picks(launches.gather)
    scatter = picks(launches.scatter)
    next_key = picks(launches.next_key)
    uniform = picks(launches.uniform)
    dropout = picks(launches.dropout)

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
