"""What PyTorch computes for the modules and losses of ``nnkit.nn``, stored in ``nn_values.npz``.

Every case is run by one function for both libraries, whose names are the same, so the two cannot drift apart:
``compute(torch, torch.nn, ...)`` made the stored values, ``compute(nnkit, nnkit.nn, ...)`` must give them
again. Run it where PyTorch is installed: ``python tests/reference/make_torch_values_nn.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VALUES = Path(__file__).with_name("nn_values.npz")
DTYPES = ("float32", "float64")


class Case(NamedTuple):
    """One module, its arguments, and the inputs it is called with (names in ``inputs()``)."""

    module: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    inputs: tuple[str, ...] = ("x",)
    tensors: dict[str, str] = {}  # noqa: RUF012

    @property
    def name(self) -> str:
        """A key for this case."""
        options = [f"{k}={v}" for k, v in (self.arguments | self.tensors).items()]
        return f"{self.module}({', '.join(options)})({', '.join(self.inputs)})"


ACTIVATIONS = [
    Case("ReLU"),
    Case("LeakyReLU"),
    Case("LeakyReLU", {"negative_slope": 0.2}),
    Case("ELU"),
    Case("ELU", {"alpha": 0.5}),
    Case("SELU"),
    Case("GELU"),
    Case("GELU", {"approximate": "tanh"}),
    Case("SiLU"),
    Case("Mish"),
    Case("Sigmoid"),
    Case("Tanh"),
    Case("Softplus"),
    Case("Softplus", {"beta": 2.0, "threshold": 5.0}),
    Case("Softsign"),
    Case("Hardtanh"),
    Case("Hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    Case("ReLU6"),
    Case("Hardsigmoid"),
    Case("Hardswish"),
    Case("Softmax", {"dim": 0}),
    Case("Softmax", {"dim": -1}),
    Case("LogSoftmax", {"dim": 1}),
]


def _regression(module: str, **arguments: Any) -> Case:
    return Case(module, arguments, ("scores", "target"))


def _binary(module: str, prediction: str, target: str, tensors: dict[str, str], **arguments: Any) -> Case:
    return Case(module, arguments, (prediction, target), tensors)


def _labels(module: str, prediction: str, target: str, weighted: bool, **arguments: Any) -> Case:
    return Case(module, arguments, (prediction, target), {"weight": "class_weight"} if weighted else {})


LOSSES = [
    *(
        _regression(module, reduction=reduction, **arguments)
        for module, arguments in (
            ("MSELoss", {}),
            ("L1Loss", {}),
            ("HuberLoss", {"delta": 0.7}),
            ("SmoothL1Loss", {"beta": 0.7}),
            ("SmoothL1Loss", {"beta": 0.0}),
        )
        for reduction in ("mean", "sum", "none")
    ),
    _regression("HuberLoss"),
    _regression("SmoothL1Loss"),
    *(_binary("BCELoss", "chances", "hits", {}, reduction=reduction) for reduction in ("mean", "sum", "none")),
    _binary("BCELoss", "chances", "soft_hits", {"weight": "element_weight"}),
    _binary("BCELoss", "certain", "hits", {}, reduction="none"),
    *(
        _binary("BCEWithLogitsLoss", "scores", "soft_hits", tensors, reduction=reduction)
        for tensors in (
            {},
            {"weight": "element_weight"},
            {"pos_weight": "class_weight"},
            {"weight": "element_weight", "pos_weight": "class_weight"},
        )
        for reduction in ("mean", "none")
    ),
    *(
        _labels(module, "scores", target, weighted, reduction=reduction)
        for module in ("CrossEntropyLoss", "NLLLoss")
        for target in ("labels", "labels_ignored")
        for weighted in (False, True)
        for reduction in ("mean", "sum", "none")
    ),
    *(
        _labels("CrossEntropyLoss", "scores", target, weighted, label_smoothing=0.1, reduction=reduction)
        for target in ("labels", "labels_ignored", "soft_labels")
        for weighted in (False, True)
        for reduction in ("mean", "none")
    ),
    _labels("CrossEntropyLoss", "scores", "soft_labels", False),
    _labels("CrossEntropyLoss", "scores", "soft_labels", True, reduction="sum"),
    _labels("CrossEntropyLoss", "scores", "labels", True, ignore_index=2),
    _labels("CrossEntropyLoss", "maps", "map_labels", False, reduction="none"),
    _labels("CrossEntropyLoss", "maps", "map_labels", True, label_smoothing=0.2),
    _labels("CrossEntropyLoss", "maps", "soft_maps", True),
    _labels("NLLLoss", "maps", "map_labels", True),
    _labels("CrossEntropyLoss", "one_row", "one_label", False),
]


def inputs() -> dict[str, np.ndarray]:
    """Every input by name: random numbers, and for the activations the places where they bend."""
    random = np.random.default_rng(0)
    bends = [0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -2.0, 25.0, -25.0, 2.5, 100.0, -100.0]
    chances = random.uniform(0.02, 0.98, (6, 4))
    return {
        "x": np.concatenate([bends, 2.0 * random.normal(size=22)]).reshape(5, 7),
        "scores": 2.0 * random.normal(size=(6, 4)),
        "target": 2.0 * random.normal(size=(6, 4)),
        "chances": chances,
        "certain": np.where(chances > 0.5, 1.0, 0.0),
        "hits": random.integers(0, 2, (6, 4)).astype(float),
        "soft_hits": random.uniform(size=(6, 4)),
        "element_weight": random.uniform(0.1, 2.0, (6, 1)),
        "class_weight": random.uniform(0.1, 2.0, 4),
        "labels": np.array([0, 3, 2, 1, 2, 0]),
        "labels_ignored": np.array([0, -100, 2, 1, -100, 3]),
        "soft_labels": random.dirichlet(np.ones(4), 6),
        "maps": random.normal(size=(2, 4, 3)),
        "map_labels": np.array([[0, 3, 1], [2, 2, -100]]),
        "soft_maps": random.dirichlet(np.ones(4), (2, 3)).transpose(0, 2, 1),
        "one_row": random.normal(size=4),
        "one_label": np.array(2),
        "images": random.normal(size=(6, 2, 3)),
        "gradient": random.normal(size=100),
        "1.weight": random.normal(size=(5, 6)),
        "1.bias": random.normal(size=5),
        "3.weight": random.normal(size=(5, 5)),
        "5.weight": random.normal(size=(4, 5)),
        "5.bias": random.normal(size=4),
    }


def compute(
    library: Any, nn: Any, case: Case, given: dict[str, np.ndarray], dtype: str, device: str
) -> dict[str, np.ndarray]:
    """A case's output, and the gradient of its first input against a fixed gradient of the output."""

    def tensor(name: str, **options: Any) -> Any:
        kind = getattr(library, dtype) if given[name].dtype.kind == "f" else library.int64
        return library.tensor(given[name], dtype=kind, device=device, **options)

    module = getattr(nn, case.module)(
        **case.arguments, **{name: tensor(source) for name, source in case.tensors.items()}
    )
    x = tensor(case.inputs[0], requires_grad=True)
    output = module(x, *(tensor(name) for name in case.inputs[1:]))
    gradient = given["gradient"][: output.numel()].reshape(tuple(output.shape))
    output.backward(library.tensor(gradient, dtype=output.dtype, device=device))
    return {"output": output.detach().numpy(), "gradient": x.grad.numpy()}


