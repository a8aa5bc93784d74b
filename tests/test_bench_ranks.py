"""What is computed and written of trainings on several processes is true. Nothing is timed."""

from __future__ import annotations

import doctest
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.lab import parallel_page, ranks_on_paper  # noqa: E402

FOUND = sorted((ROOT / "bench" / "results").glob("ranks-*.json"))


def test_formulas_of_many_ranks_give_what_their_examples_say() -> None:
    found = doctest.testmod(ranks_on_paper)
    assert found.attempted >= 4 and found.failed == 0


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_pages_are_made_of_their_numbers(path: Path) -> None:
    assert parallel_page.page(json.loads(path.read_text())) == path.with_suffix(".md").read_text()


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_more_ranks_cost_more_on_every_network(path: Path) -> None:
    times = json.loads(path.read_text())["times"]
    for model in ranks_on_paper.MODELS:
        found = ranks_on_paper.measured(times, model)
        for network in ranks_on_paper.NETWORKS:
            for way in (ranks_on_paper.ring, ranks_on_paper.tree):
                seconds = [found.time(128, ranks, way, network) for ranks in (1, 2, 8, 64, 512)]
                assert seconds == sorted(seconds) and len(set(seconds)) == 5
