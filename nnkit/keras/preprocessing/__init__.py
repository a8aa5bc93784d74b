"""Where older Keras has functions for pictures, sequences and texts: ``keras.preprocessing``."""

from nnkit.keras.directories import image_dataset_from_directory, text_dataset_from_directory
from nnkit.keras.preprocessing import image, sequence, text
from nnkit.keras.sequences import timeseries_dataset_from_array

__all__ = [
    "image", "image_dataset_from_directory", "sequence", "text", "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]  # fmt: skip
