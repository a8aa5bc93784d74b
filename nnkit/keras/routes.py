"""Which of two ways a training of a Keras model goes: nnkit's own, in programs of many steps, or step by step.

nnkit's own takes arrays, losses of nnkit's shape and metrics that are sums: for one input and output, and for several
of a model that was made of symbolic tensors. The other, ``loop``, takes everything: steps and metrics of the user's,
numbers of validation steps, data in any structure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nnkit import optim
from nnkit.keras import losses, metrics
from nnkit.keras.adding import WithLosses
from nnkit.keras.batched import PyDataset
from nnkit.keras.hooks import wants
from nnkit.keras.metric import Metric
from nnkit.keras.stepping import WithSteps
from nnkit.recording.structures import leaves
from nnkit.tensors.tensor import Tensor

__all__ = [
    "class_weighted",
    "is_by_sample",
    "is_flat_data",
    "is_simple_data",
    "is_simple_model",
    "plain_loss",
    "plain_metrics",
    "why_by_steps",
]

OWN_STEPS = ("train_step", "test_step", "compute_loss", "compute_metrics", "metrics", "get_metrics_result")


def plain_loss(loss: Any) -> losses.Loss | None:
    """The one loss of ``compile`` that nnkit's own way can train with; None where it is another thing."""
    if loss is None or isinstance(loss, (list, tuple)) or (isinstance(loss, Mapping) and "class_name" not in loss):
        return None
    found = losses.get(loss)
    return found if found.reduction in ("sum_over_batch_size", "mean", "sum") else None


def plain_metrics(plain: Any, weighted: Any) -> list[Metric] | None:
    """The metrics of ``compile`` that nnkit's own way can follow, in one list; None where there are others."""
    found: list[Any] = []
    for given, uses_weights in ((plain, False), (weighted, True)):
        if isinstance(given, Mapping) or any(isinstance(one, (list, tuple)) or one is None for one in given or ()):
            return None
        for one in given or ():
            metric = metrics.get(one)
            if not getattr(metric, "adds_up", True):
                return None
            metric.weighted = uses_weights
            found.append(metric)
    names = [metric.name for metric in found]
    return None if len(set(names)) < len(names) else found


def is_simple_model(model: Any, callbacks: Iterable[Any], kinds: tuple[str, ...] = ("test",)) -> bool:
    """Whether a model leaves training to nnkit, and no callback wants more than that tells."""
    return why_by_steps(model, callbacks, kinds) is None


def why_by_steps(model: Any, callbacks: Iterable[Any], kinds: tuple[str, ...] = ("test",)) -> str | None:
    """Why a model is trained step by step; None where it leaves that to nnkit."""
    several = model.output_keys is not None
    ready = model._outputs is not None and model._outputs.plain if several else model._loss is not None
    layers = [part for part in model.modules() if isinstance(part, WithLosses)]
    own = [name for name in OWN_STEPS if model.overrides(name)]
    if own:
        return f"{type(model).__name__} has a {own[0]} of its own"
    if not ready:
        return "its loss is none, a list, or one whose reduction is no mean or sum"
    if model._simple_metrics is None:
        return "it has metrics that do not add up over batches, that are given by output, or two of one name"
    if (model.loss_weights is not None and not several) or not isinstance(model.optimizer, optim.Optimizer):
        return (
            "it has loss_weights for one output" if model.loss_weights is not None else "its optimizer is not nnkit's"
        )
    if any(layer._own_metrics() for layer in layers if layer is model or not isinstance(layer, WithSteps)):
        return "its layers follow metrics of their own"
    if model.built and not any(parameter.requires_grad for parameter in model.parameters()):
        return "it has no weights to train"
    if any(wants(callbacks, kind) for kind in kinds):
        return "a callback has hooks for evaluation"
    return None


def is_simple_data(*parts: Any) -> bool:
    """Whether each of these is one array (or list of numbers), or nothing."""
    return all(part is None or _is_one(part) for part in parts)


def is_flat_data(*parts: Any) -> bool:
    """Whether each of these is one array, or a list, tuple or dict of them, or nothing."""
    return all(
        is_simple_data(*(part.values() if isinstance(part, Mapping) else part))
        if isinstance(part, (Mapping, list, tuple))
        else is_simple_data(part)
        for part in parts
    )


def is_by_sample(*weights: Any) -> bool:
    """Whether each of these is one weight for each sample, and not for each position of its output."""
    shapes: list[Any] = [getattr(leaf, "shape", ()) for weight in weights for leaf in leaves(weight)]
    return all(len(shape) < 2 or set(shape[1:]) == {1} for shape in shapes)


def _is_one(part: Any) -> bool:
    if isinstance(part, Mapping) or isinstance(part, PyDataset):
        return False
    if isinstance(part, (list, tuple)):
        return not any(isinstance(item, (np.ndarray, Tensor, Mapping)) for item in part)
    return True


def class_weighted(y: Any, weight: Any, class_weight: Mapping[int, float] | None) -> Any:
    """Sample weights times those of the classes that ``y`` names: numbers, or one-hot rows."""
    if class_weight is None:
        return weight
    targets = list(leaves(y))
    if len(targets) != 1:
        raise ValueError("class_weight goes with one output; give sample_weight for each")
    array = targets[0].detach().numpy() if isinstance(targets[0], Tensor) else np.asarray(targets[0])
    labels = array.argmax(-1) if array.ndim > 1 and array.shape[-1] > 1 else array.reshape(len(array))
    factors = np.array([float(class_weight.get(int(label), 1.0)) for label in labels], np.float32)
    if weight is None:
        return factors
    given = weight.detach().numpy() if isinstance(weight, Tensor) else np.asarray(weight)
    return given.reshape(len(factors)) * factors
