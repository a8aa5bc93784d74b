"""The page of ``bench.lab.parallel``: what was measured, as tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["page"]

#: Of a turn, by round: the milliseconds in each process.
Times = Sequence[Sequence[float]]

HEADS = "apart | both | efficiency"
TEXT = """# Training on two processes: {name}, {vectors}

Written by `python -m bench.lab.parallel --rounds {rounds} --launcher "{launcher}"` at commit {commit}. {mpi}; PyTorch
{torch}; {cores} cores; load averages {before} before, {after} after. Medians over the rounds, in which all took turns;
ratios are taken round by round. Times in milliseconds; with an exchange, of the slower process.

## Exchanging all gradients

nnkit's as a recorded step has it: the mean, in memory that both processes see. Target: at most 1/2 of gloo's.

{exchanges}

## A step of two processes beside two that exchange nothing

`apart` is the mean of the two processes; the efficiency is `apart` / `both`. Target: at least 0.9.

{steps}

## Scaling

How much faster two processes are than one on a batch of 256 rows: "strong" with 128 rows each, where 2 is the best, and
"weak" with 256 each, where 1 is.

{scaling}

## In parts, while backward still runs?

The products of the gradients of 1024-2048-2048-1000 (128 rows), and an exchange of them: after all, or begun with each
layer's.

{parts}
"""


def page(found: Mapping[str, Any]) -> str:
    """The page of what ``bench.lab.parallel`` has found."""
    times = found["times"]
    parts = [[name, f"{_median(map(max, rounds)):.2f}"] for name, rounds in found["parts"].items()]
    steps = [row for item in times.items() for row in _steps(*item)]
    return TEXT.format(
        name=found["processor"]["name"],
        cores=found["processor"]["cores"],
        before=", ".join(map(str, found["load_before"])),
        after=", ".join(map(str, found["load_after"])),
        torch=found["versions"].get("torch", "unknown"),
        exchanges=_table("network | nnkit | MPI's Allreduce | gloo | nnkit / gloo", map(_exchanges, times.items())),
        steps=_table(f"network | rows each | nnkit {HEADS} | DDP {HEADS} | nnkit / DDP", steps),
        scaling=_table("network | nnkit one | strong | weak | DDP one | strong | weak", map(_scaling, times.items())),
        parts=_table(" | ms", parts),
        **{name: found[name] for name in ("vectors", "rounds", "launcher", "commit", "mpi")},
    )


def _exchanges(item: tuple[str, Mapping[str, Times]]) -> list[str]:
    name, times = item
    ours, by_mpi, gloo = (times[f"{whose} exchange"] for whose in ("nnkit", "MPI", "gloo"))
    shown = [f"{_median(map(max, rounds)):.3f}" for rounds in (ours, by_mpi, gloo)]
    return [name, *shown, _ratio(ours, gloo)]


def _steps(name: str, times: Mapping[str, Times]) -> list[list[str]]:
    rows = []
    for count in sorted(int(turn.rpartition(" ")[2]) for turn in times if turn.startswith("nnkit both")):
        row = [name, str(count)]
        for whose in ("nnkit", "DDP"):
            apart, both = times[f"{whose} apart {count}"], times[f"{whose} both {count}"]
            row += [_shown(apart, statistics.mean), _shown(both, max), _ratio(apart, both, statistics.mean)]
        rows.append([*row, _ratio(times[f"nnkit both {count}"], times[f"DDP both {count}"])])
    return rows


def _scaling(item: tuple[str, Mapping[str, Times]]) -> list[str]:
    name, times = item
    row = [name]
    for whose in ("nnkit", "DDP"):
        one = times[f"{whose} one 256"]
        row += [_shown(one, max), _ratio(one, times[f"{whose} both 128"]), _ratio(one, times[f"{whose} both 256"])]
    return row


def _shown(rounds: Times, of: Callable[[Sequence[float]], float]) -> str:
    return f"{_median(map(of, rounds)):.2f}"


def _ratio(upper: Times, lower: Times, of_upper: Callable[[Sequence[float]], float] = max) -> str:
    return f"{_median(of_upper(above) / max(below) for above, below in zip(upper, lower, strict=True)):.2f}"


def _median(values: Any) -> float:
    return statistics.median(values)


def _table(heads: str, rows: Any) -> str:
    names = heads.split(" | ")
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
