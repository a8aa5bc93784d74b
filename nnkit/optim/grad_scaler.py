"""Loss scaling: gradients of float16 products are kept from underflowing by making the loss larger first.

float16 has no numbers between 0 and 6e-8, and many gradients are there. So the loss is multiplied by a large scale,
the gradients are divided by it, and a step whose gradients overflowed is left out: then the scale is halved, and after
2000 good steps in a row it is doubled. Scale, count and the overflow found lie in device memory and are computed
there, so that a recorded step can contain all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from nnkit.backends import Backend
from nnkit.backends.base import Array
from nnkit.backends.recording import paused, recorder
from nnkit.errors import DeviceError, GradientError
from nnkit.ops.elementwise import elementwise
from nnkit.optim.clipping import gradient_pieces
from nnkit.optim.optimizer import Optimizer
from nnkit.recording.state import Watched
from nnkit.recording.structures import rebuilt
from nnkit.tensors.loading import Fit
from nnkit.tensors.tensor import Tensor

READY, UNSCALED, STEPPED = "ready", "unscaled", "stepped"
#: The numbers in device memory: what changes from step to step, then the options.
STATE = ("scale", "streak", "found")
OPTIONS = ("growth_factor", "backoff_factor", "growth_interval")


class _Progress(Watched):
    """How far an optimizer is in this step, and whether its gradients overflowed: ``flag``, 1 or 0."""

    def __init__(self, flag: Array) -> None:
        self.flag = flag
        self.stage = READY


class GradScaler:
    """Scales the loss and unscales the gradients; leaves out steps whose gradients are infinite or NaN.

    Args:
        device: accepted for PyTorch's sake; the numbers go where the first loss is.
        init_scale: what losses are multiplied by at first.
        growth_factor: the scale grows by this after ``growth_interval`` steps in a row without overflow.
        backoff_factor: and by this after an overflow.
        growth_interval: see above.
        enabled: False makes it do nothing: ``scale`` gives the loss itself, ``step`` is the optimizer's.

    A step left out changes neither parameters nor what the optimizer remembers, its step count included. Raises
    ValueError for a factor or interval out of range. Source: ``torch.amp.GradScaler``.

    >>> import nnkit
    >>> w = nnkit.tensor([3.0], requires_grad=True); optimizer = nnkit.optim.SGD([w], lr=0.25)
    >>> scaler = GradScaler(init_scale=8.0)
    >>> scaler.scale((w * w).sum()).backward(); scaler.step(optimizer); scaler.update(); w.tolist()
    [1.5]
    """

    def __init__(
        self,
        device: Any = None,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        options = {
            "growth_factor": growth_factor, "backoff_factor": backoff_factor, "growth_interval": growth_interval,
        }  # fmt: skip
        _check({"scale": init_scale, **options})
        self._enabled = bool(enabled)
        #: What the device's memory starts from.
        self._start = {"scale": float(init_scale), "streak": 0.0, "found": 0.0, **options}
        self._backend: Backend | None = None
        self._places: dict[str, Array] = {}
        self._progress: WeakKeyDictionary[Optimizer, _Progress] = WeakKeyDictionary()

    # ---- memory -------------------------------------------------------------------------------------------

    def _memory(self, backend: Backend) -> dict[str, Array]:
        """The numbers by name, float64 (1,) each, on this backend."""
        if self._backend is None:
            with paused():
                vector = backend.asarray([float(self._start[name]) for name in (*STATE, *OPTIONS)], "float64")
            self._backend = backend
            self._places = {name: vector[i : i + 1] for i, name in enumerate((*STATE, *OPTIONS))}
        if self._backend is not backend:
            raise DeviceError(
                f"this GradScaler is on {str(self._backend.device)!r}, got a tensor on {str(backend.device)!r}: "
                "make a GradScaler for each device"
            )
        return self._places

    def _read(self, name: str) -> float:
        if self._backend is None:
            return float(self._start[name])
        return float(self._backend.to_numpy(self._places[name])[0])

    def _write(self, values: Mapping[str, float]) -> None:
        """Set numbers from Python; a step that does so cannot be replayed, because they would always be the same."""
        at_work = recorder()
        if at_work is not None:
            at_work.obstacle("it sets a number of a GradScaler")
        self._start.update(values)
        if self._backend is not None:
            with paused():
                for name, value in values.items():
                    self._backend.fill(float(value), self._places[name])

    # ---- a step -------------------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """A loss, or tuples, lists and dicts of losses, multiplied by the scale."""
        return rebuilt(outputs, self._scaled) if self._enabled else outputs

    def _scaled(self, loss: Tensor) -> Tensor:
        return elementwise("scale", "scale", loss, (self._memory(loss.backend)["scale"],))

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, and note whether one is infinite or NaN.

        ``step`` does this by itself; call it before where gradients are clipped or looked at. Raises GradientError the
        second time, DeviceError where the parameters are not on the scaler's device.
        """
        if not self._enabled:
            return
        progress = self._progress_of(optimizer)
        if progress.stage != READY:
            done = "unscaled" if progress.stage == UNSCALED else "used for a step"
            raise GradientError(f"unscale_: the gradients were {done} already since the last update()")
        parameters = [tensor for group in optimizer.param_groups for tensor in group["params"]]
        pieces, _ = gradient_pieces(parameters, "unscale")
        memory, backend = self._places, self._home()
        pieces = [piece for piece in pieces if 0 not in piece.shape]
        for piece in pieces:
            backend.map("divide_by", (piece,), (piece,), (memory["scale"],))
        if pieces:
            _overflow(backend, pieces, progress.flag)
        else:
            backend.fill(0.0, progress.flag)
        backend.map("larger", (memory["found"], progress.flag), (memory["found"],))
        progress.stage = UNSCALED

    def _home(self) -> Backend:
        if self._backend is None:
            raise GradientError("the GradScaler has scaled no loss yet: call scaler.scale(loss).backward() first")
        return self._backend

    def _progress_of(self, optimizer: Optimizer) -> _Progress:
        backend = next(tensor.backend for group in optimizer.param_groups for tensor in group["params"])
        self._home()
        self._memory(backend)
        if optimizer not in self._progress:
            with paused():
                self._progress[optimizer] = _Progress(backend.zeros((1,), "float64"))
        return self._progress[optimizer]

    def step(self, optimizer: Optimizer) -> Any:
        """Unscale, where ``unscale_`` has not done so, and ``optimizer.step()``, unless a gradient overflowed.

        Raises GradientError the second time between two calls of ``update``. The decision is the device's.
        """
        if not self._enabled:
            return optimizer.step()
        progress = self._progress_of(optimizer)
        if progress.stage == STEPPED:
            raise GradientError("step: the optimizer has made its step already since the last update()")
        if progress.stage == READY:
            self.unscale_(optimizer)
        with optimizer.unless(progress.flag):
            result = optimizer.step()
        progress.stage = STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """End the step: make the scale smaller after an overflow, larger after enough steps without one.

        With ``new_scale``, a number or a Tensor of one element, that is the scale from now on. Raises GradientError
        where no optimizer was unscaled or stepped since the last call.
        """
        if not self._enabled:
            return
        if isinstance(new_scale, Tensor):
            memory = self._memory(new_scale.backend)
            new_scale.backend.copy(new_scale.backend.reshape(new_scale.detach().array, (1,)), memory["scale"])
        elif new_scale is not None:
            self._write({"scale": float(new_scale)})
        elif all(progress.stage == READY for progress in self._progress.values()):
            raise GradientError("update: nothing was unscaled since the last call; call scaler.step(optimizer) first")
        else:
            state = [self._places[name] for name in STATE]
            self._home().map("loss_scale", state, state, [self._places[name] for name in OPTIONS])
        for progress in self._progress.values():
            progress.stage = READY

    # ---- numbers and checkpoints --------------------------------------------------------------------------

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale, read from the device; 1 where not enabled."""
        return self._read("scale") if self._enabled else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Scale, options and the steps in a row, under PyTorch's names; empty where not enabled."""
        if not self._enabled:
            return {}
        options = {name: self._read(name) for name in OPTIONS}
        options["growth_interval"] = int(options["growth_interval"])
        return {"scale": self.get_scale(), **options, "_growth_tracker": int(self._read("streak"))}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned, here or in PyTorch. Raises ModelFileError for anything else."""
        if not self._enabled:
            return
        fit = Fit(self)
        given = fit.mapping("the state", state_dict)
        fit.settle()
        fit.names(own := self.state_dict(), given)
        for name in own.keys() & given.keys():
            fit.like(repr(name), own[name], given[name])
        if not fit.problems:
            fit.count("'_growth_tracker'", given["_growth_tracker"])
            try:
                _check(given)
            except ValueError as error:
                fit.refuse(str(error))
        fit.settle()
        values = {("streak" if name == "_growth_tracker" else name): value for name, value in given.items()}
        self._write({name: float(value) for name, value in values.items()})

    def __getstate__(self) -> dict[str, Any]:
        return {"enabled": self._enabled, "state": self.state_dict()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        GradScaler.__init__(self, enabled=saved["enabled"])
        self.load_state_dict(saved["state"])


def _check(options: Mapping[str, float]) -> None:
    if not 0.0 < options["scale"] < math.inf:
        raise ValueError(f"init_scale must be greater than 0, got {options['scale']!r}")
    if not 1.0 < options["growth_factor"] < math.inf:
        raise ValueError(f"growth_factor must be greater than 1, got {options['growth_factor']!r}")
    if not 0.0 < options["backoff_factor"] < 1.0:
        raise ValueError(f"backoff_factor must be between 0 and 1, got {options['backoff_factor']!r}")
    if not 1 <= options["growth_interval"] < math.inf:
        raise ValueError(f"growth_interval must be at least 1 step, got {options['growth_interval']!r}")


def _overflow(backend: Backend, pieces: list[Array], flag: Array) -> None:
    """Set ``flag`` to 1 where an element of the pieces is infinite or NaN, else to 0.

    From the least and the greatest element, which NaN passes through: nothing of the pieces' size is needed.
    """
    bounds = []
    for kind in ("min", "max"):
        bound = backend.empty((len(pieces),), "float64")
        for index, piece in enumerate(pieces):
            part = backend.empty((1,), backend.dtype_of(piece))
            backend.reduce(kind, backend.reshape(piece, (-1,)), (0,), part)
            backend.copy(part, bound[index : index + 1])
        bounds.append(bound)
    found = backend.empty((len(pieces),), "float64")
    backend.map("not_finite", bounds, (found,))
    backend.reduce("max", found, (0,), flag)
