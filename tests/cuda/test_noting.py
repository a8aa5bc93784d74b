"""The pretended GPU that notes kernels: what it notes is what the stand-in for CuPy launches, for one program each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in
from streamed_cublaslt import StreamedLibrary

import nnkit
from nnkit import __main__ as command
from nnkit import nn, optim
from nnkit.backends import registry
from nnkit.commands import kernels
from nnkit.kernels.cuda import prebuilt

pytest.importorskip("cupy", reason="pip install nnkit[test-cuda]: no cupy")
pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: no greenlet")


def fitted(**options: Any) -> None:
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    model = nn.Sequential(nn.Linear(6, 12, activation="gelu"), nn.Dropout(0.1), nn.Linear(12, 4)).to("cuda")
    given: dict[str, Any] = {"loss": "cross_entropy", "optimizer": "adam", "epochs": 2, "batch_size": 16} | options
    model.fit(x, x[:, :4].argmax(axis=1), verbose=0, metrics=["accuracy"], validation_split=0.2, **given)
    model.predict(x)


def scaled() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to("cuda")
    optimizer, scaler = optim.AdamW(model.parameters(), lr=1e-3), nnkit.GradScaler()
    x, y = nnkit.ones(10, 6, device="cuda"), nnkit.zeros(10, dtype=nnkit.int64, device="cuda")

    @nnkit.compile
    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        with nnkit.autocast("float16"):
            loss = nn.CrossEntropyLoss()(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        optim.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    for _ in range(4):
        step()


def whatever() -> None:
    x = nnkit.rand(200, 100, device="cuda")
    (x.softmax(dim=-1) + x.sum(dim=0)).sigmoid().max().item()
    nnkit.relu(x[1:, ::2]).mean(dim=1).argmax().item()
    model = nn.Linear(6, 4, dtype=nnkit.float64).to("cuda")
    model(nnkit.ones(0, 6, dtype=nnkit.float64, device="cuda")).sum().backward()
    model(x[:, :12:2].to(nnkit.float64)).sum().backward()
    nnkit.randperm(70, device="cuda")[x[:3].argmin(dim=1)].tolist()


def convolved() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1), nn.Flatten(),
        nn.Linear(96, 5),
    ).to("cuda")  # fmt: skip
    loss = nn.CrossEntropyLoss()(model(nnkit.rand(2, 3, 8, 8, device="cuda")), nnkit.tensor([1, 2], device="cuda"))
    loss.backward()


def attentive() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True).to("cuda")
    model(nnkit.rand(2, 5, 8, device="cuda")).sum().backward()
    past = nnkit.ones(5, 5, dtype=nnkit.bool_, device="cuda").tril()
    q = nnkit.rand(2, 2, 5, 4, device="cuda", requires_grad=True)
    nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=past).sum().backward()


PROGRAMS: dict[str, Callable[[], None]] = {
    "attention": attentive,
    "images": convolved,
    "fit": fitted,
    "fit with SGD, clipped": lambda: fitted(optimizer="sgd", clip_norm=0.1),
    "fit under autocast": lambda: fitted(precision="bfloat16"),
    "scaled steps": scaled,
    "operations": whatever,
}


@pytest.fixture
def fresh() -> Iterator[None]:
    """Random streams start anew on every device, and none is left."""
    nnkit.manual_seed(0)
    yield
    states = nnkit.random.default_generator._states
    for backend in [backend for backend in states if backend.name == "cuda"]:
        del states[backend]


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_noted_is_what_is_launched(program: str, fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnkit.backends.cuda.noting import noting

    with noting() as noted:
        PROGRAMS[program]()
    with stand_in.installed() as machine:
        from nnkit.backends.cuda import cublaslt, modules

        monkeypatch.setattr(modules, "compile", stand_in.compile_source)
        monkeypatch.setattr(cublaslt, "load", StreamedLibrary)
        assert nnkit.cuda.is_available()
        machine.counts.clear()
        PROGRAMS[program]()
        launched = {name.removeprefix("kernel ") for name in machine.counts if name.startswith("kernel ")}
    assert launched - noted.keys() == set()
    more = noted.keys() - launched  # of layers whose bias, or its gradient, cuBLASLt did
    assert {name for name in more if not name.startswith(("linear_", "sum_"))} == set()


def test_the_device_is_pretended_only_inside() -> None:
    from nnkit.backends.cuda.noting import noting

    before = registry.failure(registry.Device("cuda"))
    with noting() as noted:
        assert nnkit.cuda.device_count() == 1 and noted == {}
        assert nnkit.relu(nnkit.tensor([-1.0, 2.0], device="cuda")).tolist() == [0.0, 2.0]
        assert "map_relu_float32_to_float32_f" in noted
    assert registry.failure(registry.Device("cuda")) == before


# ---- the command ----------------------------------------------------------------------------------------------------

USES = "import sys, nnkit\nprint(__name__, sys.argv[1:])\nnnkit.ones(3, device='cuda')\n"
SCRIPTS = {  # what follows -> the kernels that are found, or the error
    "": ["fill_float32"],
    "sys.exit(0)": ["fill_float32"],
    "raise KeyboardInterrupt": ["fill_float32"],
    "sys.exit('no data')": SystemExit,
    "1 / 0": ZeroDivisionError,
}


@pytest.mark.parametrize("end", SCRIPTS)
def test_a_script_is_run_for_its_kernels(
    end: str, tmp_path: Path, fresh: None, capsys: pytest.CaptureFixture[str]
) -> None:
    script, before = tmp_path / "train.py", (sys.argv, sys.path[:])
    script.write_text(USES + end)
    expected = SCRIPTS[end]
    if isinstance(expected, list):
        assert [source.name for source in kernels.used_by([str(script), "-x"])] == expected
    else:
        with pytest.raises(expected):
            kernels.used_by([str(script), "-x"])
    assert "__main__ ['-x']" in capsys.readouterr().out
    assert (sys.argv, sys.path[:]) == before


def test_the_command_compiles_a_scripts_kernels(
    tmp_path: Path, fresh: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def built(sources: Any, arch: str, folder: Path, processes: int) -> Iterator[tuple[str, str]]:
        asked.extend(source.name for source in sources)
        return iter([(source.name, "") for source in sources])

    (tmp_path / "train.py").write_text(USES)
    monkeypatch.setattr("nnkit.kernels.cuda.compiler.toolchain", lambda: None)
    monkeypatch.setattr(prebuilt, "build", built)
    command.main(
        ["kernels", "build", "--arch", "sm_90", "--to", str(tmp_path), "--run", str(tmp_path / "train.py"), "-x"]
    )
    assert asked == ["fill_float32"] and "1 kernels for sm_90" in capsys.readouterr().out


def test_the_kernels_of_the_bench_are_found(
    fresh: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setattr("bench.gpu.plan.CHECKED", ("products",))
    script = root / "bench" / "gpu" / "needs.py"
    names = {source.name for source in kernels.used_by([str(script), "tiny"])}
    assert capsys.readouterr().out.startswith("products: ")
    for start in ("linear_gelu_", "linear_tanh_grad_", "map_adam_", "cross_entropy_"):
        assert any(name.startswith(start) for name in names), start


def test_a_script_without_a_gpu_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import nnkit\nnnkit.ones(3)\n")
    with pytest.raises(ValueError, match='it has to use device="cuda"'):
        kernels.used_by([str(tmp_path / "train.py")])
