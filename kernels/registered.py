"""Formulas that are written outside of nnkit: made part of the table that every backend compiles from.

A formula of a user's reads names of its own module: words, constants, helpers. ``adopt`` copies it so that it reads
nothing else: constants and helpers get names that nobody has. The name of the copy covers all of its code, so a formula
that was edited is another one, for kernels in this process as for those on disk.
"""

from __future__ import annotations

import dis
import hashlib
import types
from typing import Any

from nnkit.kernels import (
    arithmetic,
    elementary,
    formulas,
    further_updates,
    gamma,
    keras_updates,
    recurrences,
    rounding,
    special,
    updates,
    vocabulary,
)  # fmt: skip
from nnkit.kernels.vocabulary import ARRAY_NAMES, Formula, scalar_names, table_of

#: name -> plain Python function, for the formulas of optimizers.
UPDATES: dict[str, Formula] = table_of(updates) | table_of(further_updates) | table_of(keras_updates)
#: name -> plain Python function, for every formula that ``map`` knows.
FORMULAS: dict[str, Formula] = {
    name: formula
    for module in (arithmetic, elementary, gamma, formulas, rounding, recurrences)
    for name, formula in table_of(module).items()
} | UPDATES

_WORDS = {getattr(vocabulary, word): word for word in ARRAY_NAMES} | {vocabulary.erf: "erf"}
_BUILT_IN = {function: name for name, function in (FORMULAS | {"erf": special.erf}).items()}
_adopted: dict[Formula, Formula] = {}
#: Names that are arguments of the functions that take an activation's scalars by name.
TAKEN = ("x", "w", "b", "y", "dy", "name", "activation", "input", "weight", "bias", "inplace")


def adopt(formula: Formula) -> Formula:
    """The formula as it stands in the table; one that is new is put there.

    Raises TypeError for what is no plain function, ValueError for what a formula may not contain; both say what.

    >>> def doubled(x): return 2.0 * x
    >>> adopt(doubled)(4.0), adopt(doubled) is adopt(doubled), adopt(formulas.relu) is formulas.relu
    (8.0, True, True)
    """
    if not isinstance(formula, types.FunctionType):
        raise TypeError(f"a formula must be a plain Python function, got {type(formula).__name__}")
    if formula in _BUILT_IN:
        return formula
    if formula not in _adopted:
        copy = _copied(formula)
        _adopted[formula] = FORMULAS.setdefault(copy.__name__, copy)
    return _adopted[formula]


def adopt_activation(name: str, function: Formula, gradient: Formula) -> None:
    """Make an activation and its gradient known to all that takes activations by name.

    Raises TypeError or ValueError where they do not fit together.
    """
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"name must be a word, such as 'my_relu', got {name!r}")
    if name in formulas.ACTIVATIONS and name not in _activations:
        raise ValueError(f"{name!r} is an activation of nnkit's: choose another name")
    forward, backward = adopt(function), adopt(gradient)
    elements, reads = vocabulary.element_names(forward), vocabulary.element_names(backward)
    if len(elements) != 1:
        raise ValueError(f"{name}: the function must have one positional parameter, the input, got {elements}")
    if reads not in (("dy", "x"), ("dy", "y")):
        raise ValueError(
            f"{name}: the gradient's positional parameters must be (dy, x), where it reads the input, or (dy, y), "
            f"where it reads the output; got ({', '.join(reads)})"
        )
    if scalar_names(forward) != scalar_names(backward):
        raise ValueError(
            f"{name}: function and gradient must have the same keyword-only parameters, in the same order, got "
            f"{scalar_names(forward)} and {scalar_names(backward)}"
        )
    for scalar in scalar_names(forward):
        if scalar in TAKEN:
            raise ValueError(f"{name}: a keyword-only parameter cannot be called {scalar!r}, which linear() has too")
    pair = f"{forward.__name__}_{backward.__name__[-12:]}"
    FORMULAS[pair], FORMULAS[f"{pair}_grad"] = forward, backward
    formulas.ACTIVATIONS[name] = formulas.ACTIVATIONS[pair] = _activations[name] = pair


