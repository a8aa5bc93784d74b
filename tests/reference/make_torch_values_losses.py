"""What PyTorch computes for losses of pairs, margins, distributions and alignments, and for less common activations.

Stored in ``losses_values.npz``. Every case is run by one function for both libraries, whose names are the same. Run it
where PyTorch is installed: ``python tests/reference/make_torch_values_losses.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VALUES = Path(__file__).with_name("losses_values.npz")
DTYPES = ("float32", "float64")


class Case(NamedTuple):
    """One module, its arguments, the inputs it is called with (names in ``inputs()``) and how many of them learn."""

    module: str
    inputs: tuple[str, ...]
    arguments: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    tensors: dict[str, str] = {}  # noqa: RUF012
    learned: int = 1

    @property
    def name(self) -> str:
        """A key for this case."""
        options = [f"{k}={v}" for k, v in (self.arguments | self.tensors).items()]
        return f"{self.module}({', '.join(options)})({', '.join(self.inputs)})"


REDUCTIONS = ("mean", "sum", "none")


def _reduced(module: str, inputs: tuple[str, ...], learned: int = 1, **arguments: Any) -> Iterator[Case]:
    return (Case(module, inputs, arguments | {"reduction": r}, learned=learned) for r in REDUCTIONS)


LOSSES = [
    *_reduced("KLDivLoss", ("log_chances", "soft_labels"), 2),
    *_reduced("KLDivLoss", ("log_chances", "log_labels"), 2, log_target=True),
    Case("KLDivLoss", ("log_chances", "soft_labels"), {"reduction": "batchmean"}),
    Case("KLDivLoss", ("log_chances", "hits"), {"reduction": "none"}),
    *_reduced("PoissonNLLLoss", ("scores", "counts")),
    *_reduced("PoissonNLLLoss", ("positive", "counts"), log_input=False, full=True),
    Case("PoissonNLLLoss", ("scores", "counts"), {"full": True}),
    *_reduced("GaussianNLLLoss", ("scores", "target", "positive"), 3),
    Case("GaussianNLLLoss", ("scores", "target", "row_variance"), {"full": True}, learned=3),
    Case("GaussianNLLLoss", ("scores", "target", "small_variance"), {"eps": 0.1}, learned=3),
    *_reduced("SoftMarginLoss", ("wide", "signs")),
    *_reduced("HingeEmbeddingLoss", ("scores", "signs")),
    Case("HingeEmbeddingLoss", ("scores", "signs"), {"margin": 0.3}),
    *_reduced("MarginRankingLoss", ("scores", "target", "signs"), 2, margin=0.5),
    Case("MarginRankingLoss", ("scores", "target", "signs"), learned=2),
    *_reduced("CosineEmbeddingLoss", ("scores", "target", "row_signs"), 2, margin=-0.2),
    Case("CosineEmbeddingLoss", ("row", "other_row", "plus"), learned=2),
    *_reduced("TripletMarginLoss", ("scores", "target", "third"), 3),
    Case("TripletMarginLoss", ("scores", "target", "third"), {"swap": True, "p": 1.0, "margin": 3.0}, learned=3),
    Case("TripletMarginLoss", ("row", "other_row", "row_of_third"), {"p": 3.0, "eps": 1e-3}, learned=3),
    *_reduced("TripletMarginWithDistanceLoss", ("scores", "target", "third"), 3, swap=True, margin=2.0),
    *_reduced("MultiMarginLoss", ("scores", "labels")),
    *_reduced("MultiMarginLoss", ("scores", "labels"), p=2, margin=0.7),
    Case("MultiMarginLoss", ("scores", "labels"), {"reduction": "none"}, {"weight": "class_weight"}),
    Case("MultiMarginLoss", ("scores", "labels"), {"p": 2}, {"weight": "class_weight"}),
    Case("MultiMarginLoss", ("row", "one_label")),
    *_reduced("MultiLabelMarginLoss", ("scores", "label_sets")),
    Case("MultiLabelMarginLoss", ("row", "one_label_set")),
    *_reduced("MultiLabelSoftMarginLoss", ("wide", "hits")),
    Case("MultiLabelSoftMarginLoss", ("scores", "soft_hits"), {}, {"weight": "class_weight"}),
    Case("CosineSimilarity", ("scores", "target"), learned=2),
    Case("CosineSimilarity", ("scores", "with_zeros"), {"dim": 0, "eps": 0.5}, learned=1),
    Case("PairwiseDistance", ("scores", "target"), learned=2),
    Case("PairwiseDistance", ("scores", "target"), {"p": 1.0, "keepdim": True}, learned=2),
    Case("PairwiseDistance", ("scores", "target"), {"p": float("inf"), "eps": 0.0}, learned=2),
]

ACTIVATIONS = [
    Case("Threshold", ("x",), {"threshold": 0.5, "value": -2.0}),
    Case("Hardshrink", ("x",)),
    Case("Hardshrink", ("x",), {"lambd": 1.0}),
    Case("Softshrink", ("x",)),
    Case("Softshrink", ("x",), {"lambd": 1.0}),
    Case("Tanhshrink", ("x",)),
    Case("CELU", ("x",)),
    Case("CELU", ("x",), {"alpha": 0.5}),
    Case("LogSigmoid", ("x",)),
    Case("GLU", ("scores",)),
    Case("GLU", ("scores",), {"dim": 0}),
    Case("PReLU", ("x",)),
    Case("PReLU", ("maps",), {"num_parameters": 4, "init": 0.1}),
    Case("Softmin", ("scores",), {"dim": 1}),
    Case("Softmax2d", ("images",)),
]

#: Frames, labels, lengths of both and the options of ``CTCLoss``.
CTC: dict[str, tuple[str, str, list[int], list[int], dict[str, Any]]] = {
    "padded": ("frames", "texts", [9, 9, 9], [3, 1, 4], {}),
    "padded sum": ("frames", "texts", [9, 7, 8], [3, 2, 4], {"reduction": "sum"}),
    "padded none": ("frames", "texts", [9, 7, 8], [3, 0, 4], {"reduction": "none"}),
    "blank last": ("frames", "texts_from_0", [9, 8, 5], [3, 2, 2], {"blank": 4}),
    "concatenated": ("frames", "text_row", [9, 8, 9], [3, 2, 4], {}),
    "impossible": ("frames", "texts", [9, 1, 8], [3, 3, 4], {"zero_infinity": True, "reduction": "none"}),
    "one sample": ("frames_of_one", "text_of_one", [9], [3], {}),
    "one frame": ("one_frame", "texts", [1, 1, 1], [1, 0, 1], {"reduction": "none"}),
}


def inputs() -> dict[str, np.ndarray]:
    """Every input by name."""
    random = np.random.default_rng(0)
    bends = [0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -2.0, 25.0, -25.0, 2.5, 0.7, -0.5]
    scores, soft_labels = 2.0 * random.normal(size=(6, 4)), random.dirichlet(np.ones(4), 6)
    hits = random.integers(0, 2, (6, 4)).astype(float)
    texts = np.array([[1, 1, 2, 0], [3, 4, 4, 1], [2, 1, 2, 1]])
    return {
        "x": np.concatenate([bends, 2.0 * random.normal(size=22)]).reshape(5, 7),
        "scores": scores,
        "target": 2.0 * random.normal(size=(6, 4)),
        "third": 2.0 * random.normal(size=(6, 4)),
        "wide": 40.0 * random.normal(size=(6, 4)),
        "positive": random.uniform(0.1, 2.0, (6, 4)),
        "row_variance": random.uniform(0.1, 2.0, 6),
        "small_variance": random.uniform(0.0, 0.3, (6, 1)),
        "log_chances": np.log(random.dirichlet(np.ones(4), 6)),
        "soft_labels": soft_labels,
        "log_labels": np.log(soft_labels),
        "hits": hits,
        "soft_hits": random.uniform(size=(6, 4)),
        "counts": random.integers(0, 6, (6, 4)).astype(float),
        "signs": 2.0 * hits - 1.0,
        "row_signs": np.array([1.0, -1.0, -1.0, 1.0, -1.0, 1.0]),
        "plus": np.array(1.0),
        "row": scores[0],
        "other_row": scores[1],
        "row_of_third": scores[2],
        "with_zeros": scores * (scores > 0.0) * np.array([0.0, 1.0, 1.0, 0.1]),
        "class_weight": random.uniform(0.1, 2.0, 4),
        "labels": np.array([0, 3, 2, 1, 2, 0]),
        "one_label": np.array(2),
        "label_sets": np.array(
            [[0, 2, -1, 1], [3, -1, 0, 0], [-1, 0, 1, 2], [0, 1, 2, 3], [2, 1, -1, -1], [1, -1, -1, 3]]
        ),
        "one_label_set": np.array([3, 0, -1, 1]),
        "maps": random.normal(size=(2, 4, 3)),
        "images": random.normal(size=(2, 3, 2, 2)),
        "frames": random.normal(size=(9, 3, 5)),
        "frames_of_one": random.normal(size=(9, 5)),
        "one_frame": random.normal(size=(1, 3, 5)),
        "texts": texts,
        "texts_from_0": texts % 4,
        "text_row": np.array([1, 1, 2, 3, 4, 2, 1, 2, 1]),
        "text_of_one": np.array([1, 1, 2]),
        "gradient": random.normal(size=100),
    }


def tensor(library: Any, values: np.ndarray, dtype: str, device: str, **options: Any) -> Any:
    """Floats in ``dtype``, whole numbers as int64."""
    kind = getattr(library, dtype) if values.dtype.kind == "f" else library.int64
    return library.tensor(values, dtype=kind, device=device, **options)


def compute(library: Any, case: Case, given: dict[str, np.ndarray], dtype: str, device: str) -> dict[str, np.ndarray]:
    """A case's output, and the gradients of its inputs against a fixed gradient of the output."""
    tensors = {name: tensor(library, given[source], dtype, device) for name, source in case.tensors.items()}
    module = getattr(library.nn, case.module)(**case.arguments, **tensors).to(device, getattr(library, dtype))
    operands = [
        tensor(library, given[name], dtype, device, requires_grad=number < case.learned)
        for number, name in enumerate(case.inputs)
    ]
    output = module(*operands)
    gradient = given["gradient"][: output.numel()].reshape(tuple(output.shape))
    output.backward(library.tensor(gradient, dtype=output.dtype, device=device))
    found = {"output": output.detach().numpy()}
    found |= {f"gradient {k}": operand.grad.numpy() for k, operand in enumerate(operands[: case.learned])}
    return found | {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}


