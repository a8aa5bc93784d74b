"""NVIDIA GPUs: CuPy's arrays, and where a kernel or cuBLASLt fits the arrays at hand, those.

The modules beside this one prepare the work; here is the one place that picks. For each primitive a ``prepare``
function looks at the arrays and returns work for the device, or the reason why there is none, and then the reference
body runs over CuPy's functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnkit.backends import recording
from nnkit.backends.base import Array, Scalar
from nnkit.backends.cuda import elementwise, faults, modules, products
from nnkit.backends.cuda.device_memory import CupyArrays, on_device
from nnkit.backends.cuda.preparing import PREPARED
from nnkit.backends.cuda.work import Chain, Launch, Work
from nnkit.kernels.cuda.compiler import CompilerMissing

NO_COMPILER = "no compiler for CUDA kernels is installed"


def run(work: Work, device: Any) -> bool:
    """Give work to the current stream; False where it needs a kernel and there is no compiler."""
    try:
        work.run()
    except CompilerMissing as error:
        modules.give_up(error)
        return False
    except RuntimeError as error:
        faults.give(error, f"launching {work.name}", str(device))
    return True


def loads(work: Work) -> bool:
    """Compile and load the last kernel of work, which is not run; False where there is no compiler for it."""
    while isinstance(work, Chain):
        work = work.parts[-1]
    try:
        if isinstance(work, Launch):
            modules.function(work.kernel)
    except CompilerMissing:
        return False
    return True


def picks(prepare: Callable[..., Work | str]) -> Callable[..., None]:
    """The primitive named like ``prepare``: the work that ``prepare`` says, else the reference body."""
    body = getattr(CupyArrays, prepare.__name__)
    unnoted = getattr(body, "__wrapped__", None)  # None where the body is made of primitives, which note themselves

    @functools.wraps(body)
    def primitive(self: CupyArrays, *args: Any, **options: Any) -> None:
        work = prepare(*args, **options)
        if not isinstance(work, str) and not run(work, self.device):
            work = NO_COMPILER
        at_work = recording.recorder()
        if isinstance(work, str):
            if at_work is None or unnoted is None:
                body(self, *args, **options)
            else:
                recording.note_call(unnoted, work, self, args, options)
        elif at_work is not None:
            arrays = recording.arrays_in([*args, *options.values()])
            bare = work.bare(at_work.unleased)
            at_work.note(
                recording.describe(prepare.__name__, bare, bare.run, bare.name, arrays), arrays, (args, options)
            )

    return on_device(primitive)


class CupyBackend(CupyArrays):
    """Arrays are ``cupy.ndarray`` on GPU ``index``."""

    def prepared_map(
        self, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()
    ) -> Callable[[], None]:
        work = elementwise.map(formula, inputs, out, scalars)
        if isinstance(work, str):
            return super().prepared_map(formula, inputs, out, scalars)

        def call(self: CupyBackend) -> None:
            if recording.recorder() is not None or not run(work, self.device):
                self.map(formula, inputs, out, scalars)

        return functools.partial(on_device(call), self)

    @on_device
    def rounded(self, x: Array, half: str) -> Array:
        """In a program, the kernel of a layer that has just written x writes the rounded x in every replay."""
        if x.dtype == half:
            return x
        if not products.multiplies(half):
            return super().rounded(x, half)
        at_work = recording.recorder()
        before = None if at_work is None else at_work.last()
        last = None if before is None else products.writing(before.kernel, x)
        if at_work is None or before is None or last is None:
            out = self.empty(x.shape, half)
            self.copy(x, out)
            return out
        out = at_work.allocate(x.shape, half, last.reads)
        work = products.also_rounding(before.kernel, last, at_work.unleased(out))
        if not loads(work):
            self.copy(x, out)
            return out
        with recording.paused():
            self.copy(x, out)  # this time the layer has run already
        shapes, nbytes = (*before.shapes, tuple(out.shape)), before.nbytes + out.nbytes
        fused = before._replace(kernel=work, call=work.run, note=work.name, shapes=shapes, nbytes=nbytes)
        at_work.fuse(fused, "copy", [x, out], ((x, out), {}))
        return out


for _name, _prepare in PREPARED.items():
    setattr(CupyBackend, _name, picks(_prepare))
