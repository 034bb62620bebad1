"""The random changes of training images in their order, each with a key of its own."""

from __future__ import annotations

from jaxtyping import Array, Float, Key, Real, UInt8

from tlj.data.augment.colour import recoloured
from tlj.data.augment.crop import cropped
from tlj.data.augment.keys import change_key
from tlj.data.augment.move import flipped, shifted
from tlj.data.images import Augmentation
from tlj.rows import ALL, Rows


def augment(
    images: UInt8[Array, "batch height width 3"],
    key: Key[Array, ""],
    augmentation: Augmentation,
    image_size: int,
    aspect: Float[Array, " batch"] | None = None,
    rows: Rows = ALL,
) -> Real[Array, "batch image_size image_size 3"]:
    """Applies all changes to single images; mixing two examples comes after it (``tlj.data.augment.mix``).

    Args:
      images: raw; where crops are cut, whole images squashed to one size.
      key: of the ``augment`` stream at this step.
      augmentation: what to do.
      image_size: height and width of the result where crops are cut; otherwise the images have it.
      aspect: width over height of each image before it was squashed; None: as it is here.
      rows: of the global batch that the images are; what happens to an image is the same on any device.

    Returns:
      Images in [0, 255]: bytes where no pixel changed its value, and otherwise float32, not rounded.
    """
    if augmentation.crop:
        images = cropped(images, aspect, change_key(key, "crop"), augmentation.crop, image_size, rows)
    if augmentation.flip:
        images = flipped(images, change_key(key, "flip"), rows)
    if augmentation.colour:
        images = recoloured(images, change_key(key, "colour"), augmentation.colour, augmentation.magnitude, rows)
    # Last, so that what enters at the border is zero whatever colours became, and with the key itself, as in runs that
    # were made before there were other changes.
    return shifted(images, key, augmentation.shift, rows) if augmentation.shift else images
