"""What is known of functions and types that are not the user's: which only compute, which hold nothing that changes.

Whatever does not stand here is not understood: a step that meets it runs plainly.
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import functools
import itertools
import math
import operator
import os
import sys
import types
from types import CodeType
from typing import Any

import numpy as np

import nnkit

__all__ = [
    "ARRAY_READING", "CLASSES", "CONTAINERS", "HIGHER", "IMMUTABLE", "ITERATORS", "LOOK_AT_TYPES", "PURE", "READING",
    "is_our_class", "is_our_function", "is_ours", "is_plain_class", "is_trusted", "lookup",
]  # fmt: skip

# ---- whose code it is -------------------------------------------------------------------------------------------


def _folder(path: str) -> str:
    return os.path.join(os.path.abspath(path), "")


OURS = tuple(_folder(path) for package in (nnkit, nnkit.backends, nnkit.kernels) for path in package.__path__)
BACKENDS = tuple(_folder(path) for path in nnkit.backends.__path__)
STANDARD = _folder(os.path.dirname(os.__file__))
INSTALLED = tuple(f"{os.sep}{folder}{os.sep}" for folder in ("site-packages", "dist-packages"))
#: Installed packages that nnkit's own code calls in a step.
KNOWN = ("numpy", "array_api_compat", "array_api_strict", "ml_dtypes", "numba", "llvmlite", "cupy", "cupy_backends")
#: Words of nnkit that do something to the world outside a step.
OUTSIDE_A_STEP = {
    "fit", "evaluate", "predict", "save", "load", "manual_seed", "seed", "set_state", "set_rng_state", "update_bn",
    "init_process_group", "destroy_process_group",
}  # fmt: skip
OUR_PARTS = (
    "nnkit", "nnkit.amp", "nnkit.autograd", "nnkit.distributed", "nnkit.distributions", "nnkit.func", "nnkit.keras",
    "nnkit.linalg", "nnkit.nn", "nnkit.onnx.network", "nnkit.onnx.words", "nnkit.ops", "nnkit.optim", "nnkit.parallel",
    "nnkit.recording.structures", "nnkit.sklearn.losses",
    "nnkit.tensors.conversions", "nnkit.tensors.creation", "nnkit.tensors.default_device", "nnkit.tensors.dtypes",
    "nnkit.tensors.element_types",
    "nnkit.tensors.gradients", "nnkit.tensors.memory", "nnkit.tensors.methods", "nnkit.tensors.named_methods",
    "nnkit.tensors.precision", "nnkit.tensors.random", "nnkit.tensors.random_tensors", "nnkit.tensors.results",
    "nnkit.tensors.tape", "nnkit.tensors.tensor", "nnkit.tensors.walk", "nnkit.tensors.watch",
    "nnkit.training.averaging", "nnkit.training.confusion", "nnkit.training.kept", "nnkit.training.metric",
    "nnkit.training.metrics", "nnkit.training.outputs", "nnkit.training.ranking", "nnkit.training.several",
)  # fmt: skip


@functools.cache
def is_ours(filename: str) -> bool:
    """Whether a file belongs to nnkit."""
    return filename.startswith(OURS)


@functools.cache
def _is_known(filename: str) -> bool:
    if filename.startswith("<frozen"):
        return True
    for installed in INSTALLED:
        if installed in filename:
            return filename.rpartition(installed)[2].partition(os.sep)[0] in KNOWN
    return filename.startswith(STANDARD)


def is_trusted(code: CodeType, module: str) -> bool:
    """Whether code may run unobserved: nnkit's, Python's, NumPy's; ``module`` is the name of the module it is of."""
    filename = code.co_filename
    if filename == "<string>":  # made by exec: methods of dataclasses, named tuples
        package = module.partition(".")[0]
        return package == "nnkit" or package in sys.stdlib_module_names or module.startswith("namedtuple_")
    return is_ours(filename) or _is_known(filename) or code.co_name == "<module>" or filename.startswith("<kernel ")


def is_our_class(kind: type) -> bool:
    """Whether a class is nnkit's."""
    module = type.__getattribute__(kind, "__module__")
    return isinstance(module, str) and module.partition(".")[0] == "nnkit"


def is_our_function(function: types.FunctionType) -> bool:
    """Whether a function is nnkit's, and its effects are in a program."""
    return is_ours(function.__code__.co_filename)


def belongs_in_a_step(function: types.FunctionType) -> bool:
    """Whether what a function of nnkit's does can be part of a program."""
    module = function.__globals__.get("__name__", "")  # a decorated function goes by the name of what it decorates
    known = any(module == part or (part != "nnkit" and module.startswith(part + ".")) for part in OUR_PARTS)
    return known and function.__name__ not in OUTSIDE_A_STEP


def lookup(kind: type, name: str) -> tuple[type | None, Any]:
    """The class in which an attribute of a type stands, and what stands there, without calling anything."""
    for base in type.__getattribute__(kind, "__mro__"):
        names = type.__getattribute__(base, "__dict__")
        if name in names:
            return base, names[name]
    return None, None


