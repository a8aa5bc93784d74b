"""From a kernel's text to object code: Numba's part, which is imported only when something has to be compiled."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A kernel before compilation: its name (unique), its text, and what the text's global names mean.

    ``words(*arguments)`` gives the meaning; ``words`` is a function of a module, so that another process finds it.
    """

    name: str
    text: str
    words: Callable[..., dict[str, Any]]
    arguments: tuple[str, ...] = ()
    reassociate: bool = False  # sums may be reordered, so that they vectorise

    def key(self) -> str:
        """All that the code depends on besides the library's sources, the compiler and the processor."""
        meaning = self.words.__module__, self.words.__qualname__, self.arguments
        return repr((self.name, self.text, meaning, self.reassociate))


class Object(NamedTuple):
    """A compiled kernel that is not loaded yet."""

    entry: str  # the function's name
    needs: list[str]  # the names of the functions that it calls
    code: bytes  # an object file


def prepare(source: Source) -> None:
    """Import Numba and make the words, which takes longer than most kernels, but once for all of them."""
    import numba

    source.words(*source.arguments)
    numba.cfunc(numba.void())(_nothing)  # the first function that is compiled brings in most of Numba


def _nothing() -> None: ...


def build(source: Source, simple: bool = False) -> Object:
    """Compile. ``simple``: without the passes of LLVM that can take long; the loops then do one element at a time."""
    from numba import cfunc, types

    # No "nnan" or "ninf": NaN and infinity must come out as they are.
    fast = {"contract", "nsz"} | ({"reassoc"} if source.reassociate else set())
    signature = types.void(types.CPointer(types.int64))
    namespace = dict(source.words(*source.arguments))
    with _few_passes() if simple else contextlib.nullcontext():
        exec(compile(source.text, f"<kernel {source.name}>", "exec"), namespace)
        compiled: Any = cfunc(signature, error_model="numpy", fastmath=fast)(namespace["kernel"])
        code: bytes = compiled._library.serialize_using_object_code()[2][0]
    return Object(compiled._wrapper_name, _undefined_symbols(compiled._library.get_llvm_str()), code)


@contextlib.contextmanager
def _few_passes() -> Iterator[None]:
    from numba.core import config as options

    config: Any = options
    before = config.OPT, config.LOOP_VECTORIZE
    config.OPT, config.LOOP_VECTORIZE = type(config.OPT)(1), 0
    try:
        yield
    finally:
        config.OPT, config.LOOP_VECTORIZE = before


def _undefined_symbols(llvm_text: str) -> list[str]:
    """The external functions that compiled code calls, from its LLVM text."""
    declared = re.findall(r"^declare [^@]*@\"?([\w.$]+)", llvm_text, re.MULTILINE)
    return sorted({name for name in declared if not name.startswith("llvm.")})
