"""The gates of one step of a recurrent layer, forward and back: a thread for each row and hidden unit.

The products around them are the library's (``backends.recurrent``); in a graph a step is a product and one of these.
Arrays are rows of H, or of G H for G gates; ``from_…`` is the distance of its rows in elements, of the others it is
their width.
"""

from __future__ import annotations

import functools

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.texts import computed, indented, inside, pointer, read, write
from nnkit.kernels.recurrences import GATES, STATELESS

THREADS = 256


def grid(B: int, H: int) -> int:
    """How many blocks B rows of H hidden units need."""
    return -(-B * H // THREADS)


@functools.cache
def step_kernel(kind: str, stored: str, biased: bool, masked: bool) -> Source:
    """gates, from_gates, z, b, h, c, y, from_y, kept, from_kept, keep, from_keep, B, H: h and c become those after.

    b is read where ``biased``, keep where ``masked``.
    """
    rows = (("gates", True), ("z", False), ("b", False), ("h", False), ("c", False), ("y", True), ("kept", True))
    text = _head([*rows, ("keep", True)]) + indented(_places(_step(kind, stored, biased, masked)))
    name = f"recurrent_{kind}_step_{stored}{'_biased' * biased}{'_masked' * masked}"
    return Source(name, text, _types(stored, [*rows, ("keep", True)]), computed(stored), THREADS)


@functools.cache
def step_grad_kernel(kind: str, stored: str, masked: bool) -> Source:
    """dy, from_dy, gates, from_gates, h, from_h, c, from_c, y, from_y, kept, from_kept, keep, from_keep, dh, dc, dx,
    from_dx, dz, B, H.
    """
    apart = ("dy", "gates", "h", "c", "y", "kept", "keep")
    rows = [*((name, True) for name in apart), ("dh", False), ("dc", False), ("dx", True), ("dz", False)]
    text = _head(rows) + indented(_places(_step_grad(kind, stored, masked)))
    name = f"recurrent_{kind}_step_grad_{stored}{'_masked' * masked}"
    return Source(name, text, _types(stored, rows), computed(stored), THREADS)


def _head(rows: list[tuple[str, bool]]) -> str:
    names = [part for name, apart in rows for part in ([name, f"from_{name}"] if apart else [name])]
    return f"def kernel({', '.join(names)}, B, H):\n"


def _types(stored: str, rows: list[tuple[str, bool]]) -> tuple[str, ...]:
    types = [part for _, apart in rows for part in ([pointer(stored), "int64"] if apart else [pointer(stored)])]
    return (*types, "int64", "int64")


def _places(lines: list[str]) -> list[str]:
    """The lines that find a thread's row and hidden unit, around those for them."""
    row = "row = to_int64(to_uint32(to_uint32(i) // to_uint32(H)))"
    return ["i = grid_thread()", "if i < B * H:", *inside([row, "j = i - row * H", *lines])]


def _gate(array: str, g: int, G: int, apart: bool) -> str:
    """The place of a gate in an array of rows of G H."""
    return f"{array}[row * {f'from_{array}' if apart else f'({G} * H)'} + {g} * H + j]"


def _one(array: str) -> str:
    return f"{array}[row * from_{array} + j]"


def _step(kind: str, stored: str, biased: bool, masked: bool) -> list[str]:
    G = GATES[kind]
    lines = [f"x{g} = {read(stored, _gate('gates', g, G, True))}" for g in range(G)]
    lines += [f"z{g} = {read(stored, _gate('z', g, G, False))}" for g in range(G)]
    lines += [f"z{g} += {read(stored, f'b[{g} * H + j]')}" for g in range(G) if biased]
    lines.append(f"before = {read(stored, 'h[i]')}")
    made = ", ".join(f"g{g}" for g in range(G))
    if kind in STATELESS:
        lines.append(f"after = {STATELESS[kind]}(x0 + z0)")
    elif kind == "lstm":
        lines.append(f"cell = {read(stored, 'c[i]')}")
        lines.append(f"{made}, state, after = lstm_step({', '.join(f'x{g} + z{g}' for g in range(G))}, cell)")
    else:
        lines.append(f"{made}, after = gru_step(x0, x1, x2, z0, z1, z2, before)")
    if masked:
        stays = ["after = before", *["state = cell"] * (kind == "lstm")]
        lines += [f"if {read(stored, 'keep[row * from_keep]')} == 0:", *inside(stays)]
    if kind not in STATELESS:
        lines += [f"{_gate('gates', g, G, True)} = {write(stored, f'g{g}')}" for g in range(G)]
        kept = "state" if kind == "lstm" else "z2"
        lines.append(f"{_one('kept')} = {write(stored, kept)}")
    lines += [f"c[i] = {write(stored, 'state')}"] * (kind == "lstm")
    return [*lines, f"h[i] = {write(stored, 'after')}", f"{_one('y')} = {write(stored, 'after')}"]


def _step_grad(kind: str, stored: str, masked: bool) -> list[str]:
    G = GATES[kind]
    lines = ["nothing = element(0)", f"whole = {read(stored, 'dh[i]')} + {read(stored, _one('dy'))}"]
    values = ", ".join(f"x{g}" for g in range(G))
    made = [f"d{g}" for g in range(G)]
    turned, passing = list(made), "nothing"
    if kind in STATELESS:
        lines.append(f"d0 = {STATELESS[kind]}_grad(whole, {read(stored, _one('y'))})")
    else:
        lines += [f"x{g} = {read(stored, _gate('gates', g, G, True))}" for g in range(G)]
        lines.append(f"inner = {read(stored, _one('kept'))}")
    if kind == "lstm":
        lines += [f"before = {read(stored, _one('c'))}", f"later = {read(stored, 'dc[i]')}"]
        lines.append(f"{', '.join(made)}, cell = lstm_step_back(whole, later, {values}, before, inner)")
    elif kind == "gru":
        lines.append(f"before = {read(stored, _one('h'))}")
        lines.append(f"{', '.join(made)}, turn, rest = gru_step_back(whole, {values}, inner, before)")
        turned[2], passing = "turn", "rest"
    stores = _stores(G, stored, made, turned, passing) + [f"dc[i] = {write(stored, 'cell')}"] * (kind == "lstm")
    if not masked:
        return lines + stores
    left = _stores(G, stored, ["nothing"] * G, ["nothing"] * G, "whole")
    return [*lines, f"if {read(stored, 'keep[row * from_keep]')} == 0:", *inside(left), "else:", *inside(stores)]


def _stores(G: int, stored: str, made: list[str], turned: list[str], passing: str) -> list[str]:
    """The lines that write the gradients of the gates, and what reaches h."""
    lines = [f"{_gate('dx', g, G, True)} = {write(stored, made[g])}" for g in range(G)]
    lines += [f"{_gate('dz', g, G, False)} = {write(stored, turned[g])}" for g in range(G)]
    return [*lines, f"dh[i] = {write(stored, passing)}"]
