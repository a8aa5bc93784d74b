"""The benchmark suite: nnkit beside its peers on the same work, in one run, and how close each is to the machine's limits.

``python -m bench report`` measures and writes the report; ``pytest bench/`` compares the backends piece by piece.
"""
