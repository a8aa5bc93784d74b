"""Conformance of recurrent layers: what the reference bodies give in float64 is what every backend must give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.numpy import NumpyBackend
from nnkit.kernels.recurrences import GATES
from nnkit.testing.bench import FLOATS, LAYOUTS, Bench, Case, sample

#: Rows, steps and hidden units: one of each; around the width of a register, of a tile and of a panel.
SIZES = ((1, 1, 1), (2, 3, 5), (9, 2, 16), (3, 4, 33), (17, 2, 7))


class _Problem(NamedTuple):
    """Numbers in float64, by name, and the options of a run."""

    kind: str
    numbers: dict[str, np.ndarray]
    keep: np.ndarray | None
    reverse: bool

    def text(self) -> str:
        B, T, _ = self.numbers["gates"].shape
        return f"{self.kind} of {B} rows, {T} steps{', reverse' * self.reverse}{', with steps left out' * self.masked}"

    @property
    def masked(self) -> bool:
        return self.keep is not None


def _problems(kind: str, dtype: str) -> Iterator[_Problem]:
    for number, (B, T, H) in enumerate(SIZES):
        N = GATES[kind] * H
        shapes = {
            "gates": (B, T, N), "w": (N, H), "h0": (B, H), "c0": (B, H), "dy": (B, T, H), "dh": (B, H), "dc": (B, H),
        } | ({"b": (N,)} if kind == "gru" else {})  # fmt: skip
        numbers = {
            name: sample(s, dtype, -1, 1, seed).astype("float64") for seed, (name, s) in enumerate(shapes.items())
        }
        for masked in (False, True):
            keep = sample((B, T), "float64", seed=9) > 0 if masked else None
            yield _Problem(kind, numbers, None if keep is None else keep.astype("float64"), (number + masked) % 2 == 1)


def _forward(p: _Problem, bench: Bench, dtype: str) -> dict[str, Any]:
    """Run all steps; what they write, by name."""
    n, (B, T, _) = p.numbers, p.numbers["gates"].shape
    H = n["w"].shape[1]
    given = {name: bench.given(n[name].astype(dtype)) for name in ("w", "h0", "c0", *["b"] * (p.kind == "gru"))}
    keep = None if p.keep is None else bench.given(p.keep.astype(dtype))
    made = {name: bench.output((B, T, H), dtype) for name in ("y", "before", "kept")}
    made |= {name: bench.output((B, H), dtype) for name in ("hn", "cn")}
    made["gates"] = bench.changing(n["gates"].astype(dtype))
    bench.backend.recurrence(
        p.kind, made["gates"], given["w"], given.get("b"), (given["h0"], given["c0"]), made["y"], made["before"],
        made["kept"], (made["hn"], made["cn"]), keep, p.reverse,
    )  # fmt: skip
    return made


def _written(kind: str) -> list[str]:
    """What a kind of layer writes going forward."""
    return ["y", "before", "hn"] + {"lstm": ["gates", "kept", "cn"], "gru": ["gates", "kept"]}.get(kind, [])


def _reference(p: _Problem) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in _forward(p, Bench(NumpyBackend()), "float64").items()}


def _recurrence(kind: str, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for p in _problems(kind, dtype):
            bench, expected = Bench(backend, layout), _reference(p)
            made = _forward(p, bench, dtype)
            for name in _written(kind):
                if p.keep is None or name not in ("gates", "kept"):  # of a step left out these are of no use
                    bench.close(made[name], expected[name], f"{name} of a {p.text()}")
            bench.finish()

    return Case(f"recurrence-{kind}-{layout}-{dtype}", "recurrence", check)


def _backward(p: _Problem, known: dict[str, np.ndarray], bench: Bench, dtype: str) -> dict[str, Any]:
    n, shape = p.numbers, p.numbers["gates"].shape
    given = {name: bench.given(n[name].astype(dtype)) for name in ("w", "c0", "dy")}
    given |= {name: bench.given(known[name].astype(dtype)) for name in ("gates", "y", "before", "kept")}
    keep = None if p.keep is None else bench.given(p.keep.astype(dtype))
    made = {name: bench.changing(n[name].astype(dtype)) for name in ("dh", "dc")}
    made["dx"] = bench.output(shape, dtype)
    made["dz"] = bench.output(shape, dtype) if p.kind == "gru" else made["dx"]
    bench.backend.recurrence_grad(
        p.kind, given["gates"], given["w"], given["c0"], given["y"], given["before"], given["kept"], keep, p.reverse,
        given["dy"], made["dh"], made["dc"], made["dx"], made["dz"],
    )  # fmt: skip
    return made


def _recurrence_grad(kind: str, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for p in _problems(kind, dtype):
            known, bench = {name: np.nan_to_num(a) for name, a in _reference(p).items()}, Bench(backend, layout)
            known = {name: array.astype(dtype).astype("float64") for name, array in known.items()}
            expected = _backward(p, known, Bench(NumpyBackend()), "float64")
            made = _backward(p, known, bench, dtype)
            for name in ("dh", "dx", "dz", *["dc"] * (kind == "lstm")):
                bench.close(made[name], np.array(expected[name]), f"{name} of a {p.text()}")
            bench.finish()

    return Case(f"recurrence_grad-{kind}-{layout}-{dtype}", "recurrence_grad", check)


def _step(kind: str, dtype: str) -> Case:
    """One step of its own: what ``recurrence`` of one step gives, whose hidden state's products are given here."""

    def check(backend: Backend) -> None:
        for p in _problems(kind, dtype):
            p = _single(p)
            expected, bench, n = _reference(p), Bench(backend), p.numbers
            (B, _, _), H = n["gates"].shape, n["w"].shape[1]
            gates, z = (
                bench.changing(n["gates"][:, 0].astype(dtype)),
                bench.changing((n["h0"] @ n["w"].T).astype(dtype)),
            )
            h, c = (bench.changing(n[name].astype(dtype)) for name in ("h0", "c0"))
            y, kept = bench.output((B, H), dtype), bench.output((B, H), dtype)
            bias = bench.given(n["b"].astype(dtype)) if kind == "gru" else None
            keep = None if p.keep is None else bench.given(p.keep[:, 0].astype(dtype))
            backend.recurrent_step(kind, gates, z, bias, h, c, y, kept, keep)
            bench.close(y, expected["y"][:, 0], f"y of a {p.text()}")
            bench.close(h, expected["hn"], f"h of a {p.text()}")
            if kind == "lstm":
                bench.close(c, expected["cn"], f"c of a {p.text()}")

    return Case(f"recurrent_step-{kind}-{dtype}", "recurrent_step", check)


