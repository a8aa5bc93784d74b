"""What must be the same in every process of a training: compared before the first step, and told apart by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nnkit.errors import DataError
from nnkit.nn.module import Module
from nnkit.optim import Optimizer
from nnkit.parallel import MPI
from nnkit.parallel.parts import Parts
from nnkit.training.batches import ArraySource, Batch, IterableSource, Source
from nnkit.training.fingerprint import fingerprint
from nnkit.training.objective import Objective
from nnkit.training.several import each, named
from nnkit.training.steps import Totals

__all__ = ["same_batch", "same_data", "same_settings", "same_sizes"]

FIX = "Give every process all of the data; each takes its rows of every batch"
#: Of the ranks that have something else, so many are named.
NAMED = 4
PLURAL = {"has": "have", "gives": "give"}


def same_sizes(mpi: MPI, source: Source, validation: Source | None) -> None:
    """Raise ValueError or DataError, in every process, where one has another kind, or number of samples or batches than
    the first. Where the data of each are its own let the batches be of all."""
    every = mpi.gather((mpi.data, _kind(source), _kind(validation)))
    who, rank = _others(every, "gives")
    if who:
        said = [f"{kind} to train on and {held} to validate on, with data={data!r}" for data, kind, held in every]
        raise ValueError(f"{who} {said[rank]}; rank 0 {said[0]}. Give every process the same kind of data")
    if mpi.data == "own":
        for own in filter(None, (source, validation)):
            _join(mpi, own)
        return
    sizes = mpi.gather((source.steps, getattr(source, "rows", None)))
    who, rank = _others(sizes)
    if who:
        size = sizes[rank]
        raise DataError(
            f"{who} other data than rank 0: {size[1]} samples in {size[0]} batches beside {sizes[0][1]} "
            f"in {sizes[0][0]}. {FIX}"
        )


def _kind(source: Source | None) -> str:
    return "nothing" if source is None else "arrays" if isinstance(source, ArraySource) else "batches"


def _join(mpi: MPI, source: Source) -> None:
    """Let the batches of ``source`` be those of which each process has rows of its own."""
    if isinstance(source, ArraySource):
        rows, sizes = zip(*mpi.gather((source.rows, source.batch_size)), strict=True)
        source.parts = parts = Parts(rows, sizes, mpi.rank)
        left = [rank for rank, count in enumerate(parts.of_batch(parts.batches - 1)) if not count]
        if mpi.batch_statistics == "own" and left:
            raise ValueError(
                f"batch_statistics='own' needs rows of every process in every batch, and rank {left[0]} has "
                f"{rows[left[0]]} beside {max(rows)}: take 'all', or parts that give as many batches"
            )
    elif isinstance(source, IterableSource):
        if isinstance(source.batches, Iterator):
            raise DataError(
                f"x is a {type(source.batches).__name__}, which can be read only once; with data='own', where a "
                "process may have fewer batches than another, give arrays, a DataLoader or a list of batches"
            )
        steps = mpi.gather(source.steps)
        source.steps = None if None in steps else max(steps)


def same_settings(
    mpi: MPI, model: Module, objective: Objective, totals: Totals, optimizer: Optimizer, settings: Mapping[str, Any]
) -> None:
    """Raise ValueError where a process would take other steps than the first: the weights would drift apart unseen."""
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    groups = [{name: value for name, value in group.items() if isinstance(value, (int, float, str, tuple))
               and name != "params"} for group in optimizer.param_groups]  # fmt: skip
    own = {**settings, "loss": objective.name, "metrics": totals.names, "batch_statistics": mpi.batch_statistics,
           "optimizer": type(optimizer).__name__, "optimizer's options": groups, "frozen": frozen}  # fmt: skip
    every = mpi.gather(own)
    for name in own:
        values = [other[name] for other in every]
        who, rank = _others(values)
        if who:
            raise ValueError(
                f"{who} other settings than rank 0: {name} is {values[rank]!s:.200} beside {values[0]!s:.200}. Give "
                "every process the same, as each takes every step itself"
            )


def same_data(mpi: MPI, source: Source, validation: Source | None, where: str) -> None:
    """Raise DataError, in every process, where one that should hold all data holds other values than the first: a step
    would be of a batch that nobody has. ``where`` is put behind the names of what is validated on.

    Compared are fingerprints: all values of arrays of up to 64 MB, of larger ones blocks that are spread over them.
    """
    if mpi.data == "own":
        return
    own: dict[str, Any] = dict(source.fingerprint())
    if validation is not None:
        own |= {name + where: value for name, value in validation.fingerprint().items()}
    _compare(mpi.gather(own))


def same_batch(mpi: MPI, batch: Batch | None, looked_at: bool) -> None:
    """Raise DataError, in every process, where they have read batches of unequal rows (None: the data have ended) or,
    where the values are ``looked_at``, of other ones."""
    rows = 0 if batch is None else batch.rows
    found = mpi.gather((rows, _digest(batch) if looked_at and batch is not None else {}))
    counts = [count for count, _ in found]
    who, rank = _others(counts, "read")
    if who:
        said = [f"{count} rows" if count else "the end" for count in (counts[rank], counts[0])]
        raise DataError(
            f"{who} {said[0]} as its next batch, and rank 0 read {said[1]}: what a loader yields must "
            "be the same in every process, each of which takes its rows of every batch"
        )
    _compare([digest for _, digest in found])


def _digest(batch: Batch) -> dict[str, Any]:
    arrays = named(x=batch.x, y=batch.y, sample_weight=batch.weight)
    found = fingerprint({name: each(tensor, lambda part: part.numpy()) for name, tensor in arrays.items()})
    return {f"{name} of the first batch of an epoch": value for name, value in found.items()}


def _compare(every: Sequence[Mapping[str, Any]]) -> None:
    """Raise DataError for the first name under which a process has something else than the first."""
    for name in dict.fromkeys(name for other in every for name in other):
        values = [other.get(name) for other in every]
        who, rank = _others(values, said=lambda value: _difference(value, values[0]))  # noqa: B023
        if who:
            said = _difference(values[rank], values[0])
            raise DataError(f"{who} other data than rank 0: {name} {said}. {_fix(name)}")


def _difference(value: Any, first: Any) -> str:
    if not isinstance(value, Mapping) or not isinstance(first, Mapping):
        said = ["absent" if one is None else "there" if isinstance(one, Mapping) else repr(one)
                for one in (value, first)]  # fmt: skip
        return f"is {said[0]} beside {said[1]}"
    for key in ("shape", "dtype"):
        if value[key] != first[key]:
            return f"has {key} {value[key]} beside {first[key]}"
    return f"holds other values, in the same shape {tuple(value['shape'])}"


def _fix(name: str) -> str:
    if "first batch" in name:
        return "What a loader yields must be the same in every process: shuffle it by one seed, and do not divide it"
    return (
        f"{FIX}, so read the same files, in the same order, and draw by the same seed; or, where each has rows of its "
        "own, give parallel=nnkit.parallel.MPI(data='own')"
    )


def _others(
    values: Sequence[Any], verb: str = "has", said: Callable[[Any], Any] = lambda value: value
) -> tuple[str, int]:
    """Who has (or does) another thing than rank 0, to begin a sentence, and the first of them; "" for nobody.

    Of several those are named of whom the same is said.

    >>> _others([1, 1, 2]), _others([1, 2, 3]), _others([1, 2, 2])
    (('rank 2 has', 2), ('rank 1 has', 1), ('ranks 1, 2 have', 1))
    """
    first = next((rank for rank, value in enumerate(values) if value != values[0]), None)
    if first is None:
        return "", 0
    ranks = [rank for rank, value in enumerate(values) if value != values[0] and said(value) == said(values[first])]
    if len(ranks) == 1:
        return f"rank {first} {verb}", first
    more = f" and {len(ranks) - NAMED} more" if len(ranks) > NAMED else ""
    return f"ranks {', '.join(map(str, ranks[:NAMED]))}{more} {PLURAL.get(verb, verb)}", first
