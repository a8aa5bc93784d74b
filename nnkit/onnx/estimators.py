"""What estimators of ``nnkit.sklearn`` predict, named as by skl2onnx: label and probabilities, variable."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nnkit import nn
from nnkit.onnx.errors import OnnxError
from nnkit.onnx.formulas import formula
from nnkit.onnx.graph import Graph, Value

__all__ = ["add_prediction", "is_estimator", "steps_of"]


def is_estimator(model: Any) -> bool:
    """Whether this is a scikit-learn estimator, or a pipeline of some."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(model, base.BaseEstimator)


def steps_of(model: Any) -> tuple[list[Any], Any]:
    """The transformers before an estimator, and the estimator, which is one of nnkit.sklearn's and fitted."""
    steps = [step for _, step in getattr(model, "steps", [("", model)])]
    *before, last = [step for step in steps if step is not None and step != "passthrough"]
    if not type(last).__module__.startswith("nnkit.sklearn") and not hasattr(last, "module_"):
        raise OnnxError(
            f"model: nnkit.onnx exports estimators of nnkit.sklearn, got {type(last).__name__}: skl2onnx "
            "exports scikit-learn's"
        )
    if not hasattr(last, "module_"):
        raise OnnxError(
            f"model: this {type(last).__name__} has no network to export: call fit first, or export a Module"
        )
    if hasattr(last, "coefs_"):
        last._synchronize()  # what was put into coefs_
    return before, last


def add_prediction(g: Graph, estimator: Any, scores: Value) -> dict[str, Value]:
    """What ``predict`` and ``predict_proba`` make of the network's outputs."""
    if hasattr(estimator, "classes_"):
        chances = _chances(g, estimator, scores)
        return {"label": _labels(g, estimator, chances), "probabilities": chances}
    if hasattr(estimator, "transform"):
        raise OnnxError(
            "model: of a NeuralTransformer export the part that encodes: export(estimator.module_.coder, ...)"
        )
    if getattr(estimator, "out_activation_", "") == "exp":
        scores = g.node("Exp", [scores], shape=scores.shape)
    if len(scores.shape) == 2 and scores.shape[1] == 1:
        return {"variable": g.reshape(scores, scores.shape[:1])}
    return {"variable": scores}


def _several(estimator: Any) -> bool:
    """Whether a sample may have several labels."""
    binarizer = getattr(estimator, "_label_binarizer", None)
    if binarizer is None:
        return bool(estimator._several)
    return bool(binarizer.y_type_.startswith("multilabel"))


def _chances(g: Graph, estimator: Any, scores: Value) -> Value:
    takes_labels = sys.modules["nnkit.sklearn.losses"].takes_labels  # there, since the estimator is
    if hasattr(estimator, "out_activation_"):
        if estimator.out_activation_ == "softmax":
            return g.node("Softmax", [scores], axis=-1, shape=scores.shape)
        return _paired(g, _expit(g, scores), estimator.n_outputs_ == 1)
    rows, width = scores.shape[0], scores.shape[1] if len(scores.shape) > 1 else 1
    if isinstance(estimator.criterion_, nn.NLLLoss):
        return g.node("Exp", [scores], shape=scores.shape)
    if takes_labels(estimator.criterion_):
        return g.node("Softmax", [scores], axis=-1, shape=scores.shape)
    chances = g.reshape(scores, (rows, width))
    if not isinstance(estimator.criterion_, nn.BCELoss):
        chances = g.node("Sigmoid", [chances], shape=chances.shape)
    if width == 1 or _several(estimator):
        return _paired(g, chances, width == 1)
    return g.node("Div", [chances, g.reduce("ReduceSum", chances, [1], True)], shape=chances.shape)


def _expit(g: Graph, scores: Value) -> Value:
    """As ``probabilities`` has it: never 0 or 1 itself."""
    limits = np.finfo(scores.dtype)
    chances = formula(g, "sigmoid", [scores])
    chances = g.node("Max", [chances, g.constant(limits.tiny, scores.dtype)])
    return g.node("Min", [chances, g.constant(1 - limits.epsneg, scores.dtype)], shape=scores.shape)


def _paired(g: Graph, chances: Value, one: bool) -> Value:
    """Of one probability for two classes both."""
    if not one:
        return chances
    other = g.node("Sub", [g.constant(1, chances.dtype), chances])
    return g.node("Concat", [other, chances], axis=1, shape=(chances.shape[0], 2))


def _labels(g: Graph, estimator: Any, chances: Value) -> Value:
    if _several(estimator):
        over = g.node("Greater", [chances, g.constant(0.5, chances.dtype)], bool, chances.shape)
        return g.cast(over, np.int64)
    return named(g, chances, np.asarray(estimator.classes_))


def named(g: Graph, scores: Value, classes: np.ndarray) -> Value:
    """The class of the greatest score in each row; at a tie the first."""
    place = g.node("ArgMax", [scores], np.int64, axis=1, keepdims=0)
    if classes.dtype.kind in "UO":
        classes = np.array([str(name) for name in classes], object)
    elif classes.dtype.kind in "iu":
        classes = classes.astype(np.int64)
    names = g.constant(classes, name="classes")
    return g.node("Gather", [names, place], classes.dtype, scores.shape[:1])
