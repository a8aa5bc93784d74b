"""Where batches come from: arrays that already are on the device, or an iterable that yields batches.

Both kinds of source give, per epoch, an iterator of ``Batch``. An array source moves the data once; an epoch is a
permutation, and a batch is a gather of rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nnkit import ops
from nnkit.errors import DataError
from nnkit.parallel.parts import Parts
from nnkit.tensors import random
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.loading import Fit
from nnkit.tensors.tensor import Tensor
from nnkit.training.fingerprint import checksum, fingerprint
from nnkit.training.several import each, named, parts_of

__all__ = ["ArraySource", "Batch", "IterableSource", "Source"]

_END = object()
#: Between the seeds of the processes' streams.
STREAMS = 0x9E3779B97F4A7C15
#: So many empty batches in a row are taken for data without an end.
MOST_EMPTY = 1000


@dataclass(frozen=True)
class Batch:
    """Rows on the device: x (B, ...), y (B, ...), weight (B,) or None; each a Tensor, or ``Several``.

    ``share``: which part of a batch they are, where several processes have it (a ``shares.Share``).
    """

    x: Any
    y: Any
    weight: Any = None
    share: Any = None

    @property
    def rows(self) -> int:
        """B, the number of samples."""
        rows: int = self.x.shape[0]
        return rows


class Source(Protocol):
    """What the training loop knows about its data."""

    @property
    def steps(self) -> int | None:
        """Batches per epoch; None where nobody knows."""

    @property
    def exhausted(self) -> bool:
        """Whether there will be no further epoch."""

    def epoch(self, number: int, step: int = 0) -> Iterator[Batch]:
        """The batches of the next epoch, which is epoch ``number``, from number ``step`` on."""

    def sample(self) -> Batch:
        """Rows of the kind that there are; the data have some."""

    def recall(self, step: int) -> Batch:
        """Batch number ``step`` of the present epoch again; it is not older than the last ``forget``. Of no rows where
        only other processes had some."""

    def forget(self, step: int) -> None:
        """Batches before number ``step`` will not be asked for again."""

    def fingerprint(self) -> dict[str, Any]:
        """What a training that goes on later must find again."""

    def state_dict(self, step: int) -> dict[str, Any]:
        """What is needed to go on after ``step`` batches of the present epoch; 0: with the next epoch."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next epoch be the one that ``state`` is of."""


