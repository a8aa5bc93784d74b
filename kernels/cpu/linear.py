"""The fused linear layer: matrix product by BLAS, then bias, activation and their gradients while the rows are in
cache.

Everything is row-major and contiguous: x (M, I), w (O, I), y (M, O). BLAS is column-major, so each product below
computes the transpose of what it is named after.
"""

from __future__ import annotations

import functools

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import compiled_formulas, memory_words
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.vocabulary import element_names, scalar_names

N, T = ord("N"), ord("T")

# Block: [gemm, x, w, b or 0, z or 0, y, M, I, O, scalars…]. z keeps the value before the activation.
LINEAR = """
def kernel(block):
    M, I, O = block[6], block[7], block[8]
    if M == 1:
        matrix_vector(pointer(block[2]), pointer(block[1]), pointer(block[5]), O, I)
    else:
        gemm(block[0], {T}, {N}, O, M, I, block[2], I, block[1], I, 0, block[5], O)
    b, z, y = pointer(block[3]), pointer(block[4]), pointer(block[5])
    has_b, has_z = block[3] != 0, block[4] != 0
    {scalars}
    for i in range(M):
        at = i * O
        for j in range(O):
            t = y[at + j]
            if has_b:
                t = t + b[j]
            if has_z:
                z[at + j] = t
            y[at + j] = {formula}(t{arguments})
"""

# Block: [gemm, x, w, kept, dy, dz, dx or 0, dw or 0, db or 0, M, I, O, add to dw, add to db, scalars…].
# kept is what the activation's gradient reads, z or y; dz may be dy.
LINEAR_GRAD = """
def kernel(block):
    M, I, O = block[9], block[10], block[11]
    kept, dy, dz = pointer(block[3]), pointer(block[4]), pointer(block[5])
    {scalars}
    {activation_grad}
    if block[8] != 0:
        db = pointer(block[8])
        if block[13] == 0:
            for j in range(O):
                db[j] = element(0)
        for i in range(M):
            for j in range(O):
                db[j] += dz[i * O + j]
    if block[7] != 0:
        gemm(block[0], {N}, {T}, I, O, M, block[1], I, block[5], O, block[12], block[7], I)
    if block[6] != 0:
        gemm(block[0], {N}, {N}, I, M, O, block[2], I, block[5], O, 0, block[6], I)
"""

# Block: [gemm, a, b, c, m, n, k, transpose a, transpose b]: c (m, n) = op(a) op(b), row-major.
MATMUL = """
def kernel(block):
    m, n, k = block[4], block[5], block[6]
    ta, tb = {N}, {N}
    lda, ldb = k, n
    if block[7] != 0:
        ta, lda = {T}, m
    if block[8] != 0:
        tb, ldb = {T}, k
    gemm(block[0], tb, ta, n, m, k, block[2], ldb, block[1], lda, 0, block[3], n)
"""


def keeps_input(activation: str) -> bool:
    """Whether the activation's gradient reads its input x; otherwise it reads its output y."""
    from nnkit.kernels import formulas

    return element_names(getattr(formulas, f"{ACTIVATIONS[activation]}_grad"))[1] == "x"


def _scalars(activation: str, first: int) -> tuple[str, str]:
    from nnkit.kernels import formulas

    count = len(scalar_names(getattr(formulas, ACTIVATIONS[activation])))
    reads = "; ".join(f"s{k} = scalar(block[{first + k}])" for k in range(count)) or "pass"
    return reads, "".join(f", s{k}" for k in range(count))


@functools.cache
def linear_kernel(activation: str, dtype: str) -> Kernel:
    """y = activation(x w^T + b)."""
    scalars, arguments = _scalars(activation, 9)
    text = LINEAR.format(N=N, T=T, formula=ACTIVATIONS[activation], scalars=scalars, arguments=arguments)
    return load(Source(f"linear_{activation}_{dtype}", text, lambda: _namespace(dtype)))


@functools.cache
def linear_grad_kernel(activation: str, dtype: str) -> Kernel:
    """dz, and from it dx, dw and db, each where its address is not 0."""
    scalars, arguments = _scalars(activation, 14)
    loop = "pass"
    if activation != "identity":
        formula = f"{ACTIVATIONS[activation]}_grad"
        loop = f"for i in range(M * O):\n        dz[i] = {formula}(dy[i], kept[i]{arguments})"
    text = LINEAR_GRAD.format(N=N, T=T, scalars=scalars, activation_grad=loop)
    return load(Source(f"linear_grad_{activation}_{dtype}", text, lambda: _namespace(dtype)))


@functools.cache
def matmul_kernel(dtype: str) -> Kernel:
    """c = op(a) op(b) for contiguous matrices."""
    return load(Source(f"matmul_{dtype}", MATMUL.format(N=N, T=T), lambda: _namespace(dtype)))


@functools.cache
def _matrix_vector(dtype: str) -> object:
    """y = w x for one row: on small layers twice as fast as BLAS's matrix product (``bench/lab/one_row.py``)."""
    import numpy as np
    from numba import njit

    zero = np.dtype(dtype).type(0)

    # Two sums at a time share the reads of x; reordering them is what lets them use vector registers.
    @njit(error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, forceinline=True)
    def matrix_vector(w, x, y, O, I):  # type: ignore[no-untyped-def]
        for o in range(0, O - 1, 2):
            a, b, s, t = o * I, (o + 1) * I, zero, zero
            for k in range(I):
                s += w[a + k] * x[k]
                t += w[b + k] * x[k]
            y[o], y[o + 1] = s, t
        if O % 2 != 0:
            a, s = (O - 1) * I, zero
            for k in range(I):
                s += w[a + k] * x[k]
            y[O - 1] = s

    return matrix_vector


def _namespace(dtype: str) -> dict[str, object]:
    return memory_words(dtype) | compiled_formulas(dtype) | {"matrix_vector": _matrix_vector(dtype)}


@functools.cache
def gemm_address(dtype: str) -> int:
    """The address of BLAS's sgemm or dgemm, which SciPy publishes for compiled code."""
    import ctypes

    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__["sgemm" if dtype == "float32" else "dgemm"]
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(pointer_of(capsule, name_of(capsule)))
