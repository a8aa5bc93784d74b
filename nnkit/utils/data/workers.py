"""Processes that load batches ahead: tasks go out in turn, batches come back in that order.

Each worker has a queue of tasks and a pipe for what it makes. A worker that dies closes its pipe, so whoever waits for
its batch hears of it at once. Workers end when the main process does.
"""

from __future__ import annotations

import random as python_random
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.threads import set_num_threads
from nnkit.tensors import random
from nnkit.tensors.default_device import get_default_device, set_default_device

__all__ = ["WorkerInfo", "Workers", "get_worker_info"]

PATIENCE = 5.0  # seconds after which a worker looks whether the main process still lives


class WorkerInfo(NamedTuple):
    """Which worker this process is, of how many, its seed, and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class Failure(NamedTuple):
    """What a worker sends instead of a batch."""

    error: BaseException | None
    text: str


class Ended(NamedTuple):
    """What a worker sends when its samples have come to an end."""


_info: list[WorkerInfo] = []


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a DataLoader, which one it is; None in the main process.

    Source: ``torch.utils.data.get_worker_info``.

    >>> get_worker_info() is None
    True
    """
    return _info[-1] if _info else None


# ---- in the main process -----------------------------------------------------------------------------------


class _Worker(NamedTuple):
    process: Any
    tasks: Any
    results: Any


class Workers:
    """``count`` processes that call ``fetcher(dataset)``, once an epoch, and what that gives for each task.

    Args:
        fetcher: of a dataset, a function from a task to a batch, which raises StopIteration where there is no more.
        begin: called with the worker's number when it starts.
        timeout: how many seconds to wait for a batch; 0 for as long as it takes.
    """

    def __init__(
        self, dataset: Any, fetcher: Callable[[Any], Callable[[Any], Any]], count: int, begin: Any, timeout: float,
        context: Any,
    ) -> None:  # fmt: skip
        import multiprocessing

        context = multiprocessing.get_context(context) if isinstance(context, str | None) else context
        self.timeout = timeout
        self._workers: list[_Worker] = []
        device = get_default_device()
        place = "numpy" if device.type == "cuda" else str(device)
        for number in range(count):
            receiver, sender = context.Pipe(duplex=False)
            tasks = context.Queue()
            job = _Job(WorkerInfo(number, count, 0, dataset), fetcher, begin, place)
            process = context.Process(target=_work, args=(job, tasks, sender), daemon=True)
            process.start()
            sender.close()  # the worker's copy is the only one: the pipe ends with it
            self._workers.append(_Worker(process, tasks, receiver))

    def batches(self, tasks: Iterator[Any], ahead: int, seed: int) -> Iterator[Any]:
        """What the workers make of the tasks, in order; each has at most ``ahead`` of them before it.

        Raises RuntimeError for a worker that ended, and what a worker raised, with its traceback.
        """
        for worker in self._workers:
            worker.tasks.put(("epoch", seed))
        turns = deque(range(len(self._workers)))
        asked: deque[int] = deque()
        for _ in range(ahead * len(self._workers)):
            self._ask(turns, asked, tasks)
        ended: set[int] = set()
        while asked:
            number = asked.popleft()
            found = self._receive(number)
            if isinstance(found, Ended):
                ended.add(number)
                if number in turns:
                    turns.remove(number)
                self._ask(turns, asked, tasks)
                continue
            if number not in ended:
                self._ask(turns, asked, tasks)
            yield found

    def _ask(self, turns: deque[int], asked: deque[int], tasks: Iterator[Any]) -> None:
        """Give the next task to the worker whose turn it is."""
        if not turns:
            return
        for task in tasks:
            number = turns[0]
            turns.rotate(-1)
            self._workers[number].tasks.put(("task", task))
            asked.append(number)
            return

    def _receive(self, number: int) -> Any:
        worker = self._workers[number]
        if self.timeout and not worker.results.poll(self.timeout):
            raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds: worker {number} gave no batch")
        try:
            found = worker.results.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            raise RuntimeError(
                f"DataLoader worker {number} (process {worker.process.pid}) ended unexpectedly, "
                f"{_exit_words(worker.process.exitcode)}; num_workers=0 loads in this process, where an error shows"
            ) from None
        if isinstance(found, Failure):
            _raise(found, number)
        return found

    def end(self) -> None:
        """Let all workers end, whatever they are at."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(PATIENCE)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
            worker.results.close()
            worker.tasks.cancel_join_thread()
            worker.tasks.close()
        self._workers = []


def _exit_words(code: int) -> str:
    if code == -9:
        return "killed by signal 9: often because memory ran out"
    return f"killed by signal {-code}" if code < 0 else f"with exit status {code}"


def _raise(failure: Failure, number: int) -> None:
    """Raise what a worker raised, as the same type where that can be made of a text."""
    text = f"in DataLoader worker {number}:\n{failure.text}"
    try:
        error = type(failure.error)(text) if failure.error is not None else RuntimeError(text)
    except Exception:
        error = RuntimeError(text)
    raise error from None


# ---- in a worker -------------------------------------------------------------------------------------------


class _Job(NamedTuple):
    """What a worker has to know: itself, how batches are made, what to do first, and its default device."""

    info: WorkerInfo
    fetcher: Callable[[Any], Callable[[Any], Any]]
    begin: Callable[[int], Any] | None
    place: str


def _work(job: _Job, tasks: Any, results: Any) -> None:
    """Do tasks until the main process has gone."""
    import multiprocessing
    import queue

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # ``fit`` has a handler of its own, which a fork would inherit
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's, which ends this one
    set_num_threads(1)
    set_default_device(job.place)
    fetch: Any = None
    while (main := multiprocessing.parent_process()) is None or main.is_alive():
        try:
            kind, content = tasks.get(timeout=PATIENCE)
        except queue.Empty:
            continue
        if kind == "epoch":
            fetch = _begun(job, content, fetch is None)
        else:
            _send(results, _made(fetch, content))


def _begun(job: _Job, seed: int, first: bool) -> Callable[[Any], Any]:
    """What makes the batches of an epoch; where that cannot be made, it fails in the place of the first batch."""
    info = job.info._replace(seed=seed + job.info.id)
    _info[:] = [info]
    try:
        if first:
            python_random.seed(info.seed)
            np.random.seed(info.seed % 2**32)  # noqa: NPY002
            random.manual_seed(info.seed)
            if job.begin is not None:
                job.begin(info.id)
        return job.fetcher(info.dataset)
    except BaseException as error:
        failure = _failure(error)
        return lambda task: failure


def _made(fetch: Callable[[Any], Any], task: Any) -> Any:
    try:
        return fetch(task)
    except StopIteration:
        return Ended()
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException) -> Failure:
    return Failure(error, "".join(traceback.format_exception(error)))


def _send(results: Any, made: Any) -> None:
    try:
        results.send(made)
    except BrokenPipeError:
        return
    except Exception as error:  # what cannot be pickled: the batch, or the error that a worker raised
        text = made.text if isinstance(made, Failure) else _failure(error).text
        results.send(Failure(None, text))
