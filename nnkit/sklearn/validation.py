"""What early stopping looks at: a share of the samples, a splitter's first split or the caller's own; its score."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import train_test_split

from nnkit.errors import UnknownNameError
from nnkit.sklearn.parameters import ParameterError
from nnkit.training import metrics
from nnkit.training.callbacks import Logs, Monitor

__all__ = ["Samples", "score_of", "split", "take_rows"]

#: Names of losses among what ``scoring`` may be.
LOSS = "loss"


@dataclass(frozen=True)
class Samples:
    """Inputs, encoded targets and weights (None where all weigh the same), and the targets as they were given."""

    X: Any
    y: np.ndarray
    weight: np.ndarray | None
    given: Any = None

    def take(self, rows: np.ndarray) -> Samples:
        """Some of the samples."""
        weight = None if self.weight is None else self.weight[rows]
        given = None if self.given is None else take_rows(self.given, rows)
        return Samples(self.X[rows], self.y[rows], weight, given)


def take_rows(values: Any, rows: np.ndarray) -> Any:
    """Rows of an array or of a sparse matrix."""
    return values.tocsr()[rows] if hasattr(values, "tocsr") else values[rows]


def split(
    samples: Samples, settings: Any, generator: np.random.RandomState, stratify: np.ndarray | None
) -> tuple[Samples, Samples]:
    """The samples to train on and those to validate on: the splitter's first split, or a share drawn as there.

    A share of less than two samples is two, where as many are left. Raises ValueError where they are not.
    """
    count = samples.X.shape[0]
    if settings.validation_splitter is not None:
        splitter = settings.validation_splitter
        if not hasattr(splitter, "split"):
            raise ParameterError(
                "The 'validation_splitter' parameter must be None or have a method split(X, y), as scikit-learn's "
                f"KFold and ShuffleSplit have. Got {splitter!r} instead."
            )
        rows = next(iter(splitter.split(np.zeros((count, 1)), samples.given)))
    else:
        share = settings.validation_fraction
        if 0 < share * count <= 1 and count >= 4:
            share = 2
        rows = train_test_split(np.arange(count), random_state=generator, test_size=share, stratify=stratify)
    first, second = map(np.asarray, rows)
    if len(second) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    return samples.take(first), samples.take(second)


def is_own_metric(scoring: Any) -> bool:
    """Whether ``scoring`` is for nnkit to compute: its loss or a metric that only nnkit knows by that name."""
    if isinstance(scoring, metrics.Metric):
        return True
    if not isinstance(scoring, str) or scoring in get_scorer_names():
        return False
    return scoring == LOSS or scoring in metrics.NAMES


def score_of(estimator: Any, held: Samples) -> Callable[[Logs], float]:
    """The validation score of an epoch, larger is better: by ``scoring``, or accuracy and R² without one.

    ``scoring``: a scorer of scikit-learn by name, a function (estimator, X, y), or "loss", or a metric of nnkit.
    """
    scoring = estimator.scoring
    if scoring is None:
        return lambda logs: estimator._score(held)
    if is_own_metric(scoring):
        name = scoring if isinstance(scoring, str) else scoring.name
        sign = Monitor(name).sign
        return lambda logs: sign * logs[f"val_{name}"]
    if isinstance(scoring, str) and scoring not in get_scorer_names():
        raise UnknownNameError("scoring", scoring, [*get_scorer_names(), LOSS, *metrics.NAMES])
    scorer = get_scorer(scoring)
    options = {} if held.weight is None else {"sample_weight": held.weight}
    nameless = copy.copy(estimator)  # of the same module; the rows are an array by now, without names
    vars(nameless).pop("feature_names_in_", None)
    return lambda logs: float(scorer(nameless, held.X, held.given, **options))
