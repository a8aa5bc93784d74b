"""Keras's files that were damaged or made to do harm: refused by name, having run nothing and taken no memory."""

from __future__ import annotations

import base64
import io
import json
import marshal
import os
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnkit import keras
from nnkit.errors import ModelFileError, NnkitError
from nnkit.keras.models import load_model

h5py = pytest.importorskip("h5py")
STORED = Path(__file__).parent / "reference" / "keras_files.zip"
RAN: list[str] = []


def model() -> Any:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, "relu", name="one"), keras.layers.Dense(2)])


def members(folder: Path) -> dict[str, bytes]:
    """The members of a file that is whole."""
    model().save(folder / "whole.keras")
    with zipfile.ZipFile(folder / "whole.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def with_config(folder: Path, change: Callable[[Any], Any]) -> Path:
    parts = members(folder)
    config = json.loads(parts["config.json"])
    changed = change(config)
    content = changed if isinstance(changed, (bytes, str)) else json.dumps(config)
    parts["config.json"] = content.encode() if isinstance(content, str) else content
    return write(folder / "hostile.keras", parts)


def with_weights(folder: Path, change: Callable[[Any], None]) -> Path:
    parts = members(folder)
    buffer = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        change(file)
    parts["model.weights.h5"] = buffer.getvalue()
    (folder / "hostile.weights.h5").write_bytes(buffer.getvalue())
    return write(folder / "hostile.keras", parts)


def refused(path: Path, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=message) as caught:
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert path.name in str(caught.value) or "configuration" in str(caught.value)
    assert RAN == []


# ---- descriptions -----------------------------------------------------------------------------------------------


def first(config: Any) -> Any:
    """The description of the first layer with weights."""
    return config["config"]["layers"][1]


def code() -> str:
    return base64.b64encode(marshal.dumps(compile("RAN.append('lambda')", "x", "exec"))).decode()


def named(**changes: Any) -> Callable[[Any], None]:
    return lambda config: first(config).update(changes)


def configured(**changes: Any) -> Callable[[Any], None]:
    return lambda config: first(config)["config"].update(changes)


HOSTILE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a lambda": (
        named(module="keras.layers", class_name="Lambda", config={
            "name": "l", "function": {"class_name": "__lambda__", "config": {"code": code(), "defaults": None}}}),
        "Lambda layer 'l', which is code",
    ),
    "an older lambda": (
        named(module="keras.layers", class_name="Lambda", config={"name": "l", "function": [code(), None, None]}),
        "Lambda layer 'l', which is code",
    ),
    "a lambda as an argument": (
        configured(activation={"class_name": "__lambda__", "config": {"value": code()}}), "lambda, which is code",
    ),
    "a function by its module": (
        configured(activation={"module": "os", "class_name": "function", "config": "system", "registered_name": "x"}),
        "needs the function 'system' of 'os', which is not registered",
    ),
    "a class by its module": (
        named(module="subprocess", class_name="Popen", config={"args": ["true"]}), "'Popen', which is not registered",
    ),
    "a class of another package": (
        named(module="keras_hub.src.x", class_name="Y", registered_name="keras_hub>Y"), "'keras_hub>Y', which is not",
    ),
    "a class inside of Keras": (
        named(module="keras.src.utils.file_utils", class_name="get_file"), "get_file, which nnkit.keras does",
    ),
    "a function of Keras's that is no layer": (
        named(module="keras.utils", class_name="get_file", config={"fname": "x"}), "keras.utils.get_file, which nnkit",
    ),
    "a name with dots": (named(class_name="models.os"), "keras.layers.models.os"),
    "a private name": (named(class_name="__init__"), "which nnkit.keras does not have"),
    "no class": (named(class_name=None), "names no class"),
    "a module of nnkit's": (named(module="nnkit.io", class_name="load"), "'load', which is not registered"),
    "a registered name that is not": (named(registered_name="mine>Unknown", class_name="Unknown", module=None),
        "'mine>Unknown', which is not registered here: give the class as custom_objects={'Unknown': Unknown}"),
    "a layer that is not there": (named(class_name="TFSMLayer"), "keras.layers.TFSMLayer, which nnkit.keras does not"),
    "a file of words": (
        named(class_name="StringLookup", config={"name": "s", "vocabulary": "/etc/passwd"}),
        "names a file, '/etc/passwd', as its vocabulary",
    ),
    "a file of words for texts": (
        named(class_name="TextVectorization", config={"name": "s", "vocabulary": "/etc/passwd"}), "names a file",
    ),
    "a huge layer": (configured(units=10**9), "larger than expected"),
    "a layer that is too large": (configured(units=10**30), "cannot be made of what the file says"),
    "a negative layer": (configured(units=-1), "units must be a positive integer"),
    "an argument that is not known": (configured(exploit=1), "is not made with 'exploit'"),
    "a quantized layer": (
        configured(dtype={"module": "keras", "class_name": "QuantizedDTypePolicy", "config": {}}), "quantized parts",
    ),
    "a list for a layer": (lambda c: c["config"]["layers"].append([1]), "expected the class and configuration"),
    "a loss for a layer": (
        named(module="keras.losses", class_name="MeanSquaredError", config={}), "expected a layer, got MeanSq",
    ),
    "a layer for a model": (lambda c: c.update(first(c)), "holds a Dense, no model"),
    "no layers": (lambda c: c["config"].update(layers=5), "damaged|cannot be made"),
    "no configuration": (lambda c: c.update(config=[1]), "is no object"),
    "a list": (lambda c: b"[1]", "must be a JSON object"),
    "no JSON": (lambda c: b"{", "not valid JSON"),
    "no text": (lambda c: b'{"class_name": "\xff\xfe"}', "not valid JSON"),
    "a name twice": (lambda c: b'{"class_name": "A", "class_name": "B"}', "has a name twice"),
    "a deep one": (lambda c: b'{"config":' * 100_000 + b"1" + b"}" * 100_000, "nested"),
    "one that is deeper than needed": (lambda c: b'{"a":' * 300 + b"1" + b"}" * 300, "nested more than 200 deep"),
    "a number of many digits": (lambda c: b'{"a": ' + b"1" * 5000 + b"}", "not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_descriptions_that_want_more(name: str, tmp_path: Path) -> None:
    change, message = HOSTILE[name]
    refused(with_config(tmp_path, change), message)


def functional(*layers: Any, outputs: Any = ("d", 0, 0)) -> bytes:
    head = {"module": "keras.layers", "class_name": "InputLayer", "name": "i", "inbound_nodes": [],
            "config": {"batch_shape": [None, 3], "name": "i"}}  # fmt: skip
    config = {"name": "m", "layers": [head, *layers], "input_layers": ["i", 0, 0], "output_layers": list(outputs)}
    return json.dumps({"module": "keras", "class_name": "Functional", "config": config}).encode()


def called(*history: Any, **changes: Any) -> dict[str, Any]:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "keras_history": list(history)}}
    dense = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "d", "units": 2}, "name": "d"}
    return {**dense, "inbound_nodes": [{"args": [tensor], "kwargs": {}}], **changes}


