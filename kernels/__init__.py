"""The ground floor: scalar formulas, and kernels that run them over raw memory.

``formulas``, ``updates`` and ``special`` hold mathematics, written once in plain Python;
``vocabulary`` says which words they may use and gives those words a meaning (Python floats, arrays,
compiled code); ``philox`` draws random numbers; ``cpu`` holds compiled loops over pointers.
Nothing here knows of arrays on devices, of tensors or of modules.
"""
