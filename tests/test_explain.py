"""``nnkit.explain``: the table of a recorded step, and that looking changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from captured import Training, batch, programs

import nnkit
from nnkit.recording.explain import Explanation


def explained(step: Any, *arguments: Any, capsys: Any) -> Explanation:
    explanation = nnkit.explain(step, *arguments)
    assert capsys.readouterr().out == f"{explanation}\n"
    return explanation


def test_a_line_for_each_instruction(device: str, capsys: Any) -> None:
    explanation = explained(lambda x: (x @ x.T).exp().sum(), nnkit.ones(4, 3), capsys=capsys)
    assert [row.instruction for row in explanation.rows] == ["matmul", "map", "reduce"]
    assert [row.number for row in explanation.rows] == [0, 1, 2]
    assert [row.shapes for row in explanation.rows] == [((4, 3), (3, 4), (4, 4)), ((4, 4), (4, 4)), ((4, 4), ())]
    assert [row.nbytes for row in explanation.rows] == [4 * (12 + 12 + 16), 4 * 32, 4 * 17]
    assert all(row.microseconds >= 0.0 for row in explanation.rows) and explanation.microseconds > 0.0
    assert explanation.pool_bytes >= 64 + 4 and explanation.reason is None
    assert explanation.in_python == (0 if device == "numba" else 3)
    text = str(explanation)
    assert "4x3 3x4 4x4" in text and "3 instructions" in text and f"{explanation.in_python} of them in Python" in text
    assert ("Python: this backend has no kernel" in text) is (device != "numba")


def test_the_reason_for_python_is_given(capsys: Any) -> None:
    x = nnkit.zeros(4, 6, device="numba")
    explanation = explained(lambda x: x.sort().values, x, capsys=capsys)
    assert [row.kernel for row in explanation.rows] == ["Python: this backend has no kernel for it"]


@pytest.mark.parametrize("calls", [0, 1, 4])
def test_measuring_leaves_everything_as_it_is(calls: int, device: str, capsys: Any) -> None:
    """A training that is explained after some calls goes on as one that was called as often."""

    def run(explain: bool) -> list[Any]:
        training = Training(explain)
        for number in range(calls):
            training.step(*batch(number, "labels"))
        if explain:
            assert len(explained(training.step, *batch(9, "labels"), capsys=capsys).rows) > 10
            assert programs(training.step) == 1
        else:
            for _ in range(2 - calls):  # the calls that it took to record
                training.step(*batch(9, "labels"))
        states = [training.left()]
        for number in range(20, 23):
            training.step(*batch(number, "labels"))
            states.append(training.left())
        return states

    assert run(True) == run(False)


def test_why_a_step_cannot_be_replayed(device: str, capsys: Any) -> None:
    def step(x: nnkit.Tensor) -> float:
        return x.sum().item()

    place = f"{Path(__file__)}:{step.__code__.co_firstlineno + 1}"
    reason = f"step cannot be replayed: it reads a value on the host at {place}"
    for tried in (step, nnkit.compile(step), nnkit.compile(step, fullgraph=True)):
        explanation = explained(tried, nnkit.ones(3), capsys=capsys)
        assert (explanation.reason, str(explanation), explanation.rows) == (reason, reason, [])


def test_a_step_that_is_never_settled(device: str, capsys: Any) -> None:
    layer = nnkit.nn.Dropout(0.0)

    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        layer.p += 0.01
        return layer(x)

    assert "it sets Dropout.p" in str(explained(step, nnkit.ones(3), capsys=capsys))


def test_when_recording_is_switched_off(device: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNKIT_COMPILE", "0")
    assert "switched off by NNKIT_COMPILE=0" in str(explained(lambda x: x * 2.0, nnkit.ones(3), capsys=capsys))
