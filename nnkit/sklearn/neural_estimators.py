"""NeuralClassifier, NeuralRegressor and NeuralTransformer: any Module in pipelines, searches, cross-validation."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.special import expit
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from nnkit import nn
from nnkit.errors import UnknownNameError
from nnkit.parallel import MPI
from nnkit.sklearn.classifier import probabilities
from nnkit.sklearn.losses import takes_labels
from nnkit.sklearn.multilayer import FLOATS
from nnkit.sklearn.neural import Neural
from nnkit.sklearn.parameters import ParameterError
from nnkit.sklearn.validation import Samples
from nnkit.tensors.creation import as_tensor
from nnkit.training.home import home
from nnkit.training.modes import evaluating

__all__ = ["NeuralClassifier", "NeuralRegressor", "NeuralTransformer"]

#: Rows that ``part_outputs`` looks at together.
ROWS = 4096


class NeuralClassifier(ClassifierMixin, Neural):
    """A classifier of any Module, in skorch's words.

    Args:
        module: a Module's class or a function that makes one, called with the ``module__name`` parameters; where it has
            parameters ``in_features`` and ``out_features`` they are set from the data. Or an instance, which is copied.
        criterion: a loss by name, a Module or a class: "cross_entropy" of one score for each class; "bce_with_logits"
            of one score for two classes, or of one for each label.
        optimizer: a name, a class or a function (parameters, lr=...) -> Optimizer.
        lr, max_epochs, batch_size, shuffle: the learning rate, the epochs of a ``fit``, and its batches.
        train_split: None, or what is held out for validation, noted as "val_loss" and so on: a share, drawn in
            proportion to the classes, or a splitter of scikit-learn.
        callbacks, metrics: lists for ``nnkit.fit``: ``[nnkit.training.EarlyStopping("val_loss", patience=5)]``.
        class_weight: {class: weight} or "balanced".
        warm_start: whether ``fit`` goes on with the weights that it finds.
        random_state: an int makes the weights and the order repeatable.
        verbose, device, precision, parallel: as in ``nnkit.fit`` and ``Module.to``.
        further: ``module__name``, ``optimizer__name`` and ``criterion__name``, each for that part's constructor.

    Attributes:
        module_, criterion_, optimizer_, history_, n_iter_, classes_, n_features_in_, feature_names_in_.

    float64 data make a float64 module, float32 data a float32 one.

    X is (n, …), y has shape (n,) or (n, labels). Raises ValueError for data that do not fit, NotFittedError before
    ``fit``. Source: skorch's ``NeuralNetClassifier``; scikit-learn's conventions.

    >>> import numpy as np, nnkit
    >>> class Net(nnkit.nn.Module):
    ...     def __init__(self, in_features, out_features, width=4):
    ...         super().__init__()
    ...         self.layers = nnkit.nn.Sequential(
    ...             nnkit.nn.Linear(in_features, width, activation="tanh"), nnkit.nn.Linear(width, out_features))
    ...     def forward(self, x): return self.layers(x)
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> model = NeuralClassifier(Net, module__width=8, lr=0.1, max_epochs=60, random_state=0).fit(X, X[:, 0] > 0)
    >>> model.predict([[-0.5], [0.5]])
    array([False,  True])
    """

    def __init__(
        self,
        module: Any,
        *,
        criterion: Any = "cross_entropy",
        optimizer: Any = "adam",
        lr: float = 0.001,
        max_epochs: int = 10,
        batch_size: int = 128,
        train_split: Any = None,
        shuffle: bool = True,
        callbacks: Any = None,
        metrics: Any = None,
        class_weight: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int | str = 0,
        device: str | None = None,
        precision: str | None = None,
        parallel: str | MPI | None = None,
        **further: Any,
    ) -> None:
        self._set(locals(), further)

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:  # fmt: skip
        """Fit to ``X`` (n_samples, ...) and classes ``y`` (n_samples,), or labels (n_samples, n_labels) of 0 and 1."""
        if not self.warm_start:
            self.__dict__.pop("classes_", None)
        own = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, own, self.max_epochs, reset=not self.warm_start)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """One epoch over these samples; ``classes`` are all that will come, if not all are among the first."""
        if not hasattr(self, "classes_") and classes is not None:
            self.classes_ = np.unique(classes)
        return self._fit(X, y, sample_weight, None, 1, reset=False)

    def _encoded(self, X: Any, y: Any, reset: bool) -> Samples:
        X, y = self._checked(X, y, reset, multi_output=True)
        check_classification_targets(y)
        self._several = several = type_of_target(y).startswith("multilabel")
        if not several:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_"):
            self.classes_ = np.arange(y.shape[1]) if several else np.unique(y)
        if several:
            return Samples(X, np.asarray(y, np.float64), None, y)
        places = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        if not np.array_equal(self.classes_[places], y):
            strange = np.setdiff1d(y, self.classes_)
            raise ValueError(f"y has classes that were not there before: {strange}; known are {self.classes_}")
        if takes_labels(self._criterion()):
            if len(self.classes_) < 2:
                raise ValueError(
                    f"criterion={self.criterion!r} needs samples of 2 classes or more; y holds one class: "
                    f"{self.classes_[0]}"
                )
            return Samples(X, places, None, y)
        if len(self.classes_) > 2:
            return Samples(X, np.eye(len(self.classes_))[places], None, y)
        return Samples(X, places.astype(np.float64), None, y)

    def _out_features(self) -> int:
        """One for each class; one for two classes, where the loss takes it."""
        return len(self.classes_) if takes_labels(self._criterion()) or len(self.classes_) > 2 else 1

    def _weights(self, given: Any) -> np.ndarray | None:
        return None if self.class_weight is None else compute_sample_weight(self.class_weight, given)

    def _stratify(self, samples: Samples) -> np.ndarray | None:
        return samples.given if np.ndim(samples.given) == 1 else None

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (n_samples, n_classes); of labels, of each one."""
        scores = self._outputs(X)
        if isinstance(self.criterion_, nn.NLLLoss):
            return np.exp(scores)
        if isinstance(self.criterion_, nn.BCELoss):
            chances = scores.reshape(len(scores), -1)
        elif takes_labels(self.criterion_):
            return probabilities(scores, "softmax")
        else:
            chances = expit(scores.reshape(len(scores), -1))
        if chances.shape[1] == 1:
            return np.hstack([1 - chances, chances])
        return chances if self._several else chances / chances.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each sample (n_samples,), or its labels (n_samples, n_labels)."""
        chances = self.predict_proba(X)
        if self._several:
            return (chances > 0.5).astype(np.int64)
        return self.classes_[chances.argmax(axis=1)]

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = not takes_labels(self._criterion())
        return tags


class NeuralRegressor(RegressorMixin, Neural):
    """A regressor of any Module, as :class:`NeuralClassifier`, with ``criterion`` "mse" unless given.

    X is (n, …), y has shape (n,) or (n, outputs), of numbers of any dtype. Raises ValueError for data that do not fit,
    NotFittedError before ``fit``. Source: skorch's ``NeuralNetRegressor``; scikit-learn's conventions.

    >>> import numpy as np, nnkit
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> model = NeuralRegressor(nnkit.nn.Linear, lr=0.1, max_epochs=200, random_state=0).fit(X, 2 * X[:, 0])
    >>> model.predict([[0.5]]).round(3)
    array([1.])
    """

    def __init__(
        self,
        module: Any,
        *,
        criterion: Any = "mse",
        optimizer: Any = "adam",
        lr: float = 0.001,
        max_epochs: int = 10,
        batch_size: int = 128,
        train_split: Any = None,
        shuffle: bool = True,
        callbacks: Any = None,
        metrics: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int | str = 0,
        device: str | None = None,
        precision: str | None = None,
        parallel: str | MPI | None = None,
        **further: Any,
    ) -> None:
        self._set(locals(), further)

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:  # fmt: skip
        """Fit to ``X`` (n_samples, ...) and numbers ``y`` (n_samples,) or (n_samples, n_outputs)."""
        own = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, own, self.max_epochs, reset=not self.warm_start)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One epoch over these samples."""
        return self._fit(X, y, sample_weight, None, 1, reset=False)

    def _encoded(self, X: Any, y: Any, reset: bool) -> Samples:
        X, y = self._checked(X, y, reset, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._outputs_wanted = 1 if y.ndim == 1 else y.shape[1]
        return Samples(X, y, None, y)

    def _out_features(self) -> int:
        return self._outputs_wanted

    def predict(self, X: Any) -> np.ndarray:
        """The values (n_samples,) or (n_samples, n_outputs)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs


class NeuralTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Neural):
    """A transformer of any Module, trained to give back its input (an autoencoder), or, if ``supervised``, ``y``.

    ``transform`` gives what the module's method ``encode`` gives, or the outputs of the part of it named ``layer``
    ("layers.0"). ``inverse_transform`` is the module's ``decode``, where it has one. Else as :class:`NeuralRegressor`.

    Raises NotFittedError before ``fit``, ValueError for data that do not fit. Source: nnkit's own; scikit-learn's
    conventions.

    >>> import numpy as np, nnkit
    >>> def squeeze(in_features, width):
    ...     return nnkit.nn.Sequential(nnkit.nn.Linear(in_features, width), nnkit.nn.Linear(width, in_features))
    >>> model = NeuralTransformer(squeeze, module__width=2, layer="0", random_state=0)
    >>> model.fit_transform(np.eye(5)).shape, list(model.get_feature_names_out())
    ((5, 2), ['neuraltransformer0', 'neuraltransformer1'])
    """

    def __init__(
        self,
        module: Any,
        *,
        layer: str | None = None,
        supervised: bool = False,
        criterion: Any = "mse",
        optimizer: Any = "adam",
        lr: float = 0.001,
        max_epochs: int = 10,
        batch_size: int = 128,
        train_split: Any = None,
        shuffle: bool = True,
        callbacks: Any = None,
        metrics: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int | str = 0,
        device: str | None = None,
        precision: str | None = None,
        parallel: str | MPI | None = None,
        **further: Any,
    ) -> None:
        self._set(locals(), further)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit to ``X`` (n_samples, n_features), to be given back, or, if ``supervised``, to numbers ``y``."""
        self._fit(X, y, sample_weight, None, self.max_epochs, reset=not self.warm_start)
        self._n_features_out = self._encode(np.zeros((1, self.n_features_in_))).shape[1]
        return self

    def _encoded(self, X: Any, y: Any, reset: bool) -> Samples:
        if self.supervised:
            X, target = self._checked(X, y, reset, multi_output=True, y_numeric=True, dtype=FLOATS)
        else:
            X = target = self._checked(X, reset=reset, dtype=FLOATS)
        self._outputs_wanted = 1 if target.ndim == 1 else target.shape[1]
        return Samples(X, target, None, target)

    def _out_features(self) -> int:
        return self._outputs_wanted

    def transform(self, X: Any) -> np.ndarray:
        """The module's code for ``X`` (n_samples, n_codes)."""
        check_is_fitted(self, "module_")
        return self._encode(self._checked(X, reset=False, dtype=FLOATS))

    def _encode(self, X: np.ndarray) -> np.ndarray:
        codes = part_outputs(self.module_, self.layer, "encode", X)
        return codes.reshape(len(codes), -1)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The inputs that the module's ``decode`` makes of codes. Raises AttributeError where it has none."""
        check_is_fitted(self, "module_")
        if not hasattr(self.module_, "decode"):
            raise AttributeError(f"{type(self.module_).__name__} has no method decode, which inverse_transform calls")
        return part_outputs(self.module_, None, "decode", np.asarray(X))


def part_outputs(module: nn.Module, layer: str | None, method: str, X: np.ndarray) -> np.ndarray:
    """What a method of ``module`` gives for the rows of ``X``, or, with ``layer``, what the part of that name puts out.

    Raises UnknownNameError for a part that it does not have, ParameterError where nothing says what is meant.
    """
    parts = dict(module.named_modules())
    if layer is not None and layer not in parts:
        raise UnknownNameError("layer", layer, [name for name in parts if name])
    if layer is None and not hasattr(module, method):
        raise ParameterError(
            f"{type(module).__name__} has no method {method!r}: name the part whose outputs are wanted, "
            f"layer={next(iter(filter(None, parts)), '')!r}"
        )
    found: list[np.ndarray] = []
    run = module if layer is not None else getattr(module, method)
    keep = lambda output: found.append(np.array(output.detach().numpy()))  # noqa: E731
    handle = None if layer is None else parts[layer].register_forward_hook(lambda part, given, output: keep(output))
    device, dtype = home(module)
    try:
        with evaluating(module):
            for start in range(0, len(X), ROWS):
                output = run(as_tensor(X[start : start + ROWS], dtype=dtype, device=device))
                if layer is None:
                    keep(output)
    finally:
        if handle is not None:
            handle.remove()
    return np.concatenate(found)
