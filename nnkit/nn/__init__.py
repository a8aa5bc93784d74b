"""Modules, losses and initial values, by PyTorch's names.

Start with ``module`` (what a module is), then ``linear`` (the commonest one) and ``losses``.
"""

from nnkit.nn import activations, functional, init, losses
from nnkit.nn.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    register_activation,
)
from nnkit.nn.containers import ModuleDict, ModuleList, Sequential
from nnkit.nn.linear import Dropout, Flatten, Identity, Linear, Reshape, Unflatten
from nnkit.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from nnkit.nn.module import Module
from nnkit.nn.regularizers import L1L2
from nnkit.tensor import Parameter

# fmt: off
__all__ = [
    "Activation", "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "Dropout", "ELU", "Flatten", "GELU",
    "Hardsigmoid", "Hardswish", "Hardtanh", "HuberLoss", "Identity", "L1L2", "L1Loss", "LeakyReLU", "Linear",
    "LogSoftmax", "Loss", "MSELoss", "Mish", "Module", "ModuleDict", "ModuleList", "NLLLoss", "Parameter",
    "ReLU", "ReLU6", "Reshape", "SELU", "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "Softmax",
    "Softplus", "Softsign", "Tanh", "Unflatten", "activations", "functional", "init", "losses",
    "register_activation",
]
# fmt: on
