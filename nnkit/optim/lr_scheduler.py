"""The learning-rate schedules under PyTorch's name: ``nnkit.optim.lr_scheduler.StepLR``."""

from nnkit.optim.composed import ChainedScheduler, SequentialLR
from nnkit.optim.cycles import CosineAnnealingWarmRestarts, CyclicLR
from nnkit.optim.one_cycle import OneCycleLR
from nnkit.optim.plateau import ReduceLROnPlateau
from nnkit.optim.schedule import LRScheduler
from nnkit.optim.schedules import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    InverseTimeLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

_LRScheduler = LRScheduler  # PyTorch's first name of it

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "InverseTimeLR",
    "LambdaLR",
    "LinearLR",
    "LRScheduler",
    "MultiplicativeLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


def __dir__() -> list[str]:
    return sorted(__all__)
