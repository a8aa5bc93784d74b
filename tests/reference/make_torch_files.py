"""Writes torch_files/*.pt with PyTorch: one checkpoint in each of its formats, and a whole model, which is refused.

python tests/reference/make_torch_files.py
"""

from __future__ import annotations

from pathlib import Path

import torch

FOLDER = Path(__file__).with_name("torch_files")
FORMATS = {"zip": {}, "protocol4": {"pickle_protocol": 4}, "old": {"_use_new_zipfile_serialization": False}}


def checkpoint() -> dict[str, object]:
    """A model after one step of its optimizer, and tensors and values of many kinds."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    model(torch.arange(12.0).reshape(4, 3)).square().sum().backward()
    optimizer.step()
    grid = torch.arange(12.0).reshape(3, 4)
    kinds = ("float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    return {
        "epoch": 3,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "views": [grid, grid.t(), grid[1:, ::2], grid[2, 1], torch.zeros(0, 3), grid[0].expand(2, 4)],
        "kinds": {kind: grid.to(getattr(torch, kind)) for kind in kinds},
        "learned": torch.nn.Parameter(torch.ones(2)),
        "plain": [None, True, -5, 2**70, 2.5, "ü", (1, (2.0,)), {1, 2}, {3: "x"}],
        "words": [grid.shape, torch.float32, torch.device("cpu")],
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, options in FORMATS.items():
        torch.save(checkpoint(), FOLDER / f"{name}.pt", **options)
    torch.save(torch.nn.Linear(1, 1), FOLDER / "model.pt")
    print(sum(path.stat().st_size for path in FOLDER.iterdir()), "bytes")
