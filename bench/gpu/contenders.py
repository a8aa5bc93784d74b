"""Who runs the timed trainings, each in a process of its own."""

from __future__ import annotations

from bench.contenders import OWN, Contender

IN_FIT = f"{OWN} in fit"
_TORCH = ("bench.gpu.torch_peer", ("torch",), ("torch", "triton"))
CONTENDERS = {
    OWN: Contender("bench.gpu.own", ("nnkit", "cupy"), (), {}),
    IN_FIT: Contender("bench.gpu.own", ("nnkit", "cupy"), (), {"in_fit": True}),
    "PyTorch": Contender(*_TORCH, {"way": "eager"}),
    "torch.compile": Contender(*_TORCH, {"way": "compiled"}),
    "PyTorch's CUDA graph": Contender(*_TORCH, {"way": "graphs"}),
    "JAX": Contender("bench.gpu.jax_peer", ("jax", "optax"), ("jax", "jaxlib", "optax"), {}),
}
PEERS = tuple(name for name in CONTENDERS if name not in (OWN, IN_FIT))
