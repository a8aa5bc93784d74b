"""Words: advice that works, names that can be imported, and refusals that say what to write instead."""

from __future__ import annotations

import builtins
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras, nn
from nnkit.__main__ import main
from nnkit.backends import Backend, Device, advice, registry
from nnkit.backends.numpy import NumpyBackend
from nnkit.errors import DtypeError, ShapeError
from nnkit.tensors import conversions
from nnkit.training import EarlyStopping
from nnkit.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    path for folder in ("nnkit", "backends", "kernels", "bench", "examples") for path in (ROOT / folder).rglob("*.py")
] + [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"]

# ---- advice -------------------------------------------------------------------------------------------------------


def test_no_advice_installs_the_other_library_of_this_name() -> None:
    wrong = re.compile(r"""pip install (-U )?["']?nnkit(?!-engine)\b|["' ]nnkit\[""")
    found = [f"{path.name}: {line}" for path in SOURCES for line in path.read_text().splitlines() if wrong.search(line)]
    assert not found


def test_the_distribution_has_the_extras_that_advice_names() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert f'name = "{advice.DISTRIBUTION}"' in project
    named = {
        extra
        for path in SOURCES
        if path.suffix == ".py"
        for extra in re.findall(r"""install\(f?["'](\w+)["']\)""", path.read_text())
    }
    assert {"data", "cuda13"} <= named
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in named)


INSTALLS = {
    "of a wheel": (False, 'pip install "nnkit-engine[data]"'),
    "of a checkout": (True, 'pip install -e "{folder}[data]"'),
}


