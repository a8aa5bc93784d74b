"""What the words of a family have in common: shapes, dtypes, errors and source; see ``nnkit.ops.docstrings``."""

from __future__ import annotations

__all__ = ["FUNCTIONS", "MODULES"]

ACTIVATIONS = """
A Tensor of any shape; the result has its shape and dtype, and of whole numbers the default float type. Raises
TypeError for what is no Tensor. Source: ``torch.nn.functional.{name}``.
"""
BOUNDED = """
A Tensor of any shape, of floats or whole numbers; the result has its shape and dtype. Raises DtypeError for
booleans, TypeError for what is no Tensor. Source: ``torch.nn.functional.{name}``.
"""
ALONG_AN_AXIS = """
A Tensor of floats; the result has its shape and dtype. Raises ShapeError for an axis that it does not have,
DtypeError for whole numbers. Source: ``torch.nn.functional.{name}``.
"""
DROPOUTS = """
A Tensor of floats; the result has its shape and dtype. Raises ValueError unless 0 <= p <= 1, DtypeError for whole
numbers. Source: ``torch.nn.functional.{name}``.
"""
DROPOUTS_OF_CHANNELS = """
A Tensor of floats, also without the axis of samples; the result has its shape and dtype. Raises ShapeError for
other axes, ValueError unless 0 <= p <= 1. Source: ``torch.nn.functional.{name}``.
"""
LOSSES = """
Two Tensors of one shape, input of floats; a scalar, or with ``reduction="none"`` the loss of each. Raises
ShapeError for different shapes, DtypeError for an input of whole numbers, UnknownNameError for another reduction.
Source: ``torch.nn.functional.{name}``.
"""
FURTHER_LOSSES = """
Two Tensors of one shape, input of floats; a scalar, or with ``reduction="none"`` the loss of each. Raises
ShapeError for different shapes, DtypeError for an input of whole numbers, UnknownNameError for another reduction.
"""
LOSSES_OF_SEVERAL = """
Tensors of numbers; a float scalar, or with ``reduction="none"`` the loss of each. Raises ShapeError for shapes that
do not fit, UnknownNameError for another reduction. Source: ``torch.nn.functional.{name}``.
"""
LOSSES_OF_LABELS = """
Scores are floats (B, C), labels int64; a scalar, or with ``reduction="none"`` the loss of each row. Raises
LabelError for labels that are none, ShapeError for another number of them, UnknownNameError for another reduction.
Source: ``torch.nn.functional.{name}``.
"""
CONVOLUTIONS = """
Tensors of one float dtype, which the result has; input may be without the axis of samples. Raises ShapeError where
sizes do not fit, DtypeError for whole numbers, ValueError for a stride below 1. Source:
``torch.nn.functional.{name}``.
"""
POOLS = """
A Tensor of floats, whose dtype the result has, also without the axis of samples. Raises ShapeError where the window
reaches over more places than there are, DtypeError for whole numbers, ValueError for a stride below 1. Source:
``torch.nn.functional.{name}``.
"""
ADAPTIVE_POOLS = """
A Tensor of numbers, whose dtype the result has, also without the axis of samples. Raises ShapeError for other
numbers of axes, ValueError for a size below 1. Source: ``torch.nn.functional.{name}``.
"""
NORMALIZATIONS = """
Tensors of floats; the result has input's shape and dtype. Raises ShapeError where sizes do not fit, DtypeError for
whole numbers. Source: ``torch.nn.functional.{name}``.
"""
RESIZINGS = """
A Tensor of any dtype, which the result has. Raises ValueError unless one of size and scale_factor is given,
UnknownNameError for another mode. Source: ``torch.nn.functional.{name}``.
"""
SHUFFLES = """
A Tensor of any dtype, which the result has. Raises ShapeError where sizes do not divide, ValueError for a factor
below 1. Source: ``torch.nn.functional.{name}``.
"""
WINDOWS = """
A Tensor of floats, whose dtype the result has. Raises ShapeError where sizes do not fit, DtypeError for whole
numbers. Source: ``torch.nn.functional.{name}``.
"""
DISTANCES = """
Two Tensors of numbers whose shapes broadcast; of whole numbers the result is of floats. Raises ShapeError where
they do not broadcast. Source: ``torch.nn.functional.{name}``.
"""
#: Those of ``nn.functional``.
FUNCTIONS = (
    (
        ACTIVATIONS,
        "celu elu gelu hardshrink hardsigmoid hardswish leaky_relu logsigmoid mish rrelu selu sigmoid silu softplus"
        " softshrink softsign tanh tanhshrink threshold",
    ),
    (BOUNDED, "hardtanh relu relu6"),
    (ALONG_AN_AXIS, "log_softmax softmax softmin"),
    (DROPOUTS, "dropout"),
    (DROPOUTS_OF_CHANNELS, "dropout1d dropout2d dropout3d"),
    (
        LOSSES,
        "binary_cross_entropy binary_cross_entropy_with_logits hinge_embedding_loss huber_loss kl_div l1_loss mse_loss"
        " multilabel_margin_loss multilabel_soft_margin_loss poisson_nll_loss smooth_l1_loss soft_margin_loss",
    ),
    (FURTHER_LOSSES, "dice_loss quantile_loss sigmoid_focal_loss"),
    (
        LOSSES_OF_SEVERAL,
        "cosine_embedding_loss gaussian_nll_loss margin_ranking_loss triplet_margin_loss"
        " triplet_margin_with_distance_loss",
    ),
    (LOSSES_OF_LABELS, "cross_entropy multi_margin_loss nll_loss"),
    (CONVOLUTIONS, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    (POOLS, "avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d"),
    (
        ADAPTIVE_POOLS,
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d",
    ),
    (NORMALIZATIONS, "batch_norm group_norm instance_norm layer_norm local_response_norm rms_norm"),
    (RESIZINGS, "interpolate upsample"),
    (SHUFFLES, "pixel_shuffle pixel_unshuffle"),
    (WINDOWS, "fold unfold"),
    (DISTANCES, "cosine_similarity pairwise_distance"),
)

ACTIVATION_MODULES = """
Called with a Tensor of any shape it gives one of its shape and dtype, of whole numbers of the default float type,
and raises TypeError for what is no Tensor. Source: ``torch.nn.{name}``.
"""
BOUNDED_MODULES = """
Called with a Tensor of any shape, of floats or whole numbers, it gives one of its shape and dtype, and raises
DtypeError for booleans, TypeError for what is no Tensor. Source: ``torch.nn.{name}``.
"""
SOFTMAX_MODULES = """
Called with a Tensor of floats it gives one of its shape and dtype, and raises ShapeError for an axis that it does
not have, DtypeError for whole numbers. Source: ``torch.nn.{name}``.
"""
DROPOUT_MODULES = """
Called with a Tensor of floats it gives one of its shape and dtype. Raises ValueError unless 0 <= p <= 1. Source:
``torch.nn.{name}``.
"""
LOSS_MODULES = """
Called with two Tensors of one shape, the first of floats, it gives a scalar, or with ``reduction="none"`` the loss
of each. Raises UnknownNameError for another reduction and, when it is called, ShapeError for different shapes,
DtypeError for an input of whole numbers. Source: ``torch.nn.{name}``.
"""
FURTHER_LOSS_MODULES = """
Called with two Tensors of one shape, the first of floats, it gives a scalar, or with ``reduction="none"`` the loss
of each. Raises UnknownNameError for another reduction and, when it is called, ShapeError for different shapes,
DtypeError for an input of whole numbers. nnkit's own: see the function for its source.
"""
LOSS_MODULES_OF_SEVERAL = """
Called with Tensors of numbers it gives a float scalar, or with ``reduction="none"`` the loss of each. Raises
UnknownNameError for another reduction and, when it is called, ShapeError for shapes that do not fit. Source:
``torch.nn.{name}``.
"""
LOSS_MODULES_OF_LABELS = """
Called with scores, floats (B, C), and labels, int64, it gives a scalar, or with ``reduction="none"`` the loss of
each. Raises UnknownNameError for another reduction and, when it is called, LabelError for labels that are none,
ShapeError for another number of them. Source: ``torch.nn.{name}``.
"""
CONVOLUTION_MODULES = """
Input and result are of the weight's float dtype; input may be without the axis of samples. Raises ShapeError where
channels or places do not fit, ValueError for a stride below 1, both when it is called. Source: ``torch.nn.{name}``.
"""
POOL_MODULES = """
Input and result are of one float dtype; input may be without the axis of samples. Raises ShapeError, when it is
called, where the window reaches over more places than there are, DtypeError for whole numbers. Source:
``torch.nn.{name}``.
"""
ADAPTIVE_POOL_MODULES = """
Input and result are of one dtype; input may be without the axis of samples. Raises ShapeError, when it is called,
for other numbers of axes, ValueError for a size below 1. Source: ``torch.nn.{name}``.
"""
NORMALIZATION_MODULES = """
Input and result are of one shape and float dtype. Raises ShapeError, when it is called, where sizes do not fit,
DtypeError for whole numbers. Source: ``torch.nn.{name}``.
"""
PADDING_MODULES = """
Called with a Tensor of any dtype it gives one of that dtype, with more places. Raises ShapeError, when it is
called, where there are not as many axes as the padding has pairs. Source: ``torch.nn.{name}``.
"""
LAZY_MODULES = """
Parameters are float32 unless ``dtype`` is given. Raises ShapeError, when it is called, for an input of other axes.
Source: ``torch.nn.{name}``.
"""
UPSAMPLING_MODULES = """
Input and result are of one dtype. Raises ValueError, when it is called, unless one of size and scale_factor is
given, UnknownNameError for another mode. Source: ``torch.nn.{name}``.
"""
SHUFFLE_MODULES = """
Input and result are of one dtype. Raises ShapeError, when it is called, where sizes do not divide. Source:
``torch.nn.{name}``.
"""
WINDOW_MODULES = """
Input and result are of one float dtype. Raises ShapeError, when it is called, where sizes do not fit, DtypeError
for whole numbers. Source: ``torch.nn.{name}``.
"""
DISTANCE_MODULES = """
Called with two Tensors of numbers it gives floats. Raises ShapeError, when it is called, where their shapes do not
broadcast. Source: ``torch.nn.{name}``.
"""
CONSTRAINTS = """
Called with a weight of floats it gives one of its shape and dtype. Raises ValueError, where it has arguments, for
numbers out of range. Source: ``keras.constraints.{name}``.
"""
CELLS = """
Parameters and states are float32 unless ``dtype`` is given. Raises ShapeError, when it is called, for other sizes.
Source: ``torch.nn.{name}``.
"""
TRANSFORMERS = """
Of one float dtype. Raises ShapeError for a width that is not as expected. Source: ``torch.nn.{name}``; Vaswani et
al., Attention Is All You Need, 2017.
"""
CONTAINERS = """
Raises TypeError for what is no Module. Source: ``torch.nn.{name}``.
"""
#: Those of ``nn``.
MODULES = (
    (
        ACTIVATION_MODULES,
        "CELU ELU GELU Hardshrink Hardsigmoid Hardswish LeakyReLU LogSigmoid Mish RReLU SELU SiLU Sigmoid Softplus"
        " Softshrink Softsign Tanh Tanhshrink Threshold",
    ),
    (BOUNDED_MODULES, "Hardtanh ReLU ReLU6"),
    (SOFTMAX_MODULES, "LogSoftmax Softmax Softmin"),
    (DROPOUT_MODULES, "Dropout Dropout1d Dropout2d Dropout3d"),
    (
        LOSS_MODULES,
        "BCELoss BCEWithLogitsLoss HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss MSELoss MultiLabelMarginLoss"
        " MultiLabelSoftMarginLoss PoissonNLLLoss SmoothL1Loss SoftMarginLoss",
    ),
    (FURTHER_LOSS_MODULES, "DiceLoss FocalLoss QuantileLoss"),
    (
        LOSS_MODULES_OF_SEVERAL,
        "CosineEmbeddingLoss GaussianNLLLoss MarginRankingLoss TripletMarginLoss TripletMarginWithDistanceLoss",
    ),
    (LOSS_MODULES_OF_LABELS, "CrossEntropyLoss MultiMarginLoss NLLLoss"),
    (CONVOLUTION_MODULES, "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d"),
    (POOL_MODULES, "AvgPool1d AvgPool2d AvgPool3d MaxPool1d MaxPool2d MaxPool3d"),
    (
        ADAPTIVE_POOL_MODULES,
        "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d",
    ),
    (
        NORMALIZATION_MODULES,
        "BatchNorm1d BatchNorm2d BatchNorm3d GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d LayerNorm"
        " LocalResponseNorm RMSNorm SyncBatchNorm",
    ),
    (
        PADDING_MODULES,
        "CircularPad1d CircularPad2d ConstantPad1d ConstantPad2d ReflectionPad1d ReflectionPad2d ReplicationPad1d"
        " ReplicationPad2d ZeroPad1d ZeroPad2d",
    ),
    (
        LAZY_MODULES,
        "LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d"
        " LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d",
    ),
    (UPSAMPLING_MODULES, "Upsample UpsamplingBilinear2d UpsamplingNearest2d"),
    (SHUFFLE_MODULES, "PixelShuffle PixelUnshuffle"),
    (WINDOW_MODULES, "Fold Unfold"),
    (DISTANCE_MODULES, "CosineSimilarity PairwiseDistance"),
    (CONSTRAINTS, "MaxNorm MinMaxNorm NonNegative UnitNorm"),
    (CELLS, "GRUCell LSTMCell RNNCell"),
    (TRANSFORMERS, "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer"),
    (CONTAINERS, "ModuleDict ModuleList Sequential"),
)
