"""scikit-learn's own searches, folds and curves over nnkit's estimators: each runs without a warning and finds one."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    LeaveOneOut,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    permutation_test_score,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_modules import Layers
from waiting import HANG

from nnkit import nn, optim
from nnkit.sklearn import MLPClassifier, MLPRegressor, NeuralClassifier, NeuralRegressor, turns
from nnkit.training import EarlyStopping

X = np.random.default_rng(0).standard_normal((48, 4)).astype(np.float32)
CLASSES, NUMBERS = (X[:, 0] > 0).astype(int), 2.0 * X[:, 0]


def classifier(**settings: Any) -> NeuralClassifier:
    return NeuralClassifier(Layers, max_epochs=2, random_state=0, batch_size=16, **settings)


def regressor(**settings: Any) -> NeuralRegressor:
    return NeuralRegressor(Layers, max_epochs=2, random_state=0, batch_size=16, **settings)


def perceptron(**settings: Any) -> MLPClassifier:
    return MLPClassifier(max_iter=3, random_state=0, **settings)


GRID = {"module__width": [3, 5], "lr": [0.1, 0.01]}
EPOCHS: dict[str, Any] = {"resource": "max_epochs", "max_resources": 4, "cv": 2, "random_state": 0}
#: Name -> a search over classes, or over numbers where it says so.
SEARCHES: dict[str, tuple[Any, bool]] = {
    "grid": (GridSearchCV(classifier(), GRID, cv=3), False),
    "random": (
        RandomizedSearchCV(classifier(), {"module__width": range(2, 9)}, n_iter=3, random_state=0, cv=2), False,
    ),
    "halving rows": (HalvingGridSearchCV(classifier(), GRID, cv=2, min_resources=12, random_state=0), False),
    "halving epochs": (HalvingGridSearchCV(classifier(), GRID, min_resources=1, **EPOCHS), False),
    "halving at random": (HalvingRandomSearchCV(classifier(), {"module__width": range(2, 9)}, **EPOCHS), False),
    "layer by layer": (
        GridSearchCV(
            classifier(), {"module__activations": [("relu",), ("tanh", "sigmoid")], "module__dropout": [0.2]}, cv=2
        ),
        False,
    ),
    "modules": (
        GridSearchCV(
            classifier(), {"module": [Layers, nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))]}, cv=2
        ),
        False,
    ),
    "losses by name": (GridSearchCV(regressor(), {"criterion": ["mse", nn.MSELoss, nn.HuberLoss()]}, cv=2), True),
    "a loss's own": (GridSearchCV(regressor(criterion="huber"), {"criterion__delta": [0.5, 1.0]}, cv=2), True),
    "optimizers": (GridSearchCV(regressor(), {"optimizer": ["adam", "sgd", optim.AdamW]}, cv=2), True),
    "an optimizer's own": (GridSearchCV(regressor(optimizer="sgd"), {"optimizer__momentum": [0.0, 0.9]}, cv=2), True),
    "callbacks": (
        GridSearchCV(regressor(train_split=0.25), {"callbacks": [None, [EarlyStopping("val_loss", patience=1)]]}, cv=2),
        True,
    ),
    "a pipeline": (
        GridSearchCV(make_pipeline(StandardScaler(), classifier()), {"neuralclassifier__module__width": [2, 3]}, cv=2),
        False,
    ),
    "several scores": (
        GridSearchCV(regressor(), {"lr": [0.1]}, cv=2, scoring=["r2", "neg_max_error"], refit="r2"), True,
    ),
    "perceptrons": (
        GridSearchCV(perceptron(), {"hidden_layer_sizes": [(4,), (4, 3)], "alpha": [0.0, 0.1], "dropout": [0.2]}, cv=2),
        False,
    ),
    "halving perceptrons": (
        HalvingRandomSearchCV(
            MLPRegressor(random_state=0), {"alpha": [0.0, 0.1]}, n_candidates=2, cv=2, resource="max_iter",
            max_resources=4,
        ),
        True,
    ),
    "a threshold": (TunedThresholdClassifierCV(classifier(), cv=2), False),
}  # fmt: skip
#: Name -> something else that splits, fits and scores.
OTHERS: dict[str, Callable[[], Any]] = {
    "folds by class": lambda: cross_validate(
        classifier(), X, CLASSES, cv=StratifiedKFold(3), scoring=["accuracy", "roc_auc", "neg_log_loss"],
        return_estimator=True, return_train_score=True,
    )["test_roc_auc"],
    "leave one out": lambda: cross_val_score(classifier(), X[:6], [0, 1, 0, 1, 0, 1], cv=LeaveOneOut()),
    "leave one number out": lambda: cross_val_score(
        regressor(), X[:6], NUMBERS[:6], cv=LeaveOneOut(), scoring="neg_mean_squared_error"
    ),
    "groups": lambda: cross_val_score(classifier(), X, CLASSES, cv=GroupKFold(3), groups=np.arange(48) % 6),
    "probabilities": lambda: cross_val_predict(classifier(), X, CLASSES, method="predict_proba", cv=2),
    "a curve": lambda: validation_curve(
        classifier(), X, CLASSES, cv=2, param_name="module__width", param_range=[2, 3]
    )[1],
    "permutations": lambda: permutation_test_score(classifier(), X, CLASSES, cv=2, n_permutations=2)[1],
}  # fmt: skip


@pytest.fixture(autouse=True)
def strict() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize("case", SEARCHES)
def test_searches(case: str) -> None:
    search, numbers = SEARCHES[case]
    found = search.fit(X, NUMBERS if numbers else CLASSES)
    assert found.predict(X).shape == (48,)
    if hasattr(found, "cv_results_"):
        score = next(name for name in found.cv_results_ if name.startswith("mean_test_"))
        assert np.isfinite(found.cv_results_[score]).all()


@pytest.mark.parametrize("case", OTHERS)
def test_folds_and_curves(case: str) -> None:
    assert np.isfinite(OTHERS[case]()).all()


def test_a_parameter_that_a_module_lacks_is_named() -> None:
    for name, error in {"module__widht": "did you mean module__width", "module__x": "whose parameters are"}.items():
        with pytest.raises(TypeError, match=error):
            GridSearchCV(classifier(), {name: [3]}, cv=2, error_score="raise").fit(X, CLASSES)


SCRIPT = """
import warnings
import numpy as np
from sklearn.model_selection import GridSearchCV
from nnkit import nn
from nnkit.sklearn import NeuralClassifier

