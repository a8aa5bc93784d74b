"""The server with another library's predictions: ``python -m bench.serving.predictors pytorch model.safetensors``.

All else is the same: the sockets, the parsing, the checks, the batches, whose sizes are measured for each library. Each
has as many threads as nnkit has.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import words
from bench.nets import Net
from bench.peers.onnx_runtime import graph
from nnkit.backends.threads import get_num_threads
from nnkit.serve import following, served
from nnkit.serve.server import run

NET = Net((784, 128, 10))
Predict = Callable[[np.ndarray], np.ndarray]


def pytorch(model: Any) -> Predict:
    """Eager, in inference mode: for so small a network faster than compiled."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(get_num_threads())
    network = words.network(torch.nn, torch.from_numpy, NET).eval()
    network.load_state_dict({name: torch.from_numpy(value.numpy()) for name, value in model.state_dict().items()})

    def predict(rows: np.ndarray) -> np.ndarray:
        rows = rows if rows.flags.writeable else rows.copy()  # torch warns of others
        with torch.inference_mode():
            found: np.ndarray = network(torch.from_numpy(rows)).numpy()
            return found

    return predict


def onnx_runtime(model: Any) -> Predict:
    """A session with the graph of the same network."""
    runtime: Any = importlib.import_module("onnxruntime")
    onnx: Any = importlib.import_module("onnx")
    content = onnx.load_from_string(graph(NET))
    weights = {f"w{2 * k}.{n}": name for k in (0, 1) for n, name in enumerate((f"{2 * k}.weight", f"{2 * k}.bias"))}
    state = model.state_dict()
    for tensor in content.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(state[weights[tensor.name]].numpy(), tensor.name))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = get_num_threads()
    session = runtime.InferenceSession(content.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def predict(rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = session.run(None, {"x": rows})[0]
        return found

    return predict


PEERS = {"pytorch": pytorch, "onnx_runtime": onnx_runtime}


def main(name: str, path: str) -> None:
    """Serve with this library's predictions until SIGTERM."""

    class Other(served.Served):
        """A model whose outputs another library computes."""

        def __init__(self, model: Any, *rest: Any) -> None:
            super().__init__(model, *rest)
            self._predict = PEERS[name](model)

        def outputs(self, rows: np.ndarray) -> np.ndarray:
            return self._predict(rows)

    if name in PEERS:
        following.Served = Other  # type: ignore[misc]
    run(path, port=0, say=lambda text: print(text, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
