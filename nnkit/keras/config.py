"""Settings of the process, with Keras's names: the float type, the little number, how images lie, what is printed.

``floatx`` is nnkit's default type of floats. Definitions: ``keras.config``.
"""

from __future__ import annotations

from typing import Any

import nnkit
from nnkit.errors import UnknownNameError
from nnkit.tensors.dtypes import as_dtype

__all__ = [
    "backend",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "is_traceback_filtering_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]

FORMATS = ("channels_first", "channels_last")
FLOATS = ("bfloat16", "float16", "float32", "float64")
_settings: dict[str, Any] = {
    "epsilon": 1e-7, "image_data_format": "channels_last", "logging": True, "filtering": True, "half": None,
}  # fmt: skip


def backend() -> str:
    """Which library computes: "nnkit".

    Source: ``keras.config.backend``.

    >>> backend()
    'nnkit'
    """
    return "nnkit"


def epsilon() -> float:
    """The little number that keeps divisors and logarithms away from 0: 1e-7 unless set otherwise.

    Source: ``keras.config.epsilon``.

    >>> epsilon()
    1e-07
    """
    return float(_settings["epsilon"])


def set_epsilon(value: float) -> None:
    """Set what :func:`epsilon` returns.

    Raises ValueError for what is no number. Source: ``keras.config.set_epsilon``.

    >>> set_epsilon(1e-7)
    """
    _settings["epsilon"] = float(value)


def floatx() -> str:
    """The name of the type of new floats: "float32" unless set otherwise.

    Source: ``keras.config.floatx``.

    >>> floatx()
    'float32'
    """
    return nnkit.get_default_dtype().name


def set_floatx(value: str) -> None:
    """Make new floats "float16", "bfloat16", "float32" or "float64".

    Raises UnknownNameError otherwise. Source: ``keras.config.set_floatx``.

    >>> set_floatx("float32")
    """
    if str(value) not in FLOATS:
        raise UnknownNameError("float type", value, FLOATS)
    nnkit.set_default_dtype(as_dtype(value))


def image_data_format() -> str:
    """Where images have their channels: "channels_last" unless set otherwise.

    Source: ``keras.config.image_data_format``.

    >>> image_data_format()
    'channels_last'
    """
    return str(_settings["image_data_format"])


def set_image_data_format(data_format: str) -> None:
    """Let layers and functions without ``data_format=`` take "channels_first" or "channels_last".

    Raises UnknownNameError otherwise. Source: ``keras.config.set_image_data_format``.

    >>> set_image_data_format("channels_last")
    """
    if str(data_format).lower() not in FORMATS:
        raise UnknownNameError("image data format", data_format, FORMATS)
    _settings["image_data_format"] = str(data_format).lower()


def half_type() -> str | None:
    """The half type of products in training, which ``mixed_precision`` sets; None for none."""
    found: str | None = _settings["half"]
    return found


def set_half_type(name: str | None) -> None:
    """Set what :func:`half_type` returns."""
    _settings["half"] = name


def is_interactive_logging_enabled() -> bool:
    """Whether progress lines are printed.

    Source: ``keras.config.is_interactive_logging_enabled``.

    >>> is_interactive_logging_enabled()
    True
    """
    return bool(_settings["logging"])


def enable_interactive_logging() -> None:
    """Print progress lines: as it is unless disabled.

    Source: ``keras.config.enable_interactive_logging``.

    >>> enable_interactive_logging(); is_interactive_logging_enabled()
    True
    """
    _settings["logging"] = True


def disable_interactive_logging() -> None:
    """Print no progress lines, whatever ``verbose`` says.

    Source: ``keras.config.disable_interactive_logging``.

    >>> disable_interactive_logging(); is_interactive_logging_enabled()
    False
    >>> enable_interactive_logging()
    """
    _settings["logging"] = False


def is_traceback_filtering_enabled() -> bool:
    """What was set; nnkit shows every line of a traceback in any case.

    Source: ``keras.config.is_traceback_filtering_enabled``.

    >>> is_traceback_filtering_enabled()
    True
    """
    return bool(_settings["filtering"])


def enable_traceback_filtering() -> None:
    """Taken, and without effect: nnkit shows every line of a traceback.

    Source: ``keras.config.enable_traceback_filtering``.

    >>> enable_traceback_filtering(); is_traceback_filtering_enabled()
    True
    """
    _settings["filtering"] = True


def disable_traceback_filtering() -> None:
    """Taken, and without effect: nnkit shows every line of a traceback.

    Source: ``keras.config.disable_traceback_filtering``.

    >>> disable_traceback_filtering(); is_traceback_filtering_enabled()
    False
    >>> enable_traceback_filtering()
    """
    _settings["filtering"] = False


def enable_unsafe_deserialization() -> None:
    """Refused: nnkit runs no code that a file brings.

    Raises ValueError. Source: ``keras.config.enable_unsafe_deserialization``.

    >>> enable_unsafe_deserialization()
    Traceback (most recent call last):
    ValueError: ...
    """
    raise ValueError("nnkit runs no code from files: define the function in Python, and register it by its name")


def max_epochs() -> None:
    """None: there is no limit but that of ``fit``.

    Source: ``keras.config.max_epochs``.

    >>> max_epochs()
    """


def max_steps_per_epoch() -> None:
    """None: there is no limit but that of ``fit``.

    Source: ``keras.config.max_steps_per_epoch``.

    >>> max_steps_per_epoch()
    """
