"""Kernels compiled ahead, on any machine, into a folder that a machine with a GPU reads before its cache.

The files are those of the cache, under the same names and keys: ``compiler.compile_source`` finds them in the folder
that the environment variable NNKIT_KERNELS names.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from nnkit.kernels.cuda import compiler
from nnkit.kernels.cuda.compiler import Source


def missing(sources: Sequence[Source], architecture: str, folder: Path) -> list[Source]:
    """Those that the folder does not have whole."""
    return [s for s in sources if compiler.read(compiler.place(folder, s, architecture), s, architecture) is None]


def build(sources: Sequence[Source], architecture: str, folder: Path, processes: int) -> Iterator[tuple[str, str]]:
    """Compile into the folder, in processes side by side. Gives each kernel's name when it is done, and why it failed.

    The reason is empty where it did not fail. Each is kept at once: after an interruption ``missing`` has the rest.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting = {pool.submit(build_one, source, architecture, folder): source.name for source in sources}
        try:
            for done in as_completed(waiting):
                error = done.exception()  # where the process itself died
                yield waiting[done], done.result() if error is None else _described(error)
        finally:
            pool.shutdown(cancel_futures=True)


def build_one(source: Source, architecture: str, folder: Path) -> str:
    """Compile and keep one kernel; why that failed, or nothing."""
    try:
        binary = compiler.compiled(source, architecture)
        compiler.write(compiler.place(folder, source, architecture), source, binary)
    except Exception as error:  # whatever a compiler raises: the others are compiled all the same
        return _described(error)
    return ""


def _described(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
