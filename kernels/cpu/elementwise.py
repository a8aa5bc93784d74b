"""One compiled loop per formula, types and layout: ``out[i] = formula(inputs[i], scalars)``.

Argument block: [R, C, inputs…, scalars…, outputs…, M], all addresses but the sizes. The outputs are R by C and
contiguous; an input is laid out as ``f`` (full), ``r`` (one row of C, repeated), ``c`` (one column of R, repeated),
``m`` (one column of M, repeated for each M rows) or ``1`` (one element). Scalars are float64 in memory and become the
type computed in once a call. An output may be one of the inputs; such a pair shares a name in the loop, because to LLVM
two names for one address mean that it cannot be vectorised.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import compiled_formulas, derived_formula, memory_words
from nnkit.kernels.derivatives import ALONG
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import scalar_names

PLACES = {"f": "r * C + c", "r": "c", "c": "r", "m": "r % M", "1": "0"}


class Shape(NamedTuple):
    """What a loop depends on besides its formula."""

    inputs: tuple[str, ...]  # the type of each input
    outputs: tuple[str, ...]  # the type of each output
    layout: str  # one letter for each input
    aliases: tuple[int, ...]  # for each output, the input that it overwrites, or -1

    def computed(self) -> str:
        """The type computed in: booleans choose and compare; of the other inputs' types it is the widest."""
        found = [t for t in self.inputs if t != "bool"]
        return "float64" if "float64" in found else found[0] if found else "bool"

    def name(self) -> str:
        """A part of a file name."""
        aliases = "".join("n" if a < 0 else str(a) for a in self.aliases)
        return "_".join([*self.inputs, "to", *self.outputs, self.layout, aliases])


@functools.cache
def map_kernel(formula: str, shape: Shape) -> Kernel:
    """The loop over ``formula``."""
    name, text = f"map_{formula}_{shape.name()}", map_text(formula, shape)
    if ALONG in formula:
        return load(Source(name, text, derived_namespace, (shape.computed(), formula)))
    return load(Source(name, text, namespace, (shape.computed(),)))


def derived_namespace(dtype: str, formula: str) -> dict[str, Any]:
    """``namespace`` with a formula that is a derivative of others."""
    return namespace(dtype) | {formula: derived_formula(dtype, formula)}


def namespace(dtype: str) -> dict[str, Any]:
    """Formulas computed in ``dtype`` and the words on memory of every type."""
    words: dict[str, Any] = {}
    for other in ("bool", "int64", "float32", "float64"):
        # A boolean is a byte of 0 or 1 in memory.
        stored = memory_words("uint8" if other == "bool" else other)
        words[f"pointer_{other}"], words[f"to_{other}"] = stored["pointer"], stored["element"]
    return memory_words("uint8" if dtype == "bool" else dtype) | words | compiled_formulas(dtype)


def map_text(formula: str, shape: Shape) -> str:
    """The text of the loop.

    >>> print(map_text("scale", Shape(("float32",), ("float32",), "f", (0,))))
    def kernel(block):
        R, C = block[0], block[1]
        x0 = pointer_float32(block[2])
        s0 = scalar(block[3])
        zero = block[2] >> 63
        for c in range(R * C):
            x0[c] = plain(to_float32(scale(x0[c], s0)), zero)
    """
    scalars = len(scalar_names(FORMULAS[formula]))
    first_scalar = 2 + len(shape.inputs)
    lines = ["def kernel(block):", "    R, C = block[0], block[1]"]
    lines += [f"    x{k} = pointer_{t}(block[{2 + k}])" for k, t in enumerate(shape.inputs)]
    lines += [f"    s{k} = scalar(block[{first_scalar + k}])" for k in range(scalars)]
    flat = set(shape.layout) <= {"f", "1"}
    here = "c" if flat else PLACES["f"]
    targets = []
    for k, (alias, t) in enumerate(zip(shape.aliases, shape.outputs, strict=True)):
        if alias < 0:
            lines.append(f"    y{k} = pointer_{t}(block[{first_scalar + scalars + k}])")
        targets.append(f"y{k}[{here}]" if alias < 0 else f"x{alias}[{here}]")
    if "m" in shape.layout:
        lines.append(f"    M = block[{first_scalar + scalars + len(shape.outputs)}]")
    # What stays the same along a row is read before it: LLVM's vectoriser follows such a value anew from each of its
    # uses, which in a long formula takes for ever (mish of a column: 2**40 steps).
    read = [f"x{k}[{here if kind == 'f' else PLACES[kind]}]" for k, kind in enumerate(shape.layout)]
    read = [_operand(a, t, shape.computed()) for a, t in zip(read, shape.inputs, strict=True)]
    arguments = [f"v{k}" if kind in "cm1" else read[k] for k, kind in enumerate(shape.layout)]
    lines += [f"    v{k} = {read[k]}" for k, kind in enumerate(shape.layout) if kind == "1"]
    if any(alias >= 0 for alias in shape.aliases):
        lines.append("    zero = block[2] >> 63")
    call = f"{formula}({', '.join(arguments + [f's{k}' for k in range(scalars)])})"
    indent = "        "
    if flat:
        lines.append("    for c in range(R * C):")
    else:
        lines.append("    for r in range(R):")
        lines += [f"        v{k} = {read[k]}" for k, kind in enumerate(shape.layout) if kind in "cm"]
        lines.append("        for c in range(C):")
        indent += "    "
    if len(targets) == 1:
        lines.append(f"{indent}{targets[0]} = {_result(f'to_{shape.outputs[0]}({call})', shape, 0)}")
    else:
        results = [f"r{k}" for k in range(len(targets))]
        lines.append(f"{indent}{', '.join(results)} = {call}")
        lines += [f"{indent}{target} = {_result(results[k], shape, k)}" for k, target in enumerate(targets)]
    return "\n".join(lines)


def _result(value: str, shape: Shape, k: int) -> str:
    """The text of a result as it is stored: what overwrites its input is ``plain``."""
    return value if shape.aliases[k] < 0 or shape.outputs[k] == "bool" else f"plain({value}, zero)"


def _operand(place: str, stored: str, computed: str) -> str:
    """The text of an element as the formula takes it."""
    if stored == "bool":
        return f"{place} != 0"
    return place if stored == computed else f"element({place})"
