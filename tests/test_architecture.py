"""The plan of the house, read from the source: which floor may know which, overrides, and what an import may cost."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import nnkit
from nnkit import backends, kernels
from nnkit.backends import PRIMITIVES, Backend
from nnkit.backends.cpu.preparing import PREPARED
from nnkit.backends.numba import NumbaBackend
from nnkit.backends.numpy import NumpyBackend
from nnkit.backends.strict import StrictBackend

#: Package -> the folder that holds its modules.
FOLDERS = {
    "nnkit.kernels": Path(kernels.__file__).parent,
    "nnkit.backends": Path(backends.__file__).parent,
    "nnkit": Path(nnkit.__file__).parent,
}


@cache
def paths() -> dict[str, Path]:
    """Every file of the library: dotted name of its module -> where it is."""
    found: dict[str, Path] = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found.setdefault(".".join([package, *parts]).removesuffix(".__init__"), path)
    return found


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the library: dotted name -> its syntax tree."""
    return {name: ast.parse(path.read_text()) for name, path in paths().items()}


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(tree: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """The nodes of a module, without blocks for type checkers and, if asked, without what functions do when called."""
    for node in ast.iter_child_nodes(tree):
        if is_for_types_only(node):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not inside_functions:
            continue
        yield node
        yield from statements(node, inside_functions)


def imports(name: str, inside_functions: bool) -> set[str]:
    """The modules that a module imports: of nnkit by their full name, of others by the name of the package."""
    found: set[str] = set()
    for node in statements(modules()[name], inside_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import; imports name their module in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules() else str(node.module))
    return {n if n.partition(".")[0] == "nnkit" else n.partition(".")[0] for n in found}


def floor(name: str) -> str:
    """The part of the house that a module belongs to: a room, or one of the parts below that others may know alone."""
    known_alone = [part for part in KNOWN_ALONE if name == part or name.startswith(f"{part}.")]
    return known_alone[0] if known_alone else ".".join(name.split(".")[:2])


# ---- a screen, and a few of them -----------------------------------------------------------------------------------

#: Lines that a file has at most, and that a function has, beside its signature and docstring.
FILE, FUNCTION = 400, 60


def test_files_are_of_a_few_hundred_lines() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in paths().items()}
    assert not {name: length for name, length in lengths.items() if length > FILE}, "where does another subject begin?"


def test_functions_fit_a_screen() -> None:
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                assert lines <= FUNCTION, (
                    f"{name}.{node.name} has {lines} lines: which of them are a step of their own?"
                )


# ---- the arrow ----------------------------------------------------------------------------------------------------

#: Parts of rooms that lie lower than the rest: the count of changes, the observer's two doors, and random numbers.
KNOWN_ALONE = ("nnkit.recording.state", "nnkit.recording.observer", "nnkit.tensors.random")
LEAVES = {"nnkit.errors", "nnkit.datasets", "nnkit.preprocessing", "nnkit.utils"}
CORE = {"nnkit.ops", "nnkit.tensors", "nnkit.tensors.random", "nnkit.recording.state"}
TRAINED = {
    "nnkit.nn",
    "nnkit.optim",
    "nnkit.parallel",
    "nnkit.distributed",
    "nnkit.training",
    "nnkit.keras",
    "nnkit.sklearn",
    "nnkit.io",
}
#: Part -> the parts that it may not import, at any level of any function.
FORBIDDEN = {
    "nnkit.kernels": {"nnkit.backends", *CORE, *TRAINED, *LEAVES, "nnkit"},
    "nnkit.backends": {*CORE, *TRAINED, *LEAVES, "nnkit"},
    **{part: {*TRAINED, *LEAVES - {"nnkit.errors"}, "nnkit.recording", "nnkit"} for part in sorted(CORE)},
    "nnkit.nn": {
        "nnkit.parallel",
        "nnkit.training",
        "nnkit.keras",
        "nnkit.sklearn",
        "nnkit.datasets",
        "nnkit.preprocessing",
        "nnkit.io",
    },
    "nnkit.parallel": {"nnkit.training", "nnkit.keras", "nnkit.sklearn", "nnkit.tune", "nnkit.datasets", "nnkit.io"},
    "nnkit.optim": {
        "nnkit.parallel",
        "nnkit.nn",
        "nnkit.training",
        "nnkit.keras",
        "nnkit.sklearn",
        "nnkit.datasets",
        "nnkit.io",
    },
    "nnkit.training": {"nnkit.keras", "nnkit.sklearn", "nnkit.tune"},
    "nnkit.keras": {"nnkit.sklearn"},
    "nnkit.sklearn": {"nnkit.keras", "nnkit.tune"},
    "nnkit.tune": {"nnkit.keras"},
    "nnkit.io": {"nnkit.training", "nnkit.keras", "nnkit.sklearn", "nnkit.registry"},
    "nnkit.monitor": {*CORE, *TRAINED, "nnkit.registry"},
    "nnkit.registry": {"nnkit.training", "nnkit.keras", "nnkit.sklearn", "nnkit.commands"},
    "nnkit.datasets": {*CORE, *TRAINED},
    "nnkit.preprocessing": {*CORE - {"nnkit.tensors.random"}, *TRAINED},
    "nnkit.errors": {*CORE, *TRAINED, "nnkit.datasets"},
    "nnkit.testing": {*TRAINED},
}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_point_one_way(part: str) -> None:
    names = [name for name in modules() if floor(name) == part]
    assert names, f"no module belongs to {part}"
    for name in names:
        for imported in imports(name, inside_functions=True):
            assert floor(imported) not in FORBIDDEN[part] or floor(imported) == part, f"{name} imports {imported}"


