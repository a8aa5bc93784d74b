"""Models, states and checkpoints in files: what comes back, what is refused, and that nothing is half done."""

from __future__ import annotations

import copy
import itertools
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import nnkit
from nnkit import io, nn, optim
from nnkit.errors import DtypeError, ModelFileError
from nnkit.io import registry
from nnkit.io.describe import build
from nnkit.nn import functional as F

FILE = "model.safetensors"


@io.register_module
class Residual(nn.Module):
    """A module made with another module, with a function, and with values of many kinds."""

    def __init__(
        self, body: nn.Module, scale: float = 1.0, *, activation: Any = F.relu, options: Any = None, device: Any = None
    ) -> None:
        super().__init__()
        self.body = body
        self.scale = scale
        self.activation = activation
        self.options = options

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return self.activation(x + self.body(x) * self.scale)


@io.register_module(name="tests.Stack")
class Stack(nn.Sequential):
    """A subclass of a container: described by its own arguments, not by its parts."""

    def __init__(self, *sizes: int, final: bool = True, **options: Any) -> None:
        pairs = list(itertools.pairwise(sizes))
        super().__init__(*(nn.Linear(one, two, **options) for one, two in pairs))
        if not final:
            del self[-1]


@io.register_module
class Table(nn.Module):
    """A module that says by itself what it is made with."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("values", nnkit.tensor(values))

    def get_config(self) -> dict[str, Any]:
        return {"rows": len(self.values)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Table:
        return cls(np.zeros(config["rows"], np.float32))

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return x + self.values


class Unregistered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return self.layer(x)


@io.register_module
def double(x: nnkit.Tensor) -> nnkit.Tensor:
    return x + x


def shared() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.Tanh(), layer)


ACTIVATIONS = [nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.5), nn.GELU("tanh"), nn.SiLU(), nn.Sigmoid(), nn.Tanh()]

MODELS = {
    "linear": lambda: nn.Linear(3, 3),
    "no bias": lambda: nn.Linear(3, 3, bias=False),
    "fused": lambda: nn.Linear(3, 3, activation="gelu", l1=0.1, l2=0.2),
    "activation module": lambda: nn.Linear(3, 3, activation=nn.LeakyReLU(0.3)),
    "activation function": lambda: nn.Linear(3, 3, activation=double),
    "sequential": lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 3), nn.Softmax(dim=-1)),
    "activations": lambda: nn.Sequential(*ACTIVATIONS, nn.Softplus(2.0), nn.LogSoftmax(dim=1)),
    "named": lambda: nn.Sequential({"first": nn.Linear(3, 3), "then": nn.ReLU()}),
    "nested": lambda: nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(3, 3)), nn.Identity(), nn.Sequential()),
    "custom": lambda: Residual(nn.Linear(3, 3), 0.5, activation=F.tanh),
    "deep": lambda: Residual(Residual(nn.Sequential(nn.Linear(3, 3))), activation=nn.SiLU()),
    "values": lambda: Residual(nn.Identity(), options=(1, [2.5, {"k": (None, float("inf"))}], nnkit.float64, nn.ReLU)),
    "subclass": lambda: Stack(3, 5, 3, bias=False),
    "no final layer": lambda: Stack(3, 3, 5, final=False),
    "config": lambda: Table(np.arange(3, dtype=np.float32)),
    "shared": shared,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(tmp_path: Path, device: str, name: str) -> None:
    model = MODELS[name]().eval()
    model.save(tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    x = nnkit.tensor(np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3))
    np.testing.assert_array_equal(back(x).detach().numpy(), model(x).detach().numpy())
    assert type(back) is type(model) and repr(back) == repr(model)
    assert {parameter.device for parameter in back.parameters()} <= {nnkit.get_default_device()}


def test_what_was_shared_stays_shared(tmp_path: Path) -> None:
    shared().save(tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    assert back[0] is back[2] and len(list(back.parameters())) == 2


def test_arguments_come_back_as_they_were(tmp_path: Path) -> None:
    MODELS["values"]().save(tmp_path / FILE)
    assert io.load(tmp_path / FILE).options == (1, [2.5, {"k": (None, float("inf"))}], nnkit.float64, nn.ReLU)


def test_attributes_that_were_changed_are_saved_as_they_are(tmp_path: Path) -> None:
    model = nn.Sequential(nn.LeakyReLU(0.1), Residual(nn.Linear(2, 2)))
    model[0].negative_slope = 0.7
    model[1].body = nn.Linear(2, 2, bias=False)
    model.save(tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    assert back[0].negative_slope == 0.7 and back[1].body.bias is None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copied_model_is_saved_like_the_first(tmp_path: Path, duplicate: Any) -> None:
    model = duplicate(nn.Sequential(nn.Linear(3, 2, activation="tanh"), Residual(nn.Linear(2, 2), 0.5)))
    model[1].scale = 0.25
    model.save(tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    assert repr(back) == repr(model) and back[1].scale == 0.25


@pytest.mark.parametrize("target", ["numpy", "numba", "strict"])
def test_a_model_is_loaded_onto_a_device(tmp_path: Path, device: str, target: str) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    model.save(tmp_path / FILE)
    back = io.load(tmp_path / FILE, device=target)
    assert {str(parameter.device) for parameter in back.parameters()} == {target}
    np.testing.assert_array_equal(back[0].weight.detach().numpy(), model[0].weight.detach().numpy())


def test_element_type_mode_and_frozen_parameters_come_back(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).double().eval()
    model[0].requires_grad_(False)
    model.save(tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    assert not back.training and not back[0].training
    assert {name: (p.dtype, p.requires_grad) for name, p in back.named_parameters()} == {
        name: (p.dtype, p.requires_grad) for name, p in model.named_parameters()
    }


def test_saving_and_loading_leave_the_random_streams_alone(tmp_path: Path, device: str) -> None:
    @io.register_module(name="tests.Drawn")
    class Drawn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nnkit.Parameter(nnkit.randn(3))

    def draws() -> list[float]:
        return [*nn.Linear(1, 2).weight.detach().numpy().ravel(), *nnkit.rand(2).tolist()]

    model = nn.Sequential(Drawn(), nn.Linear(3, 3))
    nnkit.manual_seed(5)
    expected = draws()
    nnkit.manual_seed(5)
    model.save(tmp_path / FILE)
    io.load(tmp_path / FILE)
    assert draws() == expected


def test_other_programs_read_the_weights_by_their_plain_names(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    model.save(tmp_path / FILE)
    arrays = safetensors.numpy.load_file(tmp_path / FILE)
    assert sorted(arrays) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    np.testing.assert_array_equal(arrays["0.weight"], model[0].weight.detach().numpy())
    safetensors.numpy.save_file(arrays, tmp_path / "theirs")
    assert {name: value.shape for name, value in io.load(tmp_path / "theirs").items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)).load_state_dict(io.load_state_dict(tmp_path / "theirs"))


# ---- models that cannot be described -------------------------------------------------------------------


def replaced() -> nn.Module:
    model = Stack(3, 3)
    model[0] = nn.Linear(3, 5)
    return model


def early() -> nn.Module:
    class Early(nn.Linear):
        pass

    model = Early(3, 3)
    io.register_module(Early, name="tests.Early")
    return model


NOT_DESCRIBABLE = {
    "unregistered": (Unregistered, "Unregistered is a Unregistered, which is not registered"),
    "inside": (lambda: nn.Sequential(nn.ReLU(), Unregistered()), "Sequential.1 is a Unregistered, which is not"),
    "lambda": (lambda: nn.Linear(3, 3, activation=lambda x: x), "Linear.activation is a function, which a model file"),
    "tensor": (lambda: Residual(nn.Linear(3, 3), options=[nnkit.zeros(2)]), "Residual.options.0 is a Tensor"),
    "replaced part": (replaced, "Stack was changed after its construction.*differs in 0.bias, 0.weight"),
    "registered too late": (early, "this Early was made before its class was registered"),
}


@pytest.mark.parametrize("name", NOT_DESCRIBABLE)
def test_weights_are_saved_and_one_warning_says_why(tmp_path: Path, name: str) -> None:
    make, message = NOT_DESCRIBABLE[name]
    model = make()
    with pytest.warns(UserWarning, match=f"holds the weights only: {message}.*@nnkit.register_module") as caught:
        io.save(model, tmp_path / FILE) if name == "inside" else model.save(tmp_path / FILE)
    assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.raises(ModelFileError, match=r"model.load_state_dict\(nnkit.load_state_dict\(path\)\)"):
        io.load(tmp_path / FILE)
    weights = io.load_state_dict(tmp_path / FILE)
    assert {name: value.tolist() for name, value in weights.items()} == {
        name: value.tolist() for name, value in model.state_dict().items()
    }


def test_a_name_belongs_to_one_class() -> None:
    with pytest.raises(ValueError, match=r"'Linear' belongs to nnkit.nn.linear.Linear.*mine.Linear"):
        io.register_module(Unregistered, name="Linear")
    with pytest.raises(TypeError, match="expects a class or a function, got int"):
        io.register_module(3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="not beginning with '_'"):
        io.register_module(name="__import__")(Unregistered)
    assert registry.name_of(Unregistered) is None


def test_a_class_defined_anew_takes_its_own_place(tmp_path: Path) -> None:
    def cell() -> type[nn.Linear]:
        @io.register_module(name="tests.Cell")
        class Cell(nn.Linear):
            pass

        return Cell

    old, new = cell(), cell()
    new(2, 2).save(tmp_path / FILE)
    assert type(io.load(tmp_path / FILE)) is new is not old


# ---- files that do not fit, or are hostile -----------------------------------------------------------


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
    "deep": (nested(400), "nested too deeply|does not fit"),
}


@pytest.mark.parametrize("name", HOSTILE_MODELS)
def test_a_hostile_description_is_refused(tmp_path: Path, name: str) -> None:
    description, message = HOSTILE_MODELS[name]
    nn.Linear(3, 2).save(tmp_path / FILE)
    rewrite(tmp_path / FILE, model=description)
    with pytest.raises(ModelFileError, match=message):
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


def test_a_failed_save_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = nn.Linear(3, 2)
    old.save(tmp_path / FILE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="earlier file, if any, is intact"):
        nn.Linear(3, 2).save(tmp_path / FILE)
    assert os.listdir(tmp_path) == [FILE]
    assert io.load(tmp_path / FILE).weight.tolist() == old.weight.tolist()


# ---- states and checkpoints --------------------------------------------------------------------------


def test_a_state_comes_back_with_its_order_and_types(tmp_path: Path, device: str) -> None:
    state: dict[str, Any] = {
        "z": nnkit.tensor([1.0, 2.0]),
        "a": {0: [nnkit.tensor(3), np.arange(2)], "b.c": (None, True, 1e300, "text")},
        "a.0": nnkit.zeros(2, 0),
        "lr": float("inf"),
    }
    io.save(state, tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    assert list(back) == list(state) and back["lr"] == state["lr"] and back["a"]["b.c"] == state["a"]["b.c"]
    assert back["z"].tolist() == [1.0, 2.0] and back["z"].device == nnkit.get_default_device()
    assert back["a"][0][0].item() == 3 and back["a"][0][0].dtype == nnkit.int64
    assert isinstance(back["a"][0][1], np.ndarray) and back["a.0"].shape == (2, 0)


def test_arrays_whose_names_meet_are_kept_apart(tmp_path: Path) -> None:
    io.save({"a": {"b": nnkit.tensor(1.0)}, "a.b": nnkit.tensor(2.0), "a.b~2": nnkit.tensor(3.0)}, tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    assert (back["a"]["b"].item(), back["a.b"].item(), back["a.b~2"].item()) == (1.0, 2.0, 3.0)


def test_a_state_dict_keeps_its_plain_names(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    io.save(model.state_dict(), tmp_path / FILE)
    assert sorted(safetensors.numpy.load_file(tmp_path / FILE)) == ["0.bias", "0.weight"]
    for read in (io.load, io.load_state_dict):
        assert nn.Sequential(nn.Linear(3, 2)).load_state_dict(read(tmp_path / FILE)) == ([], [])
    io.save({"state": model.state_dict()}, tmp_path / FILE)
    with pytest.raises(ModelFileError, match=r"nested state.*nnkit\.load"):
        io.load_state_dict(tmp_path / FILE)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"model": [object()]}, "cannot save this state: model.0 is a object"),
        ({"f": print}, "f is a builtin_function"),
        ({1.5: 1}, "has the key 1.5"),
    ],
)
def test_other_states_are_refused_with_their_place(tmp_path: Path, state: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        io.save(state, tmp_path / FILE)
    assert os.listdir(tmp_path) == []


def test_a_state_that_holds_itself_is_refused(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    state["again"] = state
    with pytest.raises(DtypeError, match="nested too deeply, or holds itself"):
        io.save(state, tmp_path / FILE)


OPTIMIZERS = {
    "SGD": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9),
    "Adam": lambda parameters: optim.Adam(parameters, lr=0.01),
}


def train(model: nn.Module, optimizer: Any, steps: int) -> None:
    x = nnkit.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()


@pytest.mark.parametrize("given_model", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_equals_one_without_a_break(tmp_path: Path, device: str, name: str, given_model: bool) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    model = make()
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, 3)
    io.save_checkpoint(tmp_path / FILE, model, optimizer, extra={"epoch": 3, "history": [0.5, 0.25]})
    train(model, optimizer, 3)

    if given_model:
        resumed = make()
        continued = OPTIMIZERS[name](resumed.parameters())
        checkpoint = io.load_checkpoint(tmp_path / FILE, resumed, continued)
        assert checkpoint.model is resumed
    else:
        checkpoint = io.load_checkpoint(tmp_path / FILE)
        resumed = checkpoint.model
        continued = OPTIMIZERS[name](resumed.parameters())
        assert checkpoint.optimizer_state is not None
        continued.load_state_dict(checkpoint.optimizer_state)
    assert checkpoint.extra == {"epoch": 3, "history": [0.5, 0.25]}
    train(resumed, continued, 3)
    for one, two in zip(model.parameters(), resumed.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), two.detach().numpy())


def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    trained = optim.Adam(model.parameters())
    train(model, trained, 1)
    io.save_checkpoint(tmp_path / FILE, model, trained)
    other = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1))
    optimizer = optim.Adam(other.parameters())
    before = [parameter.tolist() for parameter in other.parameters()]
    with pytest.raises(ModelFileError, match="3 mismatches"):
        io.load_checkpoint(tmp_path / FILE, other, optimizer)
    fitting = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    weights = fitting[0].weight.tolist()
    with pytest.raises(ModelFileError):
        io.load_checkpoint(tmp_path / FILE, fitting, optimizer)
    assert [parameter.tolist() for parameter in other.parameters()] == before
    assert fitting[0].weight.tolist() == weights


def test_a_checkpoint_of_an_unregistered_model_is_loaded_into_a_given_one(tmp_path: Path) -> None:
    model, again = Unregistered(), Unregistered()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        io.save_checkpoint(tmp_path / FILE, model)
    assert io.load_checkpoint(tmp_path / FILE, again).optimizer_state is None
    assert again.layer.weight.tolist() == model.layer.weight.tolist()
    with pytest.raises(ModelFileError, match="which is not registered"):
        io.load_checkpoint(tmp_path / FILE)
    with pytest.raises(ModelFileError, match="no state of an optimizer"):
        io.load_checkpoint(tmp_path / FILE, again, optim.SGD(again.parameters(), lr=0.1))
    with pytest.raises(TypeError, match="optimizer needs the model"):
        io.load_checkpoint(tmp_path / FILE, optimizer=optim.SGD(again.parameters(), lr=0.1))
    Unregistered().load_state_dict(io.load_state_dict(tmp_path / FILE))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    nn.Linear(3, 2).save(tmp_path / FILE)
    with pytest.raises(ModelFileError, match="is no checkpoint"):
        io.load_checkpoint(tmp_path / FILE)
    io.save({"model": {}, "optimizer": None, "extra": None}, tmp_path / FILE)
    with pytest.raises(ModelFileError, match="is no checkpoint"):
        io.load_checkpoint(tmp_path / FILE)


def test_nothing_but_a_module_or_a_state_is_saved_as_a_model(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="model must be a Module, got dict"):
        io.save_model({}, tmp_path / FILE)  # type: ignore[arg-type]


def test_loading_runs_and_imports_nothing_and_importing_is_light() -> None:
    program = (
        "import sys, nnkit.io, nnkit.datasets, nnkit.preprocessing\n"
        "heavy = {'safetensors', 'pooch', 'pickle', 'sklearn', 'requests'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    baseline = subprocess.run(
        [sys.executable, "-c", "import sys, numpy; print(sorted({'pickle'} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == baseline.stdout
