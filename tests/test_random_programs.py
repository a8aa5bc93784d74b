"""A few of the random programs of ``differential/programs.py``, recorded against eager, on every device."""

from __future__ import annotations

import pytest
from differential.programs import disagreement, drawn


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore")
def test_a_random_program_is_the_same_recorded(seed: int, device: str) -> None:
    assert disagreement(drawn(seed), None) is None
