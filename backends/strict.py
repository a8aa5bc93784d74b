"""The reference bodies over array-api-strict: the stand-in for a GPU on machines that have none.

It refuses whatever is not in the array-API standard, and mixes neither types nor devices; what runs here runs on any
namespace. It needs ``pip install array-api-strict``, and is for tests, not for speed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import array_api_strict
import numpy as np

from nnkit.backends.base import Backend


class StrictBackend(Backend):
    """Arrays are ``array_api_strict.Array``."""

    name = "strict"
    xp = array_api_strict

    def quietly(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")
