"""Two searches for good settings of a classifier of handwritten digits, on the processors of several machines.

python examples/search_on_machines.py            half a minute: two workers on this machine, by loopback alone

On machines of a trusted network that all have nnkit (pip install "nnkit-engine[sklearn,tune,dask]") and a folder:

dask scheduler --host 10.0.0.1                                       on the first
dask worker tcp://10.0.0.1:8786 --nthreads 1 --nworkers 8            on each, with its number of cores
python examples/search_on_machines.py --scheduler tcp://10.0.0.1:8786 --folder /shared/folder

The grid is scikit-learn's: joblib's Dask backend sends its fits to the workers. The Bayesian search is optuna's: every
worker runs trials of one study, which lies in a file of the folder, and each learns from the trials of all.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import optuna
from distributed import Client, LocalCluster, get_worker
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sklearn.model_selection import GridSearchCV

import nnkit
from nnkit import nn, tune
from nnkit.datasets import load_digits
from nnkit.preprocessing import train_test_split
from nnkit.sklearn import NeuralClassifier

NAME = "digits"


def network(width: int = 32, dropout: float = 0.1) -> nn.Module:
    """One hidden layer; ten scores. The workers get this function itself: it need not be installed there."""
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))


def space(trial: optuna.Trial) -> dict[str, Any]:
    """What the Bayesian search may try."""
    trial.set_user_attr("worker", get_worker().address)
    return {"lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True), "width": trial.suggest_int("width", 8, 64, log=True)}


@contextlib.contextmanager
def workers(scheduler: str | None) -> Iterator[Client]:
    """Those of a scheduler, or two of our own, of one thread each, that nobody outside of this machine can reach."""
    if scheduler is not None:
        with Client(scheduler) as client:
            yield client
        return
    local: dict[str, Any] = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
    }
    with LocalCluster(**local) as cluster, Client(cluster) as client:
        yield client


def grid(x: np.ndarray, y: np.ndarray, epochs: int) -> GridSearchCV:
    """scikit-learn's search, whose fits the workers make; the best is fitted again here."""
    model = NeuralClassifier(network, max_epochs=epochs, batch_size=32, random_state=0)
    search = GridSearchCV(model, {"lr": [0.03, 0.01, 0.003], "module__width": [16, 32]}, cv=3, error_score="raise")
    with joblib.parallel_config("dask"):
        return search.fit(x, y)


def storage(journal: Path) -> JournalStorage:
    """Where the trials of all workers stand: a file that grows by lines, in a folder that all machines see."""
    return JournalStorage(JournalFileBackend(str(journal)))


def share(journal: Path, data: tuple[np.ndarray, np.ndarray], trials: int, seed: int, **same: Any) -> None:
    """What each worker does: trials of the study, until they are as many as are wanted."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=NAME, storage=storage(journal), sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )  # fmt: skip
    enough = optuna.study.MaxTrialsCallback(trials, states=None)
    study.optimize(tune.objective(network, data, space, monitor="val_accuracy", **same), callbacks=[enough])


def bayesian(
    client: Client, journal: Path, x: np.ndarray, y: np.ndarray, epochs: int, trials: int
) -> tuple[optuna.Study, nn.Module]:
    """The study that all workers shared, and the network of its best trial, trained again here."""
    learn_x, held_x, learn_y, held_y = train_test_split(x, y, test_size=0.25, random_state=0)
    same = {
        "loss": "cross_entropy", "epochs": epochs, "batch_size": 32, "validation_data": (held_x, held_y),
        "metrics": ["accuracy"],
    }  # fmt: skip
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=NAME, storage=storage(journal), direction="maximize")
    client.gather(
        [
            client.submit(share, journal, (learn_x, learn_y), trials, seed, workers=[address], pure=False, **same)
            for seed, address in enumerate(client.nthreads())
        ]
    )
    run = tune.train_one(network, study.best_trial.user_attrs["setting"], learn_x, learn_y, **same)
    assert run.value("val_accuracy") == study.best_value, "the same setting gives the same network"
    return study, run.model


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the accuracy of each search's best on digits held out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scheduler", help="its address; without it, two workers are started here")
    parser.add_argument("--folder", help="seen by all machines")
    parser.add_argument("--rows", type=int, default=1797)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args(arguments)
    if options.scheduler and not options.folder:
        parser.error("--scheduler needs a --folder that all machines see")

    x, y = (part[: options.rows] for part in load_digits())
    x = (x.reshape(len(x), -1) / 16.0).astype(np.float32)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.25, random_state=0)
    with workers(options.scheduler) as client, tempfile.TemporaryDirectory(dir=options.folder) as folder:
        threads = client.run(nnkit.get_num_threads)
        print(f"{len(threads)} workers, threads of each: {sorted(threads.values())}")
        found = grid(x, y, options.epochs)
        print(f"grid: {found.best_score_:.3f} with {found.best_params_}")
        study, best = bayesian(client, Path(folder, "journal"), x, y, options.epochs, options.trials)
        by = {trial.user_attrs["worker"] for trial in study.trials}
        print(f"Bayesian: {study.best_value:.3f}, {len(study.trials)} trials by {len(by)} workers")
    print(f"{found.score(test_x, test_y):.3f} of {len(test_y)} digits held out: grid")
    print(f"{best.evaluate(test_x, test_y)['accuracy']:.3f} of {len(test_y)} digits held out: Bayesian")


if __name__ == "__main__":
    main()