def network(nn: Any) -> Any:
    """A small network with every kind of layer that has a shape of its own."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 5, bias=False), nn.GELU(), nn.Linear(5, 4)
    )


def compute_network(
    library: Any, nn: Any, given: dict[str, np.ndarray], dtype: str, device: str
) -> dict[str, np.ndarray]:
    """The network's output, its loss, and the gradients of all parameters."""
    kind = getattr(library, dtype)
    model = network(nn).to(device, kind)
    state = {name: library.tensor(given[name], dtype=kind, device=device) for name in model.state_dict()}
    model.load_state_dict(state)
    output = model(library.tensor(given["images"], dtype=kind, device=device))
    loss = nn.CrossEntropyLoss()(output, library.tensor(given["labels"], device=device))
    loss.backward()
    found = {"output": output.detach().numpy(), "loss": loss.detach().numpy()}
    return found | {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}


def all_values(library: Any, nn: Any, given: dict[str, np.ndarray], device: str) -> dict[str, np.ndarray]:
    """Every value of every case: "dtype/case/what"."""
    values = {}
    for dtype in DTYPES:
        for case in (*ACTIVATIONS, *LOSSES):
            for what, value in compute(library, nn, case, given, dtype, device).items():
                values[f"{dtype}/{case.name}/{what}"] = value
        for what, value in compute_network(library, nn, given, dtype, device).items():
            values[f"{dtype}/network/{what}"] = value
    return values


def main() -> None:
    """Write ``nn_values.npz``."""
    import torch

    given = inputs()
    values = {f"input/{name}": value for name, value in given.items()}
    np.savez_compressed(VALUES, **values, **all_values(torch, torch.nn, given, "cpu"))
    print(f"{len(values)} inputs and the values of PyTorch {torch.__version__} are in {VALUES}")


if __name__ == "__main__":
    main()
