"""What can go wrong with ONNX files."""

from __future__ import annotations

from types import ModuleType

from nnkit.backends.advice import install
from nnkit.errors import ModelFileError

__all__ = ["OnnxError", "onnx_package"]


class OnnxError(ModelFileError):
    """A model that ONNX cannot say, or a file that nnkit does not read; the message says what and where."""


def onnx_package() -> ModuleType:
    """The package ``onnx``. Raises ImportError with the command that installs it."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError(f"nnkit.onnx needs the package onnx: {install('onnx')}") from error
    return onnx
