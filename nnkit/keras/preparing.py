"""Before a training or a prediction: the layers are built for the data, and data, callbacks and loss made ready."""

from __future__ import annotations

from typing import Any

from nnkit import training
from nnkit.keras import callbacks as keras_callbacks
from nnkit.keras.batchwise import WithBatches
from nnkit.keras.calling import shapes_of
from nnkit.keras.hooks import hooked
from nnkit.keras.outputs import PairingOfOutputs
from nnkit.keras.pairing import Pairing, first_inputs
from nnkit.keras.progress import in_keras_order
from nnkit.keras.routes import is_by_sample, is_flat_data, is_simple_data
from nnkit.keras.settings import listed
from nnkit.keras.sides import inputs_side
from nnkit.recording.structures import rebuilt
from nnkit.tensors.tape import no_grad
from nnkit.training.several import Several
from nnkit.training.values import host_array

__all__ = ["WithPreparation"]


class WithPreparation(WithBatches):
    """The part of a model that makes ready what ``fit``, ``evaluate`` and ``predict`` are given."""

    @property
    def stop_training(self) -> bool:
        """Set to True, by a callback, it ends the training after the step that runs."""
        return self._stop_training

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        self._stop_training = bool(value)
        if self.running is not None:
            self.running.stop_training = bool(value)

    def build_for(self, x: Any) -> None:
        """Build the layers for inputs like ``x``."""
        self.output_shape_for(x)

    def output_shape_for(self, x: Any) -> Any:
        """The shape of the output for inputs ``x``, batch size first: the model runs once, on one of them."""
        with no_grad():
            first = rebuilt(x, lambda leaf: host_array(leaf, "x")[:1]) if not is_simple_data(x) else None
            output = self(self._batches().inputs(host_array(x, "x")[:1] if first is None else first))
            return shapes_of(output)

    # ---- several inputs and outputs, which a model made of symbolic tensors knows ---------------------------

    def _takes(self, sided: Any, y: Any = None, weight: Any = None, *, given: tuple[Any, ...] = ()) -> bool:
        """Whether these inputs (or those ``given``), targets and weights are arrays, in no deep structure."""
        inputs = [sided, *(inputs_side(self, part) for part in given)]
        outputs = is_flat_data if self.output_keys is not None else is_simple_data
        simple = all(isinstance(part, Several) or is_simple_data(part) for part in inputs) and outputs(y, weight)
        return simple and is_by_sample(weight)

    def _beside(self, x: Any) -> Any:
        """Inputs, side by side where the outputs are to be."""
        return x if self.output_keys is None or isinstance(x, Several) else Several([x], form=None)

    def _structured(self, found: Any) -> Any:
        """Outputs in the structure of the model's."""
        return found.structure() if isinstance(found, Several) else found

    def _is_simple(self, first: Any) -> bool:
        """Whether the model's outputs are known, or one; it is built for inputs like these."""
        if isinstance(first, Several) or self.output_keys is not None:
            return True
        if not is_simple_data(first):
            return False
        if self._one_output is None:
            if not self.built:
                self.build_for(first)
            shape = self.output_shape_for(first)
            self._one_output = isinstance(shape, tuple) and all(not isinstance(part, (tuple, list)) for part in shape)
        return self._one_output

    def _begin(self, callbacks: Any) -> list[Any]:
        """Give the optimizer its weights, and return the callbacks as the loops call them."""
        self._stop_training = False
        return [hooked(callback) for callback in listed(callbacks)]

    def _told(self, callbacks: Any) -> list[Any]:
        """Callbacks that know the model, for a run without an update."""
        chosen = listed(callbacks)
        for callback in chosen:
            if hasattr(callback, "set_params"):
                callback.set_params({"steps": None, "verbose": 0})
            if hasattr(callback, "set_model"):
                callback.set_model(self)
        return chosen

    def _put_in_order(self, record: training.History) -> None:
        """The columns of the history in Keras's order."""
        record.history = {name: record.history[name] for name in in_keras_order(record.history)}

    def _resumed(self, callbacks: Any, initial_epoch: int) -> int:
        """The epoch to begin with: where a BackupAndRestore finds a training that was cut off, its next."""
        for callback in listed(callbacks):
            if isinstance(callback, keras_callbacks.BackupAndRestore):
                return callback.find(self, initial_epoch)
        return initial_epoch

    def _prepared(self, x: Any, y: Any) -> tuple[Any, Pairing, Any]:
        """``x``, how its targets are paired with the outputs, and the loss; builds the layers and the optimizer."""
        first, x = first_inputs(x, y)
        if not self.built:
            self.build_for(first)
        self.build_optimizer()
        if self._outputs is not None:
            return x, PairingOfOutputs(self._outputs, self.output_shape_for(first), self), self._outputs.core()
        assert self._loss is not None
        return x, Pairing(self.output_shape_for(first), self._loss.target_kind, self), self._loss.core
