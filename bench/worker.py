"""A process that measures when it is asked. Each library has one of its own, and the others sleep meanwhile.

Two libraries in one process disturb each other: their idle threads spin, OpenBLAS's for a tenth of a second. A worker
answers only when its threads have come to rest. The parent sends a line of JSON that names a function and its
arguments; the worker answers with a line that holds the result.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from types import TracebackType
from typing import Any, Self

from bench import machine

NAP = 0.01  # seconds


class WorkerError(RuntimeError):
    """What went wrong in a worker: the last line of its traceback, or of what it printed before it died."""


class Worker:
    """A worker process, as its parent sees it.

    >>> with Worker() as worker:
    ...     worker.ask("math:gcd", 12, 18)
    6
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self._printed = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._printed, text=True, env=machine.worker_environment() | (environment or {}), cwd=machine.ROOT,
        )  # fmt: skip

    def ask(self, function: str, *arguments: Any, **options: Any) -> Any:
        """Call "module:function" there and return its result. Raises WorkerError when it fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([function, arguments, options]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["value"]

    def _last_words(self) -> str:
        code = self._process.wait()
        self._printed.seek(0)
        lines = self._printed.read().strip().splitlines()
        return f"the process ended with code {code}" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._printed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def ask(function: str, *arguments: Any, **options: Any) -> Any:
    """Call "module:function" in a process of its own."""
    with Worker() as worker:
        return worker.ask(function, *arguments, **options)


def settle(longest: float = 1.0) -> None:
    """Wait until this process's threads no longer use the processor."""
    end = time.monotonic() + longest
    used = -1.0
    while time.process_time() - used > 0.2 * NAP and time.monotonic() < end:
        used = time.process_time()
        time.sleep(NAP)


def serve() -> None:
    """The worker's side: answer until the parent hangs up."""
    machine.pin()
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get among the answers
    for line in sys.stdin:
        name, arguments, options = json.loads(line)
        module, _, function = name.partition(":")
        try:
            answer = {"value": getattr(importlib.import_module(module), function)(*arguments, **options)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        settle()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
