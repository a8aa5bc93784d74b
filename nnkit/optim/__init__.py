"""Optimizers, learning-rate schedules, gradient clipping, and the flat arena that parameters live in.

The surface is PyTorch's ``torch.optim``. To follow one step: ``Optimizer.step`` finds the flat runs of
parameters that have a gradient (``arena``), the group computes its scalars on the device (``groups``), and
one kernel runs the update formula (``nnkit.kernels.updates``) over each run.
"""

from nnkit.optim import lr_scheduler, swa_utils
from nnkit.optim.arena import Arena
from nnkit.optim.clipping import clip_grad_norm_, clip_grad_value_
from nnkit.optim.further_optimizers import ASGD, Adadelta, Adamax, Lion, NAdam, RAdam, Rprop
from nnkit.optim.grad_scaler import GradScaler
from nnkit.optim.lbfgs import LBFGS
from nnkit.optim.muon import Muon
from nnkit.optim.optimizer import Optimizer
from nnkit.optim.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, get, register

# fmt: off
__all__ = [
    "ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Arena", "GradScaler", "LBFGS",
    "Lion", "Muon", "NAdam", "Optimizer", "RAdam", "RMSprop", "Rprop", "SGD", "clip_grad_norm_",
    "clip_grad_value_", "get", "lr_scheduler", "register", "swa_utils",
]


def __dir__() -> list[str]:
    return sorted(__all__)


# fmt: on
