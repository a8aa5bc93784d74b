"""Every module of nnkit.nn that a file of ONNX can say, with an example: name -> (module, shapes of the inputs).

A shape that ends in "i" is of whole numbers from 0 to 4. The batch is axis 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nnkit
from nnkit import nn
from nnkit.nn import functional as F

Case = tuple[Callable[[], nn.Module], tuple[Any, ...]]
ROW, PLACES, IMAGE, VOLUME = (3, 6), (3, 4, 8), (2, 4, 6, 8), (2, 2, 4, 4, 6)
TOKENS = (3, 5, 8)


class Lambda(nn.Module):
    """Any function of tensors, and parts that it uses."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def own(function: Callable[..., Any], *shapes: Any, **parts: Callable[[], Any]) -> Case:
    """A module with a forward pass of its own."""
    return lambda: Lambda(function, **{name: make() for name, make in parts.items()}), shapes


def ready(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """With statistics that are not those of a new module."""

    def made() -> nn.Module:
        module = make()
        generator = np.random.default_rng(5)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.copy_(nnkit.tensor(generator.uniform(0.5, 2.0, buffer.shape).astype(np.float32)))
        return module

    return made


ACTIVATIONS = {
    name: (lambda name=name, args=args: getattr(nn, name)(*args), (ROW,))
    for name, args in {
        "ReLU": (), "LeakyReLU": (0.2,), "ELU": (0.7,), "SELU": (), "GELU": (), "SiLU": (), "Mish": (), "Sigmoid": (),
        "Tanh": (), "Softplus": (2.0,), "Softsign": (), "Hardtanh": (-0.5, 0.7), "ReLU6": (), "Hardsigmoid": (),
        "Hardswish": (), "Threshold": (0.1, 2.0), "Hardshrink": (), "Softshrink": (0.3,), "Tanhshrink": (),
        "CELU": (0.6,), "LogSigmoid": (), "GLU": (), "PReLU": (), "RReLU": (), "Softmax": (-1,), "LogSoftmax": (-1,),
        "Softmin": (-1,), "Identity": (), "Flatten": (), "Dropout": (0.5,),
    }.items()
}  # fmt: skip

LAYERS: dict[str, Case] = {
    "GELU tanh": (lambda: nn.GELU("tanh"), (ROW,)),
    "Softmax of channels": (lambda: nn.Softmax(1), (IMAGE,)),
    "Softmax2d": (lambda: nn.Softmax2d(), (IMAGE,)),
    "PReLU of channels": (lambda: nn.PReLU(4), (IMAGE,)),
    "Linear": (lambda: nn.Linear(6, 4), (ROW,)),
    "Linear without bias": (lambda: nn.Linear(6, 4, bias=False, activation="silu"), (ROW,)),
    "Linear of tokens": (lambda: nn.Linear(8, 3, activation="tanh"), (TOKENS,)),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), (ROW,)),
    "Reshape": (lambda: nn.Reshape((3, 2)), (ROW,)),
    "Bilinear form": own(lambda m, x, y: (x @ m.w * y).sum(-1), ROW, ROW, w=lambda: nn.Parameter(nnkit.randn(6, 6))),
    "Sequential": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Dropout(), nn.Linear(5, 2)), (ROW,)),
    "ModuleList": own(
        lambda m, x: sum(part(x) for part in m.parts), ROW,
        parts=lambda: nn.ModuleList([nn.Linear(6, 2), nn.Linear(6, 2)]),
    ),
    "shared weights": own(lambda m, x: m.one(F.relu(m.one(x))), ROW, one=lambda: nn.Linear(6, 6)),
    "TableInput": (lambda: nn.TableInput(5, [(6, 3)]), ((3, 6),)),
    "Embedding": (lambda: nn.Embedding(5, 3, padding_idx=0), ((3, 4, "i"),)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(5, 3, mode="mean"), ((3, 4, "i"),)),
    "EmbeddingBag sum": (lambda: nn.EmbeddingBag(5, 3, mode="sum"), ((3, 4, "i"),)),
    "EmbeddingBag max": (lambda: nn.EmbeddingBag(5, 3, mode="max"), ((3, 4, "i"),)),
    "CosineSimilarity": (lambda: nn.CosineSimilarity(), (ROW, ROW)),
    "PairwiseDistance": (lambda: nn.PairwiseDistance(), (ROW, ROW)),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (PLACES,)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), padding=1, dilation=2, groups=2), (IMAGE,)),
    "Conv2d same": (lambda: nn.Conv2d(4, 3, 4, padding="same", bias=False), (IMAGE,)),
    "Conv2d reflect": (lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), (IMAGE,)),
    "Conv2d circular": (lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"), (IMAGE,)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2, stride=2), (VOLUME,)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 3, 3, stride=2, padding=1, output_padding=1), (PLACES,)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (IMAGE,)),
    "ConvTranspose2d plain": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=(2, 1), padding=1), (IMAGE,)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 3, 2, stride=2, padding=1), (VOLUME,)),
    "Unfold": (lambda: nn.Unfold((2, 3), padding=1, stride=2), (IMAGE,)),
    "Fold": (lambda: nn.Fold((4, 5), (2, 2)), ((2, 8, 12),)),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, stride=2, padding=1), (PLACES,)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2, ceil_mode=True, dilation=2), (IMAGE,)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), (VOLUME,)),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, stride=1, padding=1), (PLACES,)),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, padding=1, count_include_pad=False), (IMAGE,)),
    "AvgPool2d ceil": (lambda: nn.AvgPool2d(4, stride=3, ceil_mode=True), (IMAGE,)),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), (VOLUME,)),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(3), (PLACES,)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(1), (IMAGE,)),
    "AdaptiveAvgPool2d uneven": (lambda: nn.AdaptiveAvgPool2d((4, 3)), (IMAGE,)),
    "AdaptiveAvgPool3d": (lambda: nn.AdaptiveAvgPool3d(2), (VOLUME,)),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(3), (PLACES,)),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((3, 4)), (IMAGE,)),
    "BatchNorm1d": (ready(lambda: nn.BatchNorm1d(6)), (ROW,)),
    "BatchNorm1d of places": (ready(lambda: nn.BatchNorm1d(4)), (PLACES,)),
    "BatchNorm2d": (ready(lambda: nn.BatchNorm2d(4)), (IMAGE,)),
    "BatchNorm2d plain": (ready(lambda: nn.BatchNorm2d(4, affine=False)), (IMAGE,)),
    "BatchNorm2d of the batch": (lambda: nn.BatchNorm2d(4, track_running_stats=False), (IMAGE,)),
    "BatchNorm3d": (ready(lambda: nn.BatchNorm3d(2)), (VOLUME,)),
    "SyncBatchNorm": (ready(lambda: nn.SyncBatchNorm(4)), (IMAGE,)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(4), (PLACES,)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), (IMAGE,)),
    "InstanceNorm3d": (lambda: nn.InstanceNorm3d(2), (VOLUME,)),
    "LayerNorm": (lambda: nn.LayerNorm(8), (TOKENS,)),
    "LayerNorm of two axes": (lambda: nn.LayerNorm((5, 8), elementwise_affine=False), (TOKENS,)),
    "RMSNorm": (lambda: nn.RMSNorm(8), (TOKENS,)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (IMAGE,)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), (IMAGE,)),
    "ReflectionPad1d": (lambda: nn.ReflectionPad1d(2), (PLACES,)),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d(1), (IMAGE,)),
    "ReplicationPad1d": (lambda: nn.ReplicationPad1d(2), (PLACES,)),
    "ReplicationPad2d": (lambda: nn.ReplicationPad2d(1), (IMAGE,)),
    "CircularPad1d": (lambda: nn.CircularPad1d(2), (PLACES,)),
    "CircularPad2d": (lambda: nn.CircularPad2d(1), (IMAGE,)),
    "ZeroPad1d": (lambda: nn.ZeroPad1d((1, -2)), (PLACES,)),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(1), (IMAGE,)),
    "ConstantPad1d": (lambda: nn.ConstantPad1d(1, 0.5), (PLACES,)),
    "ConstantPad2d": (lambda: nn.ConstantPad2d((0, 1, 2, 0), -1.0), (IMAGE,)),
    "Upsample nearest": (lambda: nn.Upsample(scale_factor=2), (IMAGE,)),
    "Upsample linear": (lambda: nn.Upsample(size=5, mode="linear"), (PLACES,)),
    "Upsample bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), (IMAGE,)),
    "Upsample trilinear": (lambda: nn.Upsample(scale_factor=2, mode="trilinear"), (VOLUME,)),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d(scale_factor=2), (IMAGE,)),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d(size=(7, 5)), (IMAGE,)),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), (IMAGE,)),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), (IMAGE,)),
    "Dropout1d": (lambda: nn.Dropout1d(), (PLACES,)),
    "Dropout2d": (lambda: nn.Dropout2d(), (IMAGE,)),
    "Dropout3d": (lambda: nn.Dropout3d(), (VOLUME,)),
    "RNN": (lambda: nn.RNN(8, 4, 2, batch_first=True), (TOKENS,)),
    "RNN relu": (lambda: nn.RNN(8, 4, nonlinearity="relu", bias=False, batch_first=True), (TOKENS,)),
    "LSTM": (lambda: nn.LSTM(8, 4, bidirectional=True, batch_first=True), (TOKENS,)),
    "LSTM of two layers": (lambda: nn.LSTM(8, 4, 2, batch_first=True), (TOKENS,)),
    "LSTM with a state": own(
        lambda m, x, h, c: m.r(x, (h[None], c[None])), TOKENS, (3, 4), (3, 4),
        r=lambda: nn.LSTM(8, 4, batch_first=True),
    ),
    "GRU": (lambda: nn.GRU(8, 4, 2, bidirectional=True, batch_first=True), (TOKENS,)),
    "RNNCell": (lambda: nn.RNNCell(6, 4), (ROW,)),
    "LSTMCell": (lambda: nn.LSTMCell(6, 4), (ROW,)),
    "GRUCell": (lambda: nn.GRUCell(6, 4), (ROW,)),
    "loop over a cell": own(lambda m, x: _unrolled(m.cell, x), TOKENS, cell=lambda: nn.GRUCell(8, 4)),
    "MultiheadAttention": own(
        lambda m, x: m.a(x, x, x)[0], TOKENS, a=lambda: nn.MultiheadAttention(8, 2, batch_first=True)
    ),
    "attention to another": own(
        lambda m, x, y: m.a(x, y, y), TOKENS, (3, 4, 8), a=lambda: nn.MultiheadAttention(8, 2, batch_first=True)
    ),
    "causal attention": own(lambda m, x: F.scaled_dot_product_attention(x, x, x, is_causal=True), (3, 2, 4, 6)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (TOKENS,)),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True), 2
        ),
        (TOKENS,),
    ),
    "TransformerDecoderLayer": (lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), (TOKENS, (3, 4, 8))),
    "Transformer": (lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True), (TOKENS, (3, 4, 8))),
    "SinusoidalPositions": (lambda: nn.SinusoidalPositions(8), (TOKENS,)),
    "RotaryPositions": (lambda: nn.RotaryPositions(6), ((3, 2, 5, 6),)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)), (ROW,)),
    "DataParallel": (lambda: nn.DataParallel(nn.Linear(6, 3)), (ROW,)),
}  # fmt: skip

