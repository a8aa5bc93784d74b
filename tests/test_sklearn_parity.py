"""The perceptrons beside scikit-learn's: from the same random_state the same numbers, and its own test file."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.neural_network
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.preprocessing import scale

import nnkit.sklearn
from nnkit.sklearn.lbfgs import WholeLoss
from nnkit.sklearn.losses import PenalizedObjective, loss_of
from nnkit.sklearn.network import build, draw, linears
from nnkit.sklearn.orders import source_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(name: str) -> tuple[np.ndarray, Any]:
    """Some samples by name."""
    if name == "labels":
        return make_multilabel_classification(60, random_state=0)
    loaded = {"iris": load_iris, "cancer": load_breast_cancer, "diabetes": load_diabetes}[name.partition(" ")[0]]
    X, y = loaded(return_X_y=True)
    X, y = scale(X)[::3], y[::3]
    return X, {"diabetes": y / 100, "diabetes of 2": np.c_[y, y**2 / 200] / 100}.get(name, y)


def both(kind: str, settings: dict[str, Any]) -> tuple[Any, Any]:
    """scikit-learn's estimator and nnkit's."""
    return tuple(
        getattr(module, kind)(random_state=1, **settings) for module in (sklearn.neural_network, nnkit.sklearn)
    )


SETTINGS: list[dict[str, Any]] = [
    {},
    {"solver": "sgd", "learning_rate_init": 0.01},
    {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.0, "batch_size": 32},
    {"solver": "sgd", "learning_rate_init": 0.01, "nesterovs_momentum": False, "shuffle": False, "batch_size": 16},
    {"solver": "sgd", "learning_rate_init": 0.02, "learning_rate": "invscaling", "power_t": 0.3, "batch_size": 32},
    {"solver": "sgd", "learning_rate_init": 0.05, "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 2},
    {"activation": "tanh", "alpha": 1.0, "hidden_layer_sizes": (8, 5), "batch_size": 20},
    {"activation": "logistic", "epsilon": 1e-3, "beta_1": 0.5, "beta_2": 0.9},
    {"activation": "identity", "hidden_layer_sizes": 7, "tol": 0.01, "n_iter_no_change": 3},
    {"early_stopping": True, "validation_fraction": 0.3, "learning_rate_init": 0.02, "n_iter_no_change": 4},
    {"solver": "sgd", "early_stopping": True, "learning_rate_init": 0.01, "batch_size": 25},
    {"solver": "lbfgs", "max_iter": 12},
]
SAMPLES = [
    ("MLPClassifier", "iris", {}), ("MLPClassifier", "cancer", {}), ("MLPClassifier", "labels", {}),
    ("MLPRegressor", "diabetes", {}), ("MLPRegressor", "diabetes of 2", {}),
    ("MLPRegressor", "diabetes of 2", {"loss": "poisson"}),
]  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(("kind", "name", "more"), SAMPLES, ids=[f"{k} {n} {m}" for k, n, m in SAMPLES])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_same_random_state_gives_the_same_numbers(
    settings: dict[str, Any], kind: str, name: str, more: dict[str, Any], weighted: bool, device: str
) -> None:
    X, y = data(name)
    weight = np.random.default_rng(0).uniform(0.1, 2.0, len(X)) if weighted else None
    there, here = both(kind, {"hidden_layer_sizes": (10,), "max_iter": 25} | more | settings)
    here.set_params(device=device)
    for model in (there, here):
        with np.errstate(all="ignore"):
            model.fit(X, y, sample_weight=weight)
    for one, other in zip(there.coefs_ + there.intercepts_, here.coefs_ + here.intercepts_, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-9)
    for attribute in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(here, attribute) == getattr(there, attribute), attribute
    for attribute in ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        expected = getattr(there, attribute, None)
        if expected is None:
            assert getattr(here, attribute, None) is None
        else:
            np.testing.assert_allclose(getattr(here, attribute), expected, rtol=1e-7, err_msg=attribute)
    np.testing.assert_allclose(here.predict(X), there.predict(X), rtol=1e-6)
    if kind == "MLPClassifier":
        np.testing.assert_allclose(here.predict_proba(X), there.predict_proba(X), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("settings", [{}, {"solver": "sgd", "learning_rate": "invscaling"}], ids=str)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_parts_and_warm_starts_go_on_as_there(kind: str, settings: dict[str, Any]) -> None:
    X, y = data("iris")
    for call in ("partial_fit", "warm_start"):
        there, here = both(kind, {"hidden_layer_sizes": (6,), "max_iter": 4} | settings)
        for model in (there, here):
            classes = {"classes": [0, 1, 2]} if kind == "MLPClassifier" else {}
            if call == "warm_start":
                model.set_params(warm_start=True).fit(X, y).fit(X[::-1], y[::-1])
            else:
                model.partial_fit(X[:20], y[:20], **classes).partial_fit(X[20:], y[20:]).partial_fit(X, y)
        np.testing.assert_allclose(here.coefs_[0], there.coefs_[0], rtol=1e-9)
        assert (here.n_iter_, here.t_, len(here.loss_curve_)) == (there.n_iter_, there.t_, len(there.loss_curve_))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_types_are_scikit_learns(kind: str, solver: str, dtype: str) -> None:
    X, y = data("iris")
    there, here = (m.fit(X.astype(dtype), y) for m in both(kind, {"max_iter": 3, "solver": solver}))
    for asked in ("float32", "float64", "int64"):
        method = "predict_proba" if kind == "MLPClassifier" else "predict"
        assert getattr(here, method)(X.astype(asked)).dtype == getattr(there, method)(X.astype(asked)).dtype
    assert [coef.dtype for coef in here.coefs_] == [coef.dtype for coef in there.coefs_]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_give_what_dense_ones_do(solver: str, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """Also window by window, as where the dense rows would be large."""
    X, y = data("cancer")
    X = np.where(X > 0.5, X, 0.0)
    settings: dict[str, Any] = {"solver": solver, "max_iter": 8, "random_state": 0, "batch_size": 16, "device": device}
    dense = nnkit.sklearn.MLPClassifier((5,), **settings).fit(X, y)
    for window in (1 << 26, 16 * X.shape[1] * 8 * 3):
        monkeypatch.setattr("nnkit.sklearn.orders.WINDOW", window)
        sparse = nnkit.sklearn.MLPClassifier((5,), **settings).fit(csr_array(X), y)
        np.testing.assert_allclose(sparse.coefs_[0], dense.coefs_[0], rtol=1e-9)
        np.testing.assert_allclose(sparse.predict_proba(csr_array(X)), dense.predict_proba(X), rtol=1e-9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnkit.sklearn.orders.WINDOW", 16 * X.shape[1] * 8 * 3)
        model = nnkit.sklearn.MLPClassifier((5,), early_stopping=True, **settings).fit(csr_array(X), y)
        assert model.score(csr_array(X), y) > 0.5


def test_verbose_lines_are_scikit_learns(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = data("iris")
    settings = [
        {"verbose": True, "max_iter": 3},
        {"verbose": 1, "early_stopping": True, "n_iter_no_change": 2, "max_iter": 50},
        {"verbose": True, "solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
    ]
    for options in settings:
        lines = []
        for model in both("MLPClassifier", options):
            model.fit(X, y)
            lines.append(capsys.readouterr().out)
        assert lines[1] == lines[0] != ""


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("loss", ["binary", "multiclass", "squared_error", "poisson"])
def test_the_gradient_is_that_of_the_loss(loss: str, activation: str, device: str) -> None:
    """In float64 against central differences; scikit-learn's test of it looks into private names."""
    generator = np.random.RandomState(42)
    X = generator.rand(5, 10)
    targets = {
        "binary": np.array([[0.0], [1.0], [1.0], [0.0], [1.0]]), "multiclass": np.array([0, 1, 2, 1, 0]),
        "squared_error": generator.rand(5, 1), "poisson": generator.rand(5, 2),
    }[loss]  # fmt: skip
    settings = nnkit.sklearn.MLPRegressor(hidden_layer_sizes=(10,), activation=activation, device=device)
    outputs = 3 if loss == "multiclass" else targets.shape[1]
    module = build(settings, 10, outputs, np.float64)
    draw(module, settings, generator)
    named = {"binary": "log_loss", "multiclass": "log_loss"}.get(loss, loss)
    objective = PenalizedObjective(
        module, loss_of(named, loss == "multiclass"), [layer.weight for layer in linears(module)], 1e-2
    )
    whole = WholeLoss(module, objective, source_of(X, targets, None, 5, None, device))
    weights = whole.weights()
    _, slope = whole(weights)
    step = 1e-5
    for place in generator.choice(len(weights), 25, replace=False):
        move = step * np.eye(len(weights))[place]
        difference = (whole(weights + move)[0] - whole(weights - move)[0]) / (2 * step)
        assert slope[place] == pytest.approx(difference, abs=1e-8)


