"""The stand-in for cuBLASLt as part of the stand-in for CuPy: products go to its streams, and can be captured there."""

from __future__ import annotations

from typing import Any

import numpy as np
from fake_cublaslt import FakeLibrary
from stand_in import queues


class StreamedLibrary(FakeLibrary):
    """A product runs when its stream comes to it, with the descriptor as it was when the product was asked for."""

    def _matmul(self, *arguments: Any) -> None:
        self._agree_to_run(arguments[12])  # a refusal comes at once
        attributes, multiply = self.objects[arguments[1]].attributes, super()._matmul
        asked = dict(attributes)

        def run() -> None:
            now = dict(attributes)
            attributes.update(asked)
            with np.errstate(all="ignore"):
                multiply(*arguments)
            attributes.update(now)

        queues.submit(queues.state_of(arguments[-1] or 0), "cublasLtMatmul", "kernel", run)