GRAPHS: dict[str, tuple[bytes, str]] = {
    "a circle": (functional(called("d", 0, 0)), "goes in a circle"),
    "a part that is not there": (functional(called("x", 0, 0)), "uses the part 'x', which it lacks"),
    "a call that is not made": (functional(called("i", 5, 0)), "goes in a circle, or lacks parts"),
    "a result that is not made": (functional(called("i", 0, 3)), "damaged"),
    "a call before the first": (functional(called("i", -1, 0)), "has no number"),
    "an output that is not there": (functional(called("i", 0, 0), outputs=("d", 3, 0)), "is not called 4 times"),
    "two parts of one name": (functional(called("i", 0, 0), called("i", 0, 0)), "two parts called 'd'"),
    "a part without a name": (functional(called("i", 0, 0, name=None, config={})), "damaged"),
    "a function that is none": (
        functional(called("i", 0, 0, module="keras.src.ops.numpy", class_name="Load")), "numpy.Load, which nnkit's",
    ),
    "a function with more arguments": (
        functional(called("i", 0, 0, module="keras.src.ops.numpy", class_name="Mean", config={"out": 1})),
        "gives Mean the arguments",
    ),
    "calls without end": (
        functional(called("i", 0, 0, inbound_nodes=[{"args": [1]}] * 100_001)), "more than 100,000 calls",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_are_none(name: str, tmp_path: Path) -> None:
    content, message = GRAPHS[name]
    refused(with_config(tmp_path, lambda config: content), message)


def test_a_lambda_of_keras_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(STORED) as archive:
        for name in ("lambda.keras", "lambda.h5"):
            path = tmp_path / name
            path.write_bytes(archive.read(name))
            with pytest.raises(ModelFileError, match=r"which is code\. .*register_keras_serializable.*load_weights"):
                load_model(path)
            made = keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda x: x + 1.0), keras.layers.Dense(2)])
            made.load_weights(path)


# ---- archives ---------------------------------------------------------------------------------------------------


