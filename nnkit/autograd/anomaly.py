"""Looking for the first NaN in backward: ``set_detect_anomaly``, as a switch or for a ``with`` block."""

from __future__ import annotations

from nnkit.recording.state import changed
from nnkit.tensors.gradients import anomaly


class set_detect_anomaly:
    """Check every gradient in backward for NaN, and raise GradientError that names the op which made the first.

    Works at once and for this thread, or until a ``with`` block ends. Backward is slower so; a compiled step runs
    plainly. ``check_nan=False`` checks nothing. Source: ``torch.autograd.set_detect_anomaly``.

    >>> import nnkit
    >>> x = nnkit.tensor(0.0, requires_grad=True)
    >>> with set_detect_anomaly(True): (x.sqrt() * 0.0).backward()
    Traceback (most recent call last):
    nnkit.errors.GradientError: the gradient of 'sqrt' with respect to its input 0 has NaN in it, and the gradient ...
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = anomaly.on
        anomaly.on = bool(mode) and check_nan
        changed()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        anomaly.on = self._before
        changed()


class detect_anomaly(set_detect_anomaly):
    """``set_detect_anomaly(True)`` for a ``with`` block.

    Within it backward raises GradientError at the first NaN. Source: ``torch.autograd.detect_anomaly``.

    >>> import nnkit
    >>> x = nnkit.tensor(2.0, requires_grad=True)
    >>> with detect_anomaly():
    ...     (x * x).backward()
    >>> x.grad.item()
    4.0
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)
