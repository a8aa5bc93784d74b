"""Files of ONNX as modules: those of PyTorch and of scikit-learn's tools, and those that mean harm."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_cases import CASES, example

import nnkit
from nnkit import nn

onnx = pytest.importorskip("onnx", reason="pip install onnx")

import nnkit.onnx  # noqa: E402
from nnkit.onnx import OnnxError  # noqa: E402

FOLDER = Path(__file__).parent / "reference" / "onnx"
FILE = "model.onnx"


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "values.npz") as values:
        return dict(values)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.onnx")))
def test_a_file_of_another_library(name: str, device: str, stored: dict[str, np.ndarray]) -> None:
    model = nnkit.onnx.load(FOLDER / f"{name}.onnx", device=device).eval()
    given = [nnkit.tensor(stored[key]) for key in sorted(stored) if key.startswith(f"{name}/input/")]
    step = nnkit.compile(model, fullgraph=True)
    for _ in range(3):
        with nnkit.no_grad():
            found = step(*given)
    found = found if isinstance(found, tuple) else (found,)
    for place, (out, called) in enumerate(zip(found, model.output_names, strict=True)):
        value, wanted = out.numpy(), stored[f"{name}/output/{place}"]
        if called in model.classes:
            value = np.array(model.classes[called])[value]
        if wanted.dtype.kind in "Ui":
            assert (value == wanted).all()
        else:
            np.testing.assert_allclose(value, wanted, 1e-5, 1e-5)


def test_a_network_of_pytorch_goes_on_learning(device: str, stored: dict[str, np.ndarray]) -> None:
    model = nnkit.onnx.load(FOLDER / "torch_rows.onnx", device=device)
    names = [name for name, _ in model.named_parameters()]
    assert {"0.weight", "0.bias", "4.weight", "4.bias"} <= set(names) and not any("running" in name for name in names)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 6)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[x[:, :3].argmax(1)]
    before = copy.deepcopy(model)
    history = model.fit(x, y, loss="mse", optimizer="adam", epochs=20, batch_size=16, verbose=0)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    changed = [name for name, value in model.state_dict().items() if (value != before.state_dict()[name]).any()]
    assert set(changed) == set(names)


@pytest.mark.parametrize("name", ["LSTM", "Conv2d", "Transformer", "Embedding", "shapes"])
def test_it_is_exported_again_and_saved(tmp_path: Path, device: str, name: str) -> None:
    make, shapes = CASES[name]
    model, given = make().eval(), example(shapes)
    inputs = given[0] if len(given) == 1 else tuple(given)
    nnkit.onnx.export(model, tmp_path / FILE, inputs)
    back = nnkit.onnx.load(tmp_path / FILE).eval()
    nnkit.onnx.export(back, tmp_path / "again.onnx", inputs)
    again = nnkit.onnx.load(tmp_path / "again.onnx").eval()
    assert name == "LSTM" or set(again.state_dict()) == set(back.state_dict()) == set(model.state_dict())
    back.save(tmp_path / "model.safetensors")
    kept = nnkit.io.load(tmp_path / "model.safetensors").eval()
    for rows in (None, 4):
        batch = [nnkit.tensor(x) for x in example(shapes, rows)]
        for one in (back, again, kept):
            for found, wanted in zip(_flat(one(*batch)), _flat(model(*batch)), strict=True):
                np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), 1e-5, 1e-5)


def _flat(output: Any) -> list[Any]:
    return [part for one in output for part in _flat(one)] if isinstance(output, (tuple, list)) else [output]


def test_words_and_sizes_as_the_standard_has_them(tmp_path: Path, device: str) -> None:
    """Operators that no module of nnkit becomes: their values are those of ONNX's own evaluator."""
    reference = pytest.importorskip("onnx.reference")
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    image = np.random.default_rng(1).normal(size=(2, 4, 5, 6)).astype(np.float32)
    ints = np.array([[1], [-2]])
    for op, given, attributes in (
        ("Split", [x], {"axis": 2, "num_outputs": 3}), ("Flatten", [x], {"axis": 2}),
        ("Tile", [x, np.array([1, 2, 1])], {}),
        ("ThresholdedRelu", [x], {"alpha": 0.2}), ("HardSigmoid", [x], {}), ("Mean", [x, x * 2, x[:1]], {}),
        ("ReduceL1", [x, np.array([1])], {}), ("ReduceL2", [x, np.array([1, 2])], {"keepdims": 0}),
        ("ReduceLogSumExp", [x, np.array([2])], {}), ("ReduceSumSquare", [x], {}), ("ReduceLogSum", [abs(x)], {}),
        ("Gemm", [x[0], x[1], x[0, :, :4]], {"transB": 1, "alpha": 0.5, "beta": 2.0}), ("Trilu", [x], {"upper": 0}),
        ("CumSum", [x, np.array(1)], {"exclusive": 1, "reverse": 1}), ("DepthToSpace", [image], {"blocksize": 2}),
        ("ArgMax", [np.round(x)], {"axis": 1, "select_last_index": 1}),
        ("LRN", [np.tile(image, (2, 1, 1, 1))], {"size": 3}),
        ("Pad", [x, np.array([0, 1, 2, 0, 0, 1])], {"mode": "constant"}), ("Mod", [x, abs(x[:1]) + 1], {"fmod": 1}),
        ("Pad", [x, np.array([0, 1, 2, 0, 2, 1])], {"mode": "reflect"}), ("Clip", [x, np.float32(-0.5)], {}),
        ("AveragePool", [image], {"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("MaxPool", [image], {"kernel_shape": [3, 3], "ceil_mode": 1, "strides": [2, 2]}),
        ("GlobalMaxPool", [image], {}),
        ("GatherND", [x, ints], {}), ("ScatterND", [x, ints, x[:2] * 3], {}), ("Gather", [x, ints], {"axis": 1}),
        ("OneHot", [ints, np.array(4), np.array([0.0, 2.0], np.float32)], {"axis": 1}),
        ("IsInf", [np.where(x > 0, np.inf, x)], {}),
        ("Slice", [x, np.array([5]), np.array([-99]), np.array([2]), np.array([-2])], {}), ("Det", [x[:, :, :4]], {}),
        ("InstanceNormalization", [image, x[0, :, 0], x[0, :, 1]], {}), ("Expand", [x, np.array([3, 1, 1, 1])], {}),
        ("PRelu", [x, x[:1]], {}), ("Einsum", [x, x], {"equation": "bij,bkj->bik"}), ("Sum", [x, x, x], {}),
    ):  # fmt: skip
        with np.errstate(all="ignore"):
            names = [f"in_{place}" for place in range(len(given))]
            outputs = [f"out_{place}" for place in range(3 if op == "Split" else 1)]
            node = onnx.helper.make_node(op, names, outputs, **attributes)
            kinds = [onnx.helper.np_dtype_to_tensor_dtype(np.asarray(one).dtype) for one in given]
            infos = [onnx.helper.make_tensor_value_info(n, k, []) for n, k in zip(names[:1], kinds, strict=False)]
            held = [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in zip(names[1:], given[1:], strict=True)]
            ends = [onnx.helper.make_tensor_value_info(out, kinds[0], []) for out in outputs]
            graph = onnx.helper.make_graph([node], "one", infos, ends, held)
            model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
            onnx.save(model, tmp_path / FILE)
            wanted = reference.ReferenceEvaluator(model).run(None, {"in_0": given[0]})
            found = _flat(nnkit.onnx.load(tmp_path / FILE)(nnkit.tensor(given[0])))
            for one, other in zip(found, wanted, strict=True):
                assert one.shape == other.shape, op
                np.testing.assert_allclose(one.detach().numpy(), other, 1e-5, 1e-5, err_msg=op)


# ---- what is refused ------------------------------------------------------------------------------------------------


def _model(change: Callable[[Any], None] | None = None, *nodes: Any) -> Any:
    """A linear layer, changed."""
    made = [*nodes] or [onnx.helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    arrays = {"w": np.ones((3, 2), np.float32), "b": np.zeros(2, np.float32)}
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        made, "g", [info("x", 1, ["n", 3])], [info("y", 1, [])],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    if change is not None:
        change(model)
    return model


def _outside(location: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "24")):
            tensor.external_data.add(key=key, value=value)

    return change


def _sizes(*sizes: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.graph.initializer[0].dims[:] = sizes

    return change


def _version(model: Any) -> None:
    model.opset_import[0].version = 9


def _weight(model: Any, array: np.ndarray) -> None:
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, "w"))


def _node(*args: Any, **attributes: Any) -> Any:
    return onnx.helper.make_node(*args, **attributes)


HOSTILE: dict[str, tuple[Callable[[], Any], str]] = {
    "a password file": (lambda: _model(_outside("../../../../etc/passwd")), "'w' in another file, which is not opened"),
    "a whole path": (lambda: _model(_outside("/etc/passwd")), "in another file"),
    "a file beside": (lambda: _model(_outside("weights.bin")), "in another file"),
    "more than there is": (lambda: _model(_sizes(1 << 40, 1 << 20)), "damaged: 'w' has the sizes"),
    "more than is said": (lambda: _model(_sizes(300, 2)), "damaged"),
    "less than nothing": (lambda: _model(_sizes(-3, 2)), "damaged"),
    "an unknown operator": (
        lambda: _model(None, _node("Gemmm", ["x", "w"], ["y"])), "Gemmm .near: Gemm.*Known are: Abs"
    ),
    "an unknown domain": (lambda: _model(None, _node("Run", ["x"], ["y"], domain="com.evil")), "com.evil.Run"),
    "a graph inside": (lambda: _model(None, _node("If", ["x"], ["y"], then_branch=_model().graph)), "not know: If"),
    "an old version": (lambda: _model(_version), "version 9 of ONNX's operators; 13 to 24"),
    "a value from nowhere": (lambda: _model(None, _node("Add", ["x", "z"], ["y"])), "damaged"),
    "a circle": (lambda: _model(None, _node("Add", ["x", "y"], ["y"])), "damaged"),
    "no graph": (lambda: onnx.ModelProto(), "no file of ONNX"),
    "a function of its own": (
        lambda: _model(lambda m: m.functions.add(name="Gemm", domain="mine")), "functions of its own"
    ),
    "a huge constant": (
        lambda: _model(None, _node("Constant", [], ["s"], value_ints=[1 << 20, 1 << 20]),
                       _node("ConstantOfShape", ["s"], ["z"]), _node("Identity", ["z"], ["y"])),
        "ConstantOfShape.*more than 268,435,456 elements",
    ),
    "a sum of texts": (
        lambda: _model(lambda m: _weight(m, np.array(["a", "b"], object)), _node("Add", ["x", "w"], ["y"])),
        "computes with texts",
    ),
    "complex weights": (lambda: _model(lambda m: _weight(m, np.ones((3, 2), np.complex64))), "no tensors of ONNX's"),
    "a huge range": (
        lambda: _model(
            None, *(_node("Constant", [], [n], value_int=v) for n, v in (("a", 0), ("o", 1), ("e", 1 << 62))),
            _node("Range", ["a", "e", "o"], ["y"]),
        ),
        "counts from 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_means_harm(tmp_path: Path, name: str) -> None:
    make, message = HOSTILE[name]
    (tmp_path / FILE).write_bytes(make().SerializeToString())
    (tmp_path / "weights.bin").write_bytes(bytes(24))
    with pytest.raises(OnnxError, match=message):
        nnkit.onnx.load(tmp_path / FILE)


def test_a_file_that_was_cut_or_is_no_file(tmp_path: Path) -> None:
    nnkit.onnx.export(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), tmp_path / FILE, np.ones((1, 3)))
    whole = (tmp_path / FILE).read_bytes()
    generator = np.random.default_rng(0)
    for length in [*range(0, len(whole), 23)]:
        (tmp_path / FILE).write_bytes(whole[:length])
        with pytest.raises(OnnxError):
            nnkit.onnx.load(tmp_path / FILE)(nnkit.ones(1, 3))
    for _ in range(60):  # some changes leave a file that says another thing
        at = int(generator.integers(len(whole)))
        (tmp_path / FILE).write_bytes(whole[:at] + bytes([int(generator.integers(256))]) + whole[at + 1 :])
        try:
            nnkit.onnx.load(tmp_path / FILE)(nnkit.ones(1, 3))
        except OnnxError:
            pass
    with pytest.raises(FileNotFoundError):
        nnkit.onnx.load(tmp_path / "none.onnx")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.onnx")
        with pytest.raises(OnnxError, match="a pipe"):
            nnkit.onnx.load(tmp_path / "pipe.onnx")


#: A node of a (2, 1, 4, 4) input and weights, and what it says.
MISFITS: dict[str, tuple[str, np.ndarray, dict[str, Any], str]] = {
    "a kernel of another size": ("Conv", np.ones((1, 1, 3, 3)), {"kernel_shape": [2, 2]}, "has kernel_shape"),
    "a padding of no name": ("Conv", np.ones((1, 1, 3, 3)), {"auto_pad": "SAME"}, "has auto_pad='SAME'"),
    "a padding without end": ("Conv", np.ones((1, 1, 3, 3)), {"pads": [1 << 40] * 4}, "does not fit"),
    "pieces of less than nothing": ("Split", np.array([6, -2]), {"axis": 2}, "expected sizes of 0 or more"),
    "a shape that does not fit": ("Expand", np.array([2, 1, 3, 4]), {}, "does not fit"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_a_node_says_has_to_fit(tmp_path: Path, name: str) -> None:
    op, given, attributes, message = MISFITS[name]
    outputs = ["y", "z"] if op == "Split" else ["y"]
    info = onnx.helper.make_tensor_value_info
    held = given.astype(np.int64 if given.ndim == 1 else np.float32)
    graph = onnx.helper.make_graph(
        [_node(op, ["x", "w"], outputs, **attributes)], "g", [info("x", 1, [2, 1, 4, 4])],
        [info(name, 1, []) for name in outputs], [onnx.numpy_helper.from_array(held, "w")],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / FILE).write_bytes(model.SerializeToString())
    with pytest.raises(OnnxError, match=message):
        nnkit.onnx.load(tmp_path / FILE)(nnkit.ones(2, 1, 4, 4))


@pytest.mark.parametrize("name", ["__class__", "__dict__", "forward", "_parameters", "a..b", "training"])
def test_weights_may_have_any_name(tmp_path: Path, name: str) -> None:
    def change(model: Any) -> None:
        model.graph.initializer[0].name = model.graph.node[0].input[1] = name

    (tmp_path / FILE).write_bytes(_model(change).SerializeToString())
    assert nnkit.onnx.load(tmp_path / FILE)(nnkit.ones(1, 3)).tolist() == [[3.0, 3.0]]


def test_a_node_that_does_not_fit_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(_model(None, _node("Conv", ["x", "w"], ["y"], name="first")).SerializeToString())
    with pytest.raises(OnnxError, match=r"'first' .Conv. "):
        nnkit.onnx.load(tmp_path / FILE)(nnkit.ones(1, 3))
    nnkit.onnx.export(nn.Linear(3, 2), tmp_path / FILE, np.ones((1, 3)))
    with pytest.raises(OnnxError, match="expected 1, input; got 2"):
        nnkit.onnx.load(tmp_path / FILE)(nnkit.ones(1, 3), nnkit.ones(1, 3))


def test_a_file_of_nnkit_s_own_with_a_damaged_graph() -> None:
    from nnkit.onnx.network import Network

    for config in ({}, {"graph": 3, "weights": {}}, {"graph": "?", "weights": {}}, {"graph": "", "weights": {"w": 1}}):
        with pytest.raises(OnnxError):
            Network.from_config(config)
