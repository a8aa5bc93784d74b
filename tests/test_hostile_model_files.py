"""Model files that do not fit their model, or that try to be more than a description of one."""

from __future__ import annotations

import importlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit import io, nn
from nnkit.errors import ModelFileError
from nnkit.io.describe import build

FILE = "model.safetensors"
DOCUMENT = {
    "format": "nnkit", "version": 1, "kind": "model", "dtype": "float32", "training": True, "frozen": [],
}  # fmt: skip


def rewrite(path: Path, **changes: Any) -> None:
    """Changes entries of the JSON document inside a file."""
    arrays, metadata = io.load_weights(path)
    io.save_weights(path, arrays, {"nnkit": json.dumps(json.loads(metadata["nnkit"]) | changes)})


def test_weights_of_another_architecture_are_refused_with_every_mismatch(tmp_path: Path) -> None:
    path = tmp_path / FILE
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    model.save(path)
    arrays, metadata = io.load_weights(path)
    arrays["0.weight"] = arrays["0.weight"].T
    arrays["1.bias"] = arrays["1.bias"].astype("f8")
    arrays["2.weight"] = arrays.pop("1.weight")
    io.save_weights(path, arrays, metadata)
    expected = [
        "does not fit Sequential; nothing was loaded. 4 mismatches:",
        "missing: 1.weight ((2, 2), 'float32')",
        "unexpected: 2.weight ((2, 2), 'float32')",
        "different: 0.weight is ((2, 3), 'float32') in the model, ((3, 2), 'float32') in the file",
        "different: 1.bias is ((2,), 'float32') in the model, ((2,), 'float64') in the file",
    ]
    with pytest.raises(ModelFileError) as caught:
        io.load(path)
    assert [line for line in expected if line not in str(caught.value)] == []


def linear(**arguments: Any) -> Any:
    return {"class": "Linear", "arguments": {"in_features": 3, "out_features": 2, **arguments}}


def nested(depth: int) -> Any:
    inner: Any = linear()
    for _ in range(depth):
        inner = {"class": "Sequential", "children": {"0": inner}}
    return inner


def doubled(levels: int) -> Any:
    """A model whose every level has the next one twice; the second time as a reference."""
    inner: Any = linear()
    for level in range(levels, 0, -1):
        inner = {"class": "Sequential", "children": {"0": inner, "1": {"again": level}}}
    return inner


def doubled_arguments(levels: int) -> Any:
    """The same by an argument: an activation that is a module."""
    inner: Any = linear()
    for level in range(levels, 0, -1):
        first = linear(activation={"object": inner})
        inner = {"class": "Sequential", "children": {"0": first, "1": {"again": 2 * level}}}
    return inner


HOSTILE_MODELS: dict[str, tuple[Any, str]] = {
    "unknown class": (
        {"class": "Lineer", "arguments": {}},
        "needs 'Lineer', which is not registered; did you mean 'Li",
    ),
    "import": ({"class": "os.system", "arguments": {"command": "true"}}, "needs 'os.system', which is not registered"),
    "import path": ({"class": "nnkit.nn.Linear", "arguments": {}}, "not registered"),
    "builtin": ({"class": "eval", "arguments": {}}, "not registered"),
    "dunder class": ({"class": "__class__", "arguments": {}}, "not registered"),
    "class is a list": ({"class": ["Linear"], "arguments": {}}, "not registered"),
    "function as class": ({"class": "functional.relu", "arguments": {}}, "is a function; expected a class"),
    "no module": ({"class": "L1L2", "arguments": {}}, "describes a L1L2, which is no Module"),
    "dunder argument": (linear(__class__="x"), "'__class__' is no name of an argument"),
    "odd argument": (linear(**{"a b": 1}), "is no name of an argument"),
    "unknown argument": (linear(path="/etc/passwd"), "Linear refuses what the file gives it.*'path'"),
    "wrong type": (linear(in_features="3"), "Linear refuses what the file gives it"),
    "negative": (linear(in_features=-1), "Linear refuses what the file gives it"),
    "huge": (linear(in_features=2**20, out_features=2**20), "larger than expected here"),
    "too huge": (linear(in_features=2**62), "Linear refuses what the file gives it"),
    "unknown activation": (linear(activation="os.system"), "Linear refuses.*unknown activation"),
    "missing argument": ({"class": "Linear", "arguments": {}}, "Linear refuses.*in_features"),
    "arguments by position": (linear(**{"*": {"dict": []}}), "needs a list of the arguments given by position"),
    "tagged import": (linear(activation={"import": "os"}), "cannot read the value"),
    "tagged class": (linear(activation={"registered": "os.system"}), "not registered"),
    "two tags": (linear(activation={"registered": "double", "float": "inf"}), "an object with one entry, got 2"),
    "both kinds": ({"class": "Linear", "arguments": {}, "children": {}}, "expected a class with its arguments or"),
    "container without children": ({"class": "Sequential", "arguments": {}}, "needs its children by name"),
    "layer with children": ({"class": "Linear", "children": {}}, "needs its arguments by name"),
    "children no modules": ({"class": "Sequential", "children": {"0": {"class": "L1L2", "arguments": {}}}}, "Module"),
    "dotted child": ({"class": "Sequential", "children": {"../x": linear()}}, "Sequential refuses"),
    "again nowhere": ({"again": 0}, "refers back to object 0, which is not there"),
    "again itself": ({"class": "Sequential", "children": {"0": {"again": 0}}}, "refers back to object 0"),
    "again negative": ({"again": -1}, "refers back"),
    "a text": ("Linear", "expected a class with its arguments or children"),
    "a list": ([linear()], "expected a class"),
    "shared parts of shared parts": (doubled(30), "repeats its parts so often that there are more than 100,000"),
    "shared arguments": (doubled_arguments(30), "repeats its parts so often that there are more than 100,000"),
    "deep": (nested(400), "nested too deeply|does not fit"),
}