class ArraySource:
    """Data on the device, cut into batches; the last batch of a pass over them may be smaller.

    An epoch is one pass; or, with ``limit``, as many batches of it: the next epoch goes on where it ended, and the one
    in which the data end is shorter, as in Keras.
    """

    exhausted = False
    #: What all processes have, where each has rows of its own; batches are numbered by all.
    parts: Parts | None = None

    def __init__(
        self, data: Batch, batch_size: int, shuffle: bool = False, seed: int | None = None, limit: int | None = None
    ) -> None:
        self.data = data
        self.rows = data.rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.limit = limit
        self._order: np.ndarray | None = None
        self._drawn: tuple[int, list[int]] | None = None  # the pass, and what its order was drawn from

    @property
    def _batches(self) -> int:
        """Of a pass over the data."""
        return -(-self.rows // self.batch_size) if self.parts is None else self.parts.batches

    @property
    def steps(self) -> int:
        """Batches per epoch; an epoch in which the data end may have fewer."""
        return self._batches if self.limit is None else min(self.limit, self._batches)

    def part(self, number: int) -> tuple[int, range]:
        """The pass over the data that epoch ``number`` belongs to, and which of its batches the epoch has."""
        epochs = -(-self._batches // self.steps)
        start = number % epochs * self.steps
        return number // epochs, range(start, min(start + self.steps, self._batches))

    def epoch(self, number: int, step: int = 0) -> Iterator[Batch]:
        """Draw the epoch's order, then yield its batches, those with rows here."""
        _, part = self.draw(number)
        for batch in part[step:]:
            if batch * self.batch_size < self.rows:
                yield self._gathered(batch)

    def draw(self, number: int) -> tuple[np.ndarray | None, range]:
        """Draw the order for epoch ``number``, the same on every device; None where the rows come as they are.

        With a seed the order follows from the seed and the number of the pass alone.
        """
        whole, self._part = self.part(number)
        if self.limit is not None and len(self._part) < self.limit:
            _warn_of_end(len(self._part), self.limit, "the epoch is shorter")
        if self.shuffle and (self._drawn is None or self._drawn[0] != whole):
            key = random.host_state() if self.seed is None else (self.seed, whole)
            self._drawn = whole, list(key)
            self._order = random.permutation(self.rows, self.seed, None if self.seed is None else whole)
            if self.parts is not None:
                self._order = self._permuted(*key)
        return self._order, self._part

    def _permuted(self, seed: int, draw: int) -> np.ndarray:
        """The order by a key; each process that has rows of its own has a stream of its own for them."""
        rank = 0 if self.parts is None else self.parts.rank
        return random.permutation(self.rows, seed + rank * STREAMS, draw)

    def sample(self) -> Batch:
        """The first rows as they come."""
        return _each(self.data, lambda tensor: tensor[: self.batch_size])

    def recall(self, step: int) -> Batch:
        """Gather batch number ``step`` of the present epoch."""
        batch = self._part[step]
        return self._gathered(batch) if batch * self.batch_size < self.rows else none_of(self.data)

    def _gathered(self, batch: int) -> Batch:
        start = batch * self.batch_size
        rows = slice(start, min(start + self.batch_size, self.rows))
        if self._order is None:
            return _each(self.data, lambda tensor: tensor[rows])
        chosen = as_tensor(self._order[rows], device=self.data.x.device)
        return _each(self.data, lambda tensor: ops.take_rows(tensor, chosen, checked=True))

    def forget(self, step: int) -> None:
        """Nothing is kept: every batch can be gathered again."""

    def fingerprint(self) -> dict[str, Any]:
        """The data, and how they are cut."""
        tensors = named(x=self.data.x, y=self.data.y, sample_weight=self.data.weight)
        return {**fingerprint({name: tensor.numpy() for name, tensor in tensors.items()}), **self._cut()}

    def _cut(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size, "shuffle": self.shuffle, "seed": self.seed, "steps_per_epoch": self.limit,
        }  # fmt: skip

    def state_dict(self, step: int) -> dict[str, Any]:
        """What the present order was drawn from."""
        return {"drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Draw that order again; raises ModelFileError where it is no such state."""
        fit, drawn = Fit("the data"), state.get("drawn")
        if drawn is not None:
            fit.like("'drawn'", (0, (0, 0)), drawn)
        fit.settle()
        self._drawn = drawn
        if self._drawn is not None:
            self._order = self._permuted(*self._drawn[1])


class IterableSource:
    """A DataLoader, a list of batches or a generator, each batch checked and moved as it comes.

    ``convert(item, number)`` checks an item and returns it as a Batch on the device, or None to skip it.
    ``limit`` ends an epoch after that many batches. A generator goes on where the last epoch ended.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        convert: Callable[[Any, int], Batch | None],
        limit: int | None = None,
    ) -> None:
        self.batches = batches
        self.convert = convert
        self.limit = limit
        self.exhausted = False
        self.steps = _count(batches, limit)
        self._one_shot = isinstance(batches, Iterator)
        self._iterator = iter(batches) if self._one_shot else iter(())
        self._number = 0
        self._kept: dict[int, Batch] = {}
        self._last: Batch | None = None
        self._before: dict[str, Any] = {}
        self._resumed: Mapping[str, Any] | None = None

    def epoch(self, number: int, step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch; warns where there are fewer than ``limit``."""
        state, self._resumed = self._resumed, None
        now = random.get_state()
        if state is not None:
            self._prepare(state)
        if not self._one_shot or not self._before:
            self._before = self._beginning()
        if not self._one_shot:
            self._iterator, self._number = iter(self.batches), 0
        self._kept.clear()
        if state is not None and state["taken"]:
            self._pass_over(state)
            random.set_state(now)
        return self._yielded(step)

    def _yielded(self, step: int) -> Iterator[Batch]:
        empty = 0
        while self.limit is None or step < self.limit:
            item = self._next()
            if item is _END:
                self._end(step)
                return
            batch = self.convert(item, self._number - 1)
            if batch is not None:
                self._kept[step] = self._last = batch
                yield batch
                step, empty = step + 1, 0
            elif (empty := empty + 1) >= MOST_EMPTY:
                raise DataError(f"the data yielded {empty} empty batches in a row, up to batch {self._number - 1}")

    def _next(self) -> Any:
        try:
            item = next(self._iterator, _END)
        except Exception as error:
            raise DataError(f"the data raised {type(error).__name__} at batch {self._number}: {error}") from error
        self._number += 1
        return item

    def _end(self, step: int) -> None:
        self.exhausted = self._one_shot
        if self.limit is not None and step < self.limit:
            _warn_of_end(
                step, self.limit, "training ends with this epoch" if self._one_shot else "the epoch is shorter"
            )

    def sample(self) -> Batch:
        """The last batch that was read; raises DataError before the first."""
        if self._last is None:
            raise DataError("the data yielded no batch; expected at least one (x, y) in every process")
        return self._last

    def recall(self, step: int) -> Batch:
        """A batch that was kept since the last ``forget``."""
        return self._kept[step] if step in self._kept else none_of(self.sample())

    def forget(self, step: int) -> None:
        """Let go of the batches before ``step``."""
        for old in [number for number in self._kept if number < step]:
            del self._kept[old]

    # ---- going on later -----------------------------------------------------------------------------------

    def fingerprint(self) -> dict[str, Any]:
        """What is known before the first batch; of a loader over tensors these, too."""
        dataset = getattr(self.batches, "dataset", None)
        tensors = {f"tensor {i} of x": t.numpy() for i, t in enumerate(getattr(dataset, "tensors", ()))}
        cut = {"batches": self.steps, "steps_per_epoch": self.limit, "read once": self._one_shot}
        return {**fingerprint(tensors), **cut, "batch_size": getattr(self.batches, "batch_size", None)}

    def state_dict(self, step: int) -> dict[str, Any]:
        """How many items were taken, the last of them, and how it stood with random numbers before the first."""
        within = step > 0 or self._one_shot
        last = None if self._last is None or not within else checksum(parts_of(self._last.x)[0].numpy())
        before = (self._before if within else None) or self._beginning()
        return {"taken": self._number if within else 0, "last": last, **before}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Read over what was taken when the next epoch begins; raises ModelFileError where it is no such state."""
        fit = Fit("the data")
        fit.names(("taken", "last", "random", "loader"), state)
        fit.count("'taken'", state.get("taken"))
        fit.settle()
        self._resumed = state

    def _beginning(self) -> dict[str, Any]:
        own = getattr(self.batches, "state_dict", None)
        return {"random": random.get_state(), "loader": None if own is None else own()}

    def _prepare(self, state: Mapping[str, Any]) -> None:
        random.set_state(state["random"])
        if state["loader"] is not None:
            self.batches.load_state_dict(state["loader"])  # type: ignore[attr-defined]

    def _pass_over(self, state: Mapping[str, Any]) -> None:
        item = _END
        for _ in range(state["taken"]):
            item = self._next()
            if item is _END:
                raise DataError(
                    f"the data end after {self._number - 1} batches; {state['taken']} were read before the checkpoint: "
                    "give the same data, from their beginning"
                )
        if item is not _END and state["last"] is not None:
            batch = self.convert(item, self._number - 1)
            if batch is not None and checksum(parts_of(batch.x)[0].numpy()) != state["last"]:
                raise DataError(
                    f"batch {self._number - 1} is another than before the checkpoint: the data must come in the same "
                    "order and be the same; give the loader a seed of its own, or resume from the end of an epoch"
                )


def none_of(batch: Batch) -> Batch:
    """No rows, in the form of a batch."""
    return _each(batch, lambda tensor: tensor[:0])


def _warn_of_end(step: int, limit: int, consequence: str) -> None:
    warnings.warn(f"the data ended after {step} of {limit} steps (steps_per_epoch); {consequence}", stacklevel=2)


def _count(batches: Iterable[Any], limit: int | None) -> int | None:
    """Batches per epoch, where it can be known."""
    try:
        length = len(batches) if isinstance(batches, Sized) else None
    except TypeError:  # A loader over a dataset without a length.
        length = None
    return limit if length is None else length if limit is None else min(limit, length)


def _each(batch: Batch, take: Callable[[Tensor], Tensor]) -> Batch:
    weight = None if batch.weight is None else each(batch.weight, take)
    return Batch(each(batch.x, take), each(batch.y, take), weight)
