"""Old names, switches and questions of PyTorch's scripts: there, harmless, and true."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
import nnkit as torch
from nnkit import nn
from nnkit.errors import DeviceError, DtypeError, UnknownNameError

HAS_GPU = nnkit.cuda.is_available()

# ---- tensors by old names --------------------------------------------------------------------------------------

TYPED = [
    ("FloatTensor", "float32"), ("DoubleTensor", "float64"), ("HalfTensor", "float16"), ("LongTensor", "int64"),
    ("IntTensor", "int32"), ("ShortTensor", "int16"), ("CharTensor", "int8"), ("ByteTensor", "uint8"),
    ("BoolTensor", "bool"), ("Tensor", "float32"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype"), TYPED)
def test_tensors_of_data_or_of_sizes(device: str, name: str, dtype: str) -> None:
    if device == "strict" and dtype == "float16":
        pytest.skip("it has no half types")
    make = getattr(torch, name)
    for data in ([1, 0], (1, 0), np.array([1, 0]), nnkit.tensor([1, 0]), [nnkit.tensor(1), nnkit.tensor(0)]):
        made = make(data)
        assert made.tolist() == [1, 0] and str(made.dtype) == dtype and str(made.device) == device
    for given, shape in [
        ((), (0,)),
        ((3,), (3,)),
        ((2, 0), (2, 0)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((np.int64(2), np.int64(3)), (2, 3)),
    ]:
        assert make(*given).shape == shape
    assert make(nnkit.ones(2, 3).size()).shape == (2, 3)
    assert isinstance(make([1]), make) and (make is nnkit.Tensor or np.dtype(make) == dtype)


def test_kinds_of_tensors_are_told_apart() -> None:
    x = nnkit.ones(2)
    assert isinstance(x, torch.FloatTensor) and not isinstance(x, torch.LongTensor)
    assert not isinstance(x, torch.cuda.FloatTensor) and not isinstance(3, torch.FloatTensor)
    assert repr(torch.cuda.LongTensor) == "<class 'nnkit.cuda.LongTensor'>"
    assert nnkit.zeros(1, dtype=torch.LongTensor).dtype == nnkit.int64


def test_made_in_a_recorded_step(device: str) -> None:
    @nnkit.compile(fullgraph=True)
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        return x * torch.FloatTensor([1.0, 2.0]) + torch.Tensor([0.5, 0.5])

    for value in (1.0, 2.0, 3.0):
        assert step(nnkit.tensor([value, value])).tolist() == [value + 0.5, 2 * value + 0.5]


@pytest.mark.parametrize("given", [(1.5,), (2, 1.5), (True,), ("ab",)])
def test_what_is_neither_data_nor_sizes(given: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, DtypeError), match=r"expected|Tensor"):
        torch.FloatTensor(*given)


def test_the_default_type_by_its_old_name() -> None:
    try:
        for given in (torch.DoubleTensor, "torch.DoubleTensor"):
            torch.set_default_tensor_type(given)
            assert torch.get_default_dtype() == nnkit.float64 == torch.Tensor(1).dtype
            torch.set_default_tensor_type(torch.FloatTensor)
        with pytest.raises(UnknownNameError, match=r"did you mean 'torch\.FloatTensor'"):
            torch.set_default_tensor_type("torch.FlotTensor")
        with pytest.raises(TypeError, match="float"):
            torch.set_default_tensor_type(torch.LongTensor)
    finally:
        torch.set_default_tensor_type(torch.FloatTensor)


def test_sizes_say_what_they_are(device: str) -> None:
    size = nnkit.ones(2, 3).size()
    assert repr(size) == "torch.Size([2, 3])" and size == (2, 3) == torch.Size([2, 3]) and size.numel() == 6
    assert isinstance(size[1:], torch.Size) and size + (1,) == (2, 3, 1) and nnkit.zeros(size).shape == (2, 3)
    assert size[0] == 2 and hash(size) == hash((2, 3)) and nnkit.ones(2, 3).size(1) == 3


# ---- creation, questions, printing -----------------------------------------------------------------------------

LEARNED: list[Callable[[], nnkit.Tensor]] = [
    lambda: torch.linspace(0, 1, 3, requires_grad=True),
    lambda: torch.arange(3.0, requires_grad=True),
    lambda: torch.eye(2, requires_grad=True),
    lambda: torch.zeros_like(torch.ones(2), requires_grad=True),
    lambda: torch.ones_like(torch.ones(2), requires_grad=True),
    lambda: torch.full_like(torch.ones(2), 2.0, requires_grad=True),
    lambda: torch.empty_like(torch.ones(2), requires_grad=True),
]


@pytest.mark.parametrize("make", LEARNED)
def test_made_with_a_gradient(device: str, make: Callable[[], nnkit.Tensor]) -> None:
    x = make()
    assert x.requires_grad and x.is_leaf
    x.sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape


def test_questions() -> None:
    x = nnkit.ones(2, 3)
    assert torch.is_tensor(x) and not torch.is_tensor([1]) and torch.is_floating_point(x) and torch.numel(x) == 6
    assert (torch.pi, torch.e, torch.inf) == (math.pi, math.e, math.inf) and math.isnan(torch.nan)
    assert torch.finfo(torch.float32).eps == np.finfo(np.float32).eps and torch.finfo("float16").max == 65504.0
    assert torch.iinfo(torch.uint8).max == 255 and torch.finfo().bits == 32
    assert str(torch.iinfo(torch.int8)) == "iinfo(min=-128, max=127, dtype=int8)"
    for wrong in (lambda: torch.finfo("int8"), lambda: torch.iinfo("float32")):
        with pytest.raises(TypeError, match="use"):
            wrong()


def test_print_options() -> None:
    x = nnkit.tensor([0.123456, 1e-5])
    try:
        torch.set_printoptions(precision=2, sci_mode=False)
        assert repr(x) == "tensor([0.12, 0.00])"
        torch.set_printoptions(sci_mode=True)
        assert repr(x) == "tensor([1.23e-01, 1.00e-05])"
        torch.set_printoptions(threshold=3, edgeitems=1)
        assert repr(nnkit.arange(5)) == "tensor([0, ..., 4])"
        torch.set_printoptions(profile="full")
        assert "..." not in repr(nnkit.arange(3000))
        with pytest.raises(ValueError, match="profile must be"):
            torch.set_printoptions(profile="long")
    finally:
        torch.set_printoptions(profile="default")


# ---- modes -----------------------------------------------------------------------------------------------------


def test_inference_mode_in_all_its_forms() -> None:
    states = []

    @torch.inference_mode()
    def with_parentheses() -> None:
        states.append(torch.is_grad_enabled())

    @torch.inference_mode
    def without() -> None:
        states.append(torch.is_grad_enabled())

    with_parentheses()
    without()
    with torch.inference_mode():
        states.append(torch.is_grad_enabled())
        with torch.inference_mode(mode=False):
            states.append(torch.is_grad_enabled())
    assert states == [False, False, False, True] and torch.is_grad_enabled()


# ---- devices and switches --------------------------------------------------------------------------------------


def test_devices_by_their_names() -> None:
    assert (
        torch.device("cuda:1") == torch.device("cuda", 1) == torch.device(1) and torch.device("cuda:0").type == "cuda"
    )
    assert torch.device(torch.device("cpu")) == torch.device("cpu") and str(torch.device("cuda:0")) == "cuda"
    for wrong in (("cuda:x",), ("cuda:1", 1)):
        with pytest.raises(ValueError, match="expected a name"):
            torch.device(*wrong)


def test_switches_that_mean_nothing_can_be_set() -> None:
    cudnn = importlib.import_module("nnkit.backends.cudnn")
    before = dict(vars(cudnn))
    try:
        assert cudnn is torch.backends.cudnn and not cudnn.is_available() and cudnn.version() is None
        torch.backends.cudnn.benchmark = torch.backends.cudnn.enabled = True
        torch.backends.cudnn.deterministic = torch.backends.cudnn.allow_tf32 = True
    finally:
        vars(cudnn).update(before)
    assert not torch.backends.mps.is_available() and not torch.backends.mps.is_built() and not torch.has_mps
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.are_deterministic_algorithms_enabled()


def test_fewer_digits_by_pytorchs_switch() -> None:
    matmul = torch.backends.cuda.matmul
    assert not matmul.allow_tf32 and matmul.fp32_precision == "ieee"
    try:
        matmul.allow_tf32 = True
        assert torch.get_float32_matmul_precision() == "high" and matmul.fp32_precision == "tf32"
    finally:
        matmul.allow_tf32 = False
    assert torch.get_float32_matmul_precision() == "highest"


HARMLESS: list[Callable[[], Any]] = [
    lambda: torch.cuda.manual_seed(1), lambda: torch.cuda.manual_seed_all(1), lambda: torch.cuda.empty_cache(),
    lambda: torch.cuda.synchronize(), lambda: torch.cuda.set_device(0), lambda: torch.cuda.set_device("cuda:0"),
    lambda: torch.cuda.reset_peak_memory_stats(), lambda: torch.cuda.ipc_collect(), lambda: torch.cuda.init(),
    lambda: torch.accelerator.set_device_index(0), lambda: torch.accelerator.synchronize(),
    lambda: torch.cuda.set_rng_state_all(torch.cuda.get_rng_state_all()), lambda: torch.cuda.memory_summary(),
    lambda: torch.cuda.current_stream().synchronize(), lambda: torch.set_flush_denormal(True),
]  # fmt: skip


@pytest.mark.parametrize("call", HARMLESS)
def test_words_for_gpus_are_harmless(call: Callable[[], Any]) -> None:
    call()


def test_seeds_of_gpus_are_the_seed() -> None:
    torch.cuda.manual_seed_all(12)
    first = nnkit.rand(3)
    torch.manual_seed(12)
    assert nnkit.rand(3).tolist() == first.tolist() and torch.cuda.initial_seed() == 12


@pytest.mark.skipif(HAS_GPU, reason="of a machine without a GPU")
def test_without_a_gpu_figures_are_0_and_questions_are_refused() -> None:
    assert torch.cuda.device_count() == torch.cuda.memory_allocated() == torch.cuda.max_memory_reserved() == 0
    assert torch.accelerator.current_accelerator() is None and not torch.accelerator.is_available()
    assert torch.version.cuda is None and not torch.cuda.is_bf16_supported() and torch.cuda.get_arch_list() == []
    questions = (torch.cuda.get_device_name, torch.cuda.get_device_capability, torch.cuda.mem_get_info)
    for question in (*questions, torch.cuda.current_device, torch.cuda.get_device_properties):
        with pytest.raises(nnkit.DeviceUnavailable):
            question()


@pytest.mark.skipif(not HAS_GPU, reason="of a machine with a GPU")
def test_with_a_gpu_figures_are_true() -> None:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    x = torch.cuda.FloatTensor(1024, 1024)
    assert torch.cuda.memory_allocated() - before >= 4 << 20 <= torch.cuda.max_memory_allocated()
    assert isinstance(x, torch.cuda.FloatTensor) and torch.cuda.memory_reserved() >= torch.cuda.memory_allocated()
    free, total = torch.cuda.mem_get_info(0)
    assert 0 < free < total and torch.cuda.get_device_properties(0).total_memory == total
    assert torch.cuda.get_device_name() and torch.cuda.get_device_capability() >= (7, 5) and torch.version.cuda
    assert str(torch.accelerator.current_accelerator()) == "cuda" and torch.cuda.current_device() == 0
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(20):
        x = x @ x * 0.0
    end.record()
    torch.cuda.synchronize()
    assert end.query() and begin.elapsed_time(end) > 0.0
    assert x.cuda(0, non_blocking=True).to("cpu", non_blocking=True).device.type == "cpu"


def test_events_and_streams_where_there_is_no_gpu() -> None:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with pytest.raises(RuntimeError, match="must be recorded"):
        begin.elapsed_time(end)
    with torch.cuda.stream(torch.cuda.Stream()) as stream:
        begin.record()
        end = stream.record_event(end)
    end.synchronize()
    assert end.query() and begin.elapsed_time(end) >= 0.0
    with pytest.raises(ValueError, match="expected a GPU"), torch.cuda.device("cpu"):
        pass


def test_another_gpu_is_named_where_tensors_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = importlib.import_module("nnkit.cuda.devices")
    monkeypatch.setattr(devices, "failure", lambda device: None)
    torch.cuda.set_device(0)
    with pytest.raises(DeviceError, match="device='cuda:1'"):
        torch.cuda.set_device(1)


def test_mixed_precision_by_its_older_path(device: str) -> None:
    from nnkit.cuda.amp import GradScaler, autocast

    x = nnkit.tensor([[1.00390625, 2.0]])
    with autocast(dtype=torch.float16):
        assert (x @ x.T).item() != 5.0
    with autocast(enabled=False):
        assert (x @ x.T).item() == pytest.approx(5.0078, abs=1e-3)
    assert GradScaler(1024.0).get_scale() == 1024.0


# ---- moves -----------------------------------------------------------------------------------------------------


def test_words_of_moves_that_mean_nothing(device: str) -> None:
    x = nnkit.ones(2)
    assert x.to(device, non_blocking=True) is x and x.to(device, torch.float64, True).dtype == nnkit.float64
    copy = x.to(device, copy=True)
    assert copy is not x and copy.tolist() == x.tolist() and x.cpu(memory_format=None) is x
    layer = nn.Linear(2, 1)
    assert layer.to(device, non_blocking=True) is layer and layer.type(torch.float64).weight.dtype == nnkit.float64
    assert layer.type(torch.FloatTensor).weight.dtype == nnkit.float32 and layer.share_memory() is layer


PATHS = {
    "nn.parameter": "Parameter", "nn.parallel": "DataParallel", "nn.utils.clip_grad": "clip_grad_norm_",
    "utils.data.sampler": "SubsetRandomSampler", "utils.data.dataset": "random_split",
    "utils.data.dataloader": "DataLoader", "utils.data.distributed": "DistributedSampler",
    "utils.tensorboard": "SummaryWriter", "utils.checkpoint": "checkpoint", "utils.benchmark": "Timer",
    "cuda.amp": "GradScaler", "optim.lr_scheduler": "_LRScheduler", "backends.cudnn": "is_available", "version": "cuda",
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_of_modules(path: str) -> None:
    module = importlib.import_module(f"nnkit.{path}")
    assert hasattr(module, PATHS[path])
    found: Any = torch
    for part in path.split("."):
        found = getattr(found, part)
    assert found is module
