"""The commands of ``python -m nnkit``, a module each, imported only when that command is given.

Each has ``add_arguments(parser)``, which says what the command takes, and ``run(options)``, which returns the exit
status (None: 0). What ``run`` raises as ValueError or OSError is printed as one line, with the status 2.
"""
