"""Updates that processes divide among them give the bits of undivided ones, whatever happens between the steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import update_cases
from test_parallel import needs_mpi, run
from update_cases import CASES, OPTIMIZERS

#: Cases in which nothing is divided.
UNDIVIDED = {f"{way} {name}" for way in ("fit", "loop") for name, (_, divided) in OPTIMIZERS.items() if not divided}


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank saw."""
    folder = tmp_path_factory.mktemp("updates")
    done = run(request.param, folder, script=update_cases.__file__)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(request.param)]


@needs_mpi
@pytest.mark.parametrize("name", CASES)
def test_divided_updates_give_the_bits_of_undivided_ones(name: str, ranks: Any) -> None:
    for rank in ranks:
        divided, whole = rank[name]["divided"], rank[name]["whole"]
        assert divided == {**whole, "divided": name not in UNDIVIDED} and not whole["divided"]
