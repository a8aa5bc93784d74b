"""Three searches for good settings of a classifier of handwritten digits: a grid, at random, and Bayesian.

python examples/search.py                   half a minute on two cores; writes study.png
python examples/search.py --rows 300 --epochs 3 --trials 6

The grid and the random search are scikit-learn's, over any Module; nnkit.tune's fit all candidates of one shape, on
all folds, in one program, and find the same. optuna's search (pip install nnkit-engine[tune]) learns from the trials
before, and ends those early that will not do. The best of each is tried on digits that no search has seen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import sklearn.model_selection

import nnkit
from nnkit import nn, tune
from nnkit.datasets import load_digits
from nnkit.preprocessing import train_test_split
from nnkit.sklearn import NeuralClassifier

SEED = 0


def network(width: int = 32, dropout: float = 0.1) -> nn.Module:
    """One hidden layer; ten scores."""
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))


def space(trial: optuna.Trial) -> dict[str, Any]:
    """What the Bayesian search may try."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True), "width": trial.suggest_int("width", 8, 64, log=True),
        "dropout": trial.suggest_float("dropout", 0.05, 0.6),
    }  # fmt: skip


def grids(x: np.ndarray, y: np.ndarray, epochs: int, candidates: int) -> dict[str, Any]:
    """The fitted searches of scikit-learn's kind, by name."""
    model = NeuralClassifier(network, max_epochs=epochs, batch_size=32, random_state=SEED)
    grid = {"lr": [0.1, 0.03, 0.01, 0.003], "module__dropout": [0.1, 0.3]}
    spread = {"lr": np.geomspace(1e-4, 1e-1, 100).tolist(), "module__width": [16, 32, 64]}
    searches: dict[str, Any] = {
        "grid, fits one by one": sklearn.model_selection.GridSearchCV(model, grid, cv=3),
        "grid, fits together": tune.GridSearchCV(model, grid, cv=3),
        "at random, fits together": tune.RandomizedSearchCV(
            model, spread, n_iter=candidates, cv=3, random_state=SEED
        ),
    }  # fmt: skip
    for name, search in searches.items():
        begin = time.perf_counter()
        search.fit(x, y)
        print(f"{name}: {search.best_score_:.3f} with {search.best_params_}, {time.perf_counter() - begin:.1f} s")
    return searches


def bayesian(x: np.ndarray, y: np.ndarray, epochs: int, trials: int, picture: str) -> nn.Module:
    """The network of the best trial of a study, trained again."""
    learn_x, held_x, learn_y, held_y = train_test_split(x, y, test_size=0.25, random_state=SEED)
    same = {
        "loss": "cross_entropy", "epochs": epochs, "batch_size": 32, "validation_data": (held_x, held_y),
        "metrics": ["accuracy"],
    }  # fmt: skip
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )  # fmt: skip
    value = tune.objective(network, (learn_x, learn_y), space, monitor="val_accuracy", **same)
    study.optimize(value, n_trials=trials)
    pruned = sum(trial.state.name == "PRUNED" for trial in study.trials)
    print(f"Bayesian: {study.best_value:.3f} with {study.best_params}, {pruned} of {trials} trials ended early")
    tune.plot_study(study).figure_.savefig(picture)
    run = tune.train_one(network, study.best_trial.user_attrs["setting"], learn_x, learn_y, **same)
    assert run.value("val_accuracy") == study.best_value, "the same setting gives the same network"
    return run.model


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Returns the accuracy of each search's best on digits held out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1797)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--output", default="study.png")
    options = parser.parse_args(arguments)

    nnkit.manual_seed(SEED)
    x, y = (part[: options.rows] for part in load_digits())
    x = (x.reshape(len(x), -1) / 16.0).astype(np.float32)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.25, random_state=SEED)
    found = {
        name: float(search.score(test_x, test_y))
        for name, search in grids(x, y, options.epochs, options.trials).items()
    }
    best = bayesian(x, y, options.epochs, options.trials, options.output)
    found["Bayesian"] = best.evaluate(test_x, test_y)["accuracy"]
    for name, accuracy in found.items():
        print(f"{accuracy:.3f} of {len(test_y)} digits held out: {name}")
    return found


if __name__ == "__main__":
    main()
