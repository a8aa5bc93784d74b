"""NVIDIA GPUs: memory, launches, matrix products, recorded graphs, and what is said when a GPU cannot be used.

Nothing here is imported before a CUDA device is asked for, and CuPy not before ``backend`` is. ``matmul`` and
``is_built`` are PyTorch's words under ``torch.backends.cuda``.
"""

from __future__ import annotations

from importlib.util import find_spec

from nnkit.backends import precision


class _Matmul:
    """PyTorch's other words for ``set_float32_matmul_precision``."""

    @property
    def allow_tf32(self) -> bool:
        """Whether products of float32 matrices may be made with fewer digits."""
        return precision.get_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        precision.set_matmul_precision("high" if allowed else "highest")

    @property
    def fp32_precision(self) -> str:
        """ "tf32" or "ieee"."""
        return "tf32" if self.allow_tf32 else "ieee"

    @fp32_precision.setter
    def fp32_precision(self, wanted: str) -> None:
        if wanted not in ("tf32", "ieee", "none"):
            raise ValueError(f"fp32_precision: expected 'tf32' or 'ieee', got {wanted!r}")
        self.allow_tf32 = wanted == "tf32"


matmul = _Matmul()


def is_built() -> bool:
    """Whether CuPy is installed; ``nnkit.cuda.is_available`` says whether a GPU is usable."""
    return find_spec("cupy") is not None
