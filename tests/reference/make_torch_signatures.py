"""Writes torch_signatures.json: parameters and defaults of PyTorch's functions and classes that Python can tell.

python tests/reference/make_torch_signatures.py
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

#: Where names are compared: the same path under ``torch`` and ``nnkit``.
HOMES = (
    "", "nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.parametrizations",
    "nn.utils.parametrize", "optim", "optim.lr_scheduler", "utils.data", "utils.checkpoint",
    "utils.benchmark", "cuda", "cuda.amp", "amp", "accelerator", "backends.cudnn", "backends.mps",
)  # fmt: skip
#: The methods of these classes too.
CLASSES = {"nn": ("Module", "ModuleList", "ModuleDict", "Sequential", "ParameterList", "ParameterDict")}
CLASSES |= {"utils.data": ("DataLoader",), "": ("Tensor", "Generator"), "optim": ("Optimizer",)}


def parameters(function: Any) -> list[list[Any]] | None:
    """Name, kind and default (as text, None without one) of each parameter; None where Python cannot tell."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return None
    return [[p.name, p.kind.name, None if p.default is p.empty else shown(p.default)] for p in found]


def shown(default: Any) -> str:
    """A default as text, without addresses and folders."""
    return re.sub(r" at 0x[0-9a-f]+| from '[^']*'", "", repr(default))


def home(package: str, path: str) -> Any:
    """The module at a path of a package."""
    return importlib.import_module(f"{package}.{path}" if path else package)


def signatures(package: str) -> dict[str, list[list[Any]]]:
    """Dotted name -> parameters, of everything public in HOMES and CLASSES."""
    found: dict[str, list[list[Any]]] = {}
    for path in HOMES:
        module = home(package, path)
        for name in dir(module):
            member = None if name.startswith("_") else getattr(module, name)
            if callable(member) and (given := parameters(member)) is not None:
                found[f"{path}.{name}".lstrip(".")] = given
        for kind in CLASSES.get(path, ()):
            owner = getattr(module, kind)
            for name in dir(owner):
                if not name.startswith("_") and callable(member := getattr(owner, name)):
                    if (given := parameters(member)) is not None:
                        found[f"{path}.{kind}.{name}".lstrip(".")] = given
    return found


if __name__ == "__main__":
    target = Path(__file__).with_name("torch_signatures.json")
    lines = [f"{json.dumps(name)}: {json.dumps(given)}" for name, given in sorted(signatures("torch").items())]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(lines)} signatures of PyTorch {home('torch', '').__version__}")
