"""What PyTorch computes for recurrent layers and embeddings, stored in ``sequences_values.npz``.

A case is the text of a module, and how it is run; it is the same in both libraries, so ``compute(torch, torch.nn,
...)`` made the stored values, and ``compute(nnkit, nnkit.nn, ...)`` must give them again.
Run it where PyTorch is installed: ``python tests/reference/make_torch_values_sequences.py``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("sequences_values.npz")

LAYERS = (
    "RNN(3, 4)", "RNN(3, 5, nonlinearity='relu', num_layers=2)", "RNN(2, 3, bidirectional=True, bias=False)",
    "LSTM(3, 4)", "LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)", "LSTM(2, 17, bias=False)",
    "LSTM(1, 1)", "GRU(3, 4)", "GRU(2, 33, batch_first=True)", "GRU(3, 5, num_layers=2, bidirectional=True)",
    "GRU(2, 3, bias=False)",
)  # fmt: skip
#: How a layer is run: with or without first states, on a batch, one sequence, or a packed batch sorted by the layer.
RUNS = ("batch", "batch with states", "single with states", "packed", "packed with states")
LENGTHS, STEPS = (2, 5, 1, 5), 5

CELLS = ("RNNCell(3, 4)", "RNNCell(3, 4, bias=False, nonlinearity='relu')", "LSTMCell(3, 4)", "GRUCell(3, 4)")
#: Text of a table -> the numbers of rows that it is asked for, and where bags begin.
TABLES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "Embedding(5, 3)": (([[0, 4], [1, 1]],), ([2],)),
    "Embedding(5, 3, padding_idx=1)": (([[0, 4], [1, 1]],),),
    "Embedding(5, 3, padding_idx=-1, max_norm=0.5)": (([0, 4, 2, 2],),),
    "Embedding(5, 3, max_norm=1.0, norm_type=1.0)": (([0, 4, 2, 2],),),
    "EmbeddingBag(5, 3)": (([[0, 4], [1, 1]],), ([0, 4, 1, 2, 1], [0, 2, 2])),
    "EmbeddingBag(5, 3, mode='sum', padding_idx=1)": (([[0, 4], [1, 1]],), ([0, 4, 1, 2, 1], [0, 2, 4])),
    "EmbeddingBag(5, 3, mode='max')": (([[0, 4], [1, 1]],), ([0, 4, 1, 2, 1], [0, 1, 1])),
    "EmbeddingBag(5, 3, mode='mean', include_last_offset=True)": (([0, 4, 1, 2, 1], [0, 2, 5]),),
}

CASES = [
    *((text, run) for text in LAYERS for run in RUNS),
    *((text, run) for text in CELLS for run in ("cell", "cell with states")),
    *((text, given) for text, rows in TABLES.items() for given in rows),
]


def key_of(text: str, run: Any) -> str:
    """A case's name."""
    return f"{text} {run}"


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers from -0.75 to 0.75."""
    values = np.random.default_rng([seed, *shape]).integers(-12, 13, math.prod(shape)) / 16.0
    return values.reshape(shape)


def compute(library: Any, nn: Any, text: str, run: Any, dtype: str, device: str) -> dict[str, np.ndarray]:
    """All outputs, and the gradients of a weighted sum of them: of the inputs, the states and every parameter."""
    kind = getattr(library, dtype)
    module = eval(f"nn.{text}", {"nn": nn}).to(device=device, dtype=kind)

    def tensor(values: np.ndarray, grad: bool = False) -> Any:
        made = library.tensor(values.tolist(), dtype=kind, device=device).reshape(values.shape)
        return made.requires_grad_() if grad else made

    with library.no_grad():
        for number, (_, parameter) in enumerate(module.named_parameters()):
            parameter.copy_(tensor(numbers(tuple(parameter.shape), number)))
    if isinstance(run, tuple):
        given = [library.tensor(part, device=device) for part in run]
        outputs, leaves = {"output": module(*given)}, {}
    else:
        outputs, leaves = _run(library, nn, module, text, run, tensor)
    total = sum((y * tensor(numbers(tuple(y.shape), 70 + n))).sum() for n, y in enumerate(outputs.values()))
    total.backward()  # type: ignore[union-attr]
    found = outputs | {f"gradient of {name}": leaf.grad for name, leaf in leaves.items()}
    found |= {f"gradient of {name}": parameter.grad for name, parameter in module.named_parameters()}
    if isinstance(run, tuple):
        found["weight"] = module.weight
    return {name: np.array(value.detach().cpu().numpy()) for name, value in found.items()}


def _run(library: Any, nn: Any, module: Any, text: str, run: str, tensor: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The outputs by name, and the leaves that went in."""
    kind, B, single = text.partition("(")[0], len(LENGTHS), "single" in run
    cell, first = "cell" in run, getattr(module, "batch_first", False)
    lead = (B,) if cell else (STEPS,) if single else (B, STEPS) if first else (STEPS, B)
    leaves = {"input": tensor(numbers((*lead, module.input_size), 99), True)}
    count = 2 if "LSTM" in kind else 1
    layers = 1 if cell else module.num_layers * (1 + module.bidirectional)
    shape = (B,) if cell else (layers,) if single else (layers, B)
    if "with states" in run:
        for n in range(count):
            leaves[f"state {n}"] = tensor(numbers((*shape, module.hidden_size), 90 + n), True)
    x, states = leaves["input"], list(leaves.values())[1:]
    hx: Any = None if not states else tuple(states) if count == 2 else states[0]
    if "packed" in run:
        lengths = library.tensor(list(LENGTHS))
        x = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
    made = module(x, hx)
    if cell:
        return dict(zip(("h", "c"), made if count == 2 else (made,), strict=False)), leaves
    y, last = made
    if "packed" in run:
        y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=first, padding_value=0.5)
    return {"output": y, **dict(zip(("h_n", "c_n"), last if count == 2 else (last,), strict=False))}, leaves


def all_values(library: Any, nn: Any) -> dict[str, np.ndarray]:
    """What a library computes in float64."""
    return {
        f"{key_of(text, run)}/{name}": value
        for text, run in CASES
        for name, value in compute(library, nn, text, run, "float64", "cpu").items()
    }


if __name__ == "__main__":
    import torch

    np.savez_compressed(VALUES, **all_values(torch, torch.nn))
