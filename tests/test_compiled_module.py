"""``nnkit.compile(model)``: the model, with recorded calls."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

import nnkit
from nnkit import nn, optim


def made(device: str) -> nn.Module:
    nnkit.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2)).to(device)


def test_it_is_the_model_under_pytorch_s_names(device: str) -> None:
    model = made(device)
    compiled = nnkit.compile(model)
    assert isinstance(compiled, nn.Module) and compiled
    names = [f"_orig_mod.{name}" for name in model.state_dict()]
    assert list(compiled.state_dict()) == names == [name for name, _ in compiled.named_parameters()]
    assert all(one is other for one, other in zip(compiled.parameters(), model.parameters(), strict=True))
    compiled.eval()
    assert not model.training and not compiled.training
    compiled.note = 3
    assert model.note == 3 and compiled.note == 3
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'missing'"):
        compiled.missing  # noqa: B018
    other = nnkit.compile(made(device))
    with nnkit.no_grad():
        other._orig_mod[0].weight.zero_()
    assert str(other.load_state_dict(compiled.state_dict())) == "<All keys matched successfully>"
    assert nnkit.equal(other._orig_mod[0].weight, model[0].weight)


def test_its_calls_are_recorded_where_they_can_be(device: str) -> None:
    model = made(device)
    compiled = nnkit.compile(model, fullgraph=True).eval()
    x = nnkit.ones(3, 4, device=device)
    with nnkit.no_grad():
        wanted = model(x).numpy()
        assert all(np.array_equal(compiled(x).numpy(), wanted) for _ in range(4))
    assert len(compiled._calls.programs) == 1


def test_a_training_loop_of_it_warns_once_at_its_own_line(device: str) -> None:
    compiled = nnkit.compile(made(device))
    optimizer = optim.SGD(compiled.parameters(), lr=0.1)
    x = nnkit.ones(3, 4, device=device)
    before = compiled._orig_mod[2].bias.detach().numpy().copy()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(3):
            optimizer.zero_grad()
            compiled(x).sum().backward()
            optimizer.step()
    assert [warning.filename for warning in said] == [__file__]
    np.testing.assert_allclose(compiled._orig_mod[2].bias.detach().numpy(), before - 3 * 0.1 * 3, rtol=1e-5)


def test_within_a_recorded_step_it_is_part_of_that(device: str) -> None:
    compiled = nnkit.compile(made(device))
    plain = made(device)
    losses = []
    for model in (compiled, plain):
        nnkit.manual_seed(1)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x: nnkit.Tensor, model: nn.Module = model, optimizer: optim.Optimizer = optimizer) -> nnkit.Tensor:
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss.detach()

        recorded = nnkit.compile(step, fullgraph=True)
        losses.append([recorded(nnkit.ones(3, 4, device=device)).item() for _ in range(4)])
    assert losses[0] == losses[1]


def test_it_is_trained_saved_copied_and_pickled_as_the_model(device: str, tmp_path: Path) -> None:
    compiled = nnkit.compile(made(device))
    x, y = np.ones((4, 4), np.float32), np.zeros(4, np.int64)
    assert len(compiled.fit(x, y, loss="cross_entropy", epochs=2, verbose=0).history["loss"]) == 2
    compiled.save(tmp_path / "model.safetensors")
    again = nnkit.load(tmp_path / "model.safetensors", device=device)
    wanted = compiled.predict(x)
    for one in (again, copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert np.array_equal(one.predict(x), wanted)
    with nnkit.no_grad():
        copied = copy.deepcopy(compiled)
        copied._orig_mod[0].weight.zero_()
    assert np.array_equal(compiled.predict(x), wanted)
