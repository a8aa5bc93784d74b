"""Trainings to run in one process and in several.

``mpiexec -n 2 python parallel_cases.py FOLDER`` writes what each rank saw to FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import nnkit
from nnkit import keras, nn, optim
from nnkit.errors import DataError
from nnkit.parallel import MPI, shard
from nnkit.training import EarlyStopping, LearningRateScheduler, ModelCheckpoint, RunCheckpoint, TensorBoard
from nnkit.training.replay import Replay
from nnkit.utils.data import DataLoader, TensorDataset

Found = dict[str, Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(97, 10)).astype(np.float32)  # batches of 16: the last has 1 row, of which some ranks have none
Y = RNG.integers(0, 3, 97)
W = RNG.random(97)
SOME = np.where(RNG.random(97) < 0.3, -100, Y)  # labels, of which some are ignored


def network(*between: nn.Module) -> nn.Sequential:
    nnkit.manual_seed(3)
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), *between, nn.Linear(16, 3))


def digest(model: nn.Module) -> str:
    arrays = [tensor.detach().numpy() for tensor in (*model.parameters(), *model.buffers())]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def fitted(model: nn.Module, x: Any, y: Any, parallel: Any, **options: Any) -> Found:
    defaults = {"loss": "cross_entropy", "epochs": 4, "batch_size": 16, "verbose": 0, "seed": 5}
    history = model.fit(x, y, parallel=parallel, **{**defaults, **options})
    return {"history": history.history, "weights": digest(model)}


def dropout(parallel: Any) -> Found:
    valid = {"validation_split": 0.2, "metrics": ["accuracy"], "sample_weight": W}
    return fitted(network(nn.Dropout(0.5)), X, Y, parallel, **valid)


def odd_dropout(parallel: Any) -> Found:
    return fitted(nn.Sequential(nn.Dropout(0.3), network()), X[:, :10], Y, parallel, batch_size=7)


def plainly(parallel: Any) -> Found:
    return fitted(network(nn.Dropout(0.3)), X, Y, parallel, compile=False, epochs=2)


def weighted(parallel: Any) -> Found:
    return fitted(network(), X, Y, parallel, class_weight="balanced", clip_norm=0.5, clip_value=0.1)


def ignored(parallel: Any) -> Found:
    loss = nn.CrossEntropyLoss(weight=nnkit.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1)
    return fitted(network(), X, SOME, parallel, loss=loss, validation_data=(X, SOME))


def ignored_with_penalty(parallel: Any) -> Found:
    model = network()
    model[0].regularizers["weight"] = nn.L1L2(l2=0.01)
    return fitted(model, X, SOME, parallel, loss=nn.CrossEntropyLoss(), compile=False, batch_size=33)


def summed(parallel: Any) -> Found:
    model = network()
    model[0].regularizers["weight"] = nn.L1L2(l2=0.01)
    loss = nn.MSELoss(reduction="sum")
    return fitted(model, X, X[:, :3], parallel, loss=loss, optimizer=optim.SGD(model.parameters(), lr=1e-3))


def ranking(parallel: Any) -> Found:
    model = nn.Sequential(nn.Linear(10, 1))
    return fitted(model, X, (Y > 0).reshape(-1, 1), parallel, loss="bce_with_logits", metrics=["auc", "precision"])


def rows_of_a_table(parallel: Any) -> Found:
    nnkit.manual_seed(2)
    model = nn.Sequential(nn.Embedding(20, 4), nn.Flatten(), nn.Linear(8, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return fitted(model, (X[:, :2] * 3).astype(np.int64) % 20, Y, parallel, optimizer=optimizer)


def loader(parallel: Any) -> Found:
    batches = DataLoader(TensorDataset(nnkit.tensor(X), nnkit.tensor(Y)), batch_size=16, shuffle=True, generator=3)
    return fitted(network(), batches, None, parallel, batch_size=None)


def stopped(parallel: Any) -> Found:
    model = network()
    stop = EarlyStopping("val_loss", patience=2)
    found = fitted(model, X, Y, parallel, epochs=60, validation_split=0.3, callbacks=[stop],
                   optimizer=optim.Adam(model.parameters(), lr=0.02))  # fmt: skip
    return {**found, "best": stop.best_epoch}


def by_batch(parallel: Any) -> Found:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rates = LearningRateScheduler(optim.lr_scheduler.ExponentialLR(optimizer, 0.99), by="batch")
    return fitted(model, X, Y, parallel, optimizer=optimizer, callbacks=[rates])


def streamed(parallel: Any) -> Found:
    """Data that stay on the host, and come window by window."""
    with mock.patch.object(type(nnkit.ones(1).backend), "keeps", lambda self, nbytes: False):
        with mock.patch("nnkit.training.streamed.WINDOW", 48 * 32):
            return fitted(network(nn.Dropout(0.5)), X, Y, parallel, validation_split=0.2)


def convolved(parallel: Any) -> Found:
    nnkit.manual_seed(2)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 5, 2)), nn.Conv2d(1, 4, 3, padding=1), nn.Dropout2d(0.3), nn.Flatten(), nn.Linear(40, 3)
    )
    return fitted(model, X, Y, parallel)


def sequences(*layers: nn.Module) -> nn.Sequential:
    nnkit.manual_seed(2)
    return nn.Sequential(nn.Unflatten(1, (5, 2)), nn.Linear(2, 4), *layers, nn.Flatten(), nn.Linear(20, 3))


class Turned(nn.Module):
    """A layer that takes (time, samples, features)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return self.layer(x.transpose(0, 1)).transpose(0, 1)