def test_modules_do_not_import_one_another_in_a_circle() -> None:
    graph = {name: imports(name, inside_functions=False) & modules().keys() for name in modules()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name not in done:
            for imported in sorted(graph[name] - {"nnkit"} if name.startswith("nnkit.") else graph[name]):
                visit(imported, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_a_function_imports_nothing_of_nnkit() -> None:
    """An import inside a function would hide a circle."""
    for name in modules():
        inner = imports(name, True) - imports(name, False)
        assert not {n for n in inner if n.startswith("nnkit")}, f"{name}: {inner}"


#: The way of the data through ``nnkit.training``, stage after stage; a module knows those before it and beside it.
WAY = [
    ("arguments", "home", "loss_kinds", "modes", "outputs", "several"),  # what all stages speak of
    ("checked", "values"),
    ("kinds", "tables"),  # what came in
    ("door", "inputs", "sample_weights", "targets"),  # checked arrays
    ("batches", "fingerprint", "streamed", "sources"),  # batches on the device
    ("data",),  # all of these, in turn
    ("evaluation", "replay", "steps", "trainer"),
    ("api",),
]


def test_the_data_of_a_training_go_one_way() -> None:
    stage = {f"nnkit.training.{name}": number for number, names in enumerate(WAY) for name in names}
    assert stage.keys() <= modules().keys()
    for name, own in stage.items():
        known, new = set[str](), {name}
        while new:
            known |= new
            new = {n for m in new for n in imports(m, True) if n.startswith("nnkit.training.")} - known
        for imported in known & stage.keys():
            assert stage[imported] <= own, f"{name} knows {imported}, which comes after it"


# ---- who may compute on arrays --------------------------------------------------------------------------------------

#: Libraries of arrays and compilers, and the only floors that may name them.
LIBRARIES = {"numba", "llvmlite", "cupy", "array_api_compat", "array_api_strict"}


def test_only_backends_and_kernels_name_a_compiler_or_a_gpu_library() -> None:
    for name in modules():
        if not name.startswith(("nnkit.backends", "nnkit.kernels")):
            assert not imports(name, True) & LIBRARIES, name


#: What the floors between tensors and optimizers may take from numpy: types, shapes, and values on the host.
HOST = {
    "dtype", "ndarray", "number", "integer", "floating", "bool_", "uint8", "int8", "int16", "int32", "int64", "float16",
    "float32", "float64", "longdouble", "promote_types", "broadcast_shapes", "array", "asarray", "array2string",
    "iinfo",
}  # fmt: skip
#: Module -> what else it may take, and why it is not arithmetic on tensors' values.
EXCEPTIONS = {
    "nnkit.tensors.creation": {
        "arange",
        "linspace",
        "eye",
        "floor",
        "minimum",
    },  # values of new tensors are made on the host
    "nnkit.tensors.random": {"sqrt", "log", "cos", "pi", "arange", "argsort", "uint64"},  # and so are initial weights
    "nnkit.ops.indexing": {"arange", "broadcast_to", "ones", "where"},  # positions of the elements an index chooses
    "nnkit.ops.reductions": {"arange", "eye"},  # places along an axis, and pairs of them
    "nnkit.ops.windows": {"arange"},  # places of planes
    "nnkit.ops.classification": {"argwhere", "arange"},  # the first wrong label
    "nnkit.nn.embedding_functions": {"arange", "where"},  # where bags begin and end
    "nnkit.nn.utils.rnn": {"arange", "argsort", "ascontiguousarray", "divmod", "flatnonzero", "zeros"},  # and rows lie
    "nnkit.nn.init": {"zeros", "linalg", "diagonal", "sign"},  # orthogonal weights, and channels passed on
    "nnkit.ops.shape": {"cumsum"},  # sizes of the parts
    "nnkit.tensors.tensor": {"prod"},  # of a shape
    "nnkit.tensors.limits": {"finfo"},  # what a type can say
    "nnkit.tensors.loading": {"generic"},  # numbers out of a file
}


@pytest.mark.parametrize("part", [*sorted(CORE), "nnkit.nn", "nnkit.optim"])
def test_tensors_ops_modules_and_optimizers_compute_nothing_with_numpy(part: str) -> None:
    for name, tree in modules().items():
        if floor(name) == part:
            used = {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
            }
            assert used <= HOST | EXCEPTIONS.get(name, set()), f"{name}: {sorted(used - HOST)}"


# ---- overrides ----------------------------------------------------------------------------------------------------

MEMORY = (
    "empty",
    "zeros",
    "asarray",
    "to_numpy",
    "native",
    "dtype_of",
    "reshape",
    "permute",
    "broadcast_to",
    "quietly",
)


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """Name, kind and default of each parameter but self."""
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in found if p.name != "self"]


@pytest.mark.parametrize("backend", [NumpyBackend, NumbaBackend, StrictBackend])
def test_overrides_have_the_signature_of_the_base_class(backend: type[Backend]) -> None:
    for name in (*PRIMITIVES, *MEMORY):
        assert parameters(getattr(backend, name)) == parameters(getattr(Backend, name)), f"{backend.__name__}.{name}"


def test_launches_have_the_signature_of_their_primitive() -> None:
    assert {"map", "linear", "linear_grad", "conv", "cross_entropy", "dropout", "attention"} <= PREPARED.keys()
    for name, launch in PREPARED.items():
        assert parameters(launch) == parameters(getattr(NumpyBackend, name)), name


def test_overrides_of_the_cuda_backend_have_the_signature_of_the_base_class() -> None:
    """Read from its text, because its library may not be here."""
    folder = FOLDERS["nnkit.backends"] / "cuda"
    nodes = [
        node for name in ("device_memory.py", "backend.py") for node in ast.parse((folder / name).read_text()).body
    ]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef) and node.name in ("CupyArrays", "CupyBackend")]
    methods = {n.name: n for node in classes for n in node.body if isinstance(n, ast.FunctionDef)}
    assert {"empty", "asarray", "to_numpy", "prepared_map"} <= methods.keys()
    for name in methods.keys() & {*PRIMITIVES, *MEMORY}:
        given = methods[name].args
        names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)][1:]
        defaults = [ast.literal_eval(d) for d in given.defaults]
        expected = parameters(getattr(Backend, name))
        assert names == [n for n, _, _ in expected], name
        assert defaults == [d for _, _, d in expected if d is not inspect.Parameter.empty], name


# ---- what an import costs --------------------------------------------------------------------------------------------

#: Imported when first used, by the function that needs it.
HEAVY = {
    "numba", "llvmlite", "cupy", "scipy", "sklearn", "matplotlib", "pandas", "pooch", "tqdm", "safetensors", "torch",
    "pytest", "hypothesis", "array_api_strict", "ml_dtypes", "narwhals",
    "polars", "h5py", "joblib", "PIL", "tensorboardX", "IPython", "fastapi", "uvicorn", "prometheus_client",
}  # fmt: skip
LIGHT = [
    "nnkit", "nnkit.nn", "nnkit.optim", "nnkit.training", "nnkit.keras", "nnkit.utils.data", "nnkit.io",
    "nnkit.datasets", "nnkit.monitor", "nnkit.plot", "nnkit.preprocessing", "nnkit.registry", "nnkit.testing",
]  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_importing_is_light(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "numpy" in loaded
    assert not loaded & HEAVY
