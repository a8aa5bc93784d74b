"""``GradientFlow``: how large the gradients of each layer are while it learns, and which of its units get none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnkit.nn.module import Module
from nnkit.plot.gradients import GradientFlowDisplay
from nnkit.tensors.loading import Fit
from nnkit.tensors.tape import no_grad
from nnkit.training.arguments import positive_integer
from nnkit.training.callbacks import Callback

__all__ = ["GradientFlow"]

LOOKS = 10  # at the gradients in an epoch, unless told otherwise


class GradientFlow(Callback):
    """Notes for each epoch and layer the norm of the gradient, and the share of units that got none.

    It looks at the gradients that are there after every ``every`` steps (by default about ten times an epoch) and
    after the last: steps stay recorded, and nothing is computed twice. A norm is the mean over these looks, after
    clipping. A unit, a row of a layer's ``weight`` with its bias, is dead where its gradient was 0 in all: no
    sample passed it. Embeddings, and layers whose weights are no rows of units, have no share (NaN). In a Keras
    model with steps of its own it looks once an epoch.

    After the training ``epochs`` has the numbers of the epochs, from 0; ``norms`` and ``dead`` map the name of a layer
    to one number for each.

    Layers may have weights of any shape and floating dtype. Raises ValueError for an ``every`` below 1, TypeError
    for one that is no integer. Source: nnkit's own.

    >>> import nnkit
    >>> flow, x = GradientFlow(), nnkit.ones(4, 2)
    >>> _ = nnkit.nn.Linear(2, 3).fit(x, nnkit.zeros(4, 3), loss="mse", epochs=2, callbacks=[flow], verbose=0)
    >>> len(flow.norms["Linear"]), flow.dead
    (2, {'Linear': [0.0, 0.0]})
    """

    def __init__(self, every: int | None = None) -> None:
        self.every = None if every is None else positive_integer(every, "every")
        self.epochs: list[int] = []
        self.norms: dict[str, list[float]] = {}
        self.dead: dict[str, list[float]] = {}
        self._looks: dict[str, list[float]] = {}
        self._alive: dict[str, np.ndarray] = {}
        self._step = self._looked = 0

    def set_trainer(self, trainer: Any) -> None:
        super().set_trainer(trainer)
        self.settle_every = self.every
        if self.every is None and trainer.steps:
            self.settle_every = math.ceil(trainer.steps / LOOKS)

    def on_train_begin(self) -> None:
        self.epochs, self.norms, self.dead = [], {}, {}
        self._begin()

    def on_epoch_begin(self, epoch: int) -> None:
        self._begin()

    def _begin(self) -> None:
        self._looks, self._alive, self._step, self._looked = {}, {}, 0, 0

    def on_read(self, step: int, logs: Mapping[str, float]) -> None:
        self._step = step

    def on_settled(self, epoch: int, step: int) -> None:
        if self._step != self._looked:
            self._looked = self._step
            self._look()
        if not step:
            self._end(epoch - 1)

    @no_grad()
    def _look(self) -> None:
        for name, layer in layers_of(self.model).items():
            squares = 0.0
            for parameter in layer.parameters(recurse=False):
                if parameter.grad is not None:
                    gradient = parameter.grad.detach()
                    squares += float((gradient * gradient).sum().item())
            self._looks.setdefault(name, []).append(math.sqrt(squares))
            alive = _alive(layer)
            if alive is not None:
                self._alive[name] = self._alive.get(name, np.zeros(len(alive), np.bool_)) | alive

    def _end(self, epoch: int) -> None:
        self.epochs.append(epoch)
        for name, looks in self._looks.items():
            alive = self._alive.get(name)
            self.norms.setdefault(name, []).append(sum(looks) / len(looks))
            self.dead.setdefault(name, []).append(math.nan if alive is None else float(1.0 - alive.mean()))

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": list(self.epochs), "norms": _copied(self.norms), "dead": _copied(self.dead)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        fit = Fit(self)
        fit.names(("epochs", "norms", "dead"), fit.mapping("what was noted", state))
        fit.settle()
        self.epochs = list(state["epochs"])
        self.norms, self.dead = _copied(state["norms"]), _copied(state["dead"])

    def plot(self, ax: Any = None) -> GradientFlowDisplay:
        """Draw norms and shares over the epochs: ``nnkit.plot.GradientFlowDisplay``."""
        return GradientFlowDisplay.from_callback(self, ax=ax)


def layers_of(model: Module) -> dict[str, Module]:
    """Name -> each module with parameters of its own that are trained, in order; of Keras's by the layers' names."""
    parts = dict(model.named_modules())
    found: dict[str, Module] = {}
    for path, module in parts.items():
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            name = _keras_name(parts, path) or path or type(module).__name__
            found[name if name not in found else f"{name}/{path}"] = module
    return found


def _keras_name(parts: Mapping[str, Module], path: str) -> str:
    """The names of the Keras layers on the way to a module, from outside in; none where there is none."""
    words, names = path.split("."), []
    for end in range(1, len(words) + 1):
        part: Any = parts.get(".".join(words[:end]))
        if hasattr(part, "built") and isinstance(getattr(part, "name", None), str):
            names.append(part.name)
    return "/".join(names)


def _alive(layer: Module) -> np.ndarray | None:
    """Which units of a layer got a gradient, of their row of the weights or of their bias; None without units."""
    weight, bias = layer._parameters.get("weight"), layer._parameters.get("bias")
    if weight is None or weight.grad is None or weight.ndim < 2 or hasattr(layer, "num_embeddings"):
        return None
    gradient = weight.grad.detach()
    if type(layer).__name__.startswith("ConvTranspose"):  # (in, out, …)
        gradient = gradient.transpose(0, 1)
    found: np.ndarray = (gradient.reshape(gradient.shape[0], -1).abs().amax(1) != 0.0).numpy()
    if bias is not None and bias.grad is not None and bias.shape == found.shape:
        found = found | (bias.grad.detach() != 0.0).numpy()
    return found


def _copied(rows: Mapping[str, Any]) -> dict[str, list[float]]:
    return {name: list(row) for name, row in rows.items()}
