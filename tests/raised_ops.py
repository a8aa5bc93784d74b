"""Wrong calls of the ops that ``nnkit.ops`` has beside PyTorch's words; see ``raised``."""

from __future__ import annotations

WINDOW = "nnkit.backends.windows.Window((2,), (2,), ((0, 0),), (1,))"
WIDE = "nnkit.backends.windows.Window((9,), (1,), ((0, 0),), (1,))"
OF_OPS: tuple[tuple[str, str, str, str], ...] = (
    # ---- layers
    ("nnkit.ops", "UnknownNameError", "{}(ones(2), 'x')", "activation"),
    ("nnkit.ops", "TypeError", "{}('x', 'relu')", "activation"),
    ("nnkit.ops", "ShapeError", "{}(ones(1, 2), ones(3, 3))", "linear"),
    ("nnkit.ops", "ShapeError", "{}(ones(1, 2), ones(3, 2).long())", "linear"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), tensor([1]))", "embedding"),
    ("nnkit.ops", "DtypeError", "{}(ones(2, 2), ones(1))", "embedding take_rows"),
    ("nnkit.ops", "IndexError", "{}(ones(2, 2), tensor([2]))", "embedding take_rows"),
    ("nnkit.ops", "DtypeError", "{}(ones(1, 3, 2).long())", "normalize"),
    ("nnkit.ops", "DtypeError", "{}(ones(1, 3, 2).long(), zeros(3), ones(3))", "normalize_by"),
    ("nnkit.ops", "ShapeError", "{}(ones(1, 3, 2), groups=2)", "normalize"),
    ("nnkit.ops", "ShapeError", "{}(ones(1, 3, 2), zeros(3), ones(3), ones(2))", "normalize_by"),
    ("nnkit.ops", "DtypeError", "{}(ones(2, 5, 3).long(), [ones(4, 3), ones(4, 4)], 'tanh')", "recurrence"),
    ("nnkit.ops", "ShapeError", "{}(ones(2, 5, 3), [ones(4, 4), ones(4, 4)], 'tanh')", "recurrence"),
    ("nnkit.ops", "UnknownNameError", "{}(ones(2, 5, 3), [ones(4, 3), ones(4, 4)], 'x')", "recurrence"),
    # ---- attention
    ("nnkit.ops", "ShapeError", "{}(ones(1, 1, 2, 3), ones(1, 1, 2, 4))", "attention_weights"),
    ("nnkit.ops", "ShapeError", "{}(ones(1, 1, 2, 3), ones(1, 1, 2, 4), ones(1, 1, 2, 3))", "whole_attention"),
    ("nnkit.ops", "ShapeError", "{}(ones(1, 3, 25), heads=2)", "self_attention"),
    ("nnkit.ops", "DtypeError", "{}(ones(1, 3, 24).long(), heads=2)", "self_attention"),
    ("nnkit.ops", "ShapeError", "{}(tensor([1]), 4, 4)", "check_room"),
    ("nnkit.ops", "GradientError", "{}(zeros(4, 1, 2), tensor([1]), ones(1, 1, 2, requires_grad=True))", "append_rows"),
    # ---- losses
    ("nnkit.ops", "LabelError", "{}(tensor([3]), (1,), 3)", "check_labels"),
    ("nnkit.ops", "ShapeError", "{}(tensor([1]), (2,), 3)", "check_labels"),
    ("nnkit.ops", "LabelError", "{}(ones(1, 2), tensor([2]))", "cross_entropy nll"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), tensor([1]))", "cross_entropy nll"),
    ("nnkit.ops", "DtypeError", "{}(ones(1, 2).long(), tensor([1]))", "cross_entropy"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), ones(3), 'squared_error')", "elementwise_loss"),
    ("nnkit.ops", "DtypeError", "{}(ones(2).long(), ones(2), 'squared_error')", "elementwise_loss"),
    ("nnkit.ops", "UnknownNameError", "{}(ones(2), ones(2), 'x')", "elementwise_loss"),
    # ---- images
    ("nnkit.ops", "DtypeError", f"{{}}(ones(1, 1, 4).long(), {WINDOW})", "max_pool patches sum_pool"),
    ("nnkit.ops", "ShapeError", f"{{}}(ones(1, 1, 4), {WIDE})", "max_pool patches sum_pool"),
    ("nnkit.ops", "DtypeError", f"{{}}(ones(1, 1, 2, 2).long(), {WINDOW}, (4,))", "sum_patches"),
    ("nnkit.ops", "DtypeError", f"{{}}(ones(1, 1, 4).long(), ones(1, 1, 2).long(), None, {WINDOW})", "conv"),
    ("nnkit.ops", "ShapeError", f"{{}}(ones(1, 1, 4), ones(1, 2, 2), None, {WINDOW})", "conv"),
    ("nnkit.ops", "ShapeError", f"{{}}(ones(1, 1, 4), ones(1, 1, 9), None, {WIDE})", "conv"),
    ("nnkit.ops", "DtypeError", f"{{}}(ones(1, 1, 4).long(), ones(1, 1, 2), None, {WINDOW}, {WINDOW})", "conv_pooled"),
    ("nnkit.ops", "ShapeError", f"{{}}(ones(1, 1, 4), ones(1, 2, 2), None, {WINDOW}, {WINDOW})", "conv_pooled"),
    ("nnkit.ops", "DtypeError", f"{{}}(ones(1, 1, 4).long(), ones(1, 1, 2), None, {WINDOW}, (8,))", "conv_transpose"),
    ("nnkit.ops", "ShapeError", f"{{}}(ones(1, 1, 4), ones(2, 1, 2), None, {WINDOW}, (8,))", "conv_transpose"),
    ("nnkit.ops", "ValueError", "{}(ones(2), [])", "pad_with"),
    # ---- parts and forms
    ("nnkit.ops", "ShapeError", "{}(ones(2), (3,))", "expand"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), 1.0)", "fill_diagonal"),
    ("nnkit.ops", "DtypeError", "{}(ones(2, 2), 'x')", "fill_diagonal"),
    ("nnkit.ops", "IndexError", "{}(ones(2), 5, 1.0)", "setitem"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), slice(0, 1), ones(3))", "setitem"),
    ("nnkit.ops", "DtypeError", "{}(ones(2), 'x', 1.0)", "setitem"),
    ("nnkit.ops", "GradientError", "{}(ones(2, requires_grad=True), 0, 1.0)", "setitem"),
    ("nnkit.ops", "DeviceError", "{}(ones(2).to('numpy'), tensor([0]), tensor([0], device='numba'), 1)", "take_batch"),
    ("nnkit.ops", "DtypeError", "{}(ones(2), dtype='x')", "to"),
    ("nnkit.ops", "ValueError", "{}(ones(2), device='x')", "to"),
    # ---- random numbers in place
    ("nnkit.ops", "DtypeError", "{}(ones(2).long())", "cauchy_in exponential_in log_normal_in normal_in uniform_in"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), 2.0)", "bernoulli_in geometric_in"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), 0)", "exponential_in"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), std=-1)", "normal_in"),
    ("nnkit.ops", "ShapeError", "{}(ones(2), 3, 1)", "uniform_in random_in"),
    ("nnkit.ops", "TypeError", "{}(ones(2), further=1)", "uniform_in random_in"),
)
