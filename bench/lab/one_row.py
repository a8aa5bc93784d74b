"""One row through a linear layer by BLAS's matrix product, and by two dot products at a time.

On AMD EPYC (Zen 5, 2 cores), OpenBLAS 0.3.30 SkylakeX kernels, SciPy 1.17, Numba 0.68, in float32: 784 to 128
takes both 3.2 us (both read 400 kB from the second-level cache), 20 to 32 takes sgemm 0.50 us and the dot products
0.25 us. So the layer multiplies a single row itself. Four or eight dot products at a time are no faster.
Run: ``env -u OPENBLAS_CORETYPE python -m bench.lab.one_row``.
"""

from __future__ import annotations

import numpy as np

from bench.lab.random_lanes import best
from nnkit.kernels.cpu.linear import gemm_address, linear_kernel, matmul_kernel


def main() -> None:
    """Time both for the layers of the inference benchmarks."""
    rng = np.random.default_rng(0)
    for inputs, outputs in ((784, 128), (128, 10), (20, 32)):
        x = rng.standard_normal((1, inputs)).astype(np.float32)
        w = rng.standard_normal((outputs, inputs)).astype(np.float32)
        y, z = np.empty((1, outputs), np.float32), np.empty((1, outputs), np.float32)
        gemm, places = gemm_address("float32"), [a.ctypes.data for a in (x, w, y, z)]
        product = [gemm, places[0], places[1], places[2], 1, outputs, inputs, 0, 1]
        row = [gemm, places[0], places[1], 0, 0, places[3], 1, inputs, outputs]
        slow, fast = best(matmul_kernel("float32"), product, 200), best(linear_kernel("identity", "float32"), row, 200)
        assert np.allclose(y, z, rtol=1e-4, atol=1e-4)
        print(f"{inputs:4} to {outputs:3}: sgemm {slow * 1e6:6.2f} us, dot products {fast * 1e6:6.2f} us")


if __name__ == "__main__":
    main()
