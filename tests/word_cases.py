"""Keras's models and scikit-learn's estimators on one process and on several.

``mpiexec -n 2 python word_cases.py FOLDER`` writes what each rank saw to FOLDER.
"""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import scipy.sparse
import sklearn.base
from parallel_cases import W, X, Y, digest

import nnkit
from nnkit import keras, nn
from nnkit.parallel import MPI
from nnkit.sklearn import MLPClassifier, MLPRegressor, NeuralClassifier, NeuralRegressor

Found = dict[str, Any]


# ---- Keras's words --------------------------------------------------------------------------------------------------


def stack(*between: Any, **compiled: Any) -> Any:
    nnkit.manual_seed(3)
    layers = [keras.layers.Dense(16, activation="relu"), *between, keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((10,)), *layers])
    defaults = {"optimizer": keras.optimizers.Adam(0.01), "loss": "sparse_categorical_crossentropy"}
    model.compile(**{**defaults, "metrics": ["accuracy"], **compiled})
    return model


def trained(model: Any, parallel: Any, *data: Any, **options: Any) -> Found:
    nnkit.manual_seed(4)
    x, y = data or (X, Y)
    history = model.fit(x, y, **{"epochs": 4, "batch_size": 16, "verbose": 0, **options}, parallel=parallel)
    return {"history": history.history, "weights": digest(model)}


def keras_dropout(parallel: Any) -> Found:
    return trained(stack(keras.layers.Dropout(0.4)), parallel, validation_split=0.2, sample_weight=W)


def keras_weighted(parallel: Any) -> Found:
    penalty = keras.regularizers.L2(0.01)
    model = stack(keras.layers.Dense(8, kernel_regularizer=penalty, kernel_constraint="max_norm"))
    return trained(model, parallel, class_weight={0: 1.0, 1: 2.0, 2: 0.5}, validation_data=(X, Y))


def keras_one_hot(parallel: Any) -> Found:
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model = stack(loss=loss, metrics=["accuracy", keras.metrics.Precision(), "mse"])
    return trained(model, parallel, X, np.eye(3)[Y], batch_size=33)


def keras_binary(parallel: Any) -> Found:
    nnkit.manual_seed(2)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC()])
    return trained(model, parallel, X, (Y > 0).astype(np.float32))


def keras_stopped(parallel: Any) -> Found:
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True, verbose=1)
    rate = keras.callbacks.ReduceLROnPlateau("loss", patience=1, verbose=1)
    found = trained(stack(), parallel, epochs=60, validation_split=0.3, callbacks=[stop, rate])
    return {**found, "best": stop.best_epoch}


def keras_schedule(parallel: Any) -> Found:
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    return trained(stack(optimizer=keras.optimizers.SGD(rate, momentum=0.9)), parallel)


def keras_normed(parallel: Any) -> Found:
    ranks = None if parallel is None else MPI(batch_statistics="all")
    model = stack(keras.layers.BatchNormalization(), optimizer=keras.optimizers.SGD(0.05))
    return trained(model, ranks, batch_size=15, validation_split=0.2)


def keras_two_outputs(parallel: Any) -> Found:
    nnkit.manual_seed(2)
    inputs = keras.Input((10,))
    hidden = keras.layers.Dense(8, activation="tanh")(inputs)
    outputs = [keras.layers.Dense(3, activation="softmax", name="a")(hidden), keras.layers.Dense(1, name="b")(hidden)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], loss_weights=[1.0, 0.5])
    return trained(model, parallel, X, [Y, X[:, :1]], validation_split=0.2)


def keras_accumulating(parallel: Any) -> Found:
    optimizer = keras.optimizers.SGD(0.1, clipnorm=0.5, use_ema=True)
    return trained(stack(optimizer=optimizer), parallel)


# ---- scikit-learn's words -------------------------------------------------------------------------------------------


def estimated(estimator: Any, parallel: Any, y: Any = Y, x: Any = X, **options: Any) -> Found:
    model = sklearn.base.clone(estimator).set_params(parallel=parallel, random_state=3)
    model.fit(x, y, **options)
    history = {name: values for name, values in model.history_.history.items() if name != "lr"}
    return {
        "history": history,
        "weights": digest(model.module_),
        "score": float(model.score(x, y)),
        "iterations": model.n_iter_,
    }


def mlp(parallel: Any) -> Found:
    return estimated(MLPClassifier((16,), max_iter=6, batch_size=16, alpha=0.01, dropout=0.2), parallel)


def mlp_weighted(parallel: Any) -> Found:
    settings: dict[str, Any] = {"max_iter": 5, "batch_size": 15, "class_weight": "balanced", "solver": "sgd"}
    return estimated(MLPClassifier((8,), alpha=0.1, learning_rate_init=0.05, **settings), parallel, sample_weight=W)


def mlp_stopped(parallel: Any) -> Found:
    settings: dict[str, Any] = {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 60, "verbose": True}
    return estimated(MLPClassifier((16,), batch_size=16, learning_rate_init=0.02, **settings), parallel)


def mlp_regressor(parallel: Any) -> Found:
    model = MLPRegressor(
        hidden_layer_sizes=(8,), max_iter=5, batch_size=16, solver="sgd", learning_rate="invscaling", alpha=1.0
    )
    return estimated(model, parallel, X[:, :2] * 2.0, sample_weight=W)


