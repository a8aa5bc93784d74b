"""The CPU's compiled kernels at work: which one runs, on which memory, on which threads."""
