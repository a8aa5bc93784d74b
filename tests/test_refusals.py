"""The words of the door, held to the letter: of what is handed over by mistake, in every place, on every backend."""

from __future__ import annotations

import pytest
from refusals import PLACES, WRONG, stored, told_in


def test_the_stored_words_are_of_all_places_and_all_that_is_wrong() -> None:
    assert stored().keys() == PLACES.keys()
    for place, told in stored().items():
        assert sorted(wrong for wrongs in told.values() for wrong in wrongs) == sorted(WRONG), place


@pytest.mark.parametrize("place", PLACES)
def test_the_words_are_those_that_were_written_down(place: str, device: str) -> None:
    assert told_in(place) == stored()[place]
