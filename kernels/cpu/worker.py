"""A process that compiles, because nothing can stop LLVM once it has begun, but a process can be ended.

``Worker`` is this side of it, ``serve`` the other. Messages are pickled; the first is where to import from. The
worker ends when its pipe is closed, when it has been idle, and when a compilation has used up its time.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from nnkit.kernels.cpu.build import Object, Source, build, prepare

if TYPE_CHECKING:
    import subprocess

START = (
    "import pickle, sys; read = lambda: pickle.load(sys.stdin.buffer); sys.path[:] = read(); sys.meta_path += read(); "
    "from {module} import serve; serve()"
)
TOO_LONG = 3  # the exit code of a compilation that was given up
IDLE = 20.0  # seconds after which a worker without work ends
#: A processor that others use too may take so many times as long.
PATIENCE = 30


class CannotCompile(Exception):
    """The worker does not start, or does not get on with this kernel; it may be compiled in this process."""


class TookTooLong(Exception):
    """The compilation was given up."""


class Worker:
    """Compiles in another process, which starts with the first kernel; for one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def compile(self, source: Source, simple: bool = False, limit: float = float("inf")) -> Object:
        """``build`` within ``limit`` seconds of a processor's time. Raises TookTooLong and CannotCompile."""
        try:
            request = pickle.dumps((source, simple, limit))
        except Exception as error:  # whatever pickling an unknown object raises
            raise CannotCompile(f"{source.name} cannot be sent: {error}") from error
        answer = self._ask(request) or self._ask(request)  # one that was idle may have ended just now
        if answer is None:
            raise CannotCompile("the worker ended")
        if not isinstance(answer, Object):
            raise CannotCompile(answer)
        return answer

    def _ask(self, request: bytes) -> Any:
        """The answer; None where the worker ended without one."""
        try:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(request)
            process.stdin.flush()
            return pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            if self.end() == TOO_LONG:
                raise TookTooLong from error
            return None
        except BaseException:  # such as Ctrl-C: an answer that nobody read must not be taken for the next one
            self.end()
            raise

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        import subprocess

        process = self._process = subprocess.Popen(
            [_interpreter(), "-c", START.format(module=__name__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(sys.path) + pickle.dumps(_finders()))
        return process

    def end(self) -> int | None:
        """End the process; its exit code, None where there was none to end."""
        process, self._process = self._process, None
        if process is None:
            return None
        import subprocess

        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=0.2)
        process.kill()
        return process.wait()

    def forget(self) -> None:
        """Leave the process to the one that started it: this one is its fork."""
        process, self._process = self._process, None
        if process is not None:
            process.returncode = 0  # so that nobody waits for it here
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                os.close(pipe.fileno())


def _interpreter() -> str:
    """The Python that runs the worker. Raises FileNotFoundError where there is none: a frozen program is not one."""
    from multiprocessing.spawn import get_executable  # which knows of programs that Python is a part of

    executable = get_executable()
    if not executable or (getattr(sys, "frozen", False) and os.fsdecode(executable) == sys.executable):
        raise FileNotFoundError("no Python to start: this program includes it")
    return os.fsdecode(executable)


# ---- in the other process -------------------------------------------------------------------------------------------


class _Watch:
    """Ends this process when it has no work, or takes too long over it, or is left alone."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self.start(IDLE)
        threading.Thread(target=self._run, daemon=True).start()

    def start(self, limit: float, working: bool = False) -> None:
        """What begins now may take so many seconds: of a processor's time if it is work."""
        self._now = working, limit, time.monotonic(), time.process_time()

    def _run(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(0.05)
            working, limit, began, used = self._now
            waited = time.monotonic() - began
            if working and max(time.process_time() - used, waited / PATIENCE) > limit:
                os._exit(TOO_LONG)
            if not working and waited > limit:
                os._exit(0)
        os._exit(0)


def _finders() -> list[type]:
    """Those that find the kernels here without an installation: there they have to, too."""
    package = __name__.rpartition(".")[0].rpartition(".")[0]
    own = [finder for finder in sys.meta_path if isinstance(finder, type) and "importlib" not in finder.__module__]
    return [finder for finder in own if finder.find_spec(package, None) is not None]


def serve() -> None:
    """Compile what is asked for on standard input until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    answers: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not be taken for an answer
    watch = _Watch()
    with contextlib.suppress(EOFError):
        while True:
            source, simple, limit = pickle.load(sys.stdin.buffer)
            watch.start(float("inf"), working=True)
            answer = _answer(source, simple, limit, watch)
            watch.start(IDLE)
            pickle.dump(answer, answers)
            answers.flush()


def _answer(source: Source, simple: bool, limit: float, watch: _Watch) -> Object | str:
    """The compiled kernel, or what went wrong."""
    try:
        prepare(source)  # once; its time is not the kernel's
        watch.start(limit, working=True)
        return build(source, simple)
    except Exception as error:  # it will be raised where the kernel was asked for, by compiling there
        return f"{type(error).__name__}: {error}"