class Net(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.layer(x).tanh()

if __name__ == "__main__":
    X = np.random.default_rng(0).standard_normal((48, 4)).astype("f")
    search = GridSearchCV(NeuralClassifier(Net, max_epochs=2, random_state=0), {"lr": [0.1, 0.2]}, cv=2, n_jobs=2)
    print(np.isfinite(search.fit(X, X[:, 0] > 0).cv_results_["mean_test_score"]).all())
"""


def test_processes_record_what_a_script_defines(tmp_path: Path) -> None:
    script = tmp_path / "search.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=HANG)
    assert done.stdout == "True\n" and "cannot be replayed" not in done.stderr, done.stderr


def test_fits_on_a_gpu_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stays inside until the second has said that it waits, or is inside as well."""
    gpu, inside, most, met, say = SimpleNamespace(type="cuda"), [0], [0], threading.Event(), turns._say

    def told(name: str) -> None:
        say(name)
        met.set()

    def fit() -> None:
        with turns.taking_turns(gpu):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            if inside[0] > 1:
                met.set()
            assert met.wait(HANG)
            inside[0] -= 1

    monkeypatch.setattr(turns, "_warned", set())
    monkeypatch.setattr(turns, "_say", told)
    with pytest.warns(UserWarning, match="one at a time") as said, ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(fit) for _ in range(3)]:
            done.result()
    assert most == [1] and len(said) == 1


TURN = """
import multiprocessing, sys
from types import SimpleNamespace
from nnkit.sklearn import turns

def tell(word):
    with open(sys.argv[1], "a") as file:
        file.write(word + " ")
    print(word, flush=True)

turns._say = lambda name: tell("waits")
turns.cuda.empty_cache = lambda: None
multiprocessing.current_process().name = "LokyProcess-1"
with turns.taking_turns(SimpleNamespace(type="cuda")):
    tell("inside")
    sys.stdin.readline()
    tell("leaves")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there processes do not wait")
def test_worker_processes_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command, pipe = [sys.executable, "-c", TURN, str(tmp_path / "told")], subprocess.PIPE
    both = []
    for word in ("inside", "waits"):
        both.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        assert both[-1].stdout is not None and both[-1].stdout.readline() == f"{word}\n"
    for process in both:
        process.communicate("go\n", timeout=HANG)
        assert process.returncode == 0
    assert (tmp_path / "told").read_text() == "inside waits leaves inside leaves "
