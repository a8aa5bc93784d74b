"""``parallel="mpi"`` of an estimator: the processes that fit it together, from the same random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from nnkit.parallel import MPI
from nnkit.sklearn.parameters import ParameterError
from nnkit.training.ranked import processes

__all__ = ["generator_of", "processes_of"]


def processes_of(estimator: Any) -> MPI | None:
    """The processes of ``fit``; None where there is one.

    Raises ParameterError for data of each process's own, whose classes and weights no process knows.
    """
    mpi = processes(estimator.parallel, estimator.precision)
    if mpi is not None and mpi.data == "own":
        raise ParameterError(
            f"The 'parallel' parameter of {type(estimator).__name__} must be None, 'mpi' or an nnkit.parallel.MPI with "
            "data='all': classes and weights are those of all samples. nnkit.training.fit takes data='own'."
        )
    return mpi


def generator_of(estimator: Any, mpi: MPI | None) -> np.random.RandomState:
    """What ``random_state`` stands for, in the state that it has in rank 0."""
    generator = check_random_state(estimator.random_state)
    if mpi is not None:
        generator.set_state(mpi.from_first(generator.get_state()))
    return generator
