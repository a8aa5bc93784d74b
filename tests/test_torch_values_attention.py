"""Attention and transformers equal PyTorch's, gradients too: stored values everywhere, live ones where it is installed.

The cases and the function that runs them, for either library, are in ``reference/make_torch_values_attention.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from reference.make_torch_values_attention import CASES, VALUES, Case, all_values, compute, inputs

import nnkit


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.fixture(scope="module")
def given(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix("input/"): value for name, value in stored.items() if name.startswith("input/")}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_all_gradients(
    case: Case, device: str, given: dict[str, np.ndarray], stored: dict[str, np.ndarray]
) -> None:
    found = compute(nnkit, nnkit.nn, case, given, device)
    assert {f"{case}/{what}" for what in found} == {name for name in stored if name.startswith(f"{case}/")}
    for what, value in found.items():
        np.testing.assert_allclose(value, stored[f"{case}/{what}"], 1e-9, 1e-11, err_msg=what)


def test_stored_values_are_of_the_inputs_in_the_script(given: dict[str, np.ndarray]) -> None:
    assert given.keys() == inputs().keys()


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's own
def test_stored_values_are_what_torch_computes_here(
    given: dict[str, np.ndarray], stored: dict[str, np.ndarray]
) -> None:
    torch = pytest.importorskip("torch")
    live = all_values(torch, torch.nn, given, "cpu")
    assert live.keys() == {name for name in stored if not name.startswith("input/")}
    for name, value in live.items():
        np.testing.assert_allclose(stored[name], value, 1e-9, 1e-11, err_msg=name)


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's own
@pytest.mark.parametrize("name", ["MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoder", "Transformer"])
def test_states_of_new_modules_fit_both_ways(name: str) -> None:
    torch = pytest.importorskip("torch")

    def make(nn: object) -> object:
        options = {"dim_feedforward": 16, "dropout": 0.0} if "Transformer" in name else {}
        if name == "TransformerDecoder":
            return nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, **options), 2)
        return getattr(nn, name)(8, 2, **options)

    theirs, ours = make(torch.nn), make(nnkit.nn)
    shapes = [(key, tuple(value.shape)) for key, value in theirs.state_dict().items()]
    assert shapes == [(key, value.shape) for key, value in ours.state_dict().items()]
    ours.load_state_dict({key: nnkit.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()})


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's own
def test_initial_values_are_drawn_as_pytorch_draws_them() -> None:
    """The same bounds; weights that PyTorch does not draw are 0 or 1 in both."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0), nnkit.manual_seed(0)
    theirs, ours = torch.nn.Transformer(32, 2, 1, 1, 64), nnkit.nn.Transformer(32, 2, 1, 1, 64)
    for (name, one), other in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        wanted, found = one.detach().numpy(), other.detach().numpy()
        assert abs(wanted.max() - found.max()) < 0.05 * abs(wanted).max() + 0.01, name
        assert abs(wanted.std() - found.std()) < 0.1 * wanted.std() + 0.02, name
