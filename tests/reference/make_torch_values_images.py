"""What PyTorch computes for the layers of images, stored in ``images_values.npz``.

A case is the text of a module or function and the shape of its input; its text is the same in both libraries, so
``compute(torch, torch.nn, ...)`` made the stored values, and ``compute(nnkit, nnkit.nn, ...)`` must give them again.
Run it where PyTorch is installed: ``python tests/reference/make_torch_values_images.py``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("images_values.npz")

Shape = tuple[int, ...]
#: The text of a module or, with ``x``, of an expression -> shapes of inputs.
CASES: dict[str, tuple[Shape, ...]] = {
    # ---- convolutions: 1, 2 and 3 axes, with every argument; even kernels, 1 x 1, larger strides than kernels
    "Conv1d(3, 4, 3)": ((2, 3, 9), (1, 3, 3)),
    "Conv1d(4, 6, 2, stride=3, padding=1, dilation=2, groups=2)": ((2, 4, 11),),
    "Conv1d(2, 3, 4, padding='same', padding_mode='circular')": ((2, 2, 7),),
    "Conv2d(1, 5, 3)": ((2, 1, 6, 7),),
    "Conv2d(3, 4, 3, padding=1)": ((2, 3, 5, 6), (0, 3, 5, 6), (3, 5, 6)),
    "Conv2d(3, 4, 1)": ((2, 3, 4, 5),),
    "Conv2d(3, 4, 1, stride=2, bias=False)": ((2, 3, 5, 5),),
    "Conv2d(2, 3, 2, padding='same')": ((2, 2, 5, 4),),
    "Conv2d(2, 3, (3, 2), stride=(2, 3), padding=(1, 0), dilation=(1, 2))": ((2, 2, 7, 9),),
    "Conv2d(4, 8, 3, groups=4, padding=1)": ((2, 4, 5, 5),),
    "Conv2d(4, 6, 3, groups=2, stride=2)": ((2, 4, 7, 7),),
    "Conv2d(2, 2, 2, stride=3)": ((2, 2, 8, 8),),
    "Conv2d(2, 3, 3, padding='valid', dilation=2)": ((2, 2, 7, 6),),
    "Conv2d(2, 3, 5, padding=2)": ((1, 2, 3, 3),),
    "Conv2d(2, 3, 3, padding=1, padding_mode='reflect')": ((2, 2, 4, 5),),
    "Conv2d(2, 3, 3, padding=(2, 1), padding_mode='replicate')": ((2, 2, 4, 5),),
    "Conv2d(17, 33, 3, padding=1)": ((2, 17, 9, 8),),
    "Conv3d(2, 3, (2, 3, 2), stride=(1, 2, 1), padding=1)": ((2, 2, 4, 5, 3),),
    "ConvTranspose1d(3, 2, 3, stride=2, padding=1, output_padding=1)": ((2, 3, 5),),
    "ConvTranspose2d(3, 4, 3)": ((2, 3, 4, 5), (3, 4, 5)),
    "ConvTranspose2d(4, 6, (2, 3), stride=2, padding=1, output_padding=(1, 0), groups=2)": ((2, 4, 4, 3),),
    "ConvTranspose2d(3, 2, 2, stride=3, dilation=2, bias=False)": ((2, 3, 3, 3),),
    "Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))": ((2, 2, 6, 6),),
    "Sequential(nn.Conv2d(2, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(64, 3))": ((2, 2, 6, 6),),
    "Unfold((2, 3), dilation=(1, 2), padding=1, stride=2)": ((2, 2, 6, 7),),
    "Fold((5, 6), (2, 3), stride=(1, 2), padding=(0, 1))": ((2, 12, 12),),
    # ---- pools
    "MaxPool1d(3, stride=2, padding=1)": ((2, 3, 8), (3, 8)),
    "MaxPool2d(2)": ((2, 3, 6, 7),),
    "MaxPool2d(3, stride=2, padding=1, ceil_mode=True)": ((2, 2, 6, 6),),
    "MaxPool2d((2, 3), stride=1, dilation=(2, 1))": ((2, 2, 5, 6),),
    "MaxPool3d(2)": ((1, 2, 4, 4, 5),),
    "AvgPool1d(3, stride=2, padding=1)": ((2, 3, 8),),
    "AvgPool2d(2)": ((2, 3, 6, 7),),
    "AvgPool2d(3, stride=2, padding=1, ceil_mode=True)": ((2, 2, 6, 6),),
    "AvgPool2d(3, stride=2, padding=1, count_include_pad=False)": ((2, 2, 6, 7),),
    "AvgPool2d((2, 3), divisor_override=5)": ((2, 2, 6, 7),),
    "AdaptiveAvgPool1d(3)": ((2, 2, 7),),
    "AdaptiveAvgPool2d(1)": ((2, 3, 5, 4),),
    "AdaptiveAvgPool2d((3, None))": ((2, 2, 7, 4),),
    "AdaptiveMaxPool2d((2, 3))": ((2, 2, 4, 7),),
    # ---- normalization
    "BatchNorm1d(3)": ((4, 3), (4, 3, 5)),
    "BatchNorm2d(3)": ((2, 3, 4, 5),),
    "BatchNorm2d(3, momentum=None, affine=False)": ((2, 3, 4, 5),),
    "BatchNorm2d(3, track_running_stats=False)": ((2, 3, 4, 5),),
    "BatchNorm2d(3).eval()": ((2, 3, 4, 5),),
    "LayerNorm(7)": ((3, 7), (2, 3, 7)),
    "LayerNorm((3, 4), bias=False)": ((2, 3, 4),),
    "LayerNorm(5, elementwise_affine=False)": ((3, 5),),
    "RMSNorm(6)": ((3, 6),),
    "GroupNorm(2, 4)": ((2, 4, 3, 5), (3, 4)),
    "InstanceNorm1d(3)": ((2, 3, 6),),
    "InstanceNorm2d(3, affine=True, track_running_stats=True)": ((2, 3, 4, 4),),
    "LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0)": ((2, 5, 3, 3),),
    # ---- padding and resizing
    "ConstantPad2d((1, 2, 0, 3), 0.5)": ((2, 2, 3, 4),),
    "ZeroPad2d((1, -1, 0, 2))": ((2, 2, 3, 4),),
    "ReflectionPad2d((2, 1, 1, 0))": ((2, 2, 3, 4),),
    "ReplicationPad2d((5, 1, 1, 0))": ((2, 2, 3, 4),),
    "CircularPad2d((2, 1, 1, 0))": ((2, 2, 3, 4),),
    "Upsample(scale_factor=2)": ((2, 2, 3, 4),),
    "Upsample(size=(5, 3), mode='nearest-exact')": ((2, 2, 3, 4),),
    "Upsample(scale_factor=(1.5, 2.3), mode='bilinear')": ((2, 2, 4, 5),),
    "Upsample(size=(5, 7), mode='bilinear', align_corners=True)": ((2, 2, 3, 4),),
    "Upsample(size=9, mode='linear')": ((2, 2, 4),),
    "PixelShuffle(2)": ((2, 8, 3, 2),),
    "PixelUnshuffle(2)": ((2, 2, 4, 6),),
}  # fmt: skip


def all_cases() -> list[tuple[str, Shape]]:
    """Each text with each of its shapes."""
    return [(text, shape) for text, shapes in CASES.items() for shape in shapes]


def key_of(text: str, shape: Shape) -> str:
    """A key for a case."""
    return f"{text} of {'x'.join(map(str, shape))}"


def numbers(shape: Shape, seed: int) -> np.ndarray:
    """Numbers of an input or a parameter: no two alike."""
    random = np.random.default_rng([seed, *shape])
    return random.permutation(math.prod(shape)).reshape(shape) / 8.0 % 3.0 - 1.5 + random.uniform(size=shape) / 8.0


def compute(library: Any, nn: Any, text: str, shape: Shape, dtype: str, device: str) -> dict[str, np.ndarray]:
    """The output, and the gradients of a weighted sum of it: of the input and of every parameter; and the buffers."""
    module = eval(f"nn.{text}", {"nn": nn})
    kind = getattr(library, dtype)
    module = module.to(device=device, dtype=kind)
    tensor = lambda values: library.tensor(values.tolist(), dtype=kind, device=device).reshape(values.shape)  # noqa: E731
    with library.no_grad():
        for number, (_, parameter) in enumerate(module.named_parameters()):
            parameter.copy_(tensor(numbers(tuple(parameter.shape), number)))
    x = tensor(numbers(shape, 99)).requires_grad_()
    y = module(x)
    (y * tensor(numbers(tuple(y.shape), 77))).sum().backward()
    found = {"output": y, "input": x.grad}
    found |= {name: parameter.grad for name, parameter in module.named_parameters()}
    found |= {name: buffer for name, buffer in module.named_buffers() if buffer.ndim}
    return {name: np.array(value.detach().cpu().numpy()) for name, value in found.items()}


def all_values(library: Any, nn: Any) -> dict[str, np.ndarray]:
    """What a library computes in float64."""
    return {
        f"{key_of(text, shape)}/{name}": value
        for text, shape in all_cases()
        for name, value in compute(library, nn, text, shape, "float64", "cpu").items()
    }


if __name__ == "__main__":
    import torch

    np.savez_compressed(VALUES, **all_values(torch, torch.nn))
