"""What the docstring of a public name must say, and which names fall short: ``python tests/docstrings.py [module …]``.

The rules read what ``help()`` shows, by simple words: they find what is missing, and cannot tell whether it is true.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_origin

#: A word that says how arrays are laid out: a tuple of axes, such as (B, C, L), counts.
SHAPE = re.compile(
    r"""\b(shapes?|elementwise|each\ element|element\ by\ element|scalars?|one\ number|vectors?|matrix|matrices|columns?
        |rows|axis|axes|dimensions?|broadcast|sizes?|flat|one\ value|images?\ of)\b
        |\((\.\.\.,|…,|[A-Z]\w{0,2}\b[ \w]*[,)]|\d+,)""",
    re.VERBOSE,
)
DTYPE = re.compile(
    r"\b(dtypes?|floats?|floating|u?int(8|16|32|64)?|b?float\d+|integers?|whole numbers?|bools?|booleans?|real numbers"
    r"|element types?|any type|half type)\b"
)
RAISES = re.compile(r"\b([Rr]aises?|raised)\b")
SOURCE = re.compile(
    r"\b(PyTorch|torch|Keras|keras|scikit-learn|sklearn|NumPy|numpy|SciPy|scipy|Optuna|ONNX|TensorFlow|Python|pandas"
    r"|nnkit's own)\b|\b[A-Z]\w+[^.]*\b(1[89]|20)\d\d\b"
)
#: What makes a name one of arrays: the types in its signature, or what its example prints.
ARRAYS = re.compile(r"\b(Tensor|ndarray|Array|ArrayLike)\b")
PRINTED = re.compile(r"^(?!\.\.\. |>>> ).*\b(tensor|array)\(", re.MULTILINE)
RULES = ("sentence", "example", "shapes", "dtypes", "raises", "source")


def is_described(value: object) -> bool:
    """Functions and classes, but not aliases of types."""
    return inspect.isroutine(value) or (inspect.isclass(value) and get_origin(value) is None and not get_args(value))


def signature(value: Any) -> str:
    """What it takes and gives, by its annotations; of a class, also what calling an instance does."""
    parts = []
    for part in (value, getattr(value, "forward", None)) if inspect.isclass(value) else (value,):
        try:
            parts.append(str(inspect.signature(part)) if part is not None else "")
        except (TypeError, ValueError):
            parts.append("")
    return " ".join(parts)


def prose(doc: str) -> str:
    """A docstring without its examples."""
    return re.sub(r"^>>> (.|\n)*?(\n\n|\Z)", "", doc, flags=re.MULTILINE)


def is_sentence(paragraph: str) -> bool:
    """One sentence of at most two lines, which ends in a full stop."""
    inside = re.sub(r"``.*?``|\bet al\.|\be\.g\.|\bi\.e\.", "", paragraph, flags=re.DOTALL)
    return paragraph.endswith((".", ":", "…")) and paragraph.count("\n") < 2 and not re.search(r"\.\s+[A-Z]", inside)


def lacking(value: Any) -> list[str]:
    """The rules that a name's docstring falls short of. Exceptions and named tuples need a sentence, and no more."""
    doc = inspect.getdoc(value) or ""
    text, called = prose(doc), signature(value)
    found = {"sentence": is_sentence(doc.split("\n\n")[0].strip())}
    if not (inspect.isclass(value) and issubclass(value, (BaseException, tuple))):
        found |= {"example": ">>>" in doc, "source": bool(SOURCE.search(text))}
        if ARRAYS.search(called) or PRINTED.search(doc):
            found |= {"shapes": bool(SHAPE.search(text)), "dtypes": bool(DTYPE.search(text))}
        if not called.startswith("()"):
            found["raises"] = bool(RAISES.search(text))
    return [rule for rule in RULES if not found.get(rule, True)]


def described(name: str) -> Iterator[tuple[str, Any]]:
    """The public functions and classes of a module; of nnkit itself also those that ``import *`` leaves out."""
    module = importlib.import_module(name)
    for word in dir(module) if name == "nnkit" else sorted(module.__all__):
        value = getattr(module, word)
        if is_described(value):
            yield word, value


def count(names: list[str]) -> None:
    """Print how many names of each module there are, and how many fall short of each rule."""
    print(f"{'':32}{'names':>8}{'whole':>8}" + "".join(f"{rule:>10}" for rule in RULES))
    for name in names:
        short = [lacking(value) for _, value in described(name)]
        counts = [sum(rule in of for of in short) for rule in RULES]
        print(f"{name:32}{len(short):8}{short.count([]):8}" + "".join(f"{number:10}" for number in counts))


if __name__ == "__main__":
    from test_docstrings_whole import MODULES

    asked = [name for name in sys.argv[1:] if name != "-v"] or list(MODULES)
    count(asked)
    for asked_name in asked if "-v" in sys.argv else []:
        for public, thing in described(asked_name):
            if rules := lacking(thing):
                print(f"{asked_name}.{public}: {', '.join(rules)}")
