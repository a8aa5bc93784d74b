"""What PyTorch computes for attention and transformers, stored in ``attention_values.npz``.

Every case is run by one function for both libraries, whose names are the same: ``compute(torch, torch.nn, ...)`` made
the stored values, ``compute(nnkit, nnkit.nn, ...)`` must give them again. Parameters are made by numpy, by name. Run it
where PyTorch is installed: ``python tests/reference/make_torch_values_attention.py``.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VALUES = Path(__file__).with_name("attention_values.npz")
B, L, S, E = 3, 5, 7, 8  # batch, queries, keys, width


class Case(NamedTuple):
    """A module or function of either library, its arguments, and the names of what it is called with."""

    name: str  # of the module; or of a function, where it has small letters only
    arguments: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    inputs: tuple[str, ...] = ("x", "x", "x")
    options: dict[str, Any] = {}  # noqa: RUF012 (a text is the name of an input)

    def __str__(self) -> str:
        given = [f"{k}={v}" for k, v in (self.arguments | self.options).items()]
        return f"{self.name}({', '.join([*self.inputs, *given])})"


def _functions() -> list[Case]:
    name, heads = "scaled_dot_product_attention", ("q", "k", "v")
    options: list[dict[str, Any]] = [
        {}, {"is_causal": True}, {"scale": 0.7}, {"attn_mask": "bool_mask"}, {"attn_mask": "float_mask"},
        {"attn_mask": "head_mask"}, {"attn_mask": "blind_mask"}, {"attn_mask": "blind_scores"},
    ]  # fmt: skip
    cases = [Case(name, {}, heads, chosen) for chosen in options]
    cases += [Case(name, {}, ("q", "few_k", "few_v"), {"enable_gqa": True, **one}) for one in options[:2]]
    return [*cases, Case(name, {}, ("xb", "kvb", "kvb"), {}), Case(name, {}, ("x_alone", "x_alone", "x_alone"), {})]


def _multihead() -> list[Case]:
    cases = []
    for weights in (True, False):
        more = {"need_weights": weights}
        masks = {"key_padding_mask": "padding", "attn_mask": "shut"}
        cases += [
            _heads({}, ("x", "x", "x"), more), _heads({"bias": False}, ("x", "kv", "kv"), more),
            _heads({}, ("x", "kv", "kv2"), more | masks | {"average_attn_weights": False}),
            _heads({}, ("x", "kv", "kv"), more | masks | {"attn_mask": "float_shut"}),
            _heads({}, ("x", "kv", "kv"), more | {"attn_mask": "shut_by_head"}),
            _heads({}, ("x", "x", "x"), more | {"attn_mask": "later", "is_causal": True}),
            _heads({}, ("x_alone", "x_alone", "x_alone"), more),
            _heads({"batch_first": True, "kdim": 3, "vdim": 4, "add_bias_kv": True, "add_zero_attn": True},
                   ("xb", "kb3", "vb4"), more | masks),
        ]  # fmt: skip
    return cases


def _heads(arguments: dict[str, Any], inputs: tuple[str, ...], options: dict[str, Any]) -> Case:
    return Case("MultiheadAttention", {"embed_dim": E, "num_heads": 2, **arguments}, inputs, options)


def _layers() -> list[Case]:
    sizes = {"d_model": E, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
    cases = []
    for first in (False, True):
        for batch in (False, True):
            x, memory = ("xb", "kvb") if batch else ("x", "kv")
            chosen = sizes | {"norm_first": first, "batch_first": batch, "activation": "gelu" if first else "relu"}
            masked = {"src_mask": "later", "src_key_padding_mask": "own_padding"}
            cases.append(Case("TransformerEncoderLayer", chosen, (x,), masked))
            masked = {"tgt_mask": "later", "memory_key_padding_mask": "padding", "memory_mask": "shut"}
            cases.append(Case("TransformerDecoderLayer", chosen | {"bias": not first}, (x, memory), masked))
    whole = sizes | {"num_encoder_layers": 2, "num_decoder_layers": 1, "layer_norm_eps": 1e-3}
    masked = {"tgt_mask": "later_scores", "src_key_padding_mask": "padding", "memory_key_padding_mask": "padding"}
    return [*cases, Case("Transformer", whole, ("kv", "x"), masked)]


CASES = [*_functions(), *_multihead(), *_layers()]


def inputs() -> dict[str, np.ndarray]:
    """Every input by name."""
    random = np.random.default_rng(0)
    x, kv = random.normal(size=(L, B, E)), random.normal(size=(S, B, E))
    padding = random.random((B, S)) > 0.6
    shut, by_head = random.random((L, S)) > 0.6, random.random((2 * B, L, S)) > 0.6
    for mask in (padding, shut, by_head):
        mask[..., 0] = False  # every query sees a key
    later = np.triu(np.ones((L, L), bool), 1)
    blind = random.random((B, 1, L, S)) > 0.4
    blind[0, 0, 2] = False  # this one does not
    return {
        "x": x, "kv": kv, "kv2": random.normal(size=(S, B, E)), "x_alone": random.normal(size=(L, E)),
        "xb": x.swapaxes(0, 1).copy(), "kvb": kv.swapaxes(0, 1).copy(), "kb3": random.normal(size=(B, S, 3)),
        "vb4": random.normal(size=(B, S, 4)), "q": random.normal(size=(B, 4, L, 6)),
        "k": random.normal(size=(B, 4, S, 6)), "v": random.normal(size=(B, 4, S, 5)),
        "few_k": random.normal(size=(B, 2, S, 6)), "few_v": random.normal(size=(B, 2, S, 5)),
        "padding": padding, "own_padding": padding[:, :L].copy(), "shut": shut, "shut_by_head": by_head, "later": later,
        "float_shut": np.where(shut, -np.inf, random.normal(size=shut.shape)),
        "later_scores": np.where(later, -np.inf, 0.0), "bool_mask": random.random((L, S)) > 0.5,
        "float_mask": random.normal(size=(B, 1, 1, S)), "head_mask": random.random((4, 1, S)) > 0.5,
        "blind_mask": blind, "blind_scores": np.where(blind, random.normal(size=blind.shape), -np.inf),
    }  # fmt: skip


def parameter(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a parameter: random, but the same for its name."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(0.1, 0.5, shape)


def compute(library: Any, nn: Any, case: Case, given: dict[str, np.ndarray], device: str) -> dict[str, np.ndarray]:
    """The outputs of a case, and the gradients of inputs and parameters of the sum of their cubes, in float64."""

    def tensor(value: np.ndarray, **options: Any) -> Any:
        return library.tensor(value, device=device, **options)

    leaves = {name: tensor(given[name], requires_grad=True) for name in dict.fromkeys(case.inputs)}
    options = {k: tensor(given[v]) if isinstance(v, str) else v for k, v in case.options.items()}
    parameters: dict[str, Any] = {}
    if case.name.islower():
        function = getattr(nn.functional, case.name)
    else:
        function = getattr(nn, case.name)(**case.arguments).to(device, library.float64)
        state = {name: tensor(parameter(name, tuple(t.shape))) for name, t in function.state_dict().items()}
        function.load_state_dict(state)
        parameters = dict(function.named_parameters())
    made = function(*(leaves[name] for name in case.inputs), **options)
    outputs = [one for one in (made if isinstance(made, tuple) else (made,)) if one is not None]
    sum((one * one * one).sum() for one in outputs).backward()
    found = {f"output {k}": one.detach().numpy() for k, one in enumerate(outputs)}
    return found | {name: t.grad.numpy() for name, t in (leaves | parameters).items()}


def all_values(library: Any, nn: Any, given: dict[str, np.ndarray], device: str) -> dict[str, np.ndarray]:
    """Every value of every case: "case/what"."""
    return {
        f"{case}/{what}": value
        for case in CASES
        for what, value in compute(library, nn, case, given, device).items()
    }  # fmt: skip


def main() -> None:
    """Write ``attention_values.npz``."""
    import torch

    given = inputs()
    values = {f"input/{name}": value for name, value in given.items()}
    np.savez_compressed(VALUES, **values, **all_values(torch, torch.nn, given, "cpu"))
    print(f"{len(values)} inputs and the values of PyTorch {torch.__version__} are in {VALUES}")


if __name__ == "__main__":
    main()
