"""A process that is waited for as long as it gives signs of life: what it says line by line, and how it ended.

The parent sends a function by name, as to ``bench.worker``; here it may also give results one by one, as a generator.
Time is counted from the last thing that it said, and each kernel that it begins to compile is said: so what works is
waited for however slow the machine is, and what hangs is ended. It is ended too when the whole command's time is up.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import importlib
import inspect
import json
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from bench import machine
from bench.worker import WorkerError

#: What answers in a process of its own.
COMMAND = [sys.executable, "-m", "bench.gpu.process"]
STACKS, QUIET = 10.0, 0.5  # seconds until a process says where its threads are, and after which it has said it all
PRINTED = 8000  # characters that are kept of what a process printed
_running: WeakSet[Process] = WeakSet()


class Failed(WorkerError):
    """A call failed in its process, or took it with it; ``traceback`` says where."""

    def __init__(self, text: str, traceback: str = "") -> None:
        super().__init__(text)
        self.traceback = traceback


class Late(Failed):
    """Nothing was said for too long; the process is gone, and ``traceback`` says what each of its threads was at."""


class Over(Late):
    """The whole command's time is up; the process is gone."""


def environment() -> dict[str, str]:
    """For processes that use the GPU: no CPU in its place, and of its memory only what is needed, not nearly all."""
    path = os.pathsep.join(filter(None, (str(machine.ROOT), os.environ.get("PYTHONPATH"))))
    settings = {"NNKIT_STRICT_DEVICE": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return {**os.environ, "PYTHONPATH": path, **settings}


class Process:
    """A process that prints lines of JSON, as its parent sees it. It is ended at ``until`` (monotonic seconds).

    >>> with Process() as process:
    ...     process.ask(60.0, "math:gcd", 12, 18)
    6
    """

    def __init__(
        self, command: Sequence[str] = (), more: Mapping[str, str] | None = None, until: float = math.inf
    ) -> None:
        self.until = until
        self.heed: Callable[[str], None] = lambda kernel: None  # is told each kernel that it begins to compile
        self._printed = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            list(command or COMMAND), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed, text=True,
            env=environment() | dict(more or {}), cwd=machine.ROOT, start_new_session=True,
        )  # fmt: skip
        self._lines: queue.Queue[str | None] = queue.Queue()
        _running.add(self)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, patience: float) -> dict[str, Any] | None:
        """The next line as a dict, None when the process has ended.

        Raises Late when nothing came for ``patience`` seconds, Over when the whole command's time is up.
        """
        end = min(time.monotonic() + patience, self.until)
        while True:
            try:
                line = self._lines.get(timeout=max(end - time.monotonic(), 0.01))
            except queue.Empty:
                stacks = "" if end == self.until else self._stacks()
                self.kill()
                self._process.wait()
                late = Late(f"it said nothing for {patience:.0f} s", stacks)
                raise Over("time") if end == self.until else late from None
            if line is None:
                self._lines.put(None)
                return None
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and "compiling" not in said:
                    return said
                if isinstance(said, dict):
                    end = min(time.monotonic() + patience, self.until)
                    self.heed(said["compiling"])

    def send(self, function: str, *arguments: Any, **options: Any) -> None:
        """Ask for a call of "module:function"; calls are worked on one after the other."""
        self.tell([function, arguments, options])

    def tell(self, what: Any) -> None:
        """Write it to the process as a line of JSON."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: whoever waits for the answer learns why
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()

    def items(self, patience: float) -> Generator[Any, None, Any]:
        """What a call gives one by one. Raises WorkerError when it fails, Late when nothing is said for so long."""
        while True:
            said = self.line(patience)
            if said is None:
                raise Failed(self.last_words(), self.printed())
            if "error" in said:
                raise Failed(said["error"], said.get("traceback", ""))
            if "item" not in said:
                return said.get("value")
            yield said["item"]

    def answer(self, patience: float) -> Any:
        """What a call returned that was sent before. Raises WorkerError when it fails, Late."""
        items = self.items(patience)
        try:
            while True:
                next(items)
        except StopIteration as done:
            return done.value

    def ask(self, patience: float, function: str, *arguments: Any, **options: Any) -> Any:
        """Call "module:function" there and return its result. Raises WorkerError, Late after so long a silence."""
        self.send(function, *arguments, **options)
        return self.answer(patience)

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """How the process ended, and the last that it printed, or what it died of."""
        code = self._process.wait()
        lines = [line.strip() for line in self.printed().splitlines() if line.strip()]
        fatal = [line for line in lines if line.startswith("Fatal Python error")]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        return f"the process ended with {how}" + (f": {(fatal or lines)[-1]}" if lines else "")

    def printed(self) -> str:
        """The end of what it printed."""
        self._printed.seek(0)
        return self._printed.read()[-PRINTED:]

    def _stacks(self) -> str:
        """What each thread of a process is at that does not answer (see ``Said``)."""
        if not hasattr(signal, "SIGUSR1"):
            return ""
        with contextlib.suppress(OSError):
            before = size = self._size()
            os.kill(self._process.pid, signal.SIGUSR1)
            end = changed = time.monotonic()
            while time.monotonic() < end + STACKS and (size == before or time.monotonic() < changed + QUIET):
                time.sleep(0.05)
                if self._size() != size:
                    size, changed = self._size(), time.monotonic()
        return self.printed()

    def _size(self) -> int:
        """How much it printed; to read it would move the place at which it writes."""
        return os.fstat(self._printed.fileno()).st_size

    def kill(self) -> None:
        """End the process and those that it has started."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def close(self) -> None:
        """End the process: what it is at is waited for a little, then ended by force."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._listener.join(5.0)  # until it has ended, which nobody has asked for yet: so its number is still its own
        self.kill()
        self._process.wait()
        self._listener.join()
        self._process.stdout.close()
        self._printed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def end_all() -> None:
    """End every process at once."""
    for process in list(_running):
        process.kill()


def ask(patience: float, function: str, *arguments: Any, **options: Any) -> Any:
    """Call "module:function" in a process of its own. Raises WorkerError, Late after so long a silence."""
    with Process() as process:
        return process.ask(patience, function, *arguments, **options)


# ---- the process's side ---------------------------------------------------------------------------------------------


class Said:
    """The way to the parent. What libraries print goes to stderr, so that it does not get among the lines.

    There too goes where each thread is, when the process dies of a fault or the parent asks by SIGUSR1.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines, self._stacks = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w")
        os.dup2(2, 1)
        faulthandler.enable(self._stacks)
        if hasattr(signal, "SIGUSR1"):
            faulthandler.register(signal.SIGUSR1, self._stacks)

    def __call__(self, **said: Any) -> None:
        with self._lock:
            self._lines.write(json.dumps(said) + "\n")
            self._lines.flush()

    def compilations(self) -> None:
        """From now on say which kernel is being compiled, before each: to whoever waits that is no hang."""
        compiler: Any = importlib.import_module("nnkit.kernels.cuda.compiler")
        compiled = compiler.compiled

        @functools.wraps(compiled)
        def telling(source: Any, architecture: str) -> Any:
            self(compiling=source.name)
            return compiled(source, architecture)

        compiler.compiled = telling


def serve() -> None:
    """Answer until the parent hangs up."""
    warnings.simplefilter("ignore")
    say = Said()
    with contextlib.suppress(ImportError):  # what is missing is said by whatever needs it
        say.compilations()
    for line in sys.stdin:
        name, arguments, options = json.loads(line)
        module, _, function = name.partition(":")
        try:
            result = getattr(importlib.import_module(module), function)(*arguments, **options)
            if inspect.isgenerator(result):
                for item in result:
                    say(item=item)
                result = None
            say(value=result)
        except Exception as error:
            traceback.print_exc()
            say(error=described(error), traceback=traceback.format_exc())


def described(error: BaseException) -> str:
    """An error as one line, not a page long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 600 else f"{text[:597]}..."


if __name__ == "__main__":
    serve()
