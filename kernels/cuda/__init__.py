"""Compiled GPU kernels: Python text over raw pointers and scalars, one thread's work at a time.

``compiler`` turns a kernel's text into a binary for one kind of GPU and keeps it on disk, ``emulator`` runs the same
text on the host, one thread after another; ``words`` gives the text its meaning for both. The other files are the
kernels by family. Importing this package imports neither Numba nor CuPy.
"""
