"""From a picture of any size to the square of bytes that a model takes, on the host and before anything is compiled."""

from __future__ import annotations

import numpy as np
import PIL.Image
from jaxtyping import UInt8

from tlj.data.images import Preprocessing


def resize_image(
    image: PIL.Image.Image,
    preprocessing: Preprocessing,
    edges: tuple[int, int] | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> UInt8[np.ndarray, "size size 3"]:
    """Returns the pixels that go into ``tlj.data.images.normalise``, the same as those of transformers' own processors.

    Like them this resizes bytes, not floating-point numbers: with Pillow, whose filters widen where they shrink.

    Args:
      image: in any of Pillow's modes; what is not RGB is converted.
      preprocessing: of the model.
      edges: width and height in pixels of what ``image`` was scaled down from while it was decoded, so that rounding
        is that of the whole image; None where it was not.
      box: left, top, right and bottom in pixels of ``image``, between which its content lies; None for all of it.

    Returns:
      a view that cannot be written to, and that keeps what was cut away in memory as long as it lives.
    """
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    resample = PIL.Image.Resampling[preprocessing.resample.upper()]
    resized = np.asarray(rgb.resize(resized_edges(edges or rgb.size, preprocessing), resample, box))
    size = preprocessing.image_size
    top, left = ((edge - size) // 2 for edge in resized.shape[:2])
    return resized[top : top + size, left : left + size]


def resized_edges(edges: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Returns the width and height in pixels that an image is resized to, before anything is cut out.

    Args:
      edges: width and height in pixels.
      preprocessing: of the model.
    """
    if not preprocessing.resize_to:
        return preprocessing.image_size, preprocessing.image_size
    if not preprocessing.keep_aspect:
        return preprocessing.resize_to, preprocessing.resize_to
    shorter = min(edges)
    # In this order, and rounded down, as transformers and torchvision do.
    width, height = (int(preprocessing.resize_to * edge / shorter) for edge in edges)
    return width, height