def compute_ctc(
    library: Any, name: str, given: dict[str, np.ndarray], dtype: str, device: str
) -> dict[str, np.ndarray]:
    """The loss of log_softmax of scores, and the gradient of the scores."""
    frames, texts, input_lengths, target_lengths, options = CTC[name]
    scores = tensor(library, given[frames], dtype, device, requires_grad=True)
    labels = tensor(library, given[texts], dtype, device)
    lengths = [library.tensor(row, device=device) for row in (input_lengths, target_lengths)]
    output = library.nn.CTCLoss(**options)(scores.log_softmax(-1), labels, *lengths)
    gradient = given["gradient"][: output.numel()].reshape(tuple(output.shape))
    output.backward(library.tensor(gradient, dtype=output.dtype, device=device))
    return {"output": output.detach().numpy(), "gradient 0": scores.grad.numpy()}


def all_values(library: Any, given: dict[str, np.ndarray], device: str) -> dict[str, np.ndarray]:
    """Every value of every case: "dtype/case/what"."""
    values = {}
    for dtype in DTYPES:
        for case in (*ACTIVATIONS, *LOSSES):
            for what, value in compute(library, case, given, dtype, device).items():
                values[f"{dtype}/{case.name}/{what}"] = value
        for name in CTC:
            for what, value in compute_ctc(library, name, given, dtype, device).items():
                values[f"{dtype}/ctc {name}/{what}"] = value
    return values


def main() -> None:
    """Write ``losses_values.npz``."""
    import torch

    given = inputs()
    values = {f"input/{name}": value for name, value in given.items()}
    np.savez_compressed(VALUES, **values, **all_values(torch, given, "cpu"))
    print(f"{len(values)} inputs and the values of PyTorch {torch.__version__} are in {VALUES}")


if __name__ == "__main__":
    main()
