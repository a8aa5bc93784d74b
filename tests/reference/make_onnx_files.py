"""Small files of ONNX as PyTorch and skl2onnx write them, and what onnxruntime makes of them: for test_onnx_load.py.

    python tests/reference/make_onnx_files.py

needs torch, onnxscript (for ``dynamo=True``), skl2onnx, scikit-learn and onnxruntime; the tests need none of them.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "onnx"


def networks(torch: Any) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Name -> (network of PyTorch's, inputs)."""
    nn = torch.nn

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vectors, self.read = nn.Embedding(7, 6), nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True)
            self.scores = nn.Linear(10, 3)

        def forward(self, x: Any) -> Any:
            y, _ = self.read(self.vectors(x))
            return self.scores(y[:, -1]).log_softmax(-1)

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.rnn = nn.GRU(4, 3), nn.RNN(3, 2, nonlinearity="relu")

        def forward(self, x: Any) -> Any:
            y, h = self.gru(x)
            z, _ = self.rnn(y)
            return z, h.squeeze(0)

    class Parts(nn.Module):
        """Many small operators."""

        def forward(self, x: Any, i: Any) -> Any:
            a, b = x.chunk(2, 1)
            y = torch.where(a > b, a.clamp(-1, 1), b.abs().sqrt()) * torch.pow(x[:, :3], 2).mean(1, keepdim=True)
            z = x.gather(1, i) + torch.cat([x[:, -2:], x[:, ::4]], 1)[:, : i.shape[1]]
            return (
                y.reshape(-1, 1, 3).expand(-1, 2, 3),
                z,
                x.argmax(1),
                x.topk(2).values,
                x.std(1) + torch.erf(x).sum(1),
            )

    class Attention(nn.Module):
        """A layer of a Transformer."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.all, self.out, self.up, self.down = (
                nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 12), nn.Linear(12, 8)
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            parts = self.all(self.norm(x)).view(x.shape[0], -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
            y = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(x.shape))
            return x + self.down(nn.functional.gelu(self.up(x)))

    image = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2, bias=False), nn.GroupNorm(2, 4), nn.Hardswish(),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(4, 4, 2, stride=2), nn.PixelShuffle(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2),
    )  # fmt: skip
    rows = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 8), nn.LayerNorm(8), nn.Mish(),
        nn.Linear(8, 3, bias=False), nn.Softmax(-1),
    )  # fmt: skip
    x = torch.randn
    return {
        "rows": (rows, (x(3, 6),)), "image": (image, (x(2, 3, 12, 12),)),
        "words": (Words(), (torch.randint(0, 7, (3, 5)),)), "small": (Small(), (x(5, 2, 4),)),
        "attention": (Attention(), (x(2, 5, 8),)), "parts": (Parts(), (x(4, 6), torch.randint(0, 6, (4, 2)))),
    }  # fmt: skip


def of_torch() -> dict[str, tuple[bytes, list[np.ndarray]]]:
    import torch

    torch.manual_seed(0)
    made = {}
    for name, (network, inputs) in networks(torch).items():
        network.train()
        with torch.no_grad():
            network(*inputs)  # statistics of normalization
        network.eval()
        for dynamo in (False, True):
            file = io.BytesIO()
            axis = 1 if name == "small" else 0
            options: dict[str, Any] = {"opset_version": 18 if dynamo else 17, "dynamo": dynamo}
            if not dynamo:
                names = [f"in_{place}" for place in range(len(inputs))]
                options |= {"input_names": names, "dynamic_axes": {one: {axis: "batch"} for one in names}}
            else:
                options["dynamic_shapes"] = tuple({axis: torch.export.Dim("batch")} for _ in inputs)
                options |= {"verbose": False, "external_data": False}
            torch.onnx.export(network, inputs, file, **options)
            made[f"torch_{name}{'_dynamo' if dynamo else ''}"] = file.getvalue(), [x.numpy() for x in inputs]
    return made


def of_scikit_learn() -> dict[str, tuple[bytes, list[np.ndarray]]]:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    generator = np.random.default_rng(0)
    X = generator.normal(2.0, 3.0, (60, 4)).astype(np.float32)
    kinds = (X[:, 0] > 2).astype(int) + (X[:, 1] > 2)
    models = {
        "mlp_texts": (
            MLPClassifier(hidden_layer_sizes=(5,), max_iter=30),
            np.array(["oak", "ash", "elm"])[kinds],
            {"zipmap": False},
        ),
        "mlp_numbers": (MLPClassifier(hidden_layer_sizes=(5,), max_iter=30), (kinds > 0) * 4 + 1, {}),
        "mlp_regressor": (MLPRegressor(hidden_layer_sizes=(5, 4), max_iter=30, activation="tanh"), X[:, :2], {}),
        "linear": (LinearRegression(), X[:, 0] * 2 - X[:, 2], {}),
        "logistic": (LogisticRegression(), kinds, {"zipmap": False}),
    }
    made = {}
    for name, (model, y, options) in models.items():
        pipeline = make_pipeline(StandardScaler(), model) if name != "logistic" else make_pipeline(Normalizer(), model)
        pipeline.fit(X, y)
        given = {id(pipeline): options} if options else None
        made[f"sklearn_{name}"] = to_onnx(pipeline, X[:1], options=given, target_opset=18).SerializeToString(), [X[:6]]
    return made


def computed(raw: bytes, inputs: list[np.ndarray]) -> list[Any]:
    """What onnxruntime makes of inputs; of a list of dicts an array."""
    import onnxruntime

    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    found = session.run(None, {one.name: x for one, x in zip(session.get_inputs(), inputs, strict=True)})
    return [np.array([list(row.values()) for row in y], np.float32) if isinstance(y, list) else y for y in found]


def bare(raw: bytes) -> bytes:
    """A file without what says where and from which source it was made."""
    import onnx

    model = onnx.load_model_from_string(raw)
    graph = model.graph
    for one in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        one.ClearField("metadata_props")
        one.ClearField("doc_string")
    graph.ClearField("value_info")
    return bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    values: dict[str, np.ndarray] = {}
    for name, (whole, inputs) in {**of_torch(), **of_scikit_learn()}.items():
        raw = bare(whole)
        (FOLDER / f"{name}.onnx").write_bytes(raw)
        for place, x in enumerate(inputs):
            values[f"{name}/input/{place}"] = x
        for place, y in enumerate(computed(raw, inputs)):
            values[f"{name}/output/{place}"] = y.astype("U") if y.dtype == object else y
    np.savez_compressed(FOLDER / "values.npz", **values)
    print(f"{sum(path.stat().st_size for path in FOLDER.iterdir()):,} bytes")


if __name__ == "__main__":
    main()
