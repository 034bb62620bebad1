"""Random changes of colour after RandAugment (Cubuk et al. 2020, arXiv:1909.13719), without its changes of geometry.

Each image draws from ``CHANGES``, with replacement. Strengths grow with the magnitude m, of 10, in every change:

=============  =====================================================================  ==========================
change         what it does                                                           at magnitude 10
=============  =====================================================================  ==========================
identity       nothing
brightness     blends with black, by a factor 1 + s, s of either sign                 s = -0.9 or 0.9
contrast       blends likewise with the mean grey of the image                        likewise
saturation     blends likewise with its grey                                          likewise
sharpness      blends likewise with a smoothed image                                  likewise
posterize      keeps the highest 8 - round(4 m / 10) bits                             4 bits
solarize       inverts what is at least 256 (1 - m / 10)                              all is inverted
autocontrast   stretches each channel to [0, 255], at every magnitude
=============  =====================================================================  ==========================

The changes are Pillow's (``ImageEnhance``, ``ImageOps``), without their rounding. The list is the paper's but for
equalize, whose histograms an accelerator is slow at; the factors and bits are those of torchvision's ``RandAugment``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Real

from tlj.rows import ALL, Rows

CHANGES = ("identity", "brightness", "contrast", "saturation", "sharpness", "posterize", "solarize", "autocontrast")
LARGEST_BLEND = 0.9
FEWEST_BITS = 4
# ITU-R 601-2 luma, as in Pillow's conversion to grey.
LUMA = (0.299, 0.587, 0.114)

Images = Float[Array, "batch height width 3"]


def _smoothed(images: Images) -> Images:
    """Pillow's ``SMOOTH`` filter: a centre of 5 among ones, over 13; the outermost pixels stay."""
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    columns = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    box = columns[:, :, :-2] + columns[:, :, 1:-1] + columns[:, :, 2:]
    row, column = jnp.arange(height)[:, None, None], jnp.arange(width)[:, None]
    inner = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
    return jnp.where(inner, (box + 4 * images) / 13, images)


def _stretched(images: Images) -> Images:
    """Each channel scaled so that its least value is 0 and its largest 255; a flat one stays."""
    low, high = (reduce(images, axis=(1, 2), keepdims=True) for reduce in (jnp.min, jnp.max))
    flat = low == high
    return jnp.where(flat, images, (images - low) * (255 / jnp.where(flat, 1, high - low)))


def changed(images: Images, change: Int[Array, " batch"], positive: Bool[Array, " batch"], magnitude: float) -> Images:
    """Applies one change to each image.

    All are computed for all and one is kept: most are a few operations per pixel that a compiler fuses, and a branch
    per image would compute all of them too.

    Args:
      images: in [0, 255].
      change: index into ``CHANGES`` for each image.
      positive: the sign of those changes that have one.
      magnitude: 0 to 10.

    Returns:
      Images in [0, 255], not rounded.
    """
    share = magnitude / 10

    def of(name: str) -> Bool[Array, "batch 1 1 1"]:
        return (change == CHANGES.index(name))[:, None, None, None]

    factor = 1 + LARGEST_BLEND * share * jnp.where(positive, 1.0, -1.0)[:, None, None, None]
    # A sum, not a product of matrices, which some accelerators compute in bfloat16.
    grey = (images * jnp.asarray(LUMA)).sum(-1, keepdims=True)
    base = jnp.select(
        [of("contrast"), of("saturation"), of("sharpness")],
        [grey.mean(axis=(1, 2), keepdims=True), grey, _smoothed(images)],
        0.0,
    )
    step = 2.0 ** round((8 - FEWEST_BITS) * share)
    results = jnp.select(
        [of("identity"), of("posterize"), of("solarize"), of("autocontrast")],
        [
            images,
            jnp.floor(images / step) * step if step > 1 else images,
            jnp.where(images >= 256 * (1 - share), 255 - images, images),
            _stretched(images),
        ],
        base + factor * (images - base),
    )
    return jnp.clip(results, 0, 255)


def draw(
    key: Key[Array, ""], number: int, batch: int, rows: Rows = ALL
) -> tuple[Int[Array, "number batch"], Bool[Array, "number batch"]]:
    """Draws which changes each image goes through, and their signs.

    Args:
      key: of changes of colour.
      number: of changes per image; those of fewer are the first of those of more.
      batch: number of images.
      rows: of the global batch that they are.

    Returns:
      Indices into ``CHANGES``, and whether what has a sign has a positive one.
    """
    of_change, of_sign = jax.random.split(key)
    # Images are the second axis, as in runs that were made when all of them were always drawn for at once.
    index = rows.draw(lambda shape: jax.random.randint(of_change, shape[::-1], 0, len(CHANGES)).T, (batch, number))
    positive = rows.draw(lambda shape: jax.random.bernoulli(of_sign, 0.5, shape[::-1]).T, (batch, number))
    return index.T, positive.T


def recoloured(
    images: Real[Array, "batch height width 3"], key: Key[Array, ""], number: int, magnitude: float, rows: Rows = ALL
) -> Images:
    """Applies random changes of colour, one after another and each image its own.

    Args:
      images: in [0, 255].
      key: what changes are drawn from.
      number: of changes per image.
      magnitude: 0 to 10.
      rows: of the global batch that the images are.

    Returns:
      Images in [0, 255], not rounded.
    """

    def one(images: Images, drawn: tuple[Array, Array]) -> tuple[Images, None]:
        return changed(images, *drawn, magnitude), None

    # A scan: unrolled, the compiler fuses a change into every use of it by the next, and computes it as many times.
    return jax.lax.scan(one, jnp.asarray(images, jnp.float32), draw(key, number, len(images), rows))[0]
