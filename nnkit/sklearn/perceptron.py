"""Multi-layer perceptrons as scikit-learn estimators, with the arguments of ``sklearn.neural_network``.

The network is a row of ``nn.Linear`` with activations, trained by ``nnkit.training``. The L2 penalty is, as there,
``alpha / 2`` times the sum of the squared weights over the batch size. Not there is ``device``; not here are the
solver "lbfgs", learning-rate schedules, warm starts and several labels per sample.
"""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from nnkit import nn, optim, random, training
from nnkit.creation import as_tensor
from nnkit.errors import UnknownNameError
from nnkit.nn import functional
from nnkit.sklearn.losses import half_squared_error
from nnkit.training.inputs import positive_integer

__all__ = ["MLPClassifier", "MLPRegressor"]

FLOATS = [np.float64, np.float32]
#: scikit-learn's names of activations, where they differ.
ACTIVATIONS = {"logistic": "sigmoid"}


class _Perceptron(BaseEstimator):
    """What the two estimators share: the network, the solver, and when to stop."""

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        device: str | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.device = device

    def _train(self, X: np.ndarray, y: np.ndarray, outputs: int, loss: Any, score: str, classes: Any) -> None:
        """Build the network and fit it; ``classes`` (n_samples,) keeps a validation part in proportion."""
        generator = check_random_state(self.random_state)
        validation = None
        if self.early_stopping:
            X, X_val, y, y_val = train_test_split(
                X, y, test_size=self.validation_fraction, random_state=generator, stratify=classes
            )
            validation = (X_val, y_val)
        size = min(len(X), 200 if self.batch_size == "auto" else positive_integer(self.batch_size, "batch_size"))
        stop = self._stop(score)
        with random.using(random.Generator(int(generator.randint(2**31)))):
            self.module_ = self._network(X.shape[1], outputs, size, X.dtype)
            record = training.fit(
                self.module_,
                X,
                y,
                loss=loss,
                optimizer=self._optimizer(),
                epochs=self.max_iter,
                batch_size=size,
                validation_data=validation,
                metrics=[score] if self.early_stopping else [],
                callbacks=[stop],
                shuffle=self.shuffle,
                verbose=2 if self.verbose else 0,
            )
        self._note(record, stop, score)

    def _network(self, inputs: int, outputs: int, batch_size: int, dtype: Any) -> nn.Sequential:
        sizes = [inputs, *np.atleast_1d(self.hidden_layer_sizes).tolist(), outputs]
        activation = ACTIVATIONS.get(self.activation, self.activation)
        layers = []
        for position, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            layer = nn.Linear(
                fan_in,
                fan_out,
                device=self.device,
                dtype=dtype,
                activation=activation if position < len(sizes) - 2 else None,
                l2=self.alpha / (2 * batch_size),
            )
            bound = math.sqrt((2.0 if activation == "sigmoid" else 6.0) / (fan_in + fan_out))
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound)
            layers.append(layer)
        return nn.Sequential(layers)

    def _optimizer(self) -> optim.Optimizer:
        parameters, rate = self.module_.parameters(), self.learning_rate_init
        if self.solver == "adam":
            return optim.Adam(parameters, rate, (self.beta_1, self.beta_2), self.epsilon)
        if self.solver == "sgd":
            nesterov = bool(self.nesterovs_momentum and self.momentum > 0)
            return optim.SGD(parameters, rate, momentum=self.momentum, nesterov=nesterov)
        raise UnknownNameError("solver", self.solver, ["adam", "sgd"])

    def _stop(self, score: str) -> training.EarlyStopping:
        monitor, mode = (f"val_{score}", "max") if self.early_stopping else ("loss", "min")
        return training.EarlyStopping(
            monitor, self.tol, self.n_iter_no_change + 1, mode, restore_best_weights=self.early_stopping
        )

    def _note(self, record: training.History, stop: training.EarlyStopping, score: str) -> None:
        """Set the attributes of a fitted estimator."""
        self.coefs_ = [np.array(layer.weight.detach().numpy().T) for layer in self.module_]
        self.intercepts_ = [np.array(layer.bias.detach().numpy()) for layer in self.module_]
        self.loss_curve_ = record.history["loss"]
        self.loss_, self.best_loss_ = self.loss_curve_[-1], min(self.loss_curve_)
        self.n_iter_ = len(self.loss_curve_)
        self.n_layers_, self.n_outputs_ = len(self.module_) + 1, self.coefs_[-1].shape[1]
        if self.early_stopping:
            self.validation_scores_ = record.history[f"val_{score}"]
            self.best_validation_score_ = stop.best
        if stop.stopped_epoch is None:
            warnings.warn(
                f"the training ended after max_iter={self.max_iter} epochs and was still improving; raise max_iter",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        return training.predict(self.module_, X, batch_size=max(1, min(4096, len(X))))


class MLPClassifier(ClassifierMixin, _Perceptron):
    """A multi-layer perceptron that learns classes by their cross-entropy.

    Args:
        hidden_layer_sizes: the number of units of each hidden layer.
        activation: "relu", "tanh", "logistic", "identity", or another activation of nnkit.
        solver: "adam" or "sgd".
        alpha: the strength of the L2 penalty.
        batch_size: "auto" is 200, or all samples if there are fewer.
        learning_rate_init: the learning rate.
        max_iter: the largest number of epochs.
        shuffle: whether to draw a new order of the samples for each epoch.
        random_state: an int makes weights, order and split repeatable.
        tol, n_iter_no_change: training ends when the loss (with ``early_stopping`` the validation accuracy) has not
            improved by ``tol`` for more than ``n_iter_no_change`` epochs.
        verbose: whether to print a line per epoch.
        momentum, nesterovs_momentum: for "sgd".
        early_stopping: whether to hold out ``validation_fraction`` of the samples, and keep the best weights.
        beta_1, beta_2, epsilon: for "adam".
        device: where to train and predict: "cpu", "cuda", …; None for nnkit's default device.

    Attributes:
        classes_, n_features_in_, coefs_, intercepts_, loss_curve_, loss_, best_loss_, n_iter_, n_layers_,
        n_outputs_; with ``early_stopping`` validation_scores_ and best_validation_score_.

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> model = MLPClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0).fit(X, X[:, 0] > 0)
    >>> model.predict([[-0.5], [0.5]])
    array([False,  True])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to ``X`` (n_samples, n_features) and the class of each sample, ``y`` (n_samples,)."""
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        self.classes_, labels = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        count = len(self.classes_)
        if count < 2:
            raise ValueError(f"MLPClassifier needs samples of 2 classes or more; y holds one class: {self.classes_[0]}")
        if count == 2:
            self._train(X, labels.reshape(-1, 1), 1, "bce_with_logits", "accuracy", labels)
        else:
            self._train(X, labels, count, "cross_entropy", "accuracy", labels)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (n_samples, n_classes), in the order of ``classes_``."""
        scores = as_tensor(self._outputs(X), device="cpu")
        if len(self.classes_) > 2:
            return functional.softmax(scores, 1).numpy()
        positive = functional.sigmoid(scores).numpy()
        return np.hstack([1 - positive, positive])

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of :meth:`predict_proba`."""
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each sample (n_samples,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class MLPRegressor(RegressorMixin, _Perceptron):
    """A multi-layer perceptron that learns numbers by half their squared error.

    Arguments and attributes are those of :class:`MLPClassifier`, without classes; ``early_stopping`` goes by R².
    The loss of a sample with several outputs is the sum over them, which is what scikit-learn trains (and reports the
    mean of).

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> model = MLPRegressor((8,), learning_rate_init=0.05, tol=1e-3, random_state=0).fit(X, X[:, 0] ** 2)
    >>> model.score(X, X[:, 0] ** 2) > 0.9
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to ``X`` (n_samples, n_features) and ``y`` (n_samples,) or (n_samples, n_outputs)."""
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._is_column = y.ndim == 1
        targets = y.reshape(len(y), -1)
        self._train(X, targets, targets.shape[1], half_squared_error, "r2", None)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The values (n_samples,) or (n_samples, n_outputs) for ``X`` (n_samples, n_features)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self._is_column else outputs