def attended(parallel: Any) -> Found:
    layer = nn.TransformerEncoderLayer(4, 2, 8, 0.3, batch_first=True)
    return fitted(sequences(layer), X, Y, parallel)


def by_time(parallel: Any) -> Found:
    """Samples along the second axis, inside."""
    layer = Turned(nn.TransformerEncoderLayer(4, 2, 8, 0.3))
    return fitted(sequences(layer), X, Y, parallel, batch_size=10)  # of 2 processes each has as many rows as steps


def noisy(parallel: Any) -> Found:
    layers = keras.layers.GaussianNoise(0.1), keras.layers.AlphaDropout(0.2), nn.RReLU()
    return fitted(sequences(*layers), X, Y, parallel)


def batch_normed(parallel: Any) -> Found:
    model = network(nn.BatchNorm1d(16), nn.Dropout(0.2))
    optimizer = optim.SGD(model.parameters(), lr=0.05)  # Adam would make steps of the rounding of gradients that are 0
    return fitted(model, X, Y, of_all(parallel), batch_size=15, validation_split=0.2, optimizer=optimizer)


def batch_normed_early(parallel: Any) -> Found:
    """Before any weights, far from 0."""
    nnkit.manual_seed(2)
    model = nn.Sequential(nn.Unflatten(1, (5, 2)), nn.BatchNorm1d(5), nn.Flatten(), nn.Linear(10, 3))
    return fitted(model, X * 3 + 100, Y, of_all(parallel), validation_split=0.2)


def instance_normed(parallel: Any) -> Found:
    """The running statistics are means over the batch."""
    nnkit.manual_seed(2)
    norm = nn.InstanceNorm1d(2, affine=True, track_running_stats=True)
    model = nn.Sequential(nn.Unflatten(1, (2, 5)), norm, nn.Flatten(), nn.Linear(10, 3))
    return fitted(model, X, Y, of_all(parallel), validation_split=0.2)


def batch_normed_keras(parallel: Any) -> Found:
    """With a mask: the padded steps do not count."""
    nnkit.manual_seed(2)
    tokens = keras.layers.Embedding(6, 4, mask_zero=True)
    layers = [tokens, keras.layers.BatchNormalization(), keras.layers.BatchNormalization(1), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(40, 3))
    x = np.abs(X * 2).astype(np.int64) % 6
    x[:, 0] = 1
    model(nnkit.tensor(x))
    return fitted(model, x, Y, of_all(parallel), compile=False)


