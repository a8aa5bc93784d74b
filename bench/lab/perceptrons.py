"""The perceptrons of ``nnkit.sklearn`` beside scikit-learn's: accuracy by five-fold cross-validation, and times to fit.

Eight data sets times six settings, the same folds and the same random_state for both, on scaled columns. A row has the
mean score of the folds with its standard error (accuracy, or R² for numbers), and the seconds of all five fits, each
the least of ``--repeats`` runs taken in turns: processor time of one thread, for other work on the machine changes it
less. The verdict is "ok" where nnkit's mean is within one standard error of scikit-learn's, or better.

On two cores of an AMD EPYC (Zen 4), shared, scikit-learn 1.9.1, NumPy 2.4.6, one thread each: the means of all 48 rows
are equal to four digits but for "lbfgs" on diabetes (-0.1588 for -0.1573 ± 0.1345) and friedman (0.8861 for 0.8871
± 0.0080), where rounding decides the line search. Times as fast, least, median and most over the data: adam 2.2, 2.9,
3.6; adam with early stopping 0.85 (moons), 1.4, 2.1; sgd 2.7, 2.9, 3.3; adaptive 2.7, 3.2, 3.5; tanh in batches of 32
3.9, 4.7, 6.3; lbfgs 1.1, 1.3, 1.5. A fit takes some 17 ms besides its steps, most to record them: where it ends after a
dozen epochs of one or two steps, that is as long as scikit-learn's whole fit.

    OPENBLAS_NUM_THREADS=1 python -m bench.lab.perceptrons [--repeats 3] [--seeds 1] [--only circles,diabetes]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn import datasets
from sklearn.base import is_classifier
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

import nnkit
import nnkit.sklearn

SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate_init": 0.005},
    "adam, stops early": {"learning_rate_init": 0.005, "early_stopping": True},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "sgd, adaptive": {"solver": "sgd", "learning_rate_init": 0.02, "learning_rate": "adaptive", "max_iter": 300},
    "tanh, 2 layers": {"activation": "tanh", "hidden_layer_sizes": (32, 16), "alpha": 0.1, "batch_size": 32},
    "lbfgs": {"solver": "lbfgs", "alpha": 0.1},
}


def data() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The samples by name; y of numbers is scaled."""
    named = {
        "iris": datasets.load_iris(return_X_y=True),
        "wine": datasets.load_wine(return_X_y=True),
        "cancer": datasets.load_breast_cancer(return_X_y=True),
        "digits": datasets.load_digits(return_X_y=True),
        "moons": datasets.make_moons(400, noise=0.25, random_state=0),
        "circles": datasets.make_circles(400, noise=0.15, factor=0.5, random_state=0),
        "diabetes": datasets.load_diabetes(return_X_y=True),
        "friedman": datasets.make_friedman1(500, noise=1.0, random_state=0),
    }
    for name in ("diabetes", "friedman"):
        X, y = named[name]
        named[name] = X, (y - y.mean()) / y.std()
    return named


def folds(X: np.ndarray, y: np.ndarray, seed: int) -> Iterator[tuple[Any, ...]]:
    """Five times X and y to train on, X and y to score on; columns scaled by what is trained on."""
    kind = StratifiedKFold if y.dtype.kind in "iu" else KFold
    for train, test in kind(5, shuffle=True, random_state=seed).split(X, y):
        scaler = StandardScaler().fit(X[train])
        yield scaler.transform(X[train]), y[train], scaler.transform(X[test]), y[test]


def fitted(module: Any, y: np.ndarray, settings: dict[str, Any], seed: int, X: np.ndarray) -> tuple[Any, float]:
    """An estimator of ``module``, and the seconds of processor time to fit it."""
    kind = "MLPClassifier" if y.dtype.kind in "iu" else "MLPRegressor"
    model = getattr(module, kind)(random_state=seed, **{"hidden_layer_sizes": (50,), **settings})
    assert is_classifier(model) == (kind == "MLPClassifier")
    begin = time.process_time()
    model.fit(X, y)
    return model, time.process_time() - begin


def compared(
    X: np.ndarray, y: np.ndarray, settings: dict[str, Any], repeats: int, seeds: int
) -> tuple[np.ndarray, np.ndarray]:
    """The scores (2, folds) and the seconds (2, folds) of scikit-learn and of nnkit."""
    scores: list[list[float]] = [[], []]
    seconds: list[list[float]] = [[], []]
    for seed in range(seeds):
        for X_train, y_train, X_test, y_test in folds(X, y, seed):
            found: list[list[float]] = [[], []]
            for _ in range(repeats):
                for place, module in enumerate((sklearn.neural_network, nnkit.sklearn)):
                    model, took = fitted(module, y_train, settings, seed, X_train)
                    found[place].append(took)
                    if len(found[place]) == repeats:
                        scores[place].append(model.score(X_test, y_test))
            for place in range(2):
                seconds[place].append(min(found[place]))
    return np.array(scores), np.array(seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="data sets, with commas between")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    nnkit.set_num_threads(1)
    print("| data | setting | scikit-learn | nnkit | verdict | scikit-learn, s | nnkit, s | times as fast |")
    print("|---|---|---:|---:|---|---:|---:|---:|")
    for name, (X, y) in data().items():
        if asked.only and name not in asked.only.split(","):
            continue
        for setting, options in SETTINGS.items():
            scores, seconds = compared(X, y, options, asked.repeats, asked.seeds)
            means, errors = scores.mean(axis=1), scores.std(axis=1, ddof=1) / np.sqrt(scores.shape[1])
            verdict = "ok" if means[1] >= means[0] - errors[0] else "below"
            there, here = seconds.sum(axis=1)
            print(
                f"| {name} | {setting} | {means[0]:.4f} ± {errors[0]:.4f} | {means[1]:.4f} ± {errors[1]:.4f} | "
                f"{verdict} | {there:.3f} | {here:.3f} | {there / here:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
