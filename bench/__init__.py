"""The benchmark suite: nnkit beside its peers on the same work, in one run, and beside the machine's own limits.

``python -m bench report`` measures and writes the report; ``pytest bench/`` compares the backends piece by piece.
"""
