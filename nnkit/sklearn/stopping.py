"""What an estimator notes after each epoch, and when its training ends: scikit-learn's rule, as a callback.

The best loss (or validation score) moves on any gain; epochs without a gain of ``tol`` or more are counted, and more
than ``n_iter_no_change`` of them end the training, or make an "adaptive" rate smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nnkit.sklearn.optimizers import Rate
from nnkit.training.callbacks import Callback, Logs
from nnkit.training.weights import WeightSnapshot

__all__ = ["Stopping"]


class Stopping(Callback):
    """Keeps ``n_iter_``, ``loss_``, ``loss_curve_`` and the like of ``estimator``, and ends its training.

    ``score`` (with early stopping) gives the validation score from the logs of an epoch; the weights of the best one
    are put back at the end. ``rows`` is how many samples an epoch has, ``converged`` whether the rule ended it.
    """

    def __init__(self, estimator: Any, rate: Rate, rows: int, score: Callable[[Logs], float] | None) -> None:
        self._of = estimator
        self._rate = rate
        self._rows = rows
        self._score = score
        self.converged = False
        self.diverged: str | None = None
        self._best: WeightSnapshot | None = None

    def on_train_begin(self) -> None:
        if self._score is not None:
            self._best = WeightSnapshot(self.model)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        of = self._of
        of.n_iter_ += 1
        of.t_ += self._rows
        of.loss_ = logs["loss"]
        of.loss_curve_.append(of.loss_)
        if of.verbose and self.trainer.speaks:
            print(f"Iteration {of.n_iter_}, loss = {of.loss_:.8f}")
        self._count(logs)
        self._rate.after_epoch(of.t_)
        if of._no_improvement_count > of.n_iter_no_change and self._ends():
            self.converged = self.trainer.stop_training = True

    def _ends(self) -> bool:
        of = self._of
        what = "Training loss" if self._score is None else "Validation score"
        message = f"{what} did not improve more than tol={of.tol:f} for {of.n_iter_no_change} consecutive epochs."
        ends = self._rate.ends(message, of.verbose and self.trainer.speaks)
        if not ends:
            of._no_improvement_count = 0
        return ends

    def _count(self, logs: Logs) -> None:
        """Move the best value, and count the epochs without a gain."""
        of = self._of
        if self._score is None:
            waits = of.loss_ > of.best_loss_ - of.tol
            of.best_loss_ = min(of.best_loss_, of.loss_)
        else:
            score = self._score(logs)
            self._note(score)
            waits = score < of.best_validation_score_ + of.tol
            if score > of.best_validation_score_:
                of.best_validation_score_ = score
                assert self._best is not None
                self._best.take()
        of._no_improvement_count = of._no_improvement_count + 1 if waits else 0

    def _note(self, score: float) -> None:
        self._of.validation_scores_.append(score)
        self.trainer.history.history.setdefault("validation_score", []).append(score)
        if self._of.verbose and self.trainer.speaks:
            print(f"Validation score: {score:f}")

    def on_divergence(self, message: str) -> bool:
        """With early stopping it ends with the best weights and a score of NaN; else it is an error."""
        self.diverged = message
        if self._score is not None:
            self._of.n_iter_ += 1
            self._note(math.nan)
        return self._score is not None

    def on_train_end(self) -> None:
        if self._best is not None:
            self._best.restore()
