"""What the layers have in common, by families: shapes, dtypes, errors and source, told in the docstring of each."""

from __future__ import annotations

__all__ = ["FAMILIES", "TOLD"]

NUMBERS = "Raises DtypeError for what are no numbers. Source: ``keras.layers.{name}``."
AXES = """Raises ShapeError for another number of axes, DtypeError for what are no numbers. Source:
``keras.layers.{name}``."""
LISTED = "Raises ValueError for what is no list of inputs. Source: ``keras.layers.{name}``."
DTYPE = "the output has the floating dtype of the inputs"

#: What to tell -> the layers.
FAMILIES: dict[str, str] = {
    f"Inputs of any shape and floating dtype; the output has both.\n{NUMBERS}": """Activation ActivityRegularization
        AlphaDropout Dropout ELU GaussianDropout GaussianNoise Identity LeakyReLU Masking PReLU ReLU Rescaling Softmax
        UnitNormalization""",
    f"Inputs (B, *S, C), or (B, C, *S) where data_format is channels_first; {DTYPE}.\n{AXES}": """
        AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D
        AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D CenterCrop Conv1D
        Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D Cropping3D DepthwiseConv1D
        DepthwiseConv2D GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
        GlobalMaxPooling2D GlobalMaxPooling3D MaxPooling1D MaxPooling2D MaxPooling3D RandomBrightness RandomContrast
        RandomCrop RandomFlip RandomGrayscale RandomRotation RandomZoom Resizing SeparableConv1D SeparableConv2D
        UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D""",
    f"Images (B, H, W, C); {DTYPE}.\nRaises ShapeError for others. Source: ``keras.layers.{{name}}``.":
        "RandomTranslation",
    f"Inputs (B, T, C), or of more axes for ConvLSTM; {DTYPE}.\n{AXES}": """Bidirectional ConvLSTM1D ConvLSTM2D
        ConvLSTM3D GRU LSTM SimpleRNN SpatialDropout1D SpatialDropout2D SpatialDropout3D TimeDistributed""",
    f"Inputs (B, …, C); {DTYPE}.\n{AXES}": """BatchNormalization Dense GroupNormalization LayerNormalization
        Normalization Permute RMSNormalization RepeatVector""",
    f"Inputs (B, …), whose dtype the output has.\n{NUMBERS}": "Flatten InputLayer Reshape",
    f"Inputs of any shapes and dtypes that the function takes.\n{NUMBERS}": "Lambda",
    f"Inputs of shapes that broadcast, and one floating dtype, which the output has.\n{LISTED}": """Add Average Maximum
        Minimum Multiply Subtract""",
    f"Inputs of shapes that agree but along the axis, and one floating dtype, which the output has.\n{LISTED}":
        "Concatenate Dot",
    f"Query, value and key (B, T, C), floats; {DTYPE}.\n{LISTED}": "AdditiveAttention Attention",
    f"Query, value and key (B, T, C), floats; {DTYPE}. Raises TypeError without a value.\n"
    "Source: ``keras.layers.{name}``.": "MultiHeadAttention",
    "Inputs of shapes that broadcast, of any floating dtype. Raises ValueError for what is no list of inputs,\n"
    "ShapeError where they do not fit. Source: ``keras.layers.{name}``.": """add average dot maximum minimum multiply
        subtract""",
    "Inputs of shapes that agree but along the axis, of any dtype. Raises ValueError for what is no list of inputs.\n"
    "Source: ``keras.layers.concatenate``.": "concatenate",
}  # fmt: skip

#: A layer -> what is told of it.
TOLD: dict[str, str] = {name: told for told, names in FAMILIES.items() for name in names.split()}
