"""Launches what the checks and the timed work of ``python -m bench gpu`` launch, so that it can be compiled ahead:

    python -m nnkit kernels build --arch sm_90 --to FOLDER --run bench/gpu/needs.py

On the machine with the GPU, with NNKIT_KERNELS=FOLDER, the time is then left to the checks. It takes minutes, for NumPy
computes; the argument "quick" has it launch what ``--quick`` does. The repository's tests are not among it.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.contenders import OWN
from bench.gpu import attention, bandwidth, checks, own, workloads
from bench.gpu.plan import CHECKED
from bench.gpu.workloads import ATTENTION
from nnkit import backends

#: Checks that need no kernel of their own, but a real GPU.
REAL = ("out of memory", "many streams", "forked", "broken context")
ELEMENTS = 1 << 24  # of what is bound by memory: enough for the kernels of large arrays
ATTENDED = 256  # tokens


def main(sizes: str) -> None:
    """Everything once, with a line for each section."""
    for section in CHECKED:
        names = [name for name in checks.names(section) if name not in REAL]
        found = [item for item in checks.work(section, names, sizes) if "outcome" in item]
        failed = [item["name"] for item in found if item["outcome"] == "failed"]
        print(f"{section}: {len(found)} checks{', failed: ' if failed else ''}{', '.join(failed)}", flush=True)
    for key in {"large": workloads.TRAININGS, "quick": workloads.QUICK}.get(sizes, ()):
        own.build(workloads.TRAININGS[key])
        if key in workloads.IN_FIT:
            own.build(workloads.TRAININGS[key], in_fit=True).run(1)
        print(f"training {key}", flush=True)
    few = dataclasses.replace(ATTENTION, net=dataclasses.replace(ATTENTION.net, tokens=ATTENDED))
    attention.WAYS[OWN]().build(few).run(1)
    for key, make in bandwidth.MADE.items():
        if key != "gelu":  # it launches its kernel by itself, which is that of a layer above
            make(backends.get("cuda"), ELEMENTS if sizes != "tiny" else bandwidth.CLASSES)()


if __name__ == "__main__":
    main((*sys.argv[1:], "large")[0])
