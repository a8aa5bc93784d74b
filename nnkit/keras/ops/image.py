"""Functions of images: ``keras.ops.image``. What they do is in ``images``."""

from nnkit.keras.ops import images
from nnkit.keras.ops.images import (
    affine_transform,
    crop_images,
    extract_patches,
    extract_patches_3d,
    gaussian_blur,
    hsv_to_rgb,
    map_coordinates,
    pad_images,
    perspective_transform,
    resize,
    rgb_to_grayscale,
    rgb_to_hsv,
    scale_and_translate,
    sobel_edges,
    ssim,
)  # fmt: skip
from nnkit.keras.symbolic import symbolic

# fmt: off
__all__ = [
    "affine_transform", "crop_images", "extract_patches", "extract_patches_3d", "gaussian_blur", "hsv_to_rgb",
    "map_coordinates", "pad_images", "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv",
    "scale_and_translate", "sobel_edges", "ssim",
]
# fmt: on

for _name in __all__:
    globals()[_name] = symbolic(getattr(images, _name))
