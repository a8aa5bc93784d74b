"""``dir()`` and ``__all__`` of every public module: what is public, and nothing else."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pickle
import types

import pytest

import nnkit
from nnkit.optim import optimizers

#: Modules whose names people use.
PUBLIC = (
    "nnkit.nn", "nnkit.nn.functional", "nnkit.nn.init", "nnkit.nn.utils", "nnkit.nn.utils.rnn", "nnkit.optim",
    "nnkit.optim.lr_scheduler", "nnkit.optim.swa_utils", "nnkit.ops", "nnkit.linalg", "nnkit.autograd", "nnkit.func",
    "nnkit.distributions", "nnkit.random", "nnkit.cuda", "nnkit.cuda.amp", "nnkit.amp", "nnkit.io", "nnkit.datasets",
    "nnkit.preprocessing", "nnkit.training", "nnkit.sklearn", "nnkit.testing", "nnkit.utils", "nnkit.utils.data",
    "nnkit.accelerator", "nnkit.errors", "nnkit.version", "nnkit.keras.models", "nnkit.keras.losses",
    "nnkit.keras.metrics", "nnkit.keras.optimizers", "nnkit.keras.callbacks", "nnkit.keras.ops", "nnkit.keras.utils",
    "nnkit.keras.initializers", "nnkit.keras.regularizers", "nnkit.keras.constraints", "nnkit.keras.activations",
    "nnkit.keras.backend", "nnkit.keras.datasets", "nnkit.keras.random", "nnkit.keras.saving", "nnkit.plot",
    "nnkit.parallel", "nnkit.distributed", "nnkit.tune", "nnkit.registry", "nnkit.monitor", "nnkit.onnx", "nnkit.serve",
)  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_a_module_lists_its_public_names_and_has_each(name: str) -> None:
    module = importlib.import_module(name)
    assert dir(module) == sorted(set(module.__all__)), "a name stands in __all__ twice, or dir() shows others"
    for word in module.__all__:
        getattr(module, word)


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_name_is_python_s_or_numpy_s(name: str) -> None:
    module = importlib.import_module(name)
    for word in dir(module):
        value = getattr(module, word)
        if isinstance(value, types.ModuleType):
            assert value.__name__.startswith("nnkit"), f"{name}.{word} is {value.__name__}"
        elif inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith("nnkit"), f"{name}.{word} is {value.__module__}'s"


def test_every_optimizer_known_by_name_is_public() -> None:
    assert {optimizers.OPTIMIZERS[name].__name__ for name in optimizers._BUILT_IN} <= set(nnkit.optim.__all__)  # type: ignore[attr-defined]


def test_the_whole_shows_its_words_and_no_rooms() -> None:
    shown = set(dir(nnkit))
    assert set(nnkit.__all__) <= shown
    assert {"nn", "optim", "keras", "sklearn", "tensor", "sum", "abs", "float32", "float", "bfloat16"} <= shown
    assert not shown & {"tensors", "recording", "kernels", "importlib", "math", "Any", "builtins"}
    for word in shown - {"bfloat16"}:
        getattr(nnkit, word)


def test_help_begins_with_a_map_of_the_whole() -> None:
    assert nnkit.__doc__ is not None
    for word in ("nn", "optim", "training", "datasets", "compile", "devices", "save", "doctor"):
        assert word in nnkit.__doc__


#: Modules of which every public function and class has an example; exceptions and aliases of types are left out.
WITH_EXAMPLES = (
    "nnkit", "nnkit.linalg", "nnkit.nn", "nnkit.nn.functional", "nnkit.nn.init", "nnkit.nn.utils", "nnkit.optim",
    "nnkit.autograd", "nnkit.func", "nnkit.random", "nnkit.io", "nnkit.datasets", "nnkit.preprocessing",
    "nnkit.sklearn", "nnkit.keras.ops", "nnkit.keras.layers", "nnkit.keras.losses", "nnkit.keras.metrics",
    "nnkit.keras.optimizers", "nnkit.keras.initializers", "nnkit.keras.regularizers", "nnkit.keras.constraints",
    "nnkit.keras.random", "nnkit.plot", "nnkit.monitor", "nnkit.parallel", "nnkit.distributed",
)  # fmt: skip
#: Bases that nobody makes an instance of, old words that warn, and what only says what to use in its stead.
LEFT_OUT = {
    "Loss",
    "RNNBase",
    "RNNCellBase",
    "clip_grad_norm",
    "custom_gradient",
    "Reduction",
    "Optimizer",
    "LossScaleOptimizer",
}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_every_function_has_an_example(name: str) -> None:
    """The examples run in test_doctests; here it is counted that they are there."""
    module = importlib.import_module(name)
    lacking = [
        word
        for word in module.__all__
        if (inspect.isfunction(value := getattr(module, word)) or _is_plain_class(value))
        and ">>>" not in (inspect.getdoc(value) or "")
        and word not in LEFT_OUT
    ]
    assert not lacking


def _is_plain_class(value: object) -> bool:
    return inspect.isclass(value) and not issubclass(value, (Exception, tuple))


@pytest.mark.parametrize("name", ["nnkit.ops", "nnkit.linalg", "nnkit.keras.ops"])
def test_examples_of_a_table_run(name: str) -> None:
    """Those that are part of a docstring only once their module is imported: doctest finds them by their function."""
    module = importlib.import_module(name)
    finder, runner = (
        doctest.DocTestFinder(recurse=False),
        doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS),
    )
    tried = 0
    for word in module.__all__:
        function = inspect.unwrap(getattr(module, word))
        if inspect.isfunction(function):
            for examples in finder.find(function, word, globs=dict(function.__globals__)):
                tried += runner.run(examples).attempted
    assert tried > 20 and runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("nnkit.nn.loss_functions", "cross_entropy"),
        ("nnkit.nn.loss_functions", "nll_loss"),
        ("nnkit.nn.functional", "dropout"),
        ("nnkit.nn.module", "IncompatibleKeys"),
        ("nnkit.training.metrics", "FunctionMetric"),
        ("nnkit.keras.recurrent", "LSTM"),
        ("nnkit.keras.backend", "dot"),
        ("nnkit.optim.schedules", "LRScheduler"),
    ],
)
def test_what_pickles_of_before_name_is_found(module: str, name: str) -> None:
    """Files were split since; a pickle has the name of a module in it."""
    found = pickle.loads(f"c{module}\n{name}\n.".encode())  # a name, in pickle's oldest form
    assert found.__name__ == name
