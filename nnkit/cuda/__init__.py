"""NVIDIA GPUs under PyTorch's names: questions, memory, seeds, events.

Where no GPU is usable, questions about one raise DeviceUnavailable with the reason and the remedy; memory figures are
0, and waiting, seeding and freeing do nothing more than they can: so a script that fell back to the CPU goes on.
"""

from __future__ import annotations

from nnkit.cuda import amp
from nnkit.cuda.devices import (
    current_device,
    device,
    device_count,
    get_arch_list,
    get_device_capability,
    get_device_name,
    get_device_properties,
    init,
    is_available,
    is_bf16_supported,
    is_initialized,
    set_device,
    synchronize,
    version,
    why_not,
)
from nnkit.cuda.events import Event, Stream, current_stream, default_stream, stream
from nnkit.cuda.memory import (
    empty_cache,
    ipc_collect,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_summary,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
)
from nnkit.cuda.seeds import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from nnkit.tensors.typed import twins

__all__ = [
    "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "Event", "FloatTensor", "HalfTensor", "IntTensor",
    "LongTensor", "ShortTensor", "Stream", "amp", "current_device", "current_stream", "default_stream", "device",
    "device_count", "empty_cache", "get_arch_list", "get_device_capability", "get_device_name",
    "get_device_properties", "get_rng_state", "get_rng_state_all", "init", "initial_seed", "ipc_collect",
    "is_available", "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
    "max_memory_cached", "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_cached",
    "memory_reserved", "memory_summary", "reset_max_memory_allocated", "reset_max_memory_cached",
    "reset_peak_memory_stats", "seed", "seed_all", "set_device", "set_rng_state", "set_rng_state_all", "stream",
    "synchronize", "version", "why_not",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


_TWINS = twins("cuda")
BoolTensor, ByteTensor, CharTensor, DoubleTensor, FloatTensor = (
    _TWINS[f"{kind}Tensor"] for kind in ("Bool", "Byte", "Char", "Double", "Float")
)
HalfTensor, IntTensor, LongTensor, ShortTensor = (_TWINS[f"{kind}Tensor"] for kind in ("Half", "Int", "Long", "Short"))
