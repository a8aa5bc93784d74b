"""The functions of tensors that models are made of, as Keras's files name them: a class, and what it was made with.

Keras files ``keras.ops.mean(x, axis=1)`` as ``{"class_name": "Mean", "config": {"axis": 1}}``, called on x. The table
has each function that may be a part of a model here: its name, its class where that is not the name in capitals, and
the arguments that go into the configuration; the others are those of the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from nnkit.errors import ModelFileError
from nnkit.keras.symbolic import Operation, function_of

__all__ = ["described_operation", "is_function_class", "operation_of"]

#: Module of Keras's -> its functions: ``name=Class:arguments``.
TABLE = {
    "core": """
        cast:dtype fori_loop:lower,upper,body_fun scatter:shape scatter_update:reduction slice:shape slice_update
        stop_gradient unstack:num,axis
    """,
    "linalg": """
        cholesky:upper cholesky_inverse:upper det eigh inv lstsq:rcond matrix_rank:tol norm:ord,axis,keepdims
        pinv:rcond qr:mode solve solve_triangular:lower svd=SVD:full_matrices,compute_uv
    """,
    "math": """
        cdist=CDist erf erfc erfinv extract_sequences:sequence_length,sequence_stride fft=FFT fft2=FFT2 ifft2=IFFT2
        in_top_k:k irfft=IRFFT:fft_length
        istft=ISTFT:sequence_length,sequence_stride,fft_length,length,window,center logdet logsumexp:axis,keepdims
        rfft=RFFT:fft_length rsqrt segment_max segment_min segment_prod segment_sum
        stft=STFT:sequence_length,sequence_stride,fft_length,window,center top_k:k,sorted
    """,
    "nn": """
        adaptive_average_pool:output_size,data_format adaptive_max_pool:output_size,data_format
        average_pool:pool_size,strides,padding,data_format batch_normalization=BatchNorm:axis,epsilon
        binary_crossentropy:from_logits categorical_crossentropy:from_logits,axis celu:alpha
        conv:strides,padding,data_format,dilation_rate
        conv_transpose:strides,padding,output_padding,data_format,dilation_rate
        ctc_decode=CTCDecode:strategy,beam_width,top_paths,merge_repeated,mask_index ctc_loss=CTCLoss:mask_index
        depth_to_space:block_size,data_format depthwise_conv:strides,padding,data_format,dilation_rate elu:alpha
        fold:output_size,kernel_size,dilation,padding,stride gelu:approximate glu:axis hard_shrink:threshold
        hard_sigmoid hard_silu hard_tanh layer_normalization=LayerNorm:axis,epsilon leaky_relu:negative_slope
        log_sigmoid log_softmax:axis max_pool:pool_size,strides,padding,data_format
        moments:axes,keepdims,synchronized multi_hot:num_classes,axis,dtype,sparse normalize:axis,order,epsilon
        one_hot:num_classes,axis,dtype,sparse psnr=PSNR:max_val relu relu6 selu
        separable_conv:strides,padding,data_format,dilation_rate sigmoid silu soft_shrink:threshold softmax:axis
        softplus softsign space_to_depth:block_size,data_format sparse_categorical_crossentropy:from_logits,axis
        sparse_plus sparse_sigmoid sparsemax:axis squareplus:b tanh_shrink threshold:threshold,default_value
        unfold:kernel_size,dilation,padding,stride
    """,
    "numpy": """
        abs=Absolute add all:axis,keepdims allclose=AllClose:rtol,atol,equal_nan amax:axis,keepdims
        amin:axis,keepdims angle any:axis,keepdims append:axis arccos arccosh arcsin arcsinh arctan arctan2 arctanh
        argmax:axis,keepdims argmin:axis,keepdims argpartition:kth,axis argsort:axis array:dtype
        array_split:indices_or_sections,axis bincount:weights,minlength,sparse bitwise_and bitwise_left_shift
        bitwise_not bitwise_or bitwise_right_shift bitwise_xor broadcast_to:shape cbrt ceil clip:x_min,x_max
        concatenate:axis copy corrcoef correlate:mode cos cosh count_nonzero:axis cross:axisa,axisb,axisc,axis
        cumprod:axis,dtype cumsum:axis,dtype deg2rad diag:k diagflat:k diagonal:offset,axis1,axis2 digitize divide
        divide_no_nan dot dsplit:indices_or_sections dstack einsum:subscripts empty_like:dtype equal exp exp2
        expand_dims:axis expm1 fabs flip:axis fliplr flipud floor floor_divide fmax fmin fmod full:shape,dtype
        full_like:dtype get_item greater greater_equal heaviside histogram:bins,range hsplit:indices_or_sections
        hstack hypot imag inner isclose:equal_nan isfinite isin=IsIn:assume_unique,invert isinf isnan isneginf
        isposinf isreal kron ldexp less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not
        logical_or logical_xor matmul max:axis,keepdims,initial maximum mean:axis,keepdims median:axis,keepdims
        min:axis,keepdims,initial minimum mod moveaxis:source,destination multiply nan_to_num:nan,posinf,neginf
        nanargmax:axis,keepdims nanargmin:axis,keepdims nancumprod:axis,dtype nancumsum:axis,dtype
        nanmax:axis,keepdims nanmean:axis,keepdims nanmedian:axis,keepdims nanmin:axis,keepdims
        nanpercentile:axis,method,keepdims nanprod:axis,keepdims nanquantile:axis,method,keepdims
        nanstd:axis,keepdims nansum:axis,keepdims nanvar:axis,keepdims negative nonzero not_equal ones_like:dtype
        outer pad:pad_width,mode percentile:axis,method,keepdims power prod:axis,keepdims,dtype ptp:axis,keepdims
        quantile:axis,method,keepdims rad2deg ravel real reciprocal repeat:repeats,axis reshape:newshape
        roll:shift,axis rot90:k,axes round:decimals searchsorted=SearchSorted:side select sign signbit sin sinc sinh
        slogdet sort:axis split:indices_or_sections,axis sqrt square squeeze:axis stack:axis std:axis,keepdims
        subtract sum:axis,keepdims swapaxes:axis1,axis2 take:axis take_along_axis:axis tan tanh tensordot:axes
        tile:repeats trace:offset,axis1,axis2 transpose:axes trapezoid:x,dx,axis tril:k triu:k trunc
        unique:sorted,return_index,return_inverse,return_counts,axis,size,fill_value unravel_index:shape
        vander:N,increasing var:axis,keepdims vdot view:dtype vsplit:indices_or_sections vstack where
        zeros_like:dtype
    """,
}
#: What Python's operators on symbolic tensors are called in nnkit's files, and what they are of ``keras.ops``.
OPERATORS = {"true_divide": "divide", "absolute": "abs", "_get_item": "get_item", "_reshape": "reshape",
             "_squeeze": "squeeze"}  # fmt: skip
#: Classes under which Keras files the same.
SAME = {"TrueDivide": "Divide"}
#: An argument that nnkit's function calls otherwise.
RENAMED = {"shape": "newshape"}


class Function(NamedTuple):
    """A row of the table."""

    name: str
    module: str
    kind: str
    settings: tuple[str, ...]


@cache
def _functions() -> Mapping[str, Function]:
    found = {}
    for module, words in TABLE.items():
        for word in words.split():
            head, _, settings = word.partition(":")
            name, _, kind = head.partition("=")
            kind = kind or "".join(part[:1].upper() + part[1:] for part in name.split("_"))
            found[name] = Function(name, module, kind, tuple(settings.split(",")) if settings else ())
    return found


@cache
def _by_class() -> Mapping[tuple[str, str], Function]:
    return {(one.module, one.kind): one for one in _functions().values()}


def is_function_class(kind: str) -> bool:
    """Whether a function has this class."""
    return any(known == SAME.get(kind, kind) for _, known in _by_class())


def operation_of(module: Any, kind: str, config: Mapping[str, Any]) -> tuple[Operation, dict[str, Any]] | None:
    """The function that a file names, and the arguments that it has of it; None where the table has none.

    Older files name no module.
    """
    kind = SAME.get(kind, kind)
    homes = [str(module).rpartition(".")[2]] if module else list(reversed(TABLE))
    row = next((found for home in homes if (found := _by_class().get((home, kind))) is not None), None)
    if row is None:
        return None
    function = function_of(f"ops.{row.name}")
    settings = {name: value for name, value in config.items() if name != "name"}
    unknown = [name for name in settings if name not in row.settings]
    if unknown:
        raise ModelFileError(f"it gives {kind} the arguments {unknown}; nnkit knows {list(row.settings)}")
    return Operation(function, str(config.get("name", row.name))), settings


def described_operation(
    operation: Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    """How Keras files a call of a function: the class and its configuration, and the arguments of the call.

    Raises ModelFileError for a function that Keras does not have.
    """
    family, _, short = operation.called.partition(".")
    row = _functions().get(OPERATORS.get(short, short)) if family in ("ops", "symbolic") else None
    if row is None:
        raise ModelFileError(
            f"the model has the function {operation.called!r} as a part, which Keras's files cannot name; save it as "
            ".safetensors, or put the code into a Layer of your own"
        )
    if row.name == "einsum":
        return _entry(row, operation.name, {"subscripts": args[0]}), list(args[1:]), {}
    bound = inspect.signature(function_of(operation.called)).bind(*args, **kwargs)
    given = {RENAMED.get(name, name) if row.name == "reshape" else name: v for name, v in bound.arguments.items()}
    settings = {name: value for name, value in given.items() if name in row.settings}
    rest = [value for name, value in given.items() if name not in row.settings]
    return _entry(row, operation.name, settings), rest, {}


def _entry(row: Function, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "module": f"keras.src.ops.{row.module}",
        "class_name": row.kind,
        "config": {"name": name, **settings},
        "registered_name": row.kind,
    }
