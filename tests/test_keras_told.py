"""What is told of Keras's families is so: each raises what it says, and gives the shapes and dtypes that it says."""

from __future__ import annotations

import ast
import doctest
import inspect
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.errors import DtypeError, ShapeError
from nnkit.keras import layers, losses, metrics, ops
from nnkit.keras.layer_families import FAMILIES as LAYER_FAMILIES
from nnkit.keras.ops import families

WITHOUT_NUMBERS = "DtypeError for what are no numbers"


def tells(value: Any, statement: str) -> bool:
    return statement in " ".join((inspect.getdoc(value) or "").split())


# ---- keras.ops ------------------------------------------------------------------------------------------------------


def call_in_example(name: str) -> ast.Call:
    """The first call of a function in its example."""
    function = getattr(ops, name)
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(function) or ""):
        for node in ast.walk(ast.parse(example.source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function.__name__:
                return node
    raise LookupError(f"the example of {name} calls something else")


@pytest.mark.parametrize("name", [name for name in ops.__all__ if tells(getattr(ops, name), WITHOUT_NUMBERS)])
def test_a_text_for_numbers_is_refused(name: str) -> None:
    call = call_in_example(name)
    call.args[0] = ast.copy_location(ast.Constant("x"), call.args[0])
    with pytest.raises(DtypeError):
        eval(ast.unparse(call), {**vars(ops), "np": np, "nnkit": nnkit})


X = np.array([[0.25, 0.5, 0.75], [0.5, 0.25, 0.75]])
BOTH = ("int32", "float16", "float32", "bool")
#: What is told -> the dtypes of the results for inputs of those in BOTH, and the shape.
OF_ONE = {
    families.FLOATS: ("float32", "float16", "float32", "float32"),
    families.SAME: BOTH,
    families.ARITHMETIC: ("int32", "float16", "float32", "int32"),
    families.TRUTHS: ("bool", "bool", "bool", "bool"),
}
OF_TWO = {
    families.PAIRS: BOTH,
    families.PAIRS_OF_NUMBERS: ("int32", "float16", "float32", "int32"),
    families.PAIRS_AS_FLOATS: ("float32", "float16", "float32", "float32"),
    families.COMPARED: ("bool", "bool", "bool", "bool"),
}
FURTHER_ARGUMENTS = {"clip": (0, 1), "threshold": (0.5, 0.0)}


@pytest.mark.parametrize(
    ("name", "dtypes"), [(name, dtypes) for told, dtypes in OF_ONE.items() for name in families.FAMILIES[told].split()]
)
def test_functions_of_one_tensor_keep_its_shape(name: str, dtypes: tuple[str, ...]) -> None:
    for given, expected in zip(BOTH, dtypes, strict=True):
        y = getattr(ops, name)(X.astype(given), *FURTHER_ARGUMENTS.get(name, ()))
        assert (tuple(y.shape), y.dtype) == (X.shape, expected), given


@pytest.mark.parametrize(
    ("name", "dtypes"), [(name, dtypes) for told, dtypes in OF_TWO.items() for name in families.FAMILIES[told].split()]
)
def test_functions_of_two_tensors_broadcast_them(name: str, dtypes: tuple[str, ...]) -> None:
    function = getattr(ops, name)
    for given, expected in zip(BOTH, dtypes, strict=True):
        y = function(np.ones((2, 3), given), np.ones(3, given))
        assert (tuple(y.shape), y.dtype) == ((2, 3), expected), given
    with pytest.raises(ShapeError):
        function(np.ones((2, 3)), np.ones(4))


# ---- losses and metrics ---------------------------------------------------------------------------------------------

#: Their targets are class numbers, of a shape of their own, or marks of the greatest.
OF_OTHER_SHAPES = """CategoricalGeneralizedCrossEntropy categorical_generalized_cross_entropy OneHotIoU OneHotMeanIoU
    categorical_accuracy top_k_categorical_accuracy""".split()
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "IoU": (2, [0]), "OneHotIoU": (2, [0]), "MeanIoU": (2,), "OneHotMeanIoU": (2,), "PrecisionAtRecall": (0.5,),
    "RecallAtPrecision": (0.5,), "SensitivityAtSpecificity": (0.5,), "SpecificityAtSensitivity": (0.5,),
    "MeanMetricWrapper": (losses.mse,), "categorical_generalized_cross_entropy": (0.5,),
}  # fmt: skip


def called(of: Any, name: str, y_true: Any, y_pred: Any) -> Any:
    value, further = getattr(of, name), ARGUMENTS.get(name, ())
    if not inspect.isclass(value):
        return value(y_true, y_pred, *further)
    if of is losses:
        return value(*further)(y_true, y_pred)
    return value(*further).update_state(y_true, y_pred)


OF_SAMPLES = [
    (of, name) for of in (losses, metrics) for name in of.__all__ if tells(getattr(of, name), WITHOUT_NUMBERS)
]


@pytest.mark.parametrize(("of", "name"), OF_SAMPLES, ids=[name for _, name in OF_SAMPLES])
def test_losses_and_metrics_refuse_what_does_not_fit(of: Any, name: str) -> None:
    with pytest.raises(DtypeError):
        called(of, name, "x", np.ones((2, 3)))
    if name not in OF_OTHER_SHAPES:
        with pytest.raises(ShapeError):
            called(of, name, np.ones((2, 3)), np.ones((2, 4)))


# ---- layers ---------------------------------------------------------------------------------------------------------

TRIED: tuple[tuple[Any, ...], ...] = ((), (2,), (2, 2), ("relu",), ((1,),), (0.5,), (lambda x: x,))


def made(name: str) -> Any:
    """A layer of that name, of the first arguments that it takes."""
    layer = getattr(layers, name)
    if name in ("Bidirectional", "TimeDistributed"):
        return layer(layers.LSTM(2) if name == "Bidirectional" else layers.Dense(2))
    for arguments in TRIED:
        try:
            return layer(*arguments)
        except (TypeError, ValueError):
            continue
    raise LookupError(f"no arguments for {name}")


LAYERS = sorted(name for names in LAYER_FAMILIES.values() for name in names.split() if name[0].isupper())


@pytest.mark.parametrize("name", LAYERS)
def test_layers_refuse_what_does_not_fit(name: str) -> None:
    doc = getattr(layers, name)
    if tells(doc, WITHOUT_NUMBERS):
        with pytest.raises(DtypeError):
            made(name)("x")
    if tells(doc, "ShapeError for another number of axes"):
        with pytest.raises(ShapeError):
            made(name)(np.ones(()))
    if tells(doc, "ValueError for what is no list of inputs"):
        with pytest.raises(ValueError):
            made(name)("x")
