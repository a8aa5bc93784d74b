"""The compile worker of an emulated process: it runs on the host, at the host's speed, and compiles for aarch64.

``nnkit.kernels.cpu.worker`` starts it in place of the emulated Python and speaks to it as to any worker. The host's
LLVM makes code for aarch64 as well as for the host; Numba asks it for which, and is told so.
"""

from __future__ import annotations

import pickle
import sys


def main() -> None:
    """Answer what is asked on standard input."""
    for _ in range(2):  # where the emulated process imports from is no place for this one
        pickle.load(sys.stdin.buffer)
    compile_for("aarch64-unknown-linux-gnu")

    from nnkit.kernels.cpu import worker

    worker.PATIENCE = float("inf")  # a host that does other things may take as long as it likes
    worker.serve()


def compile_for(triple: str) -> None:
    """Have Numba compile for other processors than this one. To be called before Numba is imported."""
    from llvmlite import binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    for module in (binding, binding.targets):
        module.get_process_triple = module.get_default_triple = lambda: triple


if __name__ == "__main__":
    main()
