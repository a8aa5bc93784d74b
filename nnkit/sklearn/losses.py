"""What scikit-learn's estimators descend, where that is no loss of the core."""

from __future__ import annotations

from nnkit.nn import functional
from nnkit.tensor import Tensor


def half_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Half the squared error of a sample, summed over its outputs, the mean of the samples; both (B, L).

    >>> import nnkit
    >>> half_squared_error(nnkit.tensor([[1.0, 2.0]]), nnkit.zeros(1, 2))
    tensor(2.5)
    """
    return functional.mse_loss(prediction, target) * (0.5 * target.shape[1])
