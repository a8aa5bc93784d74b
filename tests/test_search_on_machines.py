"""Searches whose fits Dask's workers make, two on this machine: the same scores, threads bounded, errors told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.model_selection
from waiting import HANG

from nnkit import nn, tune
from nnkit.backends import threads
from nnkit.sklearn import NeuralRegressor, turns

joblib = pytest.importorskip("joblib")
dask = pytest.importorskip("dask", reason='pip install "nnkit-engine[dask]"')
distributed = pytest.importorskip("distributed", reason='pip install "nnkit-engine[dask]"')

#: What Dask takes for lost when it says nothing for so long, here and in the processes that are started here.
DASK = {"comm__timeouts__connect": f"{HANG}s", "comm__timeouts__tcp": f"{HANG}s", "scheduler__worker_ttl": f"{HANG}s"}
ENVIRONMENT = {f"DASK_DISTRIBUTED__{name.upper()}": seconds for name, seconds in DASK.items()}
EXAMPLE = Path(__file__).parents[1] / "examples" / "search_on_machines.py"
X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(-1, 1)
Y = 2.0 * X[:, 0]
RATES = {"lr": [0.01, 0.1]}


def regressor() -> NeuralRegressor:
    return NeuralRegressor(nn.Linear, max_epochs=3, random_state=0)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers that are threads of this process: what they are asked runs as in any worker."""
    settings = {f"distributed.{name.replace('__', '.').replace('_', '-')}": value for name, value in DASK.items()}
    with warnings.catch_warnings(), dask.config.set(settings):
        warnings.simplefilter("ignore")
        made = distributed.Client(
            processes=False,
            n_workers=2,
            threads_per_worker=1,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        )
        with made:
            yield made


def test_the_example_runs_on_two_workers(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason='pip install "nnkit-engine[tune]"')
    command = [sys.executable, EXAMPLE, "--rows", "300", "--epochs", "3", "--trials", "6", "--folder", tmp_path]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("NUM_THREADS")} | ENVIRONMENT
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "2 workers, threads of each: [1, 1]" in done.stdout
    assert re.search(r"Bayesian: 0\.\d+, [67] trials by 2 workers", done.stdout), done.stdout
    accuracies = [float(found) for found in re.findall(r"([\d.]+) of 75 digits held out", done.stdout)]
    assert len(accuracies) == 2 and min(accuracies) > 0.4, "a guess has 0.1"
    assert "UserWarning" not in done.stderr and list(tmp_path.iterdir()) == []


#: A module that lies in a file of its own, sent to the workers; what they make of it, and of a word that it lacks.
SENT = """
import os, sys
import joblib
import numpy as np
from distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV
from nnkit.sklearn import NeuralClassifier

if __name__ == "__main__":
    local = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**local, silence_logs=60) as cluster, Client(cluster) as client:
        client.upload_file("parts/own.py")
        sys.path.insert(0, "parts")
        from own import Net
        X = np.random.default_rng(0).standard_normal((48, 4)).astype("f")
        model = NeuralClassifier(Net, max_epochs=2, random_state=0)
        search = GridSearchCV(model, {"lr": [0.1, 0.2]}, cv=2, error_score="raise")
        with joblib.parallel_config("dask"):
            search.fit(X, X[:, 0] > 0)
            found = search.cv_results_["mean_test_score"].tolist()
            try:
                search.set_params(param_grid={"module__widht": [3]}).fit(X, X[:, 0] > 0)
            except TypeError as error:
                print(error)
        alone = search.set_params(param_grid={"lr": [0.1, 0.2]}).fit(X, X[:, 0] > 0)
        print(found == alone.cv_results_["mean_test_score"].tolist())
"""
OWN = """
from nnkit import nn

class Net(nn.Module):
    def __init__(self, in_features, out_features, width=3):
        super().__init__()
        self.first, self.second = nn.Linear(in_features, width), nn.Linear(width, out_features)

    def forward(self, x):
        return self.second(self.first(x).tanh())
"""


def test_a_module_of_a_file_is_recorded_by_the_workers_and_their_errors_arrive(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "own.py").write_text(OWN)
    (tmp_path / "search.py").write_text(SENT)
    done = subprocess.run(
        [sys.executable, "search.py"],
        capture_output=True,
        text=True,
        timeout=HANG,
        cwd=tmp_path,
        check=False,
        env=os.environ | ENVIRONMENT,
    )
    assert done.stdout.splitlines() == [
        "module__widht is for a parameter 'widht', which Net lacks: did you mean module__width?", "True",
    ], done.stderr  # fmt: skip
    assert "cannot be replayed" not in done.stderr


def test_candidates_are_fitted_one_by_one_where_joblib_takes_them_elsewhere(client: Any) -> None:
    alone = tune.GridSearchCV(regressor(), RATES, cv=2).fit(X, Y)
    ours, theirs = (kind.GridSearchCV(regressor(), RATES, cv=2) for kind in (tune, sklearn.model_selection))
    with joblib.parallel_config("dask"):
        with pytest.warns(UserWarning, match="DaskDistributedBackend takes each fit to another process") as told:
            ours.fit(X, Y)
        theirs.fit(X, Y)
    assert (alone.n_together_, ours.n_together_) == (4, 0) and told[0].filename == __file__
    for search in (ours, theirs):
        np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_a_context_with_more_jobs_is_one_by_one_too() -> None:
    with joblib.parallel_config("threading", n_jobs=2):
        assert tune.GridSearchCV(regressor(), RATES, cv=2).fit(X, Y).n_together_ == 0
    with joblib.parallel_config("threading", n_jobs=1):
        assert tune.GridSearchCV(regressor(), RATES, cv=2).fit(X, Y).n_together_ == 4


def test_workers_of_dask_take_turns_on_a_gpu(client: Any) -> None:
    assert not turns._is_worker() and client.submit(turns._is_worker, pure=False).result()


@pytest.mark.parametrize(
    ("variables", "most"),
    [
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "1,4"}, 1),
        ({"OMP_NUM_THREADS": "99999"}, None),
        ({"OMP_NUM_THREADS": "many"}, None),
        ({"OMP_NUM_THREADS": "0"}, None),
        ({}, None),
        ({"NNKIT_NUM_THREADS": "3", "OMP_NUM_THREADS": "1"}, 3),
    ],
)
def test_threads_are_bounded_as_the_starter_of_a_process_says(
    variables: dict[str, str], most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NNKIT_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(threads._settings, "count", None)
    processors = threads.get_num_threads()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(threads._settings, "count", None)
    assert threads.get_num_threads() == (most or processors)