def of_all(parallel: Any) -> Any:
    return None if parallel is None else MPI(batch_statistics="all")


def many_steps(parallel: Any) -> Found:
    return fitted(network(), X, Y, parallel, batch_size=4, epochs=8)


def groups(parallel: Any) -> Found:
    return fitted(network(nn.GroupNorm(4, 16)), X, Y, parallel, seed=None)


def kept(parallel: Any) -> Found:
    """Checkpoints, and a training that goes on from one."""
    name = "one" if parallel is None else str(MPI().size)
    folder = Path(sys.argv[1]) if parallel else Path(os.environ["NNKIT_TEST_FOLDER"])
    path = folder / f"run-{name}.safetensors"
    calls = [RunCheckpoint(path), ModelCheckpoint(folder / f"best-{name}.safetensors", "loss", save_best_only=True)]
    fitted(network(), X, Y, parallel, epochs=2, callbacks=calls)
    MPI().gather(None)  # rank 0 has written
    return fitted(network(), X, Y, parallel, callbacks=calls[::-1][:1], resume=path)


def own_loop(parallel: Any) -> Found:
    mpi = MPI() if parallel else None
    model = network()
    optimizer: Any = optim.Adam(model.parameters(), lr=0.01)
    x, y = X[:96], Y[:96]
    if mpi is not None:
        mpi.broadcast(model)
        optimizer = mpi.optimizer(optimizer)
        x, y = shard(x, y, mpi=mpi)
    loss, inputs, labels, losses = nn.CrossEntropyLoss(), nnkit.tensor(x), nnkit.tensor(y), []

    @nnkit.compile
    def step(x: nnkit.Tensor, y: nnkit.Tensor) -> nnkit.Tensor:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    for _ in range(6):
        value = step(inputs, labels).item()
        losses.append(value if mpi is None else float(np.mean(mpi.gather(value))))
    return {"history": {"loss": losses}, "weights": digest(model), "state": len(optimizer.state_dict()["state"])}


def samples_counted(parallel: Any) -> Found:
    mpi = MPI()
    model = network()
    optimizer = mpi.optimizer(optim.SGD(model.parameters(), lr=0.1))
    x, y = (nnkit.tensor(part) for part in shard(X, Y, mpi=mpi, even=False))
    for _ in range(3):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(x), y).backward()
        optimizer.step(samples=len(x))  # type: ignore[call-arg]
    whole = nn.CrossEntropyLoss()(model(nnkit.tensor(X)), nnkit.tensor(Y)).item()
    return {"history": {"loss": [whole]}, "weights": digest(model)}


CASES: dict[str, Callable[[Any], Found]] = {
    case.__name__: case
    for case in (
        dropout, odd_dropout, plainly, weighted, ignored, ignored_with_penalty, summed, ranking, rows_of_a_table,
        loader, streamed, convolved, attended, by_time, noisy, batch_normed, batch_normed_early, batch_normed_keras,
        instance_normed, stopped, by_batch, many_steps, groups, kept, own_loop, samples_counted,
    )
}  # fmt: skip


