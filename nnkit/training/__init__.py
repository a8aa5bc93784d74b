"""Training: ``fit``, ``evaluate`` and ``predict`` of every Module, and what they are made of.

From outside to inside: ``api`` (the three functions), ``data`` (the way of the data), ``trainer`` (the loop), ``steps``
(one step), ``callbacks`` (what happens in between). The data go one way: what came in (``tables``, ``kinds``), checked
arrays (``door``, which asks ``inputs``, ``targets``, ``sample_weights``), batches on the device (``sources``,
``batches``), steps (``replay``, ``steps``).
"""

from __future__ import annotations

from nnkit.nn.module import Module
from nnkit.training.api import evaluate, fit, last_history, predict
from nnkit.training.averaging import AveragedModel, update_bn
from nnkit.training.callbacks import (
    Callback,
    EarlyStopping,
    LambdaCallback,
    TerminateOnNaN,
    TimeBudget,
)
from nnkit.training.checkpoints import ModelCheckpoint, RunCheckpoint
from nnkit.training.confusion import BalancedAccuracy, ConfusionMatrix, LogLoss, Matthews
from nnkit.training.gradient_flow import GradientFlow
from nnkit.training.history import History
from nnkit.training.kept import RowMetric
from nnkit.training.loggers import CSVLogger, JSONLines
from nnkit.training.metric import FunctionMetric, Metric
from nnkit.training.metrics import F1, MAE, MSE, R2, RMSE, Accuracy, Precision, Recall, TopKAccuracy
from nnkit.training.progress import ProgressBar
from nnkit.training.ranking import AUC, AveragePrecision
from nnkit.training.rate_callbacks import LearningRateScheduler, ReduceLROnPlateau
from nnkit.training.rate_finder import LearningRates, LRFinder, lr_finder
from nnkit.training.tables import reads
from nnkit.training.tensorboard import TensorBoard
from nnkit.training.trainer import Trainer

__all__ = [
    "AUC", "F1", "MAE", "MSE", "R2", "RMSE", "Accuracy", "AveragedModel", "AveragePrecision", "BalancedAccuracy",
    "CSVLogger", "Callback", "ConfusionMatrix", "EarlyStopping", "FunctionMetric", "GradientFlow", "History",
    "JSONLines", "LRFinder", "LambdaCallback", "LearningRateScheduler", "LearningRates", "LogLoss", "Matthews",
    "Metric", "ModelCheckpoint", "Precision", "ProgressBar", "Recall", "ReduceLROnPlateau", "RowMetric",
    "RunCheckpoint", "TensorBoard", "TerminateOnNaN", "TimeBudget", "TopKAccuracy", "Trainer", "evaluate", "fit",
    "last_history", "lr_finder", "predict", "update_bn",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


Module.fit = fit
Module.evaluate = evaluate
Module.predict = predict
Module.reads = reads