FORWARDS: dict[str, Case] = {
    "arithmetic": own(lambda m, x, y: ((x + 1) * y - 2 / (y * y + 1)) ** 2 // 1 % 3, ROW, ROW),
    "elementary": own(lambda m, x: x.sin() + x.cos().exp().log1p() + (x.abs() + 1).sqrt() + x.erf() + x.expm1(), ROW),
    "rounding": own(lambda m, x: x.floor() + x.ceil() + x.round() + x.sign() + x.trunc(), ROW),
    "choice": own(lambda m, x: nnkit.where((x > 0) & ~(x > 1), x, x.clamp(-0.5, 0.5)), ROW),
    "masked": own(lambda m, x: x.masked_fill(x != x.abs(), -1.0), ROW),
    "reductions": own(
        lambda m, x: x.sum(1) + x.mean((1, 2)).unsqueeze(1) + x.amax(2).mean(1, True) + x.std(-1).prod(1, True),
        (3, 4, 4),
    ),
    "norms": own(lambda m, x: x / x.norm(dim=1, keepdim=True) + x.logsumexp(1, True), ROW),
    "of the batch": own(lambda m, x: x - x.mean(0) + x.sum(0, keepdim=True) / x.shape[0], ROW),
    "positions": own(lambda m, x: (x.argmax(1), x.argmin(-1, keepdim=True), x.max(1)[0]), ROW),
    "orders": own(lambda m, x: (*x.sort(1), *x.topk(2), x.cumsum(1), x.median(1)[0]), ROW),
    "shapes": own(lambda m, x: x.view(x.shape[0], 2, -1).transpose(1, 2).flatten(1).unsqueeze(0).squeeze(0), ROW),
    "rows in one axis": own(lambda m, x: F.relu(x.reshape(-1, 8)).reshape(x.shape[0], -1, 8).sum(1), TOKENS),
    "parts": own(lambda m, x: nnkit.cat([x[:, 1:3], x[:, -2:], x[..., ::2], x[:, 0][:, None]], 1) + x[:, 4:5], ROW),
    "backwards": own(lambda m, x: x.flip(1) + x.roll(1, 1), ROW),
    "chosen columns": own(lambda m, x: x[:, [0, 2, 2]] + x.index_select(1, nnkit.tensor([1, 0, 3])), ROW),
    "chosen by the input": own(
        lambda m, x, i: x.gather(1, i) + x[nnkit.arange(x.shape[0]), i[:, 0]][:, None], ROW, (3, 2, "i")
    ),
    "rows by the input": own(lambda m, i: m.table[i], (3, 2, "i"), table=lambda: nn.Parameter(nnkit.randn(5, 3))),
    "rows of a weight": own(
        lambda m, x: x @ m.w[:6].T + m.w[: x.shape[0]], ROW, w=lambda: nn.Parameter(nnkit.randn(8, 6))
    ),
    "one hot": own(lambda m, i: F.one_hot(i, 5).float() @ m.w, (3, "i"), w=lambda: nn.Parameter(nnkit.randn(5, 2))),
    "stacked": own(lambda m, x, y: nnkit.stack([x, y], 1).repeat(1, 2, 1), ROW, ROW),
    "split": own(lambda m, x: [part * k for k, part in enumerate(x.chunk(3, 1), 1)], ROW),
    "a dict": own(lambda m, x: {"twice": x * 2, "sum": x.sum(1)}, ROW),
    "products": own(lambda m, x, y: nnkit.einsum("bij,bkj->bik", x, y) + nnkit.bmm(x, y.mT), TOKENS, TOKENS),
    "in place": own(lambda m, x: _in_place(x), ROW),
    "scattered": own(lambda m, x, i: nnkit.zeros(x.shape[0], 5).scatter_add(1, i, x), (3, 2), (3, 2, "i")),
    "whole numbers": own(lambda m, i: (i * 2 + 1) // 3 % 4, (3, 4, "i")),
    "a constant beside": own(lambda m, x: x + nnkit.arange(6) * nnkit.ones(x.shape[0], 1), ROW),
    "a loss": own(
        lambda m, x, y: F.mse_loss(x, y, reduction="none").mean(1) + F.huber_loss(x, y, reduction="none").sum(1),
        ROW, ROW,
    ),
    "cross entropy": own(lambda m, x, i: F.cross_entropy(x, i, reduction="none"), (3, 5), (3, "i")),
}  # fmt: skip


def _unrolled(cell: Any, x: Any) -> Any:
    h = nnkit.zeros(x.shape[0], 4)
    out = nnkit.zeros(x.shape[0], x.shape[1], 4)
    for t in range(x.shape[1]):
        h = cell(x[:, t], h)
        out[:, t] = h
    return out, h


def _in_place(x: Any) -> Any:
    y = x.clone()
    y += 1
    y.mul_(x)
    y[:, 1:3] = 0.5
    y[:, -1] = x[:, 0]
    z = y * 2
    z.zero_()
    z += y
    return z


LOSSES: dict[str, Case] = {
    name: (lambda name=name, given=given: getattr(nn, name)(**given), shapes)
    for name, given, shapes in (
        ("MSELoss", {}, (ROW, ROW)), ("L1Loss", {"reduction": "sum"}, (ROW, ROW)), ("HuberLoss", {}, (ROW, ROW)),
        ("SmoothL1Loss", {}, (ROW, ROW)), ("BCEWithLogitsLoss", {}, (ROW, ROW)), ("KLDivLoss", {}, (ROW, ROW)),
        ("CrossEntropyLoss", {}, ((3, 5), (3, "i"))), ("NLLLoss", {}, ((3, 5), (3, "i"))),
        ("SoftMarginLoss", {}, (ROW, ROW)), ("GaussianNLLLoss", {"reduction": "none"}, (ROW, ROW, ROW)),
        ("PoissonNLLLoss", {}, (ROW, ROW)), ("HingeEmbeddingLoss", {}, (ROW, ROW)),
        ("TripletMarginLoss", {}, (ROW, ROW, ROW)),
        ("CosineEmbeddingLoss", {}, (ROW, ROW, (3,))), ("MarginRankingLoss", {}, ((3,), (3,), (3,))),
        ("MultiMarginLoss", {}, ((3, 5), (3, "i"))),
    )
}  # fmt: skip
CASES = {**LOSSES, **ACTIVATIONS, **LAYERS, **FORWARDS}


def example(shapes: tuple[Any, ...], rows: int | None = None, seed: int = 0) -> list[np.ndarray]:
    """Inputs of these shapes, with another number of rows where given."""
    generator, made = np.random.default_rng(seed), []
    for shape in shapes:
        whole = shape[-1] == "i"
        sizes = shape[:-1] if whole else shape
        sizes = sizes if rows is None else (rows, *sizes[1:])
        made.append(generator.integers(0, 5, sizes) if whole else generator.normal(size=sizes).astype(np.float32))
    return made
