"""What Keras's optimizers share: they are made without parameters, and meet them when training begins.

So ``SGD(learning_rate=0.1)`` first only keeps its settings; ``build(parameters)``, which ``fit`` calls, makes it an
optimizer of ``nnkit.optim``. A learning rate may be a number, a schedule (a function of the number of updates made
so far) or a function without arguments. Before an update come, in Keras's order, clipping and weight decay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, TypeAlias, TypedDict

from nnkit import optim
from nnkit.errors import nearest_names
from nnkit.keras.naming import configured, snake_case
from nnkit.keras.optimizers import readings
from nnkit.keras.optimizers.applying import Applying
from nnkit.keras.optimizers.schedules import LearningRateSchedule, deserialize
from nnkit.keras.optimizers.stepping import Accumulated, MovingAverage, checked_options
from nnkit.tensors.tape import enable_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["CommonOptions", "Optimizer", "OptimizerOptions", "Rate"]

#: Options that ``get_config`` has of every optimizer.
SHARED = (
    "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency",
    "loss_scale_factor", "gradient_accumulation_steps",
)  # fmt: skip
Rate: TypeAlias = float | LearningRateSchedule | Callable[[], float]


class CommonOptions(TypedDict, total=False):
    """The keyword arguments that every optimizer takes, but for ``weight_decay``."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None
    lr: float | None
    decay: float | None
    jit_compile: bool


class OptimizerOptions(CommonOptions, total=False):
    """The keyword arguments that every optimizer takes."""

    weight_decay: float | None