def test_weights_put_into_coefs_are_used() -> None:
    X, y = data("iris")
    model = nnkit.sklearn.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(X, y)
    model.intercepts_[-1][:] += 1.0
    before = model.predict(X)
    model.coefs_[-1] = np.zeros((4, 1))
    assert model.predict(X) == pytest.approx(np.full(len(X), model.intercepts_[-1][0]))
    assert not np.allclose(before, model.predict(X))


def test_interrupted_training_leaves_a_fitted_model(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = data("iris")

    class Interrupt(nnkit.training.Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    model = nnkit.sklearn.MLPClassifier((4,), callbacks=[Interrupt()], random_state=0)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, y)
    assert model.n_iter_ == 3 and model.predict(X).shape == y.shape


#: Tests of scikit-learn's test_mlp.py that cannot pass by import change, and why.
PRIVATE = {
    "test_gradient": "calls the private _loss_grad_lbfgs with lists of arrays for scikit-learn's own backward pass; "
    "test_the_gradient_is_that_of_the_loss here does the same",
}


@pytest.mark.long
def test_scikit_learns_own_tests_pass_by_import_change(tmp_path: Path) -> None:
    source = Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py"
    if not source.exists():
        pytest.skip("scikit-learn was installed without its tests")
    text = source.read_text().replace("from sklearn.neural_network import", "from nnkit.sklearn import")
    (tmp_path / "test_mlp.py").write_text(text)
    (tmp_path / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef global_random_seed(): return 0\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-n", "0", "-rfE", "--rootdir", tmp_path]
    result = subprocess.run([*command, tmp_path / "test_mlp.py"], capture_output=True, text=True, cwd=tmp_path)
    failed = {name.partition("[")[0] for name in re.findall(r"^FAILED \S+::(\w+)", result.stdout, re.MULTILINE)}
    assert failed == set(PRIVATE), result.stdout[-3000:]
    assert re.search(r"1 failed, \d\d passed", result.stdout), result.stdout[-500:]


def test_no_warning_beyond_convergence() -> None:
    X, y = data("iris")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nnkit.sklearn.MLPClassifier((4,), tol=1.0, max_iter=30).fit(X, y)
        nnkit.sklearn.MLPRegressor(hidden_layer_sizes=(4,), tol=1.0, solver="lbfgs").fit(X, y)