def test_archives_that_are_none_of_keras(tmp_path: Path) -> None:
    parts, path = members(tmp_path), tmp_path / "hostile.keras"
    for left in ("config.json", "model.weights.h5"):
        rest = {name: content for name, content in parts.items() if name != left}
        refused(write(path, rest), f"lacks {left}")
    refused(write(path, {**parts, "model.weights.h5": b"no hdf5"}), "model.weights.h5 is damaged, or no HDF5 file")
    refused(write(path, {**parts, **{f"assets/{n}": b"" for n in range(10_001)}}), r"members; at most 10,000")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        for name in (*parts, "config.json"):
            archive.writestr(name, parts[name])
    refused(path, "has the member 'config.json' twice")


def test_archives_that_swell(tmp_path: Path) -> None:
    parts, path = members(tmp_path), tmp_path / "hostile.keras"
    for name in ("config.json", "model.weights.h5", "assets/words"):
        swollen = {**parts, name: bytes(80 * 1024 * 1024)}
        write(path, swollen, zipfile.ZIP_DEFLATED)
        refused(path, f"{name} says 83,886,080 bytes, and takes")
    whole = write(path, parts, zipfile.ZIP_DEFLATED)  # which is no fault by itself
    assert load_model(whole).get_weights()[0].shape == (6, 4)


def test_an_archive_that_lies_about_sizes(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "hostile.keras", members(tmp_path)).read_bytes())
    place = content.rfind(b"PK\x01\x02", 0, content.rfind(b"config.json"))
    content[place + 24 : place + 28] = (50_000).to_bytes(4, "little")
    (tmp_path / "hostile.keras").write_bytes(bytes(content))
    refused(tmp_path / "hostile.keras", "hostile.keras")


# ---- weights ----------------------------------------------------------------------------------------------------

KERNEL = "layers/dense/vars/0"


def replaced(file: Any, **options: Any) -> None:
    del file[KERNEL]
    file.create_dataset(KERNEL, **options)


def linked(link: Any, place: str = KERNEL) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[place]
        file[place] = link

    return change


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout(shape=(6, 4), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(6, 4))
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


def beyond(file: Any) -> None:
    """Numbers that were never written: their place is none."""
    replaced(file, shape=(6, 4), dtype="f4")


def around(file: Any) -> None:
    file["layers/dense/again"] = file["layers"]


def deep(file: Any) -> None:
    group = file["layers/dense"]
    for _ in range(80):
        group = group.create_group("g")
    group["x"] = 1.0


WEIGHTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "an external link": (linked(h5py.ExternalLink("/etc/passwd", "/x")), "is a link to another place or file"),
    "an external link for a group": (linked(h5py.ExternalLink("/etc/passwd", "/x"), "layers/dense"), "is a link to"),
    "a soft link": (linked(h5py.SoftLink("/layers/dense_1/vars/0")), "is a link to another place"),
    "numbers in another file": (
        lambda f: replaced(f, shape=(6, 4), dtype="f4", external=[("/etc/passwd", 0, 96)]), "lie in other files",
    ),
    "numbers put together of others": (virtual, "in pieces, or in other files"),
    "numbers that are not stored": (
        lambda f: replaced(f, shape=(10**6, 10**5), dtype="f4", chunks=(1000, 1000), compression="gzip"),
        "lie in pieces",
    ),
    "numbers beyond the end": (beyond, "says 96 bytes, which the file does not have"),
    "another shape": (lambda f: replaced(f, data=np.ones((6, 5), "f4")), "does not fit"),
    "texts": (lambda f: replaced(f, data=np.full((6, 4), b"x")), "does not hold numbers"),
    "objects": (lambda f: replaced(f, shape=(6, 4), dtype=h5py.string_dtype()), "does not hold numbers"),
    "records": (lambda f: replaced(f, shape=(6, 4), dtype=[("a", "f4"), ("b", "f4")]), "does not hold numbers"),
    "references": (lambda f: replaced(f, shape=(6, 4), dtype=h5py.ref_dtype), "does not hold numbers"),
    "complex numbers": (lambda f: replaced(f, shape=(6, 4), dtype="c8"), "does not hold numbers"),
    "nothing": (lambda f: replaced(f, data=h5py.Empty("f4")), "is empty"),
    "a group for numbers": (lambda f: (f.__delitem__(KERNEL), f.create_group(KERNEL)), "is no array"),
    "numbers for a group": (lambda f: (f.__delitem__("layers/dense"), f.create_dataset("layers/dense", data=1.0)),
        "is no group|has 2 weights"),
    "a weight less": (lambda f: f.__delitem__(KERNEL), "has 2 weights, the file 0"),
    "a weight more": (lambda f: f.create_dataset("layers/dense/vars/2", data=1.0), "has 2 weights, the file 3"),
    "a layer more": (lambda f: f.create_dataset("layers/other/vars/0", data=1.0), "has no place in the model"),
    "a group in itself": (around, "deep in one another"),
    "groups without end": (deep, "more than 64 deep"),
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_none(name: str, tmp_path: Path) -> None:
    change, message = WEIGHTS[name]
    refused(with_weights(tmp_path, change), message)
    made = model()
    before = [weight.tobytes() for weight in made.get_weights()]
    with pytest.raises(ModelFileError, match=message):
        made.load_weights(tmp_path / "hostile.weights.h5")
    assert [weight.tobytes() for weight in made.get_weights()] == before