def refusals() -> dict[str, str]:
    """What is not the same over processes, and what is said of it."""
    normed = network(nn.BatchNorm1d(16))
    found = {}
    for name, model, options in (
        ("batch norm", normed, {}),
        ("by time", sequences(Turned(nn.Dropout(0.5))), {}),
        ("float16", network(), {"precision": "float16"}),
        ("within epochs", network(), {"callbacks": [TensorBoard("never", every=2)]}),
        ("other data", network(), {"rank": True}),
        ("other batches", network(), {"batch_size": None}),
        ("other weights", nn.Linear(10, 3 + MPI().rank), {}),
        ("other epochs", network(), {"epochs": 1 + MPI().rank}),
        ("other optimizer", network(), {"optimizer": "adam" if MPI().rank else "sgd"}),
        ("other clipping", network(), {"clip_norm": 1.0 + MPI().rank}),
        ("other seed", network(), {"seed": MPI().rank}),
        ("other loss", network(), {"loss": "cross_entropy" if MPI().rank else nn.NLLLoss()}),
        ("other metrics", network(), {"metrics": ["accuracy"] * (MPI().rank == 0)}),
        ("other class weights", network(), {"class_weight": {0: 1.0 + MPI().rank}}),
        ("other frozen", nn.Sequential(nn.Linear(10, 4).requires_grad_(MPI().rank == 0), nn.Linear(4, 3)), {}),
    ):
        x = X[: 90 + MPI().rank] if options.pop("rank", None) else X[:96]
        y: Any = Y[: len(x)]
        if name == "other batches":
            x, y = [(X[:8], Y[:8]), (X[: 8 + MPI().rank], Y[: 8 + MPI().rank])], None
        try:
            fitted(model, x, y, "mpi", **{"epochs": 1, **options})
        except (NotImplementedError, ValueError) as error:
            found[name] = f"{type(error).__name__}: {error}"
    found |= other_values()
    own = fitted(normed, X, Y, MPI(batch_statistics="own"), batch_size=48, epochs=2, validation_split=0.2)
    return {**found, "own statistics": own["weights"]}


def changed(values: Any) -> Any:
    """In rank 1 one of the last values is another."""
    found = np.array(values)
    found[-2:-1] += MPI().rank == 1
    return found


def other_values() -> dict[str, str]:
    """Data of the same shapes in every rank, and what is said where their values are not."""
    shuffled = DataLoader(TensorDataset(nnkit.tensor(X), nnkit.tensor(Y)), shuffle=True, generator=MPI().rank)
    large = np.repeat(X, 10, axis=0)  # some 39 kB
    found, module = {}, "nnkit.training.fingerprint"
    for name, x, y, options in (
        ("x", changed(X), Y, {}),
        ("y", X, changed(Y) % 3, {}),
        ("weight", X, Y, {"sample_weight": changed(W)}),
        ("validation", X, Y, {"validation_data": (X, changed(Y) % 3)}),
        ("split", changed(X), Y, {"validation_split": 0.2}),
        ("batches", [(X[:8], Y[:8]), (X[8:16], Y[8:16])][:: 1 - 2 * MPI().rank % 4], None, {"batch_size": None}),
        ("loader", shuffled, None, {"batch_size": None}),
        ("plainly", changed(X), Y, {"compile": False}),
        ("large", changed(large), np.repeat(Y, 10), {}),
    ):
        with mock.patch(f"{module}.WHOLE", 1 << 12), mock.patch(f"{module}.BLOCK", 64):
            try:
                fitted(network(), x, y, "mpi", **{"epochs": 1, **options})
            except DataError as error:
                found[f"values of {name}"] = str(error)
    return found


def whole_run(parallel: Any, **options: Any) -> Found:
    """A training that is saved within epochs; its metrics are sums and rows of all processes."""
    nnkit.manual_seed(3)
    model = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    more = {"metrics": ["auc", "accuracy"], "validation_split": 0.2, "optimizer": optimizer, "batch_size": 15}
    y = (Y > 0).reshape(-1, 1)
    return fitted(model, X, y, of_all(parallel), loss="bce_with_logits", epochs=3, **more, **options)


def main() -> None:
    folder = sys.argv[1]
    replayed = [0]
    replay = Replay._replay

    def counting(self: Replay, rows: int, times: int) -> int:
        done = replay(self, rows, times)
        replayed[0] += done
        return done

    Replay._replay = counting  # type: ignore[method-assign]
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        replayed[0] = 0
        found[name] = {**case("mpi"), "replayed": replayed[0]}
    found["again"] = {name: CASES[name]("mpi")["weights"] for name in ("dropout", "many_steps")}
    found["refusals"] = refusals()
    model = network()
    fitted(model, X, Y, "mpi", epochs=1, verbose=2)
    mpi = MPI()
    Path(folder, f"{mpi.size}-{mpi.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