def is_plain_class(kind: type) -> bool:
    """Whether objects of a class are the user's, made in Python: its operators are Python code, or the default ones."""
    for base in type.__getattribute__(kind, "__mro__"):
        module = str(type.__getattribute__(base, "__module__")).partition(".")[0]
        names = type.__getattribute__(base, "__dict__")
        if base in (object, tuple, int, float, str):
            continue
        if module in sys.stdlib_module_names and module not in ("abc", "typing", "enum"):
            return False
        if "__dict__" not in names and "__slots__" not in names and "__module__" not in names:
            return False
    return True


# ---- types ------------------------------------------------------------------------------------------------------

IMMUTABLE = {
    int, float, complex, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range, np.dtype,
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.ModuleType, types.GenericAlias,
    types.CodeType, types.MethodWrapperType, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType, types.UnionType, super, operator.itemgetter, operator.attrgetter,
    operator.methodcaller,
}  # fmt: skip
CONTAINERS = {
    list, dict, set, collections.OrderedDict, collections.defaultdict, collections.deque, collections.Counter,
    type({}.keys()), type({}.values()), type({}.items()), types.MappingProxyType, bytearray,
}  # fmt: skip
#: Of what a container from outside can be asked without changing it.
READING: dict[type, set[str]] = {
    list: {"copy", "count", "index", "__len__", "__contains__", "__getitem__"},
    dict: {"get", "items", "keys", "values", "copy", "__len__", "__contains__", "__getitem__"},
    set: {"copy", "union", "intersection", "difference", "issubset", "issuperset", "isdisjoint"},
}  # fmt: skip
READING[collections.OrderedDict] = READING[dict]
ITERATORS = {
    type(iter([])), type(iter(())), type(iter({})), type(iter(set())), type(iter("")), type(iter(range(0))), zip, map,
    filter, enumerate, reversed, types.GeneratorType, itertools.chain, itertools.islice, itertools.product,
    itertools.accumulate, itertools.zip_longest, itertools.repeat, itertools.pairwise, itertools.starmap,
    itertools.combinations, itertools.permutations, itertools.takewhile, itertools.dropwhile,
    type(iter({}.values())), type(iter({}.items())), type(reversed([])),
}  # fmt: skip
#: Types whose objects are made from what they are given, and from nothing else.
CLASSES = (
    {bool, bytes, complex, dict, float, frozenset, int, list, range, set, slice, str, tuple, bytearray, object, type}
    | {collections.OrderedDict, collections.defaultdict, collections.deque, functools.partial, contextlib.nullcontext}
    | ITERATORS - {types.GeneratorType}
)

# ---- functions ----------------------------------------------------------------------------------------------------

_BUILTINS = """abs all any ascii bin callable chr divmod format hex isinstance issubclass iter len max min next oct ord
pow repr round sorted sum"""
_NUMPY = """add abs all allclose any arange argmax argmin argsort array array_equal asarray ascontiguousarray atleast_1d
broadcast_to ceil clip concatenate copy cos cumprod cumsum diag diff dot exp expand_dims eye finfo flip floor full
full_like hstack iinfo isfinite isinf isnan linspace log log1p logspace matmul max maximum mean median meshgrid min
minimum nan_to_num ones ones_like outer power prod ravel repeat reshape roll round searchsorted sign sin sort split sqrt
squeeze stack std sum swapaxes take tan tanh tile trace transpose tril triu unique var vstack where zeros zeros_like"""
_CHANGING = {"setitem", "delitem", "iand", "ior"} | {
    name for name in dir(operator) if name[0] == "i" and name[1:] in dir(operator)
}

#: Functions that only compute. (Kept by identity: another under the same name is another.)
PURE: dict[int, Any] = {}
for _function in (
    *(getattr(builtins, _name) for _name in _BUILTINS.split()),
    *(value for value in vars(math).values() if callable(value)),
    *(value for name, value in vars(operator).items() if callable(value) and name not in _CHANGING and name[0] != "_"),
    *(getattr(np, _name) for _name in _NUMPY.split() if hasattr(np, _name)),
    functools.reduce,
):
    PURE[id(_function)] = _function
#: Those that call a function they are given.
HIGHER = {id(function) for function in (map, filter, sorted, min, max, functools.reduce, itertools.accumulate)} | {
    id(kind) for kind in (itertools.starmap, itertools.takewhile, itertools.dropwhile)
}
#: Those that look at no more than the type of what they are given.
LOOK_AT_TYPES = {id(function) for function in (isinstance, issubclass, callable, type)}
ARRAY_READING = set(
    """all any argmax argmin argsort astype copy cumsum dot flatten item max mean min prod ravel repeat reshape round
    squeeze std sum swapaxes take tobytes tolist transpose var view""".split()
)
