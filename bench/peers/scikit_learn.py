"""scikit-learn's side: ``MLPClassifier``, which has ReLU networks, Adam and SGD, and nothing else of the workloads.

It draws its first weights itself, and its loss has a penalty: nobody can hold it to the others' numbers.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from bench.contenders import Steps
from bench.workloads import Workload

neural_network: Any = importlib.import_module("sklearn.neural_network")


def build(workload: Workload) -> Steps | None:
    """A "fit" is ``partial_fit`` on the whole data set, one epoch; a step per call is ``partial_fit`` on one batch."""
    net = workload.net
    if workload.kind in ("program", "eager") or net.family != "dense" or net.activation != "relu" or net.dropout:
        return None
    sgd = {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.9, "nesterovs_momentum": True}
    model = neural_network.MLPClassifier(
        net.sizes[1:-1], batch_size=workload.batch, **(sgd if workload.optimizer == "sgd" else {})
    )
    rows = workload.rows if workload.kind == "fit" else workload.batch
    x, y = workload.data(rows)
    classes = np.arange(max(net.classes, 2))
    model.partial_fit(x, y.reshape(-1), classes=classes)
    if not workload.trains:
        return Steps(Steps.repeat(lambda: model.predict_proba(x)).run)
    labels = y.reshape(-1)
    return Steps(Steps.repeat(lambda: model.partial_fit(x, labels)).run, rows // workload.batch)
