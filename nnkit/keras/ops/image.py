"""Functions of images: ``keras.ops.image``. What they do is in ``images`` and ``filters``."""

from nnkit.keras.ops import filters, images
from nnkit.keras.symbolic import symbolic

# fmt: off
__all__ = [
    "affine_transform", "crop_images", "extract_patches", "extract_patches_3d", "gaussian_blur", "hsv_to_rgb",
    "map_coordinates", "pad_images", "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv",
    "scale_and_translate", "sobel_edges", "ssim",
]
# fmt: on

affine_transform = symbolic(filters.affine_transform)
crop_images = symbolic(images.crop_images)
extract_patches = symbolic(images.extract_patches)
extract_patches_3d = symbolic(images.extract_patches_3d)
gaussian_blur = symbolic(filters.gaussian_blur)
hsv_to_rgb = symbolic(images.hsv_to_rgb)
map_coordinates = symbolic(filters.map_coordinates)
pad_images = symbolic(images.pad_images)
perspective_transform = symbolic(filters.perspective_transform)
resize = symbolic(images.resize)
rgb_to_grayscale = symbolic(images.rgb_to_grayscale)
rgb_to_hsv = symbolic(images.rgb_to_hsv)
scale_and_translate = symbolic(images.scale_and_translate)
sobel_edges = symbolic(filters.sobel_edges)
ssim = symbolic(filters.ssim)
