"""Random programs with views and changes in place: eager against live PyTorch, and recorded against eager.

``python tests/differential/programs.py --seed 0 --count 3000`` prints each program that disagrees, and how many agree.
A program that PyTorch refuses may be refused or not, for nnkit saves copies where PyTorch saves the changed tensor
itself; what PyTorch computes has to come out the same. A recorded program has to be the eager one to the bit.
"""

from __future__ import annotations

import argparse
import random
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nnkit

X = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]
W = [1.0, -0.5, 0.75]
CALLS = 4  # of a recorded program: plainly, recorded, replayed twice


class Instruction(NamedTuple):
    """``word`` of the tables below, done to the tensors ``first`` and ``second`` at ``place``."""

    word: str
    first: int
    second: int
    place: int


VIEWS: dict[str, Callable[[Any, int], Any]] = {
    "row": lambda t, place: t[place % t.shape[0]],
    "last": lambda t, place: t[..., place % t.shape[-1]],
    "transposed": lambda t, place: t.permute(*reversed(range(t.dim()))),
    "flat": lambda t, place: t.reshape(-1),
    "tail": lambda t, place: t[1:] if t.shape[0] > 1 else t,
    "within": lambda t, place: t.unsqueeze(0),
}
MADE: dict[str, Callable[[Any, Any], Any]] = {
    "mul": lambda t, u: t * u,
    "add": lambda t, u: t + u,
    "div": lambda t, u: t / (u * u + 1.0),
    "exp": lambda t, u: t.exp() * 0.1,
    "sigmoid": lambda t, u: t.sigmoid(),
    "tanh": lambda t, u: t.tanh(),
    "square": lambda t, u: t * t,
    "clone": lambda t, u: t.clone(),
    "detach": lambda t, u: t.detach(),
    "sum": lambda t, u: t.sum(),
    "contiguous": lambda t, u: t.contiguous(),
}
CHANGED: dict[str, Callable[[Any, Any], Any]] = {
    "mul_": lambda t, u: t.mul_(u),
    "add_": lambda t, u: t.add_(u),
    "sub_": lambda t, u: t.sub_(u),
    "scale_": lambda t, u: t.mul_(0.5),
    "tanh_": lambda t, u: t.tanh_(),
    "sigmoid_": lambda t, u: t.sigmoid_(),
    "clamp_": lambda t, u: t.clamp_(-1.03, 1.47),
    "copy_": lambda t, u: t.copy_(u),
    "fill_": lambda t, u: t.fill_(0.7),
}
SET: dict[str, Callable[[Any, Any, int], None]] = {
    "set a row": lambda t, u, place: t.__setitem__(place % t.shape[0], u.sum() * 0.1),
    "set a column": lambda t, u, place: t.__setitem__((Ellipsis, 0), u.sum() * 0.1),
    "set a number": lambda t, u, place: t.__setitem__(place % t.shape[0], 0.3),
}
WORDS = [*VIEWS, *MADE, *CHANGED, *(f"{word} off the tape" for word in CHANGED), *SET]


def drawn(seed: int) -> list[Instruction]:
    """A program."""
    draw = random.Random(seed)
    return [
        Instruction(draw.choice(WORDS), draw.randrange(64), draw.randrange(64), draw.randrange(6))
        for _ in range(draw.randint(3, 10))
    ]


def run(library: Any, program: list[Instruction], x: Any, w: Any) -> Any:
    """The scalar that a program makes of x (2, 3) and w (3,); ``library`` is nnkit or torch."""
    tensors = [x * 1.0, w * 1.0, x * w, library.ones(2, 3), library.ones(3) * 0.5]
    for word, first, second, place in program:
        t, u = tensors[first % len(tensors)], tensors[second % len(tensors)]
        name = word.removesuffix(" off the tape")
        if word in MADE and fits(u, t):
            tensors.append(MADE[word](t, u))
        elif word in VIEWS and t.dim() > 0:
            tensors.append(VIEWS[word](t, place))
        elif word in SET and t.dim() > 0:
            SET[word](t, u, place)
        elif word in CHANGED and fits(u, t):
            CHANGED[word](t, u)
        elif name in CHANGED and fits(u, t):
            with library.no_grad():
                CHANGED[name](t, u)
    total = tensors[0].sum() * 0.0
    for t in tensors:
        total = total + (t * t).sum()
    return total


def fits(u: Any, t: Any) -> bool:
    """Whether u broadcasts to the shape of t."""
    if u.dim() > t.dim():
        return False
    return all(one in (1, other) for one, other in zip(reversed(u.shape), reversed(t.shape)))  # noqa: B905


def outcome(library: Any, program: list[Instruction]) -> list[Any] | None:
    """Loss and gradients; None where the library refuses."""
    x, w = (library.tensor(values, requires_grad=True) for values in (X, W))
    try:
        loss = run(library, program, x, w)
        loss.backward()
    except (RuntimeError, ValueError):
        return None
    return [float(loss.detach()), *x.grad.reshape(-1).tolist(), *w.grad.tolist()]


def calls(program: list[Instruction], recorded: bool) -> tuple[list[Any] | None, bool]:
    """What some calls of one step give, which also changes a buffer through views; and whether all were plain."""
    x, w = (nnkit.tensor(values, requires_grad=True) for values in (X, W))
    buffer = nnkit.ones(2, 3) * 0.25

    def step() -> nnkit.Tensor:
        loss = run(nnkit, program, x, w) + (buffer * x).sum()
        loss.backward()
        with nnkit.no_grad():
            buffer.t()[1:].add_(x.grad.t()[1:])
            buffer[:, 0].unsqueeze(1).mul_(0.5)
        return loss.detach()

    call = nnkit.compile(step) if recorded else step
    seen: list[Any] = []
    for _ in range(CALLS):
        x.grad = w.grad = None
        try:
            loss = call()
        except (RuntimeError, ValueError):
            return None, False
        seen.append([loss.tolist(), x.grad.tolist(), w.grad.tolist(), buffer.tolist()])
    return seen, recorded and bool(call.plain)


def disagreement(program: list[Instruction], torch: Any) -> str | None:
    """What of a program is not as it should be, in words."""
    if torch is not None:
        expected, found = outcome(torch, program), outcome(nnkit, program)
        if expected is not None and (found is None or not np.allclose(found, expected, 2e-4, 2e-4, equal_nan=True)):
            return f"PyTorch gives {expected}, nnkit {found}"
    plain, _ = calls(program, recorded=False)
    if plain is not None:
        found, all_plain = calls(program, recorded=True)
        if all_plain:
            return "it cannot be recorded"
        if repr(found) != repr(plain):
            return f"eager gives {plain}, recorded {found}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        torch = None
        print("PyTorch is not installed: recorded against eager only")
    warnings.simplefilter("ignore")
    wrong = 0
    for seed in range(options.seed, options.seed + options.count):
        found = disagreement(drawn(seed), torch)
        if found is not None:
            wrong += 1
            print(f"seed {seed}: {found}", *drawn(seed), sep="\n    ")
    print(f"{options.count - wrong} of {options.count} programs agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
