"""Compiled CPU kernels: loops over pointers, given as one block of int64 arguments.

``compiler`` turns a Python function into machine code and keeps it on disk; ``words`` gives the formulas their compiled
meaning; the other files are the kernels by family. Importing this package imports neither Numba nor LLVM.
"""
