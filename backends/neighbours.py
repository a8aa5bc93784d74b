"""What processes do together that see one piece of memory: wait for one another, and add up what all of them have."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from nnkit.backends.memory import Memory
from nnkit.backends.recording import primitive

#: The primitives here.
NEIGHBOURLY = ("meet", "merge")
#: Elements that are added up at a time: they stay in a near cache until all have them.
TOGETHER = 1 << 14


class Neighbours(Memory):
    """Two more primitives, of backends whose arrays are NumPy's."""

    @primitive
    def meet(self, counts: Sequence[np.ndarray], own: int) -> None:
        """Wait until every process has come here as often as this one.

        Args:
            counts: for each process an int64 in memory that all see, which it alone raises.
            own: the place of this process's among them.
        """
        time.sleep(0)  # gives back Python's lock, which no write passes: what was written before, others see first
        counts[own] += 1
        while any(count.item() < counts[own].item() for count in counts):
            time.sleep(0)

    @primitive
    def merge(
        self, sources: Sequence[np.ndarray], weights: Sequence[np.ndarray], whole: np.ndarray | None,
        outs: Sequence[np.ndarray],
    ) -> None:  # fmt: skip
        """Let each of ``outs`` become the sum of ``sources``, in their order; an out may be a source.

        Args:
            sources: contiguous vectors of one length and type.
            weights: a float64 for each source, by which it is multiplied; none: by 1.
            whole: a float64 by which the weights are divided; None: their sum.
            outs: contiguous vectors of that length and type.
        """
        kind = outs[0].dtype.type
        if weights:
            divisor = sum(weight.item() for weight in weights) if whole is None else whole.item()
            factors = [kind(weight.item() / divisor) for weight in weights]
        else:
            factors = [kind(1)] * len(sources)
        with np.errstate(all="ignore"):
            for begin in range(0, len(outs[0]), TOGETHER):
                part = slice(begin, begin + TOGETHER)
                total = sources[0][part] * factors[0]
                for source, factor in zip(sources[1:], factors[1:], strict=True):
                    total += source[part] * factor
                for out in outs:
                    out[part] = total
