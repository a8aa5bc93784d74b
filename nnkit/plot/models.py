"""What a display asks of a model, of whichever kind: its module, its layers and weights, what they return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from nnkit import training
from nnkit.nn.module import Module
from nnkit.recording.structures import leaves
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor
from nnkit.training.modes import evaluating
from nnkit.training.tables import inputs_of

__all__ = [
    "array_of",
    "hooked",
    "layers_of",
    "module_of",
    "named",
    "outputs_of",
    "part_of",
    "predictions",
    "run",
    "weights_of",
]


def module_of(model: Any) -> Module:
    """The network of a model: itself, or a fitted estimator's ``module_``. Raises TypeError or ValueError."""
    if isinstance(model, Module):
        return model
    found = getattr(model, "module_", None)
    if isinstance(found, Module):
        return found
    if hasattr(model, "get_params"):
        raise ValueError(f"model: {type(model).__name__} has no network yet: fit it first")
    raise TypeError(f"model: expected a Module, a Keras model or an estimator of nnkit's, got {type(model).__name__}")


def layers_of(model: Any) -> dict[str, Module]:
    """Name -> each module without parts, in order; of a Keras model the layers, by their names."""
    module = module_of(model)
    if _is_keras(module):
        return dict(_keras_layers(module, ""))
    found = {name: part for name, part in module.named_modules() if not any(True for _ in part.children())}
    return {named(name, part): part for name, part in found.items()}


def named(name: str, part: Module) -> str:
    """A name that says what it is the name of: "0 (Conv2d)"."""
    kind = type(part).__name__
    return kind if name in ("", kind) else name if hasattr(part, "built") or "(" in name else f"{name} ({kind})"


def _is_keras(module: Module) -> bool:
    return isinstance(getattr(module, "layers", None), list) and hasattr(module, "built")


def _keras_layers(model: Any, prefix: str) -> Iterator[tuple[str, Module]]:
    for layer in model.layers:
        if _is_keras(layer):
            yield from _keras_layers(layer, f"{prefix}{layer.name}/")
        elif type(layer).__name__ != "InputLayer":
            yield f"{prefix}{layer.name}", layer


def weights_of(model: Any) -> dict[str, np.ndarray]:
    """Name -> the values of each parameter."""
    module = module_of(model)
    if _is_keras(module):
        pairs = [(getattr(w, "path", str(n)), w) for n, w in enumerate(module.trainable_weights)]
    else:
        pairs = list(module.named_parameters())
    return {name: array_of(value) for name, value in pairs}


def part_of(model: Any, layer: Any, fits: Callable[[Module], bool], what: str) -> tuple[str, Module]:
    """The layer that was asked for, by name or itself; where None was, the first that ``fits``.

    Raises ValueError where there is none of that name, or none that fits.
    """
    module = module_of(model)
    if isinstance(layer, Module):
        known = [name for name, part in module.named_modules() if part is layer]
        return (known[0] if known and known[0] else type(layer).__name__), layer
    known_by = dict(module.named_modules()) | {name.partition(" ")[0]: part for name, part in layers_of(model).items()}
    if layer is None:
        for name, part in known_by.items():
            if fits(part):
                return name, part
        raise ValueError(f"layer: {type(model).__name__} has no {what}")
    if str(layer) not in known_by:
        raise ValueError(f"layer: there is no {layer!r}; there are {', '.join(name for name in known_by if name)}")
    return str(layer), known_by[str(layer)]


# ---- running --------------------------------------------------------------------------------------------------------


def array_of(value: Any) -> np.ndarray:
    """A Tensor, an array, a frame or a list as a NumPy array."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def run(model: Any, x: Any) -> Any:
    """Call the network once on all of ``x``, in evaluation mode; a tuple is several inputs."""
    module = module_of(model)
    given = x if isinstance(x, tuple) else (inputs_of(module, x),)
    home = next((p for p in module.parameters() if p.is_floating_point()), None)
    placed = [_placed(one, home) for one in given]
    with evaluating(module):
        return module(placed) if _is_keras(module) and len(placed) > 1 else module(*placed)


def _placed(value: Any, like: Tensor | None) -> Tensor:
    found = value.detach() if isinstance(value, Tensor) else as_tensor(np.asarray(value))
    if like is not None:
        found = found.to(device=like.device)
        found = found.to(dtype=like.dtype) if found.is_floating_point() else found
    return found


@contextmanager
def hooked(parts: Mapping[str, Module], hook: Callable[..., None]) -> Iterator[None]:
    """Call ``hook(name, module, args, kwargs, output)`` after each call of a part inside the block."""
    handles = []
    try:
        for name, part in parts.items():

            def note(module: Module, args: Any, kwargs: Any, output: Any, name: str = name) -> None:
                hook(name, module, args, kwargs, output)

            handles.append(part.register_forward_hook(note, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def outputs_of(model: Any, x: Any, parts: Mapping[str, Module]) -> dict[str, np.ndarray]:
    """Name -> what each part returns for ``x``, flat where it returns several or is called several times."""
    found: dict[str, list[np.ndarray]] = {}

    def note(name: str, module: Module, args: Any, kwargs: Any, output: Any) -> None:
        values = [array_of(leaf) for leaf in leaves(output) if isinstance(leaf, Tensor)]
        found.setdefault(name, []).extend(values)

    with hooked(parts, note):
        run(model, x)
    return {
        name: values[0] if len(values) == 1 else np.concatenate([value.ravel() for value in values])
        for name, values in found.items()
        if values
    }


def predictions(model: Any, x: Any) -> np.ndarray:
    """The outputs for ``x``: scores (n, classes) or values; probabilities or decisions of an estimator that has any."""
    for name in ("predict_proba", "decision_function"):
        if not isinstance(model, Module) and hasattr(model, name):
            return np.asarray(getattr(model, name)(x))
    if not isinstance(model, Module):
        return np.asarray(model.predict(x))
    if _is_keras(model):
        return np.asarray(model.predict(x, verbose=0))
    return np.asarray(training.predict(model, x))