class Optimizer(Applying, optim.Optimizer):
    """The base class of Keras optimizers.

    Args:
        learning_rate: a number, a schedule, or a function without arguments.
        settings: the options of the update formulas, by the names of ``nnkit.optim``.
        options: ``weight_decay`` (decoupled: the weights shrink by ``rate * weight_decay`` of themselves);
            at most one of ``clipnorm`` (bounds the norm of each weight's gradient), ``clipvalue`` (bounds each
            element) and ``global_clipnorm`` (bounds the norm of all gradients together);
            ``gradient_accumulation_steps`` (an update by the mean gradient of so many batches);
            ``use_ema`` (a moving average of the weights, of which ``ema_momentum`` is kept at each update, and which
            the weights become every ``ema_overwrite_frequency`` updates, or at the end of ``fit``); ``name``;
            ``loss_scale_factor`` and ``jit_compile``, which change nothing here; and from older versions of
            Keras ``lr`` for ``learning_rate``, and ``decay``, which makes the rate
            ``learning_rate / (1 + decay * updates)``.

    Raises:
        TypeError: an unknown argument. ValueError: one out of range, or two that exclude each other.

    >>> from nnkit.keras.optimizers import SGD
    >>> isinstance(SGD(0.1), Optimizer), SGD(0.1, weight_decay=0.01).weight_decay
    (True, 0.01)
    """

    def __init__(
        self, learning_rate: Any, settings: Mapping[str, Any], options: OptimizerOptions
    ) -> None:  # The base class is initialised by build, which knows the parameters.
        _refuse_unknown(type(self).__name__, options)
        if options.get("lr") is not None:
            learning_rate = options["lr"]
        if isinstance(learning_rate, Mapping):
            learning_rate = deserialize(learning_rate)
        self.name = options.get("name") or snake_case(type(self).__name__)
        self.weight_decay = options.get("weight_decay")
        self.clipnorm = options.get("clipnorm")
        self.clipvalue = options.get("clipvalue")
        self.global_clipnorm = options.get("global_clipnorm")
        self.decay = options.get("decay") or 0.0
        averaging = checked_options(type(self).__name__, options)
        self.use_ema: bool = averaging["use_ema"]
        self.ema_momentum: float = averaging["ema_momentum"]
        self.ema_overwrite_frequency: int | None = averaging["ema_overwrite_frequency"]
        self.gradient_accumulation_steps: int | None = averaging["gradient_accumulation_steps"]
        self.loss_scale_factor = options.get("loss_scale_factor")
        self._undecayed: list[int] = []
        self._accumulated: Accumulated | None = None
        self._average: MovingAverage | None = None
        self.built = False
        self._rate: Any = learning_rate
        self._settings = {
            **settings,
            "rate_decay": self.decay,
            "weight_decay": self.weight_decay or 0.0,
            "maximize": False,
        }
        #: The number of the next update, while a schedule is followed.
        self._next = 0
        #: Whether ``fit`` calls ``follow_schedule``, so that all steps are alike and can be replayed.
        self.driven = False
        self._check()
        self._own = tuple(vars(self))

    def _check(self) -> None:
        kind = type(self).__name__
        if not callable(self._rate) and not (isinstance(self._rate, Real) and 0 <= float(self._rate) < float("inf")):
            raise ValueError(f"{kind}: learning_rate must be a number, 0 or larger, or a schedule; got {self._rate!r}")
        if self.decay and callable(self._rate):
            raise ValueError(f"{kind}: decay and a learning-rate schedule exclude each other; leave decay out")
        clips = {name: getattr(self, name) for name in ("clipnorm", "clipvalue", "global_clipnorm")}
        given = {name: value for name, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"{kind}: only one of clipnorm, clipvalue and global_clipnorm can be set; got {given}")
        for name, value in given.items() | {("decay", self.decay)}:
            if not isinstance(value, (int, float)) or value < 0:
                raise ValueError(f"{kind}: {name} must be a number, 0 or larger; got {value!r}")

    def build(self, parameters: Iterable[Tensor]) -> None:
        """Take the parameters on; called by ``fit``. Later calls check that they are the same ones."""
        parameters = list(parameters)
        if not self.built:
            rate = self._rate if not callable(self._rate) else self._scheduled(0)
            super().__init__(self._groups_of(parameters), {"lr": float(rate), **self._settings})
            self.built = True
            if self.gradient_accumulation_steps:
                self._accumulated = Accumulated(parameters, self.gradient_accumulation_steps)
            if self.use_ema:
                self._average = MovingAverage(
                    parameters, self.ema_momentum, self.ema_overwrite_frequency, self.gradient_accumulation_steps or 1
                )
        elif [id(p) for p in parameters] != [id(p) for group in self.param_groups for p in group["params"]]:
            raise ValueError(
                f"the optimizer {self.name!r} was built for other weights; "
                "compile with a new optimizer after changing the layers, and use one for each model"
            )

    def _groups_of(self, parameters: list[Tensor]) -> list[Any]:
        """The parameters, in two groups where some are left out of the weight decay."""
        apart = [parameter for parameter in parameters if id(parameter) in self._undecayed]
        if not apart:
            return parameters
        rest = [parameter for parameter in parameters if id(parameter) not in self._undecayed]
        groups: list[dict[str, Any]] = [{"params": rest}, {"params": apart, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    # ---- the learning rate --------------------------------------------------------------------------------

    @property
    def iterations(self) -> int:
        """The number of updates made so far; read from the device."""
        return readings.Count(self.param_groups[0].step if self.built else 0)

    @property
    def follows_schedule(self) -> bool:
        """Whether a function gives the learning rate of each update, so that it cannot be set."""
        return callable(self._rate)

    def _scheduled(self, step: int) -> float:
        return float(self._rate(step) if isinstance(self._rate, LearningRateSchedule) else self._rate())

    def follow_schedule(self) -> None:
        """Set the rate of the next update, where a schedule gives it."""
        if self.follows_schedule:
            for group in self.param_groups:
                group["lr"] = self._scheduled(self._next)
            self._next += 1

    def drive(self, driven: bool) -> None:
        """Let ``fit`` call ``follow_schedule`` (True), or have ``step`` do so (False)."""
        self.driven, self._next = driven, self.iterations * (self.gradient_accumulation_steps or 1)

    def _base_rate(self) -> float:
        """The rate before decay; callbacks may have set it in the groups."""
        return float(self.param_groups[0]["lr"] if self.built else self._rate)

    @property
    def learning_rate(self) -> float:
        """The rate of the next update. It can be set, ``assign``ed too, unless it follows a schedule."""
        if self.follows_schedule:
            return readings.Rate.of(self, self._scheduled(self.iterations * (self.gradient_accumulation_steps or 1)))
        return readings.Rate.of(self, self._base_rate() / (1 + self.decay * self.iterations))

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self.follows_schedule:
            raise TypeError(
                f"the optimizer {self.name!r} follows a learning-rate schedule, so its learning rate cannot be "
                "set; make it with a number if you want to set it"
            )
        self._rate = float(value)
        if self.built:
            for group in self.param_groups:
                group["lr"] = self._rate

    lr = learning_rate

    # ---- the update ---------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Clip the gradients and update, at the scheduled rate where there is a schedule."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if not self.driven:
            self.follow_schedule()
        if self._accumulated is None:
            self._clip_and_update()
        else:
            outer = Tensor(self._unless[-1], self._accumulated.count.backend) if self._unless else None
            self._accumulated.run(self._update_unless, outer)
        if self._average is not None:
            self._average.update()
        return loss

    def _update_unless(self, waits: Tensor) -> None:
        with self.unless(waits.array):
            self._clip_and_update()

    def _clip_and_update(self) -> None:
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        if self.clipnorm:
            for parameter in parameters:
                optim.clip_grad_norm_([parameter], self.clipnorm)
        elif self.global_clipnorm:
            optim.clip_grad_norm_(parameters, self.global_clipnorm)
        elif self.clipvalue:
            optim.clip_grad_value_(parameters, self.clipvalue)
        self._update()

    def _update(self) -> None:
        """The update itself."""
        super().step()

    def finalize_variable_values(self, var_list: Any = None) -> None:
        """Make the weights their moving averages, where ``use_ema`` is set; ``fit`` calls it at its end."""
        if self._average is not None:
            self._average.overwrite()

    def scale_loss(self, loss: Any) -> Any:
        """The loss itself: gradients are not scaled here, but in ``mixed_precision``."""
        return loss

    def exclude_from_weight_decay(self, var_list: Iterable[Any] | None = None, var_names: Any = None) -> None:
        """Leave these weights out of the weight decay; before the first update. ``var_names`` is refused."""
        if var_names is not None:
            raise ValueError("exclude_from_weight_decay: give the weights themselves, in var_list; they have no names")
        if self.built:
            raise ValueError("exclude_from_weight_decay must be called before the first update")
        self._undecayed = [*self._undecayed, *(id(variable) for variable in var_list or ())]

    # ---- copies and text ----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self._own}
        return {"own": own, "updates": super().__getstate__() if self.built else None}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        vars(self).update(saved["own"], _own=tuple(saved["own"]))
        if saved["updates"] is not None:
            super().__setstate__(saved["updates"])

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items() if value is not None)
        return f"{type(self).__name__}({arguments})"

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this optimizer, without what it remembers of the training."""
        config: dict[str, Any] = {
            "name": self.name,
            "learning_rate": configured(self._rate) if callable(self._rate) else self._base_rate(),
        }
        for name in SHARED:
            config[name] = getattr(self, name)
        return {**config, "decay": self.decay} if self.decay else config


def _refuse_unknown(kind: str, options: Mapping[str, Any]) -> None:
    known = OptimizerOptions.__annotations__
    for name in options:
        if name not in known:
            near = nearest_names(name, known)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(sorted(known))}"
            raise TypeError(f"{kind} has no argument {name!r}{hint}")
