"""Operators of layers: convolutions, pools, normalization, resizing, recurrent layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.nn import functional as F
from nnkit.onnx.call import Call
from nnkit.tensors.tensor import Tensor


def _window(call: Call, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """The window that a node's attributes say, for an input of these sizes."""
    count = len(sizes)
    stride = tuple(call.get("strides", [1] * count))
    dilation = tuple(call.get("dilations", [1] * count))
    pads, auto = list(call.get("pads", [0] * 2 * count)), call.get("auto_pad", "NOTSET")
    if min([*stride, *dilation, *kernel, 1]) < 1 or min([*pads, 0]) < 0:
        raise call.wrong(
            f"has a window of kernel {list(kernel)}, strides {stride}, dilations {dilation} and pads {pads}"
        )
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * 2 * count
        for axis, size in enumerate(sizes):
            reach = dilation[axis] * (kernel[axis] - 1) + 1
            total = max((-(-size // stride[axis]) - 1) * stride[axis] + reach - size, 0)
            less = total // 2
            pads[axis], pads[count + axis] = (less, total - less) if auto == "SAME_UPPER" else (total - less, less)
    elif auto not in ("NOTSET", "VALID"):
        raise call.wrong(f"has auto_pad={auto!r}; ONNX has NOTSET, VALID, SAME_UPPER and SAME_LOWER")
    elif auto == "VALID":
        pads = [0] * 2 * count
    return Window(tuple(kernel), stride, tuple(zip(pads[:count], pads[count:], strict=True)), dilation)


def _convolved(call: Call) -> list[Any]:
    """Input, weights and bias; the node may say how large the kernel is, which has to be true."""
    x, w, b = (call.tensor(place) for place in range(3))
    kernel = tuple(call.get("kernel_shape", w.shape[2:]))
    if kernel != tuple(w.shape[2:]):
        raise call.wrong(f"has kernel_shape {kernel}, and its weights are of shape {tuple(w.shape)}")
    return [x, w, b]


def _conv(call: Call) -> Any:
    x, w, b = _convolved(call)
    return ops.conv(x, w, b, _window(call, x.shape[2:], w.shape[2:]), int(call.get("group", 1)))


def _conv_transpose(call: Call) -> Any:
    x, w, b = _convolved(call)
    call.only("auto_pad", "NOTSET", "VALID")
    window = _window(call, x.shape[2:], w.shape[2:])
    more = call.get("output_padding", [0] * len(window.kernel))
    whole = [s * (n - 1) + reach for s, n, reach in zip(window.stride, x.shape[2:], window.reach(), strict=True)]
    sizes = [n + e - sum(pair) for n, e, pair in zip(whole, more, window.padding, strict=True)]
    if "output_shape" in call.attributes:
        raise call.wrong("has output_shape, which nnkit.onnx does not know: say it by pads")
    call.room([x.shape[0], w.shape[1] * int(call.get("group", 1)), *sizes])
    return ops.conv_transpose(x, w, b, window, tuple(sizes), int(call.get("group", 1)))


def _pool_window(call: Call, x: Tensor) -> Window:
    window = _window(call, x.shape[2:], call.get("kernel_shape"))
    if not call.get("ceil_mode", 0):
        return window
    pads = []
    triples = zip(x.shape[2:], window.reach(), window.stride, window.padding, strict=True)
    for size, reach, step, (before, behind) in triples:
        count = -(-(size + before + behind - reach) // step) + 1
        count -= (count - 1) * step >= size + before  # one that begins behind the input
        pads.append((before, max((count - 1) * step + reach - size - before, behind)))
    return window._replace(padding=tuple(pads))


def _max_pool(call: Call) -> Any:
    x = call.tensor(0)
    if call.outputs > 1:
        raise call.wrong("gives the places of the greatest elements, which nnkit.onnx does not")
    return ops.max_pool(x, _pool_window(call, x))


def _average_pool(call: Call) -> Any:
    x = call.tensor(0)
    window, plain = _pool_window(call, x), _window(call, x.shape[2:], call.get("kernel_shape"))
    total = ops.sum_pool(x, window)
    if window == plain and (call.get("count_include_pad", 0) or not any(map(any, window.padding))):
        return total / math.prod(window.kernel)
    ones = np.ones((1, 1, *x.shape[2:]))
    if call.get("count_include_pad", 0):  # places that ceil_mode adds do not count
        ones = np.pad(ones, [(0, 0), (0, 0), *plain.padding], constant_values=1.0)
        rest = tuple((0, more - there) for (_, more), (_, there) in zip(window.padding, plain.padding, strict=True))
        counted = window._replace(padding=rest)
    else:
        counted = window
    count = ops.sum_pool(Tensor(call.backend.asarray(ones.astype(x.dtype)), call.backend), counted)
    return total / count


def _global(function: Callable[..., Any]) -> Callable[[Call], Any]:
    def word(call: Call) -> Any:
        x = call.tensor(0)
        return function(x, tuple(range(2, x.ndim)), True)

    return word


# ---- normalization --------------------------------------------------------------------------------------------------


def _batch_norm(call: Call) -> Any:
    call.only("training_mode", 0)
    x, scale, shift, mean, variance = (call.tensor(place) for place in range(5))
    flat = ops.reshape(x, (x.shape[0], x.shape[1] if x.ndim > 1 else 1, -1))
    y = ops.normalize_by(flat, mean, variance, scale, shift, float(call.get("epsilon", 1e-5)))
    return ops.reshape(y, x.shape)


def _layer_norm(call: Call) -> Any:
    x, scale, shift = (call.tensor(place) for place in range(3))
    if call.outputs > 1:
        raise call.wrong("gives its statistics, which nnkit.onnx does not")
    axis = int(call.get("axis", -1)) % x.ndim
    rows, width = math.prod(x.shape[:axis]), math.prod(x.shape[axis:])
    y, _, _ = ops.normalize(ops.reshape(x, (rows, width, 1)), None, None, 1, float(call.get("epsilon", 1e-5)))
    y = ops.reshape(y, x.shape) * scale
    return y if shift is None else y + shift


def _rms_norm(call: Call) -> Any:
    x, scale = call.tensor(0), call.tensor(1)
    axis = int(call.get("axis", -1)) % x.ndim
    rows, width = math.prod(x.shape[:axis]), math.prod(x.shape[axis:])
    flat = ops.reshape(x, (rows, width, 1))
    y, _, _ = ops.normalize(flat, None, None, 1, float(call.get("epsilon", 1e-5)), centred=False)
    return ops.reshape(y, x.shape) * scale


def _by_group(call: Call) -> Any:
    x, scale, shift = (call.tensor(place) for place in range(3))
    groups = x.shape[1] if call.op == "InstanceNormalization" else int(call.get("num_groups"))
    flat = ops.reshape(x, (x.shape[0], x.shape[1], -1))
    if scale.shape != x.shape[1:2]:
        raise call.wrong(f"has a scale of shape {scale.shape} for {x.shape[1]} channels")
    y, _, _ = ops.normalize(flat, scale, shift, groups, float(call.get("epsilon", 1e-5)))
    return ops.reshape(y, x.shape)


def _lrn(call: Call) -> Any:
    size, x = int(call.get("size")), call.tensor(0)
    alpha, beta, bias = (
        float(call.get(name, value)) for name, value in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    before = (size - 1) // 2
    squares = ops.reshape(ops.square(x), (x.shape[0], 1, x.shape[1], -1))
    window = Window((size, 1), (1, 1), ((before, size - 1 - before), (0, 0)), (1, 1))
    around = ops.reshape(ops.sum_pool(squares, window), x.shape)
    return x / (around * (alpha / size) + bias) ** beta


# ---- resizing -------------------------------------------------------------------------------------------------------

#: How a place of the output is one of the input: coordinate_transformation_mode and mode -> F.interpolate's arguments.
RESIZED: dict[tuple[str, str], dict[str, Any]] = {
    ("asymmetric", "nearest"): {"mode": "nearest"},
    ("half_pixel", "nearest"): {"mode": "nearest-exact"},
    ("half_pixel", "linear"): {"mode": "linear", "align_corners": False},
    ("pytorch_half_pixel", "linear"): {"mode": "linear", "align_corners": False},
    ("align_corners", "linear"): {"mode": "linear", "align_corners": True},
}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _there(values: np.ndarray | None) -> np.ndarray:
    return np.ones(0) if values is None else values


def _resize(call: Call) -> Any:
    x, scales, sizes = call.tensor(0), call.host(2), call.integers(3)
    kind = call.get("coordinate_transformation_mode", "half_pixel"), call.get("mode", "nearest")
    wanted = RESIZED.get(kind)
    rounding = call.get("nearest_mode", "round_prefer_floor")
    fits = kind[1] != "nearest" or rounding == ("floor" if kind[0] == "asymmetric" else "round_prefer_floor")
    if wanted is None or not fits or "axes" in call.attributes or call.get("antialias", 0):
        raise call.wrong(
            f"resizes by mode={kind[1]!r}, coordinate_transformation_mode={kind[0]!r}, nearest_mode={rounding!r}; "
            f"known are {', '.join(map(str, RESIZED))}, nearest by 'floor' or by 'round_prefer_floor'"
        )
    if sizes is None:
        sizes = [math.floor(n * float(s)) for n, s in zip(x.shape, np.ravel(_there(scales)), strict=True)]
    if tuple(sizes[:2]) != x.shape[:2]:
        raise call.wrong(f"resizes samples or channels, {x.shape} to {tuple(sizes)}")
    call.room(sizes)
    mode = LINEAR.get(x.ndim - 2, "") if wanted["mode"] == "linear" else wanted["mode"]
    return F.interpolate(x, tuple(sizes[2:]), **{**wanted, "mode": mode})


# ---- recurrent layers -----------------------------------------------------------------------------------------------

#: Of our gates, in order, which of ONNX's each is.
GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}


def _recurrent(call: Call) -> Any:
    directions = 2 if call.get("direction", "forward") == "bidirectional" else 1
    kind = _kind(call, directions)
    x, w, r, bias = (call.tensor(place) for place in range(4))
    states = [call.tensor(place) for place in (5, 6)]
    call.only("layout", 0)
    H = r.shape[2]
    tokens, found = ops.permute(x, (1, 0, 2)), []
    for side in range(directions):
        weights = [_ours(call.op, w[side], H), _ours(call.op, r[side], H)]
        if bias is not None:
            weights += [_ours(call.op, part, H) for part in ops.chunk(bias[side], 2)]
        first = [None if state is None else state[side] for state in states]
        back = side == 1 or call.get("direction", "forward") == "reverse"
        found.append(ops.recurrence(tokens, weights, kind, first[0], first[1], reverse=back))
    y = ops.stack([ops.permute(one[0], (1, 0, 2)) for one in found], 1)
    last = [ops.stack([one[1] for one in found], 0)]
    if call.op == "LSTM":
        last.append(ops.stack([one[2] for one in found if one[2] is not None], 0))
    return [y, *last]


def _ours(op: str, t: Tensor, H: int) -> Tensor:
    """Weights with the gates in our order."""
    order = GATES[op]
    return t if len(order) == 1 else ops.cat([t[gate * H : (gate + 1) * H] for gate in order], 0)


def _kind(call: Call, directions: int) -> str:
    """Which layer of ours this is; refuses what none is."""
    activations = list(call.get("activations", [])) or None
    if call.given(4) is not None:
        raise call.wrong("has lengths of sequences, which nnkit.onnx does not know")
    if call.given(7) is not None or call.get("clip") or call.get("input_forget", 0):
        raise call.wrong("has peepholes, a clip or coupled gates, which nnkit.onnx does not know")
    if call.op == "RNN":
        names = {name.lower() for name in activations or ["Tanh"]}
        if len(names) == 1 and names <= {"tanh", "relu"}:
            return names.pop()
    elif activations in (None, list(ACTIVATIONS[call.op]) * directions):
        if call.op == "LSTM":
            return "lstm"
        if call.get("linear_before_reset", 0):
            return "gru"
        raise call.wrong("has linear_before_reset=0: nnkit's GRU, as PyTorch's, has 1")
    raise call.wrong(f"has the activations {activations}, which nnkit.onnx does not know")


WORDS: dict[str, Callable[[Call], Any]] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _max_pool, "AveragePool": _average_pool,
    "GlobalAveragePool": _global(ops.mean), "GlobalMaxPool": _global(ops.amax), "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm, "RMSNormalization": _rms_norm, "InstanceNormalization": _by_group,
    "GroupNormalization": _by_group, "LRN": _lrn, "Resize": _resize, "LSTM": _recurrent, "GRU": _recurrent,
    "RNN": _recurrent,
}  # fmt: skip
