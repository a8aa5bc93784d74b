"""Models in files: what comes back, and what is saved of a model that cannot be described."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import nnkit
from nnkit import io, nn
from nnkit.errors import ModelFileError
from nnkit.io import registry
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
