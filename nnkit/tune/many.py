"""Many networks over the same data: those of one shape together, as copies of one recorded program."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from nnkit.backends.collection import uncollected
from nnkit.backends.recording import CannotCopy
from nnkit.errors import DivergenceError
from nnkit.nn.module import Module
from nnkit.training.api import last_history
from nnkit.training.callbacks import Callback
from nnkit.training.history import History
from nnkit.tune.common import Common, checked_rows
from nnkit.tune.networks import Design, Network, shape_of
from nnkit.tune.results import Run, Runs
from nnkit.tune.together import Together

__all__ = ["train_many", "train_one"]


def train_many(
    build: Callable[..., Module],
    settings: Sequence[Mapping[str, Any]],
    x: Any,
    y: Any,
    *,
    loss: Any,
    optimizer: Any = "adam",
    epochs: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    rows: Sequence[Any] | None = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    metrics: Sequence[Any] = (),
    callbacks: Sequence[Callback] = (),
    sample_weight: Any = None,
    class_weight: Any = None,
    shuffle: bool = True,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    device: Any = None,
) -> Runs:
    """Train a network for each of ``settings``, and return the Runs: models, histories, errors, ``best(metric)``.

    A setting is a dict: "seed" (of the initial weights, the order and dropout; ``seed`` unless given), "optimizer",
    options of the optimizer ("lr", "weight_decay", ...), and arguments of ``build`` ("width", "dropout", ...), which
    makes a Module of them. The rest is as in ``fit``, and the same for all; ``rows`` may name, for each network, the
    rows of the data that it learns from (folds). Each network gets copies of ``callbacks``, which act between epochs:
    with EarlyStopping each stops by itself.

    **Each result is that of ``train_one`` with its setting, to the bit**: ``build`` with the seed, then ``fit`` with
    it. Networks of one shape (equal but for seeds, rates, decays and dropouts) are trained together, where the device
    is "numba" (the CPU's): their step is recorded once, and run as compiled code over the memory of each, by all
    threads, each with whole networks. What one program cannot train is trained by itself: ``Run.alone`` says why.
    A callback may then not change anything of a model or optimizer but weights and the options of the optimizer.

    A loss that turns NaN or infinite ends that network alone: ``Run.error`` says when, and it has the weights from the
    beginning of that epoch (trained by itself: those of ``fit``). Raises what ``fit`` raises for bad data,
    UnknownNameError for a name in a setting that nobody knows, and ValueError where ``build`` gave a module twice.

    Source: nnkit's own.

    >>> import nnkit
    >>> def build(dropout=0.0):
    ...     return nnkit.nn.Sequential(nnkit.nn.Linear(1, 8), nnkit.nn.Dropout(dropout), nnkit.nn.Linear(8, 1))
    >>> runs = train_many(build, [{"seed": 1, "lr": 0.1}, {"seed": 2, "lr": 0.01}], [[0.0], [1.0]], [[1.0], [3.0]],
    ...                   loss="mse", epochs=3)
    >>> [len(history.history["loss"]) for history in runs.histories]
    [3, 3]
    """
    common = Common(
        x, y, loss, epochs, batch_size, validation_data, validation_split, metrics, callbacks, sample_weight,
        class_weight, shuffle, clip_norm, clip_value,
    )  # fmt: skip
    design = Design(build, optimizer, seed, device)
    chosen = checked_rows(rows, len(settings), 0 if rows is None else len(x))
    if rows is not None and validation_split:
        raise ValueError("rows and validation_split were both given: leave the rows for validation out of rows")
    with uncollected():  # thousands of objects, none of which is to go
        networks = [design.network(setting) for setting in settings]
    _refuse_shared(networks)
    runs: dict[int, Run] = {}
    for members in _groups(networks, chosen):
        group, parts = [networks[k] for k in members], [chosen[k] for k in members]
        runs |= zip(members, _trained(design, common, group, parts), strict=True)
    return Runs([runs[k] for k in range(len(networks))])


def train_one(
    build: Callable[..., Module], setting: Mapping[str, Any], x: Any, y: Any, *, optimizer: Any = "adam",
    seed: int = 0, device: Any = None, **fit: Any,
) -> Run:  # fmt: skip
    """One network of ``train_many`` trained by itself: ``build`` and ``fit`` with the setting's seed.

    Raises what ``fit`` raises, and UnknownNameError for a name in the setting that nobody knows. Source: nnkit's own.

    >>> import nnkit
    >>> train_one(lambda: nnkit.nn.Linear(1, 1), {"lr": 0.1}, [[0.0]], [[1.0]], loss="mse", epochs=2).history.epoch
    [0, 1]
    """
    defaults: dict[str, Any] = {
        "epochs": 1, "batch_size": None, "validation_data": None, "validation_split": 0.0, "metrics": (),
        "callbacks": (), "sample_weight": None, "class_weight": None, "shuffle": True, "clip_norm": None,
        "clip_value": None,
    }  # fmt: skip
    common = Common(x, y, **{**defaults, **fit})
    return _alone(common, Design(build, optimizer, seed, device).network(setting), None, "it was asked for by itself")


def _refuse_shared(networks: Sequence[Network]) -> None:
    """Raise ValueError where two networks have a weight in common: each would train what the others have trained."""
    owners: dict[int, int] = {}
    for number, network in enumerate(networks):
        for name, parameter in network.model.named_parameters():
            if owners.setdefault(id(parameter), number) != number:
                raise ValueError(
                    f"build: networks {owners[id(parameter)]} and {number} have one {name!r} together; make new "
                    "modules in each call of build"
                )


def _groups(networks: Sequence[Network], rows: Sequence[np.ndarray | None]) -> list[list[int]]:
    """The numbers of the networks that one program may train, group by group."""
    groups: dict[Hashable, list[int]] = {}
    for number, (network, own) in enumerate(zip(networks, rows, strict=True)):
        groups.setdefault((shape_of(network), None if own is None else len(own)), []).append(number)
    return list(groups.values())


def _trained(
    design: Design, common: Common, networks: Sequence[Network], rows: Sequence[np.ndarray | None]
) -> list[Run]:
    reason = "no other network has its shape"
    if len(networks) > 1:
        try:
            with uncollected():
                together = Together(design.network(networks[0].setting), common, networks, rows)
        except CannotCopy as error:
            reason = str(error)
        else:
            return together.run()
    return [_alone(common, network, own, reason) for network, own in zip(networks, rows, strict=True)]


def _alone(common: Common, network: Network, rows: np.ndarray | None, reason: str) -> Run:
    callbacks, error = common.own_callbacks(), None
    try:
        common.fit(network, callbacks, rows)
    except DivergenceError as broken:
        error = str(broken)
    history = last_history(network.model) or History()
    return Run(network.setting, network.model, history, tuple(callbacks), error, reason)
