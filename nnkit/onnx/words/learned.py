"""Operators of ai.onnx.ml that scikit-learn's tools write for scalers, linear models and networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.onnx.call import Call
from nnkit.tensors.tensor import Tensor

PREFIX = "ai.onnx.ml."


def _vector(call: Call, name: str, like: Tensor) -> Tensor:
    values = np.asarray(call.get(name, []), np.float32)
    return Tensor(call.backend.asarray(values), call.backend).to(dtype=like.dtype)


def _floats(call: Call) -> Tensor:
    x: Tensor = call.tensor(0)
    return x if x.is_floating_point() else x.float()


def _scaler(call: Call) -> Any:
    x = _floats(call)
    return (x - _vector(call, "offset", x)) * _vector(call, "scale", x)


def _normalizer(call: Call) -> Any:
    x, norm = _floats(call), call.get("norm", "MAX")
    if norm == "MAX":
        return x / ops.amax(x, -1, True)
    size = ops.sum(ops.abs(x), -1, True) if norm == "L1" else ops.sqrt(ops.sum(ops.square(x), -1, True))
    return x / ops.where(size == 0, 1.0, size)


def _feature_extractor(call: Call) -> Any:
    x, places = call.tensor(0), ops.reshape(call.tensor(1), (-1,))
    rows = ops.reshape(x, (1, -1)) if x.ndim == 1 else x
    return ops.movedim(ops.take_rows(ops.movedim(rows, -1, 0), places), 0, -1)


def _binarizer(call: Call) -> Any:
    x = call.tensor(0)
    return ops.gt(x, float(call.get("threshold", 0.0))).to(dtype=x.dtype)


def _transformed(call: Call, scores: Tensor) -> Tensor:
    kind = call.get("post_transform", "NONE")
    if kind == "SOFTMAX":
        return ops.softmax(scores, -1)
    if kind == "LOGISTIC":
        return ops.sigmoid(scores)
    call.only("post_transform", "NONE", "SOFTMAX", "LOGISTIC")
    return scores


def _linear(call: Call, count: int) -> Tensor:
    x = _floats(call)
    weights = ops.reshape(_vector(call, "coefficients", x), (count, -1))
    bias = _vector(call, "intercepts", x) if call.get("intercepts") else None
    return ops.linear(x, weights, bias)


def _regressor(call: Call) -> Any:
    return _transformed(call, _linear(call, int(call.get("targets", 1))))


def _classifier(call: Call) -> Any:
    labels = call.get("classlabels_ints")
    if not labels:
        raise call.wrong("has labels that are texts, which no tensor holds")
    count = max(len(call.get("intercepts", [])), 1)
    scores = _linear(call, count)
    if count == 1 and len(labels) == 2:
        if call.get("post_transform", "NONE") == "LOGISTIC":
            chance = ops.sigmoid(scores)
            scores = ops.cat([1.0 - chance, chance], 1)
        else:
            scores = _transformed(call, ops.cat([-scores, scores], 1))
    else:
        scores = _transformed(call, scores)
    names = Tensor(call.backend.asarray(np.asarray(labels, np.int64)), call.backend)
    return [ops.take_rows(names, ops.argmax(scores, 1)), scores]


def _label_encoder(call: Call) -> Any:
    x = call.tensor(0)
    keys = call.get("keys_int64s") or call.get("keys_floats") or []
    values = call.get("values_int64s") or call.get("values_floats")
    if values is None or not keys or len(keys) != len(values):
        raise call.wrong("encodes texts, which no tensor holds")
    whole = isinstance(values[0], int)
    found: Any = int(call.get("default_int64", -1)) if whole else float(call.get("default_float", 0.0))
    found = ops.where(x == x, found, found)
    for key, value in zip(keys, values, strict=True):
        found = ops.where(x == key, value, found)
    return found


def _zip_map(call: Call) -> Any:
    return call.tensor(0)  # the probabilities as they are, (rows, classes)


WORDS: dict[str, Callable[[Call], Any]] = {
    f"{PREFIX}{name}": word
    for name, word in {
        "Scaler": _scaler, "Normalizer": _normalizer, "ArrayFeatureExtractor": _feature_extractor,
        "Binarizer": _binarizer, "LinearRegressor": _regressor, "LinearClassifier": _classifier,
        "LabelEncoder": _label_encoder, "ZipMap": _zip_map,
    }.items()
}  # fmt: skip
