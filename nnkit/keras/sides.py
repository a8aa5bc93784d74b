"""Data with several inputs or outputs, as Keras takes them: a list, a tuple or a dict of arrays becomes ``Several``.

That is for models made of symbolic tensors, which know their inputs: one with one input takes a list as one array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnkit.errors import DataError
from nnkit.tensors.tensor import Tensor
from nnkit.training.several import Several

__all__ = ["inputs_side", "targets_side", "weights_side"]


def inputs_side(model: Any, x: Any) -> Any:
    """``x`` side by side where it is several arrays for this model; everything else as it is."""
    graph = getattr(model, "_graph", None)
    if graph is None or isinstance(x, Several):
        return x
    if isinstance(x, Mapping):
        return _by_name(model, x)
    if not isinstance(x, (list, tuple)) or not x or not all(isinstance(part, (np.ndarray, Tensor)) for part in x):
        return x
    names = [tensor.name for tensor in graph.flat_inputs]
    if len(names) == 1 and not (len(x) == 1 and x[0].ndim == len(graph.flat_inputs[0].shape)):
        return x
    if len(x) != len(names):
        raise DataError(f"model {model.name!r} has the inputs {names}; x holds {len(x)} arrays: pass one for each")
    return Several(x, names, type(x)) if len(x) > 1 else x[0]


def _by_name(model: Any, x: Mapping[str, Any]) -> Any:
    graph = model._graph
    names = [tensor.name for tensor in graph.flat_inputs]
    keys = sorted(graph.inputs, key=str) if isinstance(graph.inputs, dict) else names
    missing = [key for key in keys if key not in x]
    if missing:
        raise DataError(f"model {model.name!r} has the inputs {keys}; x lacks {missing} and has {list(x)}")
    parts = [_array(x[key]) for key in keys]
    return Several(parts, keys) if len(parts) > 1 or isinstance(graph.inputs, dict) else parts[0]


def targets_side(y: Any, names: Sequence[str], needed: Sequence[bool], what: str = "y") -> Several:
    """The targets of the outputs ``names``, side by side; an output that is not ``needed`` may have none.

    Raises:
        DataError: there are others, or fewer.
    """
    if isinstance(y, Several):
        return y
    wanted = [name for name, is_needed in zip(names, needed, strict=True) if is_needed]
    if isinstance(y, Mapping):
        strange = [key for key in y if key not in names]
        missing = [name for name in wanted if name not in y]
        if strange or missing:
            raise DataError(
                f"{what} is a dict with {list(y)}; the model's outputs are {list(names)}: "
                + (f"it lacks {missing}" if missing else f"there is no output {strange}")
            )
        given = [y.get(name) for name in names]
    elif isinstance(y, (list, tuple)) and len(y) == len(names):
        given = list(y)
    elif isinstance(y, (list, tuple)) and len(y) == len(wanted):
        rest = iter(y)
        given = [next(rest) if is_needed else None for is_needed in needed]
    else:
        kind = f"{len(y)} parts" if isinstance(y, (list, tuple)) else f"a {type(y).__name__}"
        raise DataError(f"{what} is {kind}; the model has the outputs {list(names)}: pass a list or dict of as many")
    rows = next((len(part) for part in given if part is not None), 0)
    return Several([np.zeros(rows, np.float32) if part is None else _array(part) for part in given], names)


def weights_side(weight: Any, names: Sequence[str], rows: int) -> Any:
    """Weights of the samples for each output, side by side; an output without has 1, one array is for all."""
    if weight is None or isinstance(weight, Several):
        return weight
    if isinstance(weight, Mapping):
        strange = [key for key in weight if key not in names]
        if strange:
            raise DataError(f"sample_weight has {strange}; the model's outputs are {list(names)}")
        given = [weight.get(name) for name in names]
    elif isinstance(weight, (list, tuple)) and len(weight) == len(names) and not np.isscalar(weight[0]):
        given = list(weight)
    else:
        given = [weight] * len(names)
    return Several([_weights(part, rows) for part in given], names)


def _weights(part: Any, rows: int) -> Any:
    if part is None:
        return np.ones(rows, np.float32)
    array = _array(part)
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array


def _array(value: Any) -> Any:
    return value if isinstance(value, (np.ndarray, Tensor)) else np.asarray(value)
