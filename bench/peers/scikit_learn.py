"""scikit-learn's side: ``MLPClassifier``, which has ReLU networks, Adam and SGD, and nothing else of the workloads."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from bench.contenders import Steps
from bench.workloads import Workload

neural_network: Any = importlib.import_module("sklearn.neural_network")


def build(workload: Workload) -> Steps | None:
    """A "fit" is ``partial_fit`` on the whole data set, one epoch; a step per call is ``partial_fit`` on one batch."""
    if workload.kind in ("program", "eager") or workload.activation != "relu" or workload.dropout:
        return None
    sgd = {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.9, "nesterovs_momentum": True}
    model = neural_network.MLPClassifier(
        workload.sizes[1:-1], batch_size=workload.batch, **(sgd if workload.optimizer == "sgd" else {})
    )
    rows = workload.rows if workload.kind == "fit" else workload.batch
    x, y = workload.data(rows)
    classes = np.arange(max(workload.sizes[-1], 2))
    model.partial_fit(x, y.reshape(-1), classes=classes)
    if not workload.trains:
        return Steps.repeat(lambda: model.predict_proba(x))
    labels = y.reshape(-1)
    return Steps.repeat(lambda: model.partial_fit(x, labels))._replace(per_unit=rows // workload.batch)