def _step_grad(kind: str, dtype: str) -> Case:
    def check(backend: Backend) -> None:
        for p in _problems(kind, dtype):
            p = _single(p)
            known, n = {name: np.nan_to_num(a) for name, a in _reference(p).items()}, p.numbers
            found = [_step_back(p, known, Bench(b), t) for b, t in ((NumpyBackend(), "float64"), (backend, dtype))]
            for name in ("dh", "dx", "dz", *["dc"] * (kind == "lstm")):
                Bench(backend).close(found[1][name], np.array(found[0][name]), f"{name} of a {p.text()}")
            assert n["dy"].shape[1] == 1

    return Case(f"recurrent_step_grad-{kind}-{dtype}", "recurrent_step_grad", check)


def _step_back(p: _Problem, known: dict[str, np.ndarray], bench: Bench, dtype: str) -> dict[str, Any]:
    n, shape = p.numbers, p.numbers["gates"][:, 0].shape
    values = (n["dy"][:, 0], known["gates"][:, 0], n["h0"], n["c0"], known["y"][:, 0], known["kept"][:, 0])
    given = [bench.given(a.astype(dtype)) for a in values]
    keep = None if p.keep is None else bench.given(p.keep[:, 0].astype(dtype))
    made = {name: bench.changing(n[name].astype(dtype)) for name in ("dh", "dc")}
    made |= {name: bench.output(shape, dtype) for name in ("dx", "dz")}
    bench.backend.recurrent_step_grad(p.kind, *given, keep, made["dh"], made["dc"], made["dx"], made["dz"])
    return made


def _single(p: _Problem) -> _Problem:
    """The same with its first step alone."""
    numbers = {name: a[:, :1] if name in ("gates", "dy") else a for name, a in p.numbers.items()}
    return p._replace(numbers=numbers, keep=None if p.keep is None else p.keep[:, :1])


CASES = [
    *(
        make(kind, dtype, layout)
        for make in (_recurrence, _recurrence_grad) for kind in GATES for dtype in FLOATS for layout in LAYOUTS
        if layout == "contiguous" or kind in ("lstm", "gru")
    ),
    *(make(kind, dtype) for make in (_step, _step_grad) for kind in GATES for dtype in FLOATS),
]  # fmt: skip
