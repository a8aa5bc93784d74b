"""What PyTorch keeps beside its layers: clipping, parameters as one vector, weights that are computed, sequences."""

import importlib
from typing import Any

from nnkit.nn.utils import rnn
from nnkit.nn.utils.clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, get_total_norm
from nnkit.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from nnkit.nn.utils.reparametrize import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "get_total_norm", "parameters_to_vector",
    "remove_spectral_norm", "remove_weight_norm", "rnn", "spectral_norm", "vector_to_parameters", "weight_norm",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name in ("parametrizations", "parametrize"):  # they are made of modules, which are made of what is here
        return importlib.import_module(f"nnkit.nn.utils.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