@pytest.mark.parametrize("how", INSTALLS)
def test_advice_is_for_how_it_was_installed(how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkout, expected = INSTALLS[how]
    if checkout:
        (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(advice, "__file__", str(tmp_path / "backends" / "advice.py"))
    assert advice.install("data") == expected.format(folder=tmp_path)


def test_metadata_left_in_a_checkout_changes_no_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where setuptools leaves nnkit_engine.egg-info, which says nothing of being editable
    assert advice.install("data") == 'pip install -e ".[data]"'


def test_a_clone_without_its_install_says_what_is_the_matter(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "nnkit", tmp_path / "nnkit", ignore=shutil.ignore_patterns("__pycache__"))
    # -I -S: none of what is installed here
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import nnkit"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert "this is nnkit's source folder" in done.stderr and "pip install -e ." in done.stderr


# ---- names ----------------------------------------------------------------------------------------------------------


def test_import_star_brings_nnkits_words_and_hides_none_of_pythons() -> None:
    namespace: dict[str, Any] = {}
    exec("from nnkit import *", namespace)
    brought = {name for name in namespace if not name.startswith("__")}
    assert {"tensor", "Tensor", "randn", "no_grad", "manual_seed", "nn", "optim", "compile"} - {"compile"} <= brought
    assert not brought & {"random", "io", "Any", "importlib", "errors", "utils"}
    assert not brought & set(dir(builtins))
    assert all(getattr(nnkit, name) is namespace[name] for name in brought)


# ---- the command line -----------------------------------------------------------------------------------------------

COMMANDS: dict[str, tuple[list[str], str]] = {
    "gpu": (["demo", "--device", "gpu"], "unknown device 'gpu'; did you mean 'cuda'?"),
    "a folder that is not there": (["demo", "--output", "/nowhere/model"], "the folder /nowhere does not exist"),
    "a folder": (["demo", "--output", "/"], "is a folder: name a file"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line_refuses_before_it_trains(name: str, capsys: Any) -> None:
    arguments, message = COMMANDS[name]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


# ---- refusals -------------------------------------------------------------------------------------------------------

X = np.ones((4, 1), np.float32)


class Listing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(1, 1)]

    def forward(self, x: Any) -> Any:
        return self.layers[0](x)


def of_backend(**attributes: Any) -> type:
    return type("Own", (NumpyBackend,), attributes)


def compiled_keras(loss: str) -> keras.Sequential:
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    model.compile("sgd", loss)
    return model


LOADER = DataLoader(TensorDataset(nnkit.tensor(X), nnkit.tensor(X)), batch_size=2)
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "an object as a backend": (lambda: registry.register(NumpyBackend(0)), TypeError, "pass the class itself"),  # type: ignore[arg-type]
    "another class as a backend": (lambda: registry.register(dict), TypeError, "got dict"),  # type: ignore[arg-type]
    "a backend without a name": (lambda: registry.register(of_backend(name=None)), ValueError, "must be a word"),
    "a backend of a taken name": (lambda: registry.register(of_backend(name="cuda")), ValueError, "is taken"),
    "a callback that is no list": (
        lambda: nn.Linear(1, 1).fit(X, X, loss="mse", callbacks=EarlyStopping()),
        TypeError,
        r"write callbacks=\[EarlyStopping\(...\)\]",
    ),
    "modules in a list": (lambda: Listing().fit(X, X, loss="mse"), ValueError, "keep them in nn.ModuleList"),
    "a loss that returns a number": (
        lambda: nn.Linear(1, 1).fit(X, X, loss=lambda p, y: 1.0, verbose=0),
        TypeError,
        "must return a Tensor, got float",
    ),
    "a backend that inherits the base's name": (
        lambda: registry.register(type("Own", (Backend,), {"xp": np})), ValueError, "must be a word",
    ),
    "a namespace without arrays": (
        lambda: registry.register(of_backend(name="own", xp=re)), TypeError, "Own.xp lacks arange, argsort,",
    ),
    "arrays to be joined": (lambda: nnkit.cat([nnkit.ones(4, 1), X]), TypeError, r"cat: tensors\[1\] must be a Tensor"),
    "lists to be stacked": (lambda: nnkit.stack([[1.0], [2.0]]), TypeError, r"stack: tensors\[0\] must be a Tensor"),
    "a misspelt element type": (
        lambda: nnkit.zeros(2, dtype="flaot32"), DtypeError, "unknown element type 'flaot32'; did you mean 'float32'",
    ),
    "a tensor to a misspelt type": (lambda: nnkit.ones(1).to("flaot32"), DtypeError, "did you mean 'float32'"),
    "a module to a misspelt type": (lambda: nn.Linear(1, 1).to("flaot32"), DtypeError, "did you mean 'float32'"),
    "a tensor to a misspelt device": (lambda: nnkit.ones(1).to("cdua"), ValueError, "unknown device 'cdua'"),
    "a size that is a text": (lambda: nnkit.zeros("a"), TypeError, "size: expected whole numbers"),
    "a size that is no whole number": (lambda: nnkit.ones(1.5), TypeError, "size: expected whole numbers"),
    "nothing as an operand": (lambda: nnkit.ones(1) + None, DtypeError, "add: expected a Tensor, a number or numbers"),
    "a text as a factor": (lambda: nnkit.ones(1, 1) @ "a", DtypeError, "matmul: expected a Tensor, .* got str: 'a'"),
    "nothing as a tensor": (lambda: nnkit.tensor(None), DtypeError, "data: expected numbers, got NoneType"),
    "a batch size beside a loader": (
        lambda: nn.Linear(1, 1).fit(LOADER, loss="mse", batch_size=64), ValueError, "batch_size=64 .* a DataLoader,",
    ),
    "a batch size beside Keras's loader": (
        lambda: compiled_keras("mse").fit(LOADER, batch_size=64), ValueError, "fit: batch_size=64 goes with arrays",
    ),
    "one score for Keras's classes": (
        lambda: compiled_keras("sparse_categorical_crossentropy").fit(X, np.ones(4, int)), ShapeError,
        r"sparse_categorical_crossentropy needs .*loss=BinaryCrossentropy\(from_logits=True\).*'mean_squared_error'",
    ),
    "another shape for Keras's yes or no": (
        lambda: compiled_keras("binary_crossentropy").fit(X, np.ones((4, 3))), ShapeError,
        "; binary_crossentropy needs equal shapes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


class Column:
    """What nnkit asks of a Series of pandas."""

    def __init__(self, values: Any) -> None:
        self.values, self.iloc = values, None

    def to_numpy(self, dtype: Any = None) -> np.ndarray:
        return np.asarray(self.values, dtype)

    __array__ = to_numpy

    def __len__(self) -> int:
        return len(self.values)


class Frame(Column):
    """And of a DataFrame."""

    def __init__(self, **columns: Any) -> None:
        self.columns = list(columns)
        self.dtypes = [np.asarray(values).dtype for values in columns.values()]
        super().__init__(np.array(list(columns.values()), object).T)


FRAMES: dict[str, tuple[Any, Any, str, str]] = {
    "NaN in a column": (Frame(age=[1.0, np.nan]), [0, 1], "cross_entropy", "row 1, column 'age'"),
    "text in a column": (
        Frame(age=[1.0, 2.0], city=["a", "b"]),
        [0, 1],
        "cross_entropy",
        r"no numbers \(1\): 'city' .*encode them: pandas.get_dummies\(x\)",
    ),
    "labels of text": (X[:2], Column(np.array(["a", "b"], object)), "cross_entropy", r"numpy.unique\(y"),
    "a column for a matrix": (X[:2], Column([1.0, 2.0]), "mse", r"write y.to_numpy\(\).reshape\(-1, 1\)"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_tables_are_spoken_of_by_their_columns(name: str) -> None:
    x, y, loss, message = FRAMES[name]
    with pytest.raises((ValueError, TypeError), match=message):
        nn.Linear(len(getattr(x, "columns", "x")), 2 if loss == "cross_entropy" else 1).fit(x, y, loss=loss, verbose=0)


def test_tables_of_numbers_and_truth_values_are_numbers() -> None:
    history = nn.Linear(2, 2).fit(Frame(age=[1.0, 2.0], ok=[True, False]), [0, 1], loss="cross_entropy", verbose=0)
    assert len(history.history["loss"]) == 1


def test_a_misspelt_method_of_a_callback_is_noticed() -> None:
    with pytest.warns(UserWarning, match=r"Own.on_epoch_ends is never called: did you mean on_epoch_end\?"):

        class Own(EarlyStopping):
            def on_epoch_ends(self, epoch: int, logs: Any) -> None:
                pass


def test_losses_are_named_without_regard_to_case() -> None:
    assert isinstance(nn.losses.get("MSE"), nn.MSELoss)


@pytest.mark.parametrize("name", ["double", "half", "float", "int64", "f4", "bool"])
def test_every_name_of_a_type_is_one(name: str) -> None:
    assert nnkit.ones(1).to(name).dtype == np.dtype(name.replace("half", "float16"))


def test_a_number_stands_for_a_gpu_as_in_pytorch() -> None:
    assert conversions.destination((1,), None, None) == (Device("cuda", 1), None)
    assert conversions.destination((nnkit.ones(1),), None, None) == (nnkit.ones(1).device, nnkit.float32)
