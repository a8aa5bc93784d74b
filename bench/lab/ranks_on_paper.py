"""A step on many ranks, on paper: what was measured on two, and what a network's latency and rate add to it.

    python -m bench.lab.ranks_on_paper bench/results/ranks-intel-xeon-processor-avx512.json

Two ranks share a machine, as measured; of p ranks, m = p / 2 machines exchange n bytes. A ring sends 2 (m - 1)
messages of n / m bytes one after the other (Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms, 2009); a tree
sends all n bytes 2 log2 m times, to its root and back. Nothing overlaps with the step:

    time = step(rows) + exchange on the machine + exchange between machines

step(rows) is the line through what was measured with 64 and 256 rows. Latencies are assumptions, which stand in
``NETWORKS``; congestion, slow ranks and their noise are left out: these are lower bounds.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Network(NamedTuple):
    """What joins machines: its name, seconds until a message arrives, and bytes per second."""

    name: str
    latency: float
    rate: float


NETWORKS = (Network("10 Gbit/s, 30 µs", 30e-6, 10e9 / 8), Network("100 Gbit/s, 5 µs", 5e-6, 100e9 / 8))
MODELS = ("784-128-10", "1024-2048-2048-1000")
RANKS, ROWS, WHOLE = (8, 64, 512), 128, 4096


def ring(nbytes: float, machines: int, network: Network) -> float:
    """Seconds of an exchange around a ring.

    >>> ring(1000.0, 4, Network("", 1.0, 250.0)), ring(1000.0, 1, NETWORKS[0])
    (12.0, 0.0)
    """
    return 2 * (machines - 1) * (network.latency + nbytes / machines / network.rate)


def tree(nbytes: float, machines: int, network: Network) -> float:
    """Seconds of an exchange up a binary tree and down again.

    >>> tree(1000.0, 4, Network("", 1.0, 250.0)), tree(1000.0, 1, NETWORKS[0])
    (20.0, 0.0)
    """
    return 2 * math.ceil(math.log2(machines)) * (network.latency + nbytes / network.rate)


Way = Callable[[float, int, Network], float]


class Measured(NamedTuple):
    """Of one model: bytes of its gradients, seconds of a step without rows and of each row, and of an exchange between
    the two ranks of a machine."""

    nbytes: float
    fixed: float
    row: float
    merge: float

    def time(self, rows: float, ranks: int, way: Way, network: Network) -> float:
        """Seconds of a step.

        >>> Measured(1000.0, 1.0, 0.5, 2.0).time(4, 8, ring, Network("", 1.0, 250.0))
        17.0
        """
        if ranks == 1:
            return self.fixed + rows * self.row
        return self.fixed + rows * self.row + self.merge + way(self.nbytes, ranks // 2, network)

    def fastest(self, whole: int, way: Way, network: Network) -> int:
        """The power of two ranks that is done first with a batch of so many rows.

        >>> Measured(1000.0, 1.0, 0.5, 2.0).fastest(64, ring, Network("", 1.0, 250.0))
        4
        """
        counts = [2**power for power in range(whole.bit_length()) if 2**power <= whole]
        return min(counts, key=lambda ranks: self.time(whole / ranks, ranks, way, network))


def measured(times: Mapping[str, Any], model: str) -> Measured:
    """The medians of what ``bench.lab.parallel`` found."""

    def seconds(turn: str, of: Callable[[Any], float]) -> float:
        return 1e-3 * statistics.median(map(of, times[model][turn]))

    few, many = (seconds(f"nnkit apart {rows}", statistics.mean) for rows in (64, 256))
    row = (many - few) / (256 - 64)
    sizes = list(map(int, model.split("-")))
    numbers = sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(sizes))
    return Measured(4.0 * numbers, few - 64 * row, row, seconds("nnkit exchange", max))


def weak(model: str, found: Measured) -> list[str]:
    """Rows of the table for ``ROWS`` rows each: milliseconds of a step, and the part of it that is not exchange."""
    rows = []
    alone = found.time(ROWS, 1, ring, NETWORKS[0])
    for network in NETWORKS:
        for way in (ring, tree):
            times = [found.time(ROWS, ranks, way, network) for ranks in RANKS]
            cells = [f"{1e3 * time:.2f} ({alone / time:.2f})" for time in times]
            rows.append(f"| {model} | {network.name} | {way.__name__} | {' | '.join(cells)} |")
    return rows


def strong(model: str, found: Measured) -> list[str]:
    """Rows of the table for ``WHOLE`` rows over all ranks: the fastest number of ranks, and what it gains."""
    rows = []
    for network in NETWORKS:
        cells = []
        for way in (ring, tree):
            ranks = found.fastest(WHOLE, way, network)
            times = [found.time(WHOLE / count, count, way, network) for count in (1, ranks)]
            cells += [str(ranks), f"{1e3 * times[1]:.2f}", f"{times[0] / times[1]:.1f}"]
        rows.append(f"| {model} | {network.name} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    (path,) = sys.argv[1:]
    times = json.loads(Path(path).read_text())["times"]
    found = {model: measured(times, model) for model in MODELS}
    for model, parts in found.items():
        alone = 1e3 * parts.time(ROWS, 1, ring, NETWORKS[0])
        print(f"{model}: {parts.nbytes / 1e6:.2f} MB; {ROWS} rows alone: {alone:.2f} ms; two ranks of a machine: "
              f"{1e3 * parts.merge:.3f} ms")  # fmt: skip
    print(f"\n| model | network | exchange | {' | '.join(f'{ranks} ranks' for ranks in RANKS)} |\n|{' --- |' * 6}")
    print("\n".join(row for model, parts in found.items() for row in weak(model, parts)))
    print("\n| model | network | ring: ranks | ms | times as fast | tree: ranks | ms | times as fast |")
    print("|" + " --- |" * 8)
    print("\n".join(row for model, parts in found.items() for row in strong(model, parts)))


if __name__ == "__main__":
    main()
