"""NVIDIA GPUs: memory, launches, matrix products, recorded graphs, and what is said when a GPU cannot be used.

Nothing here is imported before a CUDA device is asked for, and CuPy not before ``backend`` is.
"""