#: An activation's name -> that of its present formula, which is an activation too.
_activations: dict[str, str] = {}


def registered(activation: str) -> bool:
    """Whether an activation of this name was registered.

    >>> registered("relu")
    False
    """
    return activation in _activations


def present(activation: str) -> str:
    """The name by which kernels know an activation: it covers the code of those that are not nnkit's."""
    return _activations.get(activation, activation)


def _copied(formula: Any) -> Formula:
    _check(formula)
    code = formula.__code__
    names: dict[str, str] = {}
    reads: dict[str, Any] = {}
    for name in _globals_of(code):
        if name not in formula.__globals__:
            raise ValueError(f"{_where(formula)} reads {name!r}, which is no word of formulas: {_words()}")
        value = formula.__globals__[name]
        if value is formula:
            raise ValueError(f"{_where(formula)} calls itself, which cannot be compiled")
        names[name], reads[names[name]] = _meaning(formula, name, value)
    code = code.replace(co_names=tuple(names.get(name, name) for name in code.co_names))
    constants = sorted((name, repr(value)) for name, value in reads.items())
    parts = (code.co_code, code.co_consts, code.co_names, code.co_varnames, constants, formula.__kwdefaults__)
    unique = f"{formula.__name__}_{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
    copy = types.FunctionType(code.replace(co_name=unique), reads, unique)
    copy.__kwdefaults__ = formula.__kwdefaults__
    return copy


def _meaning(formula: Any, name: str, value: Any) -> tuple[str, Any]:
    """Under which name a copy of ``formula`` finds what it calls ``name``, and what that is."""
    if callable(value):
        if value in _WORDS:
            return _WORDS[value], value
        if value in _BUILT_IN:
            return _BUILT_IN[value], value
        if isinstance(value, types.FunctionType):
            helper = adopt(value)
            return helper.__name__, helper
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return f"{name}_{hashlib.sha256(repr(float(value)).encode()).hexdigest()[:12]}", float(value)
    raise ValueError(
        f"{_where(formula)} reads {name!r}, a {type(value).__name__}: a formula may read numbers, other formulas, and "
        f"the words of nnkit.kernels.vocabulary: {_words()}"
    )


def _check(formula: Any) -> None:
    """Raise ValueError where the code has more than operators, comparisons, float literals and calls of words."""
    code = formula.__code__
    if code.co_freevars:
        raise ValueError(
            f"{_where(formula)} reads {code.co_freevars[0]!r} from the function around it: make it a literal, a "
            "global of the module, or a keyword-only parameter"
        )
    if code.co_flags & 0x0C or not isinstance(formula.__defaults__, type(None)):
        raise ValueError(f"{_where(formula)}: *args, **kwargs and defaults of positional parameters cannot be compiled")
    for instruction in dis.get_instructions(code):
        if "JUMP" in instruction.opname or instruction.opname == "FOR_ITER":
            raise ValueError(
                f"{_where(formula)} decides or loops (if, and, or, for, while): write where(condition, x, y)"
            )
        if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_NAME"):
            raise ValueError(
                f"{_where(formula)} uses .{instruction.argval}: call the words by themselves, {_words()}, imported "
                "from nnkit.kernels.vocabulary"
            )
        whole = instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT") and isinstance(instruction.argval, int)
        if whole:
            raise ValueError(f"{_where(formula)} has {instruction.argval!r} in it: write {float(instruction.argval)}")


def _globals_of(code: types.CodeType) -> list[str]:
    return list(dict.fromkeys(i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")))


def _where(formula: Any) -> str:
    code = formula.__code__
    return f"the formula {formula.__name__} ({code.co_filename}:{code.co_firstlineno})"


def _words() -> str:
    return ", ".join(sorted(set(_WORDS.values())))