def older(folder: Path, change: Callable[[Any], None]) -> Path:
    path = folder / "hostile.h5"
    model().save(path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


OLDER: dict[str, tuple[Callable[[Any], None], str]] = {
    "no description": (lambda f: f.attrs.__delitem__("model_config"), "no description of a model"),
    "a list for a description": (lambda f: f.attrs.__setitem__("model_config", [1, 2]), "is an array"),
    "a number for a description": (lambda f: f.attrs.__setitem__("model_config", 5), "must be a JSON object"),
    "no weights": (lambda f: f.__delitem__("model_weights"), "lacks the group model_weights"),
    "a layer that is not there": (
        lambda f: f["model_weights"].attrs.__setitem__("layer_names", np.array([b"x", b"one"])), "lists the layer 'x'",
    ),
    "a weight that is not there": (
        lambda f: f["model_weights/one"].attrs.__setitem__("weight_names", np.array([b"x"])), "lists the weight 'x'",
    ),
    "a link": (
        lambda f: (f["model_weights"].__delitem__("one"), f["model_weights"].__setitem__("one", h5py.SoftLink("/x"))),
        "is a link to another place",
    ),
    "a layer more": (
        lambda f: f["model_weights"].attrs.__setitem__("layer_names", np.array([b"one"])), "2 layers with weights, the",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OLDER)
def test_older_files_that_are_none(name: str, tmp_path: Path) -> None:
    change, message = OLDER[name]
    refused(older(tmp_path, change), message)


def test_names_without_end(tmp_path: Path) -> None:
    """A list of texts that are all one and the same long one."""
    text = h5py.string_dtype()
    path = older(
        tmp_path, lambda f: f["model_weights"].attrs.create("layer_names", ["y" * 1_000_000, *"x" * 3000], dtype=text)
    )
    content = bytearray(path.read_bytes())
    place = content.index((1_000_000).to_bytes(4, "little") + content[8:8])
    content[place : place + 16 * 3001] = bytes(content[place : place + 16]) * 3001
    path.write_bytes(bytes(content))
    refused(path, "attribute 'layer_names' of model_weights is too long|is damaged")


# ---- damage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".keras", ".h5", ".weights.h5"])
def test_damaged_files(ending: str, tmp_path: Path) -> None:
    """Cut off, and with other bytes in them: read as they are, or refused; the model is then as it was."""
    path, made = tmp_path / f"whole{ending}", model()
    (made.save if ending != ".weights.h5" else made.save_weights)(path)
    content, draw = path.read_bytes(), random.Random(1)
    damaged = tmp_path / f"damaged{ending}"
    cut = [content[:length] for length in (0, 7, 100, len(content) // 2, len(content) - 1)]
    changed = []
    for _ in range(60):
        other = bytearray(content)
        for _ in range(draw.choice((1, 8, 64))):
            other[draw.randrange(len(other))] = draw.randrange(256)
        changed.append(bytes(other))
    before = [weight.tobytes() for weight in made.get_weights()]
    for number, data in enumerate([*cut, *changed]):
        damaged.write_bytes(data)
        try:
            if ending != ".weights.h5":
                load_model(damaged)
            made.load_weights(damaged)
            made.set_weights([np.frombuffer(b, "f4").reshape(w.shape) for b, w in zip(before, made.get_weights())])  # noqa: B905
        except NnkitError as error:
            assert str(error)
        else:
            assert number >= len(cut), "a file that was cut off was read"
        assert [weight.tobytes() for weight in made.get_weights()] == before


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.keras")
    with pytest.raises((ModelFileError, OSError)):
        load_model(tmp_path / "model.keras")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ending in (".keras", ".h5"):
        path, made = tmp_path / f"model{ending}", model()
        made.save(path)
        before = path.read_bytes()

        def fails(*args: Any) -> Any:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fails)
            with pytest.raises(OSError, match="the earlier file, if any, is intact"):
                made.save(path)
        assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.h5", "model.keras"]
