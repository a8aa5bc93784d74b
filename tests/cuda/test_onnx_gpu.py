"""Models on the pretended GPU in files of ONNX: the same nodes, with weights from there; and files run there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nnkit
from nnkit import nn

onnx = pytest.importorskip("onnx", reason="pip install onnx")

import nnkit.onnx  # noqa: E402


def test_a_model_on_a_gpu_is_the_same_in_a_file(device: str, tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4),
        nn.LayerNorm(4), nn.Softmax(-1),
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    nnkit.onnx.export(model, tmp_path / "gpu.onnx", x)
    again = nnkit.onnx.load(tmp_path / "gpu.onnx", device="cuda").eval()
    wanted = model.eval()(nnkit.tensor(x)).detach().cpu().numpy()
    np.testing.assert_allclose(again(nnkit.tensor(x)).detach().cpu().numpy(), wanted, 1e-5, 1e-5)
    nnkit.set_default_device("cpu")
    nnkit.onnx.export(model.to("cpu"), tmp_path / "cpu.onnx", x)
    assert (tmp_path / "gpu.onnx").read_bytes() == (tmp_path / "cpu.onnx").read_bytes()