@pytest.mark.parametrize("name", HOSTILE_MODELS)
def test_a_hostile_description_is_refused(tmp_path: Path, name: str) -> None:
    description, message = HOSTILE_MODELS[name]
    nn.Linear(3, 2).save(tmp_path / FILE)
    rewrite(tmp_path / FILE, model=description)
    with pytest.raises(ModelFileError, match=message):
        io.load(tmp_path / FILE)


#: Models of any size, in files that have none of their weights.
EMPTY: dict[str, Any] = {
    "linear": linear(in_features=8191, out_features=8191),
    "small enough": linear(in_features=3000, out_features=3000),
    "many": {"class": "Sequential", "children": {str(i): linear(in_features=900, out_features=900) for i in range(99)}},
    "dense": {
        "class": "keras.Sequential",
        "arguments": {
            "layers": [
                {"dict": [["class_name", "keras.Dense"], ["config", {"dict": [
                    ["units", 3000], ["input_shape", [3000]],
                    ["kernel_initializer", {"dict": [["class_name", "Orthogonal"], ["config", {"dict": []}]]}],
                ]}]]}
            ]
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_is_drawn_for_weights_that_a_file_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    importlib.import_module("nnkit.keras.saving")  # registers the layers
    io.save_weights(tmp_path / FILE, {}, {"nnkit": json.dumps({**DOCUMENT, "model": EMPTY[name]})})
    for function in ("host_uniform", "host_normal", "host_truncated_normal"):
        monkeypatch.setattr(nn.init, function, lambda *args, **options: pytest.fail("numbers were drawn"))
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=r"does not fit|larger than expected here"):
            io.load(tmp_path / FILE)
        assert tracemalloc.get_traced_memory()[1] < 1 << 27
    finally:
        tracemalloc.stop()


def test_an_array_is_used_once(tmp_path: Path) -> None:
    tree = [{"tensor": "w"}, {"array": "w"}]
    io.save_weights(
        tmp_path / FILE, {"w": np.ones(3)}, {"nnkit": json.dumps({**DOCUMENT, "kind": "state", "tree": tree})}
    )
    with pytest.raises(ModelFileError, match="uses the array 'w' twice"):
        io.load(tmp_path / FILE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2 of the format, and this nnkit reads up to 1; upgrade nnkit"),
        ({"version": "1"}, "lacks format and version"),
        ({"version": 0}, "lacks format and version"),
        ({"format": "other"}, "lacks format and version"),
        ({"kind": "program"}, "holds a 'program'; expected a model or a state"),
        ({"kind": ["model"]}, "expected a model or a state"),
        ({"kind": "state"}, "does not say how its state"),
        ({"kind": "state", "tree": {"tensor": "none"}}, "lacks the array 'none'"),
        ({"kind": "state", "tree": {"tensor": ["0"]}}, "lacks the array"),
        ({"dtype": "int8"}, "unknown floating type 'int8'"),
        ({"dtype": ["float32"]}, "unknown floating type"),
        ({"training": 1}, "whether the model was training"),
        ({"frozen": None}, "what was frozen"),
        ({"frozen": [["0"]]}, "what was frozen"),
    ],
)
def test_a_hostile_document_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    nn.Linear(3, 2).save(tmp_path / FILE)
    rewrite(tmp_path / FILE, **changes)
    with pytest.raises(ModelFileError, match=message):
        io.load(tmp_path / FILE)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format":"nnkit","format":"nnkit"}', "[" * 100_000])
def test_a_document_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    io.save_weights(tmp_path / FILE, {}, {"nnkit": text})
    with pytest.raises(ModelFileError, match="the description in"):
        io.load(tmp_path / FILE)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["Linear", "Sequential", "ReLU", "L1L2", "relu", "inf", "float32", "__class__", "*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["class", "arguments", "children", "again", "object", "registered", "tuple", "dict", "0", "in_features"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(description=anything | st.fixed_dictionaries({"class": st.just("Linear"), "arguments": anything}))
def test_any_description_is_built_or_refused(description: Any) -> None:
    try:
        assert isinstance(build(description), nn.Module)
    except ModelFileError as error:
        assert str(error)
