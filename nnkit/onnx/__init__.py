"""ONNX: networks for other runtimes, and networks that other libraries have written. Needs the package ``onnx``.

``export(model, path, example)`` writes a file that onnxruntime and others run; ``load(path)`` makes a Module of one.

A model is exported by watching it: it runs, in evaluation mode, on batches of 2, 3 and 5 samples, which are the
example's, a little changed, and each op that it calls becomes nodes (``watching``, ``rules``). So any Module can be
exported, whatever its forward pass does with tensors. What is the same in all three runs is written as it is, and a
size that grows with the batch as such; what does not fit, such as a choice that Python makes by a value,
is an error that names the place. A model that treats a batch of one sample otherwise, as ``squeeze()`` without an axis
does, is in the file as for several.

From outside to inside: this file; ``exporting`` (the runs), ``watching``, ``sizes``; ``fronts`` (scalers, tables) and
``estimators``; ``graph``, ``formulas``, ``rules``; ``files``. For reading: ``reading``, ``network``, ``words``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.io.files import PathLike, write_file
from nnkit.nn.module import Module
from nnkit.onnx.errors import OnnxError, onnx_package
from nnkit.onnx.estimators import add_prediction, is_estimator, named, steps_of
from nnkit.onnx.exporting import Inputs, add_model, arrays_of, float_of
from nnkit.onnx.files import check_opset, model_of
from nnkit.onnx.fronts import add_table, scaled
from nnkit.onnx.graph import Graph, Value
from nnkit.onnx.network import Network, made_of
from nnkit.onnx.reading import read_file
from nnkit.onnx.sizes import ROWS
from nnkit.preprocessing import Table
from nnkit.preprocessing.frames import is_table
from nnkit.preprocessing.table import ATTRIBUTE

__all__ = ["OnnxError", "export", "load"]


def export(
    model: Any, path: PathLike, example: Any, *, opset: int = 18, dynamic: bool = True, batch_axis: int = 0,
    scale: Any = None,
) -> None:  # fmt: skip
    """Write a model to a file of ONNX, whose outputs are those of ``model.predict``.

    Args:
        model: a Module, a Keras model, or a fitted estimator of nnkit.sklearn, also at the end of a pipeline after
            scalers.
        path: the file; it is replaced in one step.
        example: what the model is given: an array or Tensor of at least one sample, a tuple of several, or a dict of
            them by name, which the model takes as a dict; for a model that ``reads`` a Table, rows with its columns.
            Arrays of float64 count as the model's float type; other types are those of the file's inputs.
        opset: the version of the operators, 17 to 22. Whole numbers' bits and ``scatter_reduce`` need 18.
        dynamic: whether the file takes any number of samples, or only as many as the example.
        batch_axis: the axis of the samples, in each of the inputs.
        scale: scalers before the model: a fitted ``Standardize`` or ``MinMaxScale``, or several in order.

    Inputs are named "input", "input_0", "input_1", ..., by the dict, or by the Table's columns; outputs "output",
    "output_0", ..., or by the model's dict. A Table's columns come as (samples, 1): numbers in float64, NaN where one
    is missing; categories as texts, "" where one is missing, whole numbers without a point; its labels are an output
    "label". Estimators have "label" and "probabilities", or "variable", as skl2onnx calls them. Weights have the names
    of ``state_dict``. Checks of values, such as of labels out of range or of NaN, are not in the file.

    Raises OnnxError for what ONNX cannot say, which names the module and the op; ImportError without the package onnx.

    >>> import nnkit, numpy, tempfile
    >>> file = tempfile.mkdtemp() + "/line.onnx"
    >>> export(nnkit.nn.Linear(2, 1), file, numpy.zeros((1, 2), "float32"))
    """
    onnx_package()
    g = Graph(check_opset(opset))
    axis = batch_axis if dynamic else None
    if is_estimator(model):
        inputs, outputs = _of_estimator(g, model, example, axis, _listed(scale))
    elif isinstance(model, Module):
        inputs, outputs = _of_module(g, model, example, axis, _listed(scale))
    else:
        raise TypeError(f"model: expected a Module or an estimator of nnkit.sklearn, got {type(model).__name__}")
    made = model_of(g, inputs, outputs, type(model).__name__)
    write_file(path, made.SerializeToString(deterministic=True))


def load(path: PathLike, *, device: Any = None) -> Network:
    """The network of a file, as PyTorch, scikit-learn's tools or ``export`` wrote it: a Module to run and to train.

    Its parameters are the file's float weights, by the file's names; those without axes and the statistics of
    BatchNormalization are buffers. It takes the file's inputs in order, or as a dict, and gives its outputs, several as
    a tuple; an output of texts is one of numbers here, whose texts are in ``classes``. It can be recorded, exported
    again, and saved as nnkit's own file. Operators of version 13 to 24, as ``nnkit.onnx.words`` has them.

    Nothing but the file is opened: weights that lie in others are refused. Raises OnnxError for a file that is damaged
    or has operators that nnkit does not know, which lists those; OSError where it cannot be read.

    >>> import nnkit, numpy, tempfile
    >>> file = tempfile.mkdtemp() + "/line.onnx"
    >>> export(nnkit.nn.Linear(2, 1), file, numpy.zeros((1, 2), "float32"))
    >>> model = load(file); model(nnkit.zeros(5, 2)).shape, list(model.state_dict())
    ((5, 1), ['weight', 'bias'])
    """
    made = made_of(read_file(path), repr(os.fspath(path)))
    return made if device is None else made.to(device)


def _listed(scale: Any) -> list[Any]:
    if scale is None:
        return []
    return list(scale) if isinstance(scale, Sequence) else [scale]


def _of_module(
    g: Graph, model: Module, example: Any, axis: int | None, scale: list[Any]
) -> tuple[list[Value], dict[str, Value]]:
    table = model.__dict__.get(ATTRIBUTE)
    dtype = float_of(model)
    if isinstance(table, Table) and is_table(example):
        if axis != 0 or scale:
            raise OnnxError("export: a model that reads a Table has its samples in axis 0, and its own scale")
        inputs, rows = add_table(g, table, dtype)
        given = Inputs({"rows": table.transform(example).astype(dtype)}, tuple, 0)
        outputs = add_model(g, model, given, [rows])
        return inputs, outputs | _of_labels(g, table, outputs)
    arrays, call = arrays_of(example, dtype)
    if len(arrays) > 1 and not isinstance(example, dict) and _is_keras(model):
        call = lambda tensors: (tensors,)  # noqa: E731
    return _scaled_model(g, model, Inputs(arrays, call, axis), scale)


def _is_keras(model: Module) -> bool:
    """Whether a model takes several inputs as one list."""
    return any(kind.__module__.startswith("nnkit.keras") for kind in type(model).__mro__)


def _scaled_model(
    g: Graph, model: Module, given: Inputs, scale: list[Any], computed: Any = None
) -> tuple[list[Value], dict[str, Value]]:
    """The inputs of the file, the scalers, and the model, which takes ``computed`` where that is another type."""
    inputs, values = [], []
    for name, array in given.arrays.items():
        shape = tuple(ROWS if i == given.axis else n for i, n in enumerate(array.shape))
        inputs.append(Value(g.name(name), array.dtype, shape))
    g.rows, g.rows_axis = inputs[0], given.axis or 0
    if scale and len(inputs) > 1:
        raise OnnxError("scale: the model has several inputs: scale them before")
    for value in inputs:
        for scaler in scale:
            value = scaled(g, value, scaler)
        values.append(value if computed is None else g.cast(value, computed))
    if computed is not None:
        given.arrays = {name: array.astype(computed) for name, array in given.arrays.items()}
    return inputs, add_model(g, model, given, values)


def _of_estimator(
    g: Graph, model: Any, example: Any, axis: int | None, scale: list[Any]
) -> tuple[list[Value], dict[str, Value]]:
    before, estimator = steps_of(model)
    X = np.asarray(example)
    arrays = {"X": X if X.dtype.kind in "iuf" else X.astype(np.float64)}
    computed = (
        None if arrays["X"].dtype.kind != "f" and not hasattr(estimator, "coefs_") else float_of(estimator.module_)
    )
    inputs, outputs = _scaled_model(g, estimator.module_, Inputs(arrays, tuple, axis), [*scale, *before], computed)
    (scores,) = outputs.values()
    return inputs, add_prediction(g, estimator, scores)


def _of_labels(g: Graph, table: Table, outputs: dict[str, Value]) -> dict[str, Value]:
    """The labels that ``Table.decode`` gives, where the target is one."""
    if table.labels is None or len(outputs) != 1:
        return {}
    (scores,) = outputs.values()
    classes = np.asarray(table.classes)
    if len(scores.shape) == 2 and scores.shape[1] == len(classes) > 1:
        return {"label": named(g, scores, classes)}
    if len(classes) != 2 or scores.shape[1:] not in ((), (1,)):
        return {}
    both = g.node("Concat", [g.constant([[0.0]], scores.dtype), g.reshape(scores, (ROWS, 1))], axis=1)
    return {"label": named(g, both, classes)}


def __dir__() -> list[str]:
    return sorted(__all__)
