"""The scikit-learn estimators on a pretended GPU: the CPU's numbers, and pickles that go to machines without one."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale

from nnkit import nn
from nnkit.sklearn import MLPClassifier, MLPRegressor, NeuralClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = scale(load_iris().data), load_iris().target
SHORT: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, "batch_size": 40}
MODELS = [
    MLPClassifier(**SHORT),
    MLPClassifier(solver="sgd", early_stopping=True, validation_fraction=0.3, learning_rate="invscaling", **SHORT),
    MLPRegressor(solver="lbfgs", **SHORT),
    MLPRegressor("poisson", batch_norm=True, **SHORT),
    NeuralClassifier(nn.Linear, max_epochs=2, random_state=0),
]


def fitted(model: Any, device: str, rows: Any = X) -> Any:
    return pickle.loads(pickle.dumps(model)).set_params(device=device).fit(rows, y)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: " ".join(repr(model).split()))
def test_a_gpu_gives_the_cpus_numbers(model: Any, device: str) -> None:
    here, there = fitted(model, "numpy"), fitted(model, device)
    assert {parameter.device.type for parameter in there.module_.parameters()} == {"cuda"}
    np.testing.assert_allclose(there.predict(X), here.predict(X), rtol=1e-5, atol=1e-8)
    if hasattr(here, "coefs_"):
        np.testing.assert_allclose(there.coefs_[0], here.coefs_[0], rtol=1e-6, atol=1e-9)
        there.coefs_ = [coef * 2.0 for coef in there.coefs_]
        here.coefs_ = [coef * 2.0 for coef in here.coefs_]
        np.testing.assert_allclose(there.predict(X), here.predict(X), rtol=1e-5, atol=1e-8)


def test_sparse_rows_window_by_window(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(MODELS[0], device)
    monkeypatch.setattr("nnkit.sklearn.orders.WINDOW", 80 * 4 * 8)
    parted = fitted(MODELS[0], device, csr_array(X))
    np.testing.assert_allclose(parted.coefs_[0], whole.coefs_[0], rtol=1e-9)


READ = """
import pickle, sys, warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    models = pickle.loads(sys.stdin.buffer.read())
warnings.simplefilter("ignore")
X = np.linspace(-1, 1, 12).reshape(3, 4)
for model in models:
    found = model.predict(X)
    if hasattr(model, "partial_fit"):
        model.partial_fit(X, np.arange(3))
    print(*{str(tensor.device) for tensor in model.module_.state_dict().values()}, found.round(4).tolist(), sep=";")
print(len(caught))
"""


def test_pickles_are_read_on_a_machine_without_a_gpu(device: str) -> None:
    models = [fitted(model, device) for model in MODELS]
    rows = np.linspace(-1, 1, 12).reshape(3, 4)
    expected = [f"numba;{model.predict(rows).round(4).tolist()}" for model in models]
    written = pickle.dumps(models)
    result = subprocess.run([sys.executable, "-c", READ], input=written, capture_output=True, env=dict(os.environ))
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    assert result.stdout.decode().splitlines() == [*expected, "1"]


def test_pickles_of_a_machine_without_one_are_read_on_one_that_has_it(device: str) -> None:
    model = pickle.loads(pickle.dumps(fitted(MODELS[0], "numba")))
    assert str(model.module_[0].weight.device) == "numba"
    assert model.partial_fit(X, y).predict(X).shape == y.shape
