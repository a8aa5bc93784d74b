"""Models in files of ONNX: what onnxruntime and ONNX's own evaluator make of them is what the model predicts."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_cases import CASES, example

import nnkit
from nnkit import nn
from nnkit.nn import functional as F

onnx = pytest.importorskip("onnx", reason="pip install onnx")
reference = pytest.importorskip("onnx.reference", reason="pip install onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")

import nnkit.onnx  # noqa: E402
from nnkit.onnx import OnnxError, files  # noqa: E402

FILE, OPSETS = "model.onnx", (17, 18, 22)
#: What ONNX's own evaluator does not compute as the standard has it: groups of ConvTranspose that are not one channel
#: each; RNN with an activation other than tanh and affine.
NOT_IN_REFERENCE = ("ConvTranspose2d", "RNN relu")


def inputs(name: str, rows: int | None = None) -> list[np.ndarray]:
    made = example(CASES[name][1], rows)
    return [np.abs(made[0] * 2).round().clip(0, 5)] if name == "TableInput" else made


def arrays(output: Any) -> list[np.ndarray]:
    """The outputs of a model, in order."""
    if isinstance(output, nnkit.Tensor):
        return [output.detach().numpy()]
    parts = output.values() if isinstance(output, dict) else output
    return [array for part in parts for array in arrays(part)] if not isinstance(output, np.ndarray) else [output]


def runners(path: Path, name: str = "") -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    found = [onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])]
    return found if name in NOT_IN_REFERENCE else [*found, reference.ReferenceEvaluator(str(path))]


def run(runner: Any, given: list[Any]) -> list[np.ndarray]:
    names = runner.input_names if hasattr(runner, "input_names") else [one.name for one in runner.get_inputs()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of logarithms in the evaluator
        found: list[np.ndarray] = runner.run(None, dict(zip(names, given, strict=True)))
    return found


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, 1e-5, 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_module_is_the_same_in_a_file_and_back(tmp_path: Path, device: str, name: str) -> None:
    model = CASES[name][0]().eval()
    given = inputs(name)
    opset = 18 if name == "whole numbers" else OPSETS[len(name) % 3]
    nnkit.onnx.export(model, tmp_path / FILE, given[0] if len(given) == 1 else tuple(given), opset=opset)
    found = runners(tmp_path / FILE, name)
    for rows in (None, 4, 1):
        batch = inputs(name, rows)
        wanted = arrays(model(*map(nnkit.tensor, batch)))
        for runner in found if rows != 1 else found[:1]:
            assert_same(run(runner, batch), wanted)
    back = nnkit.onnx.load(tmp_path / FILE, device=device).eval()
    step = nnkit.compile(back, fullgraph=True)
    for rows in (None, 4, 4, 4):
        batch = inputs(name, rows)
        with nnkit.no_grad():
            assert_same(arrays(step(*map(nnkit.tensor, batch))), arrays(model(*map(nnkit.tensor, batch))))


# ---- Keras and scikit-learn -----------------------------------------------------------------------------------------


def keras_models() -> dict[str, tuple[Callable[[], Any], tuple[Any, ...]]]:
    from nnkit import keras
    from nnkit.keras import layers as L

    def sequential(shape: tuple[int, ...], *layers: Any, dtype: str = "float32") -> Any:
        return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])

    def branches() -> Any:
        a, b = keras.Input((6,)), keras.Input((4,))
        both = L.Concatenate()([L.Add()([L.Dense(5, activation="relu")(a), L.Dense(5)(b)]), b])
        return keras.Model([a, b], [L.Dense(3, activation="softmax")(both), L.Dense(1)(both)])

    def attending() -> Any:
        a = keras.Input((5, 8))
        y = L.LayerNormalization()(a + L.MultiHeadAttention(2, 4)(a, a))
        return keras.Model(a, L.Dense(1)(y[:, 0]))

    image, tokens, words = (3, 8, 8, 3), (3, 5, 4), (3, 5, "i")
    return {
        "rows": (lambda: sequential(
            (6,), L.Dense(8, activation="gelu"), L.Dropout(0.3), L.BatchNormalization(),
            L.Dense(3, activation="softmax"),
        ), ((3, 6),)),
        "image": (lambda: sequential(
            image[1:], L.Conv2D(4, 3, padding="same", activation="relu"), L.MaxPooling2D(), L.SeparableConv2D(5, 3),
            L.GlobalAveragePooling2D(), L.Dense(2),
        ), (image,)),
        "more of images": (lambda: sequential(
            image[1:], L.Rescaling(0.5), L.Conv2DTranspose(4, 3, strides=2, padding="same"),
            L.AveragePooling2D(padding="same"), L.DepthwiseConv2D(3), L.ZeroPadding2D(1), L.UpSampling2D(),
            L.Cropping2D(1), L.Flatten(),
        ), (image,)),
        "resized": (lambda: sequential(image[1:], L.Resizing(4, 4), L.CenterCrop(2, 2), L.Flatten()), (image,)),
        "recurrent": (lambda: sequential(
            tokens[1:], L.LSTM(6, return_sequences=True), L.GRU(5, return_sequences=True),
            L.Bidirectional(L.SimpleRNN(3)), L.Dense(1),
        ), (tokens,)),
        "words": (lambda: sequential(
            (5,), L.Embedding(5, 4), L.Conv1D(3, 2), L.GlobalMaxPooling1D(), L.Dense(2, activation="sigmoid"),
            dtype="int32",
        ), (words,)),
        "masked words": (lambda: sequential(
            (5,), L.Embedding(5, 4, mask_zero=True), L.LSTM(3), L.Dense(2), dtype="int32"
        ), (words,)),
        "normalized": (lambda: sequential(
            (6,), L.Normalization(mean=1.0, variance=4.0), L.LayerNormalization(), L.Dense(4, activation="elu"),
            L.PReLU(), L.UnitNormalization(), L.Reshape((2, 2)), L.Permute((2, 1)), L.Flatten(), L.RepeatVector(2),
        ), ((3, 6),)),
        "distributed": (lambda: sequential(
            tokens[1:], L.TimeDistributed(L.Dense(3)), L.GroupNormalization(3), L.Softmax(), L.GlobalAveragePooling1D()
        ), (tokens,)),
        "functional": (branches, ((3, 6), (3, 4))),
        "attention": (attending, ((3, 5, 8),)),
    }  # fmt: skip


@pytest.mark.parametrize("name", keras_models())
def test_a_keras_model_is_in_the_file(tmp_path: Path, name: str) -> None:
    make, shapes = keras_models()[name]
    model, given = make(), example(shapes)
    nnkit.onnx.export(model, tmp_path / FILE, given[0] if len(given) == 1 else tuple(given))
    found = runners(tmp_path / FILE)
    for rows in (3, 1, 7):
        batch = example(shapes, rows)
        wanted = model.predict(batch if len(batch) > 1 else batch[0], verbose=0)
        for runner in found:
            assert_same(run(runner, batch), arrays(wanted if isinstance(wanted, (list, tuple)) else [wanted]))


def estimators() -> dict[str, tuple[Any, str]]:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    from nnkit.sklearn import MLPClassifier, MLPRegressor, NeuralClassifier, NeuralRegressor

    small: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "tol": 0.0}
    few: dict[str, Any] = {"max_epochs": 2, "random_state": 0}
    return {
        "two classes": (MLPClassifier(**small), "truth"),
        "texts": (MLPClassifier(**small, activation="tanh", batch_norm=True), "texts"),
        "whole numbers": (MLPClassifier(**small), "numbers"),
        "several labels": (MLPClassifier(**small), "several"),
        "any module": (NeuralClassifier(nn.Linear, **few), "texts"),
        "any module, two classes": (NeuralClassifier(nn.Linear, **few), "numbers"),
        "regressor": (MLPRegressor(**small), "value"),
        "regressor of two": (MLPRegressor(**small), "values"),
        "regressor of any module": (NeuralRegressor(nn.Linear, **few), "value"),
        "pipeline": (make_pipeline(StandardScaler(), MLPClassifier(**{**small, "solver": "lbfgs"})), "texts"),
        "pipeline of a regressor": (make_pipeline(MinMaxScaler(), MLPRegressor(**small)), "value"),
    }


def samples(dtype: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    X = np.random.default_rng(0).normal(1.0, 3.0, (60, 5)).astype(dtype)
    kinds = (X[:, 0] > 1).astype(int) + (X[:, 1] > 1)
    return X, {
        "truth": X[:, 0] > 1, "texts": np.array(["oak", "ash", "elm"])[kinds], "numbers": (kinds > 0) * 3 + 4,
        "several": (X[:, :3] > 1).astype(int), "value": X[:, 0] - X[:, 1], "values": X[:, :2],
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of trainings that are too short
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", estimators())
def test_an_estimator_is_in_the_file(tmp_path: Path, name: str, dtype: str) -> None:
    estimator, target = estimators()[name]
    X, targets = samples(dtype)
    estimator.fit(X, targets[target])
    nnkit.onnx.export(estimator, tmp_path / FILE, X[:3])
    for runner in runners(tmp_path / FILE):
        for rows in (1, 40):
            label, *chances = run(runner, [X[:rows]])
            wanted = estimator.predict(X[:rows])
            assert label.shape == wanted.shape
            if wanted.dtype.kind == "f":
                np.testing.assert_allclose(label, wanted, 1e-5, 1e-5)
                continue
            assert (label == wanted).all()
            np.testing.assert_allclose(chances[0], estimator.predict_proba(X[:rows]), 1e-5, 1e-5)


# ---- tables and scalers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("embed", [(), ("job",)])
def test_a_table_is_in_the_file(tmp_path: Path, device: str, embed: tuple[str, ...]) -> None:
    frame = {
        "age": [20.0, 40.0, None, 33.0] * 5, "city": ["Rome", "Oslo", "Rome", None] * 5,
        "job": ["x", "y", "x", "z"] * 5, "code": [8001, 8002, 8001, 8001] * 5, "left": ["no", "no", "yes", "no"] * 5,
    }  # fmt: skip
    table = nnkit.preprocessing.Table(embed=embed, categories=["code"]).fit(frame, "left")
    model = nn.Sequential(nn.TableInput(*table.layout), nn.Linear(table.width, 2)).reads(table)
    nnkit.onnx.export(model, tmp_path / FILE, frame)
    rows = {"age": [1.5, None, 40.0, 7.0], "city": ["Oslo", None, "Bonn", "Rome"], "job": ["x", "w", "w", "z"]}
    rows |= {"code": [8001, 8002, 8009, 8001]}
    texts = {"city": ["Oslo", "", "Bonn", "Rome"], "job": rows["job"], "code": ["8001", "8002", "8009", "8001"]}
    columns = {"age": np.array([1.5, np.nan, 40.0, 7.0])[:, None]}
    columns |= {name: np.array(values, object)[:, None] for name, values in texts.items()}
    for runner in runners(tmp_path / FILE):
        names = runner.input_names if hasattr(runner, "input_names") else [one.name for one in runner.get_inputs()]
        assert set(names) == set(columns)
        outputs, labels = runner.run(None, columns)
        np.testing.assert_allclose(outputs, model.predict(rows), 1e-5, 1e-5)
        assert labels.tolist() == table.decode(outputs).tolist()


def test_dates_have_no_operator(tmp_path: Path) -> None:
    frame = {"day": ["2026-01-01", "2026-03-05"], "y": [1.0, 2.0]}
    table = nnkit.preprocessing.Table(dates=["day"]).fit(frame, "y")
    with pytest.raises(OnnxError, match=r"column 'day' is a date.*ignore="):
        nnkit.onnx.export(nn.Linear(table.width, 1).reads(table), tmp_path / FILE, frame)


def test_scalers_stand_before_the_model(tmp_path: Path, device: str) -> None:
    from nnkit.preprocessing import MinMaxScale, Standardize

    X, model = samples("float32")[0], nn.Linear(5, 2)
    first, second = Standardize().fit(X), MinMaxScale(-1, 1).fit(X)
    nnkit.onnx.export(model, tmp_path / FILE, X[:2], scale=[first, second])
    wanted = [model.predict(second.transform(first.transform(X)))]
    for runner in runners(tmp_path / FILE):
        assert_same(run(runner, [X]), wanted)
    with pytest.raises(OnnxError, match=r"scale: .*got object"):
        nnkit.onnx.export(model, tmp_path / FILE, X[:2], scale=object())


# ---- what is in the file --------------------------------------------------------------------------------------------


def test_names_sizes_and_shared_weights(tmp_path: Path, device: str) -> None:
    model = CASES["shared weights"][0]()
    nnkit.onnx.export(model, tmp_path / FILE, np.zeros((1, 6)), opset=17)
    made = onnx.load(tmp_path / FILE)
    assert sorted(one.name for one in made.graph.initializer) == sorted(model.state_dict())
    assert [node.op_type for node in made.graph.node] == ["Gemm", "Relu", "Gemm"]
    assert (made.producer_name, made.producer_version) == ("nnkit", nnkit.__version__)
    assert [one.version for one in made.opset_import] == [17] and made.ir_version == 8
    for one in (*made.graph.input, *made.graph.output):
        assert one.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert (made.graph.input[0].name, made.graph.output[0].name) == ("input", "output")


def test_names_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    class Both(nn.Module):
        def forward(self, given: dict[str, nnkit.Tensor]) -> dict[str, nnkit.Tensor]:
            return {"sum": given["left"] + given["right"], "left": given["left"]}

    nnkit.onnx.export(Both(), tmp_path / FILE, {"left": np.ones((2, 3)), "right": np.ones((2, 1))})
    session = runners(tmp_path / FILE)[0]
    assert [one.name for one in session.get_inputs()] == ["left", "right"]
    assert [one.name for one in session.get_outputs()] == ["sum", "left_1"]


def test_another_axis_of_samples_and_one_size(tmp_path: Path, device: str) -> None:
    model, x = nn.GRU(4, 3), example(((5, 2, 4),))[0]
    nnkit.onnx.export(model, tmp_path / FILE, x, batch_axis=1)
    y = example(((5, 7, 4),))[0]
    for runner in runners(tmp_path / FILE):
        assert_same(run(runner, [y]), arrays(model(nnkit.tensor(y))))
    half = Given(lambda x: x[: x.shape[0] // 2])
    nnkit.onnx.export(half, tmp_path / FILE, np.ones((4, 2)), dynamic=False)
    assert run(runners(tmp_path / FILE)[0], [np.ones((4, 2), "float32")])[0].shape == (2, 2)


def test_half_and_double(tmp_path: Path, device: str) -> None:
    types = {"float16": 2e-3, "float64": 1e-12}
    if device == "strict":  # has no half types
        del types["float16"]
    for dtype, tolerance in types.items():
        model = nn.Sequential(nn.Linear(6, 5), nn.SiLU(), nn.Softmax(-1)).to(dtype=nnkit.tensor([0], dtype=dtype).dtype)
        x = example(((3, 6),))[0].astype(dtype)
        nnkit.onnx.export(model, tmp_path / FILE, nnkit.tensor(x))
        for runner in runners(tmp_path / FILE):
            (found,) = run(runner, [x])
            np.testing.assert_allclose(found, model(nnkit.tensor(x)).detach().numpy(), tolerance, tolerance)


# ---- what is refused ------------------------------------------------------------------------------------------------


class Given(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("count", nnkit.zeros(1))

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


def _counting(model: Given) -> Callable[..., Any]:
    def count(x: Any) -> Any:
        model.count.add_(x.sum())
        return x * model.count

    return count


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "a choice": (lambda x: x if x.sum() > 0 else -x, "reads a value that depends on the input, at .*test_onnx_export"),
    "a number": (lambda x: x * x.max().item(), "reads a value"),
    "a mask's elements": (lambda x: x[x > 0], "mask"),
    "a list": (lambda x: nnkit.tensor(x.tolist()), "reads a value"),
    "random numbers": (lambda x: x + nnkit.randn(x.shape[1]), "random numbers"),
    "dropout": (lambda x: F.dropout(x, 0.5), "random numbers"),
    "an op without a rule": (lambda x: nnkit.linalg.inv(x.reshape(-1, 2, 2)), "factorize.*no rule"),
    "another way for some sizes": (lambda x: x * 2 if x.shape[0] > 2 else x + 1, "another way"),
    "half of the rows": (lambda x: x[: x.shape[0] // 2], "2 rows.*dynamic=False|uses 1, 1 and 2"),
    "a share of the rows": (lambda x: x * (1 / x.shape[0]), "dynamic=False"),
    "a view changed in place": (lambda x: _through_a_view(x.clone()), "changed in place by way of another view"),
    "no tensor": (lambda x: "text", "returned"),
}


def _through_a_view(y: Any) -> Any:
    y[:, 0].add_(1.0)
    return y * 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_cannot_say(tmp_path: Path, device: str, name: str) -> None:
    function, message = REFUSED[name]
    (tmp_path / FILE).write_bytes(b"before")
    with pytest.raises(OnnxError, match=message):
        nnkit.onnx.export(nn.Sequential(nn.Linear(4, 4), Given(function)), tmp_path / FILE, np.ones((2, 4)))
    assert (tmp_path / FILE).read_bytes() == b"before" and os.listdir(tmp_path) == [FILE]


@pytest.mark.parametrize("dynamic", [True, False])
def test_what_nobody_watches_is_no_constant(tmp_path: Path, dynamic: bool) -> None:
    """Arrays that were reached past the tensors, of one sample, whose batches are that sample again and again."""
    model = Given(lambda x: x + nnkit.Tensor(np.sin(x.array), x.backend))
    with pytest.raises(OnnxError, match="whose values depend on the input"):
        nnkit.onnx.export(model.to("numpy"), tmp_path / FILE, np.ones((1, 4)), dynamic=dynamic)


def test_errors_name_the_module(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(Given(lambda x: x.float() if x.sum() > 0 else x)))
    with pytest.raises(OnnxError, match=r"1\.0 \(Given\)"):
        nnkit.onnx.export(model, tmp_path / FILE, np.ones((2, 4)))


def test_a_model_that_keeps_a_state(tmp_path: Path) -> None:
    model = Given(lambda x: x)
    model.function = _counting(model)
    with pytest.raises(OnnxError, match="'count' in its forward pass"):
        nnkit.onnx.export(model, tmp_path / FILE, np.ones((2, 4)))


def test_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.Linear(4, 2), np.ones((2, 4))
    for options, kind, message in (
        ({"opset": 16}, OnnxError, "opset: expected a whole number from 17 to 22, got 16"),
        ({"example": np.ones((0, 4))}, ValueError, "at least one sample"),
        ({"example": np.array(["a"])}, OnnxError, "expected numbers"),
        ({"example": (x, np.ones((3, 4)))}, ValueError, "the same number"),
        ({"model": object()}, TypeError, "expected a Module or an estimator"),
        ({"path": tmp_path / "none" / FILE}, FileNotFoundError, "does not exist"),
    ):
        with pytest.raises(kind, match=message):
            nnkit.onnx.export(**{"model": model, "path": tmp_path / FILE, "example": x, **options})
    monkeypatch.setattr(files, "LARGEST", 30)
    with pytest.raises(OnnxError, match="the weights have 40 bytes"):
        nnkit.onnx.export(model, tmp_path / FILE, x)
    assert not os.listdir(tmp_path)


def test_another_profiler_stays(tmp_path: Path) -> None:
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, value: None)
    try:
        mine = sys.getprofile()
        nnkit.onnx.export(nn.Linear(2, 1), tmp_path / FILE, np.ones((1, 2)))
        assert sys.getprofile() is mine
    finally:
        sys.setprofile(before)
