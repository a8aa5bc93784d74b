"""scikit-learn's searches, whose fits of one shape are trained together: nnkit's NeuralClassifier and NeuralRegressor.

Before the candidates of a search are evaluated, all their fits (each candidate on each fold) are prepared; those of
one shape with as many rows are trained by one program, and each ``fit`` that scikit-learn calls picks up its own. So
scores, refitting and ``cv_results_`` are scikit-learn's.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import joblib
import numpy as np
import sklearn.model_selection
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from nnkit.backends.recording import CannotCopy
from nnkit.sklearn.neural import Job, Neural
from nnkit.sklearn.prepared import Fitted, key_of, prepared
from nnkit.tensors.random import using
from nnkit.tune.common import Common
from nnkit.tune.networks import Network, plain_settings, shape_of
from nnkit.tune.together import Together

__all__ = ["GridSearchCV", "RandomizedSearchCV"]


class Trial(NamedTuple):
    """A candidate on a fold, about to be trained."""

    number: int  # of the candidate
    key: Hashable
    estimator: Neural
    job: Job
    rows: np.ndarray
    given: tuple[Any, Any]  # X and y as the search has them


class Data:
    """Rows and targets as estimators have encoded them, put together again from what each fold has of them."""

    def __init__(self, count: int, job: Job) -> None:
        self.x, self.y = (np.zeros((count, *part.shape[1:]), part.dtype) for part in (job.samples.X, job.samples.y))
        self._known = np.zeros(count, bool)

    def takes(self, job: Job, rows: np.ndarray) -> bool:
        """Add the rows of a fold; False where it has encoded any of them otherwise."""
        x, y, known = job.samples.X, job.samples.y, self._known[rows]
        alike = x.dtype == self.x.dtype and y.dtype == self.y.dtype and x.shape[1:] == self.x.shape[1:]
        alike = alike and y.shape[1:] == self.y.shape[1:]
        if not alike or not np.array_equal(self.x[rows][known], x[known]):
            return False
        if not np.array_equal(self.y[rows][known], y[known]):
            return False
        self.x[rows], self.y[rows], self._known[rows] = x, y, True
        return True


class Searching:
    """What both searches share."""

    estimator: Any
    n_jobs: Any
    n_splits_: int
    cv_results_: dict[str, Any]
    _checked_cv_orig: Any

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Run fit with all sets of parameters, as scikit-learn's; ``n_together_`` is how many were trained together."""
        taken_by = _taken_by()
        if taken_by and isinstance(_last(self.estimator), Neural):
            warnings.warn(
                f"joblib's {taken_by} takes each fit to another process, and several are trained together in one only: "
                "they are made one by one, with the same scores. Leave it out for small networks",
                stacklevel=2,
            )
        self.n_together_, self._given = 0, (X, y, params)
        self._seconds: list[float] = []
        try:
            super().fit(X, y, **params)  # type: ignore[misc]
        finally:
            seconds = np.array(self._seconds)
            del self._given, self._seconds
        if len(seconds) == len(self.cv_results_["mean_fit_time"]):
            self.cv_results_["mean_fit_time"] += seconds / self.n_splits_
        return self

    def _run_search(self, evaluate_candidates: Any, *, callback_ctx: Any = None) -> None:
        def evaluate(candidates: Iterable[Mapping[str, Any]], cv: Any = None, *more: Any, **further: Any) -> Any:
            X, y, params = self._given
            listed = list(candidates)
            splits = list((cv or self._checked_cv_orig).split(X, y, params.get("groups")))
            with prepared(self._prepared(listed, splits)):
                return evaluate_candidates(listed, _Splits(splits), *more, **further)

        search = super()._run_search  # type: ignore[misc]
        if "callback_ctx" in inspect.signature(search).parameters:
            search(evaluate, callback_ctx=callback_ctx)
        else:
            search(evaluate)

    def _prepared(self, candidates: Sequence[Mapping[str, Any]], splits: Sequence[Any]) -> dict[Hashable, Fitted]:
        """The fits that can be made together."""
        _, y, params = self._given
        seconds = np.zeros(len(candidates))
        fits: dict[Hashable, Fitted] = {}
        simple = y is not None and isinstance(_last(self.estimator), Neural) and not params.keys() - {"groups"}
        if simple and _taken_by() is None and joblib.effective_n_jobs(self.n_jobs) == 1:
            for trials, data in _groups(self._trials(candidates, splits), len(y)):
                begin = time.perf_counter()
                made = _trained(trials, data)
                fits |= made
                for trial in trials if made else ():
                    seconds[trial.number] += (time.perf_counter() - begin) / len(trials)
        self._seconds += seconds.tolist()
        self.n_together_ += len(fits)
        return fits

    def _trials(self, candidates: Sequence[Mapping[str, Any]], splits: Sequence[Any]) -> Iterator[Trial]:
        X, y, _ = self._given
        y = np.asarray(y)
        for number, candidate in enumerate(candidates):
            for train, _ in splits:
                rows = np.flatnonzero(train) if np.asarray(train).dtype == np.bool_ else np.asarray(train)
                try:
                    estimator = clone(self.estimator).set_params(**clone(dict(candidate), safe=False))
                    if _is_simple(_last(estimator)):
                        yield _trial(number, estimator, X, y, rows)
                except Exception:  # scikit-learn makes the same fit, and says what is wrong
                    continue