def mlp_sparse(parallel: Any) -> Found:
    """Rows of which one window at a time is dense."""
    rows = scipy.sparse.csr_array(np.where(np.abs(X) > 1.0, X, 0.0))
    with mock.patch("nnkit.sklearn.orders.WINDOW", 40 * 48):
        return estimated(MLPClassifier((8,), max_iter=4, batch_size=16), parallel, x=rows)


def mlp_other_loss(parallel: Any) -> Found:
    return estimated(MLPClassifier((8,), max_iter=4, batch_size=16, loss="cross_entropy"), parallel, sample_weight=W)


def neural(parallel: Any) -> Found:
    def net(in_features: int, out_features: int) -> nn.Module:
        hidden = nn.Linear(in_features, 12)
        return nn.Sequential(hidden, nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, out_features))

    model = NeuralClassifier(
        net, max_epochs=4, batch_size=16, train_split=0.2, class_weight="balanced", metrics=["accuracy"]
    )
    return estimated(model, parallel, sample_weight=W)


def neural_regressor(parallel: Any) -> Found:
    return estimated(NeuralRegressor(nn.Linear, max_epochs=4, batch_size=16), parallel, X[:, 0] * 2.0)


CASES: dict[str, Callable[[Any], Found]] = {
    case.__name__: case
    for case in (
        keras_dropout, keras_weighted, keras_one_hot, keras_binary, keras_stopped, keras_schedule, keras_normed,
        keras_two_outputs, keras_accumulating, mlp, mlp_weighted, mlp_stopped, mlp_sparse, mlp_regressor,
        mlp_other_loss, neural, neural_regressor,
    )
}  # fmt: skip


class OwnStep(keras.Sequential):
    """A model whose step is its own."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


def refusals() -> Found:
    """What cannot be divided, and what is said of it."""
    own = OwnStep([keras.Input((10,)), keras.layers.Dense(3, activation="softmax")])
    own.compile("sgd", "sparse_categorical_crossentropy")
    found = {}
    classifier = MLPClassifier((4,), max_iter=2, parallel="mpi")
    calls: dict[str, Callable[[], Any]] = {
        "own step": lambda: trained(own, "mpi"),
        "validation": lambda: trained(stack(), "mpi", validation_split=0.2, validation_freq=2),
        "metrics": lambda: trained(stack(metrics={"dense": ["accuracy"]}), "mpi"),
        "word": lambda: trained(stack(), "mpj"),
        "data": lambda: trained(stack(), "mpi", X + MPI().rank, Y),
        "lbfgs": lambda: copy.copy(classifier).set_params(solver="lbfgs").fit(X, Y),
        "own data": lambda: copy.copy(classifier).set_params(parallel=MPI(data="own")).fit(X, Y),
        "estimator's data": lambda: copy.copy(classifier).set_params(random_state=0).fit(X + MPI().rank, Y),
        "settings": lambda: copy.copy(classifier).set_params(alpha=float(MPI().rank)).fit(X, Y),
    }
    for name, call in calls.items():
        try:
            call()
        except (ValueError, NotImplementedError) as error:
            found[name] = str(error)
    return found


def unseeded() -> Found:
    """Without a random_state all draw what rank 0 draws, though the others' streams stand elsewhere."""
    np.random.seed(MPI().rank)  # noqa: NPY002 - the stream that random_state=None stands for
    first = MLPClassifier((4,), max_iter=2, early_stopping=True, parallel="mpi").fit(X, Y)
    second = NeuralClassifier(nn.Linear, max_epochs=2, train_split=0.3, parallel=MPI()).fit(X, Y)
    copied = pickle.loads(pickle.dumps(second))
    assert copied.parallel.size == MPI().size and (copied.predict(X) == second.predict(X)).all()
    return {"weights": [digest(first.module_), digest(second.module_)]}


def parts() -> Found:
    """Rows of each rank's own, with a rate of nearly 0: what is told is of all of them, each counted once."""
    rank, size = MPI().rank, MPI().size
    own = slice(97 * rank // size, 97 * (rank + 1) // size)
    model = stack(optimizer=keras.optimizers.SGD(1e-30))
    history = trained(model, MPI(data="own"), X[own], Y[own], validation_data=(X[own], Y[own]), epochs=1)["history"]
    return {"found": history, "expected": model.evaluate(X, Y, verbose=0, return_dict=True)}


def saved() -> Found:
    """Rank 0 alone writes."""
    folder = Path(sys.argv[1])
    names = keras.callbacks
    calls = [
        names.ModelCheckpoint(folder / "best.keras", save_best_only=True, monitor="loss", verbose=1),
        names.CSVLogger(folder / "log.csv"),
        names.TensorBoard(str(folder / "board")),
        names.BackupAndRestore(folder / "backup"),
    ]
    seen: list[int] = []
    calls.append(names.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)))
    trained(stack(), "mpi", epochs=2, verbose=2, callbacks=calls)
    return {"seen": seen}


def main() -> None:
    found: Found = {name: case("mpi") for name, case in CASES.items()}
    found |= {"refusals": refusals(), "unseeded": unseeded(), "parts": parts(), "saved": saved()}
    mpi = MPI()
    Path(sys.argv[1], f"{mpi.size}-{mpi.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
