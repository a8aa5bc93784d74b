"""``parallel="mpi"`` in Keras's and in scikit-learn's words: the numbers of one process, or a refusal by name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_parallel import needs_mpi, run

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import word_cases
from word_cases import CASES


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], str, Path]:
    """What each rank saw, what was printed, and the folder."""
    folder = tmp_path_factory.mktemp("words")
    done = run(request.param, folder, script=word_cases.__file__)
    assert done.returncode == 0, done.stderr[-4000:]
    found = [json.loads((folder / f"{request.param}-{rank}.json").read_text()) for rank in range(request.param)]
    return found, done.stdout, folder


@cache
def alone(name: str) -> dict[str, Any]:
    return CASES[name](None)


@needs_mpi
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", CASES)
def test_the_words_give_the_numbers_of_one_process(name: str, ranks: Any) -> None:
    found = [rank[name] for rank in ranks[0]]
    for other in found[1:]:
        assert other == found[0]
    expected = alone(name)
    assert found[0]["history"].keys() == expected["history"].keys()
    for key, values in expected["history"].items():
        np.testing.assert_allclose(found[0]["history"][key], values, rtol=5e-5, atol=2e-6, err_msg=key)
    for key in ("best", "iterations"):
        assert found[0].get(key) == expected.get(key)


@needs_mpi
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own step", "OwnStep has a train_step of its own"),
        ("validation", "validation_steps or validation_freq is given"),
        ("metrics", "it has metrics that do not add up over batches"),
        ("word", "unknown parallel 'mpj'"),
        ("data", "other data than rank 0: x holds other values"),
        ("lbfgs", "solver='lbfgs' looks at all samples at once"),
        ("own data", "The 'parallel' parameter of MLPClassifier must be None, 'mpi'"),
        ("estimator's data", "other data than rank 0: x holds other values"),
        ("settings", "other settings than rank 0: alpha is 1.0 beside 0.0"),
    ],
)
def test_what_cannot_be_divided_is_refused_by_name(name: str, message: str, ranks: Any) -> None:
    for rank in ranks[0]:
        assert message in rank["refusals"][name]


@needs_mpi
def test_all_draw_what_rank_0_draws(ranks: Any) -> None:
    for rank in ranks[0]:
        assert rank["unseeded"] == ranks[0][0]["unseeded"]


@needs_mpi
def test_keras_trains_on_rows_of_each_rank_s_own(ranks: Any) -> None:
    for rank in ranks[0]:
        for name, expected in rank["parts"]["expected"].items():
            for key in (name, f"val_{name}"):
                np.testing.assert_allclose(rank["parts"]["found"][key], [expected], rtol=1e-5, err_msg=key)


@needs_mpi
def test_rank_0_alone_speaks_and_writes_and_callbacks_of_ones_own_run_everywhere(ranks: Any) -> None:
    found, printed, folder = ranks
    assert all(rank["saved"] == {"seen": [0, 1]} for rank in found)
    assert printed.count("Epoch 1/2") == printed.count("Epoch 2: loss improved") == 1
    assert len((folder / "log.csv").read_text().split()) == 3 and (folder / "best.keras").exists()
    assert len(list((folder / "board" / "train").iterdir())) == 1 and not list((folder / "backup").iterdir())
    assert printed.count("early stopping") == 1 and printed.count("Iteration 1, loss") == 1