class GridSearchCV(Searching, sklearn.model_selection.GridSearchCV):
    """scikit-learn's GridSearchCV, with fits of one shape trained together; parameters and attributes are its own.

    That concerns a NeuralClassifier or NeuralRegressor with an int as ``random_state``, without callbacks, held-out
    share, weights or a GPU, over an array X or at the end of a pipeline, where joblib runs one job: candidates that
    differ in rates, decays, dropouts, seeds, on folds with as many rows (behind a pipeline's scaler, of one fold). All
    others are fitted one by one. Each result is what scikit-learn's gives, to the bit on the same device.
    ``n_together_`` says how many fits there were; ``mean_fit_time`` shares their time out evenly.

    Raises what scikit-learn's raises. X is (n, features), of any dtype of numbers.

    >>> import numpy as np, nnkit
    >>> from nnkit.sklearn import NeuralRegressor
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> model = NeuralRegressor(nnkit.nn.Linear, max_epochs=20, random_state=0)
    >>> search = nnkit.tune.GridSearchCV(model, {"lr": [0.001, 0.01, 0.1]}, cv=4).fit(X, 2.0 * X[:, 0])
    >>> search.best_params_, search.n_together_
    ({'lr': 0.1}, 12)
    """


class RandomizedSearchCV(Searching, sklearn.model_selection.RandomizedSearchCV):
    """scikit-learn's RandomizedSearchCV, with fits of one shape trained together: see ``GridSearchCV``.

    X is (n, features), of any dtype of numbers. Raises what scikit-learn's raises.

    >>> import numpy as np, nnkit
    >>> from nnkit.sklearn import NeuralRegressor
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> model = NeuralRegressor(nnkit.nn.Linear, max_epochs=20, random_state=0)
    >>> rates = {"lr": [0.001, 0.01, 0.1]}
    >>> search = nnkit.tune.RandomizedSearchCV(model, rates, n_iter=2, cv=4, random_state=0).fit(X, 2.0 * X[:, 0])
    >>> search.n_together_
    8
    """


def _taken_by() -> str | None:
    """The joblib backend, such as Dask's, that takes fits to other processes whatever ``n_jobs`` is; None for joblib's
    own."""
    backend, _ = joblib.parallel.get_active_backend()
    kind = type(backend)
    return None if kind.__module__ == "joblib._parallel_backends" else kind.__name__


class _Splits:
    """Folds that are drawn already."""

    def __init__(self, splits: Sequence[Any]) -> None:
        self._splits = splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Sequence[Any]:
        """The same whatever it is asked for."""
        return self._splits


def _last(estimator: Any) -> Any:
    """The estimator itself, or the last step of a pipeline."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def _trial(number: int, estimator: Any, X: Any, y: np.ndarray, rows: np.ndarray) -> Trial:
    """A fold of a candidate; in a pipeline, what stands before the network is fitted, and makes its rows."""
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        made = np.asarray(estimator[:-1].fit_transform(_safe_indexing(X, rows), y[rows]))
        X = np.zeros((len(y), *made.shape[1:]), made.dtype)
        X[rows] = made
    network = _last(estimator)
    key = key_of(network, X[rows], y[rows])
    return Trial(number, key, network, _job(network, (X, y), rows), rows, (X, y))


def _is_simple(estimator: Neural) -> bool:
    """Whether its fit is nothing but a training over rows of the data."""
    seeded = isinstance(estimator.random_state, (int, np.integer))
    plain = (
        not estimator.callbacks and estimator.train_split is None and estimator.precision is estimator.parallel is None
    )
    return seeded and plain and not estimator.warm_start and not estimator.verbose


def _job(estimator: Neural, given: tuple[Any, Any], rows: np.ndarray) -> Job:
    X, y = given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to warn of comes again, or was said by the fit
        estimator.__dict__.pop("classes_", None)
        return estimator._prepare(X[rows], y[rows], None, None, estimator.max_epochs, True)


def _network(trial: Trial) -> Network:
    assert trial.job.stream is not None
    seed, draw = trial.job.stream.host_state()
    return Network({}, trial.estimator.module_, trial.estimator.optimizer_, seed, draw, trial.job.stream)


def _groups(trials: Iterable[Trial], count: int) -> list[tuple[list[Trial], Data]]:
    """The trials that one program may train, with their data."""
    groups: dict[Hashable, list[tuple[list[Trial], Data]]] = {}
    for trial in trials:
        estimator, job = trial.estimator, trial.job
        if trial.key is None or job.samples.weight is not None:
            continue
        loss = type(estimator.criterion_), plain_settings(estimator.criterion_)
        metrics = repr(estimator.metrics)
        same = job.epochs, job.batch_size, len(trial.rows), estimator.shuffle, metrics, shape_of(_network(trial)), loss
        known = groups.setdefault(same, [])
        for members, data in known:
            if data.takes(job, trial.rows):
                members.append(trial)
                break
        else:
            data = Data(count, job)
            data.takes(job, trial.rows)
            known.append(([trial], data))
    return [group for known in groups.values() for group in known if len(group[0]) > 1]


def _trained(trials: Sequence[Trial], data: Data) -> dict[Hashable, Fitted]:
    """Their fits; none where one program cannot make them."""
    first = trials[0]
    template = clone(first.estimator)
    common = Common(
        data.x, data.y, first.estimator.criterion_, first.job.epochs, first.job.batch_size, None, 0.0,
        list(first.estimator.metrics or ()), (), None, None, first.estimator.shuffle, None, None,
    )  # fmt: skip
    try:
        job = _job(template, first.given, first.rows)
        like = first._replace(estimator=template, job=job)
        with using(job.stream):
            together = Together(_network(like), common, [_network(t) for t in trials], [t.rows for t in trials])
    except CannotCopy:
        return {}
    fits = {}
    for trial, run in zip(trials, together.run(), strict=True):
        trial.estimator.history_, trial.estimator.n_iter_ = run.history, len(run.history.epoch)
        fits[trial.key] = Fitted(trial.estimator, run.error)
    return fits
