"""The reference: a page for each public module, made from its ``__all__`` before Sphinx reads the sources."""

from __future__ import annotations

import importlib
import inspect
import re
import types
from pathlib import Path
from typing import Any

#: The pages, in the order of the list: title -> modules.
GROUPS: dict[str, list[str]] = {
    "Tensors": [
        "nnkit", "nnkit.random", "nnkit.linalg", "nnkit.autograd", "nnkit.autograd.functional", "nnkit.func",
        "nnkit.amp",
    ],
    "Layers": [
        "nnkit.nn", "nnkit.nn.functional", "nnkit.nn.init", "nnkit.nn.utils", "nnkit.nn.utils.rnn",
        "nnkit.nn.utils.parametrize", "nnkit.nn.utils.parametrizations", "nnkit.nn.parallel",
    ],
    "Training": [
        "nnkit.optim", "nnkit.optim.lr_scheduler", "nnkit.optim.swa_utils", "nnkit.training", "nnkit.parallel",
        "nnkit.distributed", "nnkit.distributions",
    ],
    "Data and files": [
        "nnkit.datasets", "nnkit.preprocessing", "nnkit.utils.data", "nnkit.io", "nnkit.utils.tensorboard",
    ],
    "Models in use": ["nnkit.registry", "nnkit.serve", "nnkit.monitor", "nnkit.onnx", "nnkit.plot", "nnkit.tune"],
    "Devices and tools": [
        "nnkit.cuda", "nnkit.accelerator", "nnkit.backends", "nnkit.testing", "nnkit.errors",
        "nnkit.utils.benchmark", "nnkit.utils.checkpoint",
    ],
    "scikit-learn's words": ["nnkit.sklearn"],
    "Keras's words": [
        "nnkit.keras", "nnkit.keras.models", "nnkit.keras.layers", "nnkit.keras.activations", "nnkit.keras.losses",
        "nnkit.keras.metrics", "nnkit.keras.optimizers", "nnkit.keras.optimizers.schedules",
        "nnkit.keras.callbacks", "nnkit.keras.initializers", "nnkit.keras.regularizers", "nnkit.keras.constraints",
        "nnkit.keras.ops", "nnkit.keras.random", "nnkit.keras.datasets", "nnkit.keras.preprocessing",
        "nnkit.keras.utils", "nnkit.keras.saving", "nnkit.keras.config", "nnkit.keras.mixed_precision",
        "nnkit.keras.backend",
    ],
}  # fmt: skip


#: Classes whose methods are written in parts of them, which have no pages: all stand on the class's.
IN_PARTS = {"nnkit.nn.Module"}

#: Packages whose names are for nnkit itself, or stand on another page: ``nnkit.ops`` on nnkit's.
INTERNAL = {"commands", "observer", "ops", "recording", "tensors", "utils"}


def groups() -> dict[str, list[str]]:
    """``GROUPS``, and what has no place there yet."""
    listed = {name for names in GROUPS.values() for name in names}
    folder = Path(str(importlib.import_module("nnkit").__file__)).parent
    packages = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    further = [f"nnkit.{name}" for name in packages if name not in INTERNAL and f"nnkit.{name}" not in listed]
    return GROUPS | ({"Further": further} if further else {})


def public_names(module: types.ModuleType) -> list[str]:
    """What a module offers: its ``__all__``, else all names of nnkit's that do not begin with an underscore.

    nnkit's own ``__all__`` leaves out what would hide Python's words (``abs``, ``sum``), so its ``dir()`` is taken.
    """
    listed = dir(module) if module.__name__ == "nnkit" else getattr(module, "__all__", None)
    if listed is not None:
        return [name for name in dict.fromkeys(listed) if name[0] != "_"]
    return [
        name
        for name, value in vars(module).items()
        if name[0] != "_" and str(getattr(value, "__module__", "")).startswith("nnkit.")
    ]


def kind(value: Any) -> str:
    """The directive of autodoc for a public value; "" for a module, which has a page or stands in its parent's."""
    if inspect.ismodule(value):
        return ""
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(value) else "autodata"


def described(module: types.ModuleType, homes: dict[int, str]) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    """The names that a module's page describes, those that another name stands for, and plain values.

    ``homes`` says where each object was described; the first page to name it does.
    """
    own: list[str] = []
    elsewhere: dict[str, str] = {}
    plain: dict[str, Any] = {}
    names = sorted(public_names(module), key=str.lower)
    for public in names:  # of several names, the one that the object itself bears
        value = inspect.unwrap(getattr(module, public))
        if getattr(value, "__name__", "") == public:
            homes.setdefault(id(value), f"{module.__name__}.{public}")
    for public in names:
        value, full = getattr(module, public), f"{module.__name__}.{public}"
        if kind(value) == "autodata":
            plain[public] = value
        elif kind(value):
            home = homes.setdefault(id(inspect.unwrap(value)), full)
            if home == full:
                own.append(public)
            else:
                elsewhere[public] = home
    return own, elsewhere, plain


def table(rows: list[tuple[str, str]]) -> list[str]:
    return [".. list-table::", "", *(f"   * - ``{left}``\n     - {right}" for left, right in rows), ""]


def page(name: str, homes: dict[int, str]) -> str:
    """The source of a module's page."""
    module = importlib.import_module(name)
    own, elsewhere, plain = described(module, homes)
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", "", f".. currentmodule:: {name}", ""]
    lines += [".. autosummary::", "", *(f"   {public}" for public in own), ""] if own else []
    if elsewhere:
        lines += ["Described elsewhere", "-" * 19, ""]
        lines += table([(public, f":py:obj:`{home}`") for public, home in elsewhere.items()])
    if plain:
        lines += ["Values", "-" * 6, ""]
        lines += table([(public, f"``{shown(value)}``") for public, value in plain.items()])
    if own:
        lines += ["Descriptions", "-" * 12, ""]
    for public in own:
        value = getattr(module, public)
        lines += [f".. {kind(value)}:: {name}.{public}"]
        if kind(value) == "autoclass":
            # what scikit-learn adds to each estimator has links that lead nowhere from here
            added = [name for name in dir(value) if re.fullmatch(r"set_\w+_request|get_metadata_routing", name)]
            lines += ["   :members:", *([f"   :exclude-members: {', '.join(added)}"] if added else [])]
            lines += ["   :inherited-members:"] if f"{name}.{public}" in IN_PARTS else []
        lines += [""]
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A value in one short line."""
    if isinstance(value, (tuple, dict)):
        return f"{len(value)} entries"
    return re.sub(r" at 0x\w+", "", repr(value))


def write(app: Any) -> None:
    """All pages, where they changed."""
    folder = Path(app.srcdir) / "reference" / "made"
    folder.mkdir(parents=True, exist_ok=True)
    homes: dict[int, str] = {}
    for name in (name for names in groups().values() for name in names):
        put(folder / f"{name}.rst", page(name, homes))
    index = ["Reference", "=========", "", "Every public name, by module.", ""]
    for title, names in groups().items():
        index += [f".. toctree::\n   :caption: {title}\n   :maxdepth: 1\n", *(f"   made/{name}" for name in names), ""]
    put(folder.parent / "index.rst", "\n".join(index))


def put(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
