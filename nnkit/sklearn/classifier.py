"""The perceptron that learns classes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from nnkit.parallel import MPI
from nnkit.sklearn.losses import loss_of, takes_labels
from nnkit.sklearn.multilayer import FLOATS, SPARSE, Perceptron, stochastic
from nnkit.sklearn.parameters import ParameterError
from nnkit.sklearn.validation import Samples

__all__ = ["MLPClassifier", "probabilities"]


class MLPClassifier(ClassifierMixin, Perceptron):
    """A multi-layer perceptron that learns classes, with the parameters and numbers of scikit-learn's MLPClassifier.

    From the same ``random_state`` come the same initial weights and the same batches as there, and so, but for
    rounding, the same weights.

    Args:
        hidden_layer_sizes: the number of units of each hidden layer.
        activation: "relu", "tanh", "logistic", "identity", another activation of nnkit by name, or a Module; or a list
            of these, one for each hidden layer.
        solver: "adam", "sgd" or "lbfgs"; another optimizer of nnkit by name ("adamw", "rmsprop", ...), or a function
            (parameters, lr=...) -> Optimizer. "lbfgs" is SciPy's: all samples at once, in float64.
        alpha: the strength of the L2 penalty: ``alpha / 2 * sum(w ** 2)`` over the samples of a batch.
        batch_size: "auto" is 200, or all samples if there are fewer.
        learning_rate: "constant"; "invscaling", ``learning_rate_init / (samples so far + 1) ** power_t`` after each
            epoch; "adaptive", a fifth whenever training would stop, until 1e-6. Not for "adam".
        learning_rate_init, power_t: see there.
        max_iter: the largest number of epochs; of "lbfgs" of iterations.
        shuffle: whether to draw a new order of the samples for each epoch.
        random_state: an int or RandomState makes weights, order and split repeatable.
        tol, n_iter_no_change: training ends when the loss (with ``early_stopping`` the validation score) has not
            improved by ``tol`` for more than ``n_iter_no_change`` epochs; of "lbfgs" when no slope is above ``tol``.
        verbose: whether to print a line for each epoch.
        warm_start: whether ``fit`` goes on with the weights that it finds.
        momentum, nesterovs_momentum: for "sgd".
        early_stopping: whether to hold out ``validation_fraction`` of the samples (of two classes in proportion), stop
            by their score and put back the best weights. Not for "lbfgs".
        beta_1, beta_2, epsilon: for "adam".
        max_fun: the most evaluations of the loss by "lbfgs".
        loss: "log_loss", or a loss of nnkit by name, a Module or a function (scores, targets) -> scalar Tensor.
        class_weight: {class: weight} or "balanced", times ``sample_weight``.
        dropout: the share of hidden units that are dropped while training; a list gives one for each hidden layer.
        batch_norm: whether each hidden layer is normalized over the batch, before its activation.
        solver_params: further options of an optimizer that is not scikit-learn's, {name: value}.
        validation_splitter: a splitter of scikit-learn (``StratifiedShuffleSplit(1)``), whose first split is held out
            instead of ``validation_fraction``.
        scoring: what early stopping goes by: None for the accuracy, the name of a scorer ("roc_auc"), a function
            (estimator, X, y), "loss", or a metric of nnkit.
        metrics: further metrics of nnkit, noted in ``history_``.
        callbacks: a list of ``nnkit.training.Callback``.
        device: where to train and predict: "cpu", "cuda", …; None for nnkit's default device.
        precision: "bfloat16" or "float16" for products in that type.
        parallel: "mpi" or an ``nnkit.parallel.MPI``: fit on all processes that ``mpiexec`` started, each given the same
            samples; not for "lbfgs".

    Attributes:
        classes_, n_features_in_, feature_names_in_, coefs_, intercepts_, out_activation_, n_layers_, n_outputs_,
        n_iter_, loss_; but for "lbfgs" t_, loss_curve_, best_loss_, validation_scores_, best_validation_score_ (None
        where they do not apply), and ``history_``, nnkit's History of the last call. ``module_`` is the network, whose
        outputs are the scores before ``out_activation_``; ``coefs_`` share its memory on a CPU.

    Raises ParameterError for a parameter out of range, and as scikit-learn does ValueError for data that do not fit,
    NotFittedError before ``fit``. Source: ``sklearn.neural_network.MLPClassifier``.

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> model = MLPClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0).fit(X, X[:, 0] > 0)
    >>> model.predict([[-0.5], [0.5]])
    array([False,  True])
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: Any = "log_loss",
        class_weight: Any = None,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        solver_params: Any = None,
        validation_splitter: Any = None,
        scoring: Any = None,
        metrics: Any = None,
        callbacks: Any = None,
        device: str | None = None,
        precision: str | None = None,
        parallel: str | MPI | None = None,
    ) -> None:
        self._set(locals())

    # ---- targets ------------------------------------------------------------------------------------------

    def _encoded(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray, Any]:
        X, y = validate_data(self, X, y, accept_sparse=SPARSE, multi_output=True, dtype=FLOATS, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._learn_classes(y)
        else:
            self._check_classes(y)
        labelled = takes_labels(self._loss_function())
        if labelled and self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError(
                f"loss={self.loss!r} is for one class of each sample, and y has several labels: use loss='log_loss'"
            )
        self.n_outputs_ = len(self.classes_) if not self._is_binary() else 2 if labelled else 1
        if labelled:
            return X, np.searchsorted(self.classes_, y), y
        return X, self._label_binarizer.transform(y).reshape(len(X) if isinstance(X, np.ndarray) else X.shape[0], -1), y

    def _learn_classes(self, y: Any) -> None:
        check_classification_targets(y)
        self._label_binarizer = LabelBinarizer().fit(y)
        self.classes_ = self._label_binarizer.classes_

    def _is_binary(self) -> bool:
        return not self._label_binarizer.y_type_.startswith("multi") and len(self.classes_) <= 2

    def _check_classes(self, y: Any) -> None:
        """Raise ValueError where y does not fit the classes of the calls before."""
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _loss_function(self) -> Any:
        return loss_of(self.loss, self._label_binarizer.y_type_ == "multiclass")

    def _out_activation(self) -> str:
        several = self._label_binarizer.y_type_ == "multiclass" or takes_labels(self._loss_function())
        return "softmax" if several else "logistic"

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return y.reshape(-1, 1).astype(bool) if self._is_binary() else None

    def _class_weights(self, y: Any, incremental: bool) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all samples at once, and partial_fit sees some: give "
                "a dict {class: weight}, which sklearn.utils.class_weight.compute_class_weight makes"
            )
        if not isinstance(self.class_weight, (str, dict, list)):
            raise ParameterError(
                "The 'class_weight' parameter of MLPClassifier must be None, 'balanced' or a dict {class: weight}. Got "
                f"{self.class_weight!r} instead."
            )
        return compute_sample_weight(self.class_weight, y)

    def _score(self, held: Samples) -> float:
        """The accuracy; all outputs of a sample must be right. NaN where the outputs are not finite.

        With ``class_weight`` the weighted log-likelihood: among classes that weigh very little, and those that weigh
        much, few decisions count, and the accuracy soon has nothing to say.
        """
        scores = self._raw(held.X)
        if not np.isfinite(scores).all():
            return float("nan")
        if self.class_weight is not None:
            return float(np.average(self._log_likelihood(scores, held.y), weights=held.weight))
        if self.out_activation_ == "softmax":
            labels = held.y if held.y.ndim == 1 else held.y.argmax(axis=1)
            right = scores.argmax(axis=1) == labels
        else:
            right = ((scores > 0) == (held.y > 0.5)).all(axis=1)
        return float(np.average(right, weights=held.weight))

    def _log_likelihood(self, scores: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of each sample (n,), its outputs together."""
        chances = probabilities(scores, self.out_activation_)
        chances = np.clip(chances, np.finfo(chances.dtype).tiny, None)
        if self.out_activation_ == "softmax":
            labels = y if y.ndim == 1 else y.argmax(axis=1)
            return np.log(chances[np.arange(len(labels)), labels])
        return np.log(np.where(y > 0.5, chances, 1 - chances)).sum(axis=1)

    # ---- the public face ----------------------------------------------------------------------------------

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:  # fmt: skip
        """Fit to ``X`` (n_samples, n_features), dense or sparse, and classes ``y``.

        ``y`` is (n_samples,) for one class of each sample, or (n_samples, n_labels) of 0 and 1 for several labels.
        ``sample_weight`` (n_samples,). With ``X_val``, ``y_val`` early stopping looks at these samples; without
        ``early_stopping`` their loss and metrics are noted in ``history_``.
        """
        own = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, own)

    @stochastic
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """One epoch over these samples; ``classes`` are all that will come, and needed by the first call."""
        self._check()
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None and hasattr(self, "classes_"):
            if not np.array_equal(self.classes_, unique_labels(classes)):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
                )
        elif classes is not None:
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if several else unique_labels(classes))
            self.classes_ = self._label_binarizer.classes_
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each sample (n_samples,), or its labels (n_samples, n_labels)."""
        outputs = self._outputs(X)
        if self.out_activation_ == "softmax":
            return self.classes_.take(outputs.argmax(axis=1), mode="clip")
        chances = probabilities(outputs, "logistic")
        return self._label_binarizer.inverse_transform(chances.ravel() if self.n_outputs_ == 1 else chances)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (n_samples, n_classes), in the order of ``classes_``; or of each label."""
        check_is_fitted(self)
        chances = probabilities(self._outputs(X), self.out_activation_)
        return np.hstack([1 - chances, chances]) if self.n_outputs_ == 1 else chances

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.loss not in ("cross_entropy", "nll") and not takes_labels(self.loss)
        return tags


def probabilities(scores: np.ndarray, activation: str) -> np.ndarray:
    """The probabilities of scores (n, outputs): "softmax" over each row, or "logistic" of each, never 0 or 1 itself.

    >>> probabilities(np.zeros((1, 4)), "softmax").tolist(), probabilities(np.zeros((1, 1)), "logistic").tolist()
    ([[0.25, 0.25, 0.25, 0.25]], [[0.5]])
    """
    if activation == "logistic":
        limits = np.finfo(scores.dtype)
        return np.clip(expit(scores), limits.tiny, 1 - limits.epsneg)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
