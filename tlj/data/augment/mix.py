"""Two examples made into one: mixup (Zhang et al. 2018, arXiv:1710.09412), cutmix (Yun et al. 2019, arXiv:1905.04899).

The partner of an example is its mirror image in the global batch, which is in random order already.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Real

from tlj.data.augment.keys import change_key
from tlj.data.images import Augmentation
from tlj.rows import ALL, Rows


def box_masks(
    share: Float[Array, " batch"], centre: Float[Array, "batch 2"], height: int, width: int
) -> Float[Array, "batch height width"]:
    """Returns 1 inside a box of each image and 0 outside; at the border of the image the box is cut off.

    Args:
      share: of the area that a whole box covers.
      centre: of the box, as shares of height and width.
      height: in pixels.
      width: in pixels.
    """
    inside = []
    for axis, pixels in enumerate((height, width)):
        half, middle = jnp.sqrt(share) * pixels / 2, centre[:, axis] * pixels
        first, last = jnp.round(middle - half), jnp.round(middle + half)
        place = jnp.arange(pixels)
        inside.append((place >= first[:, None]) & (place < last[:, None]))
    return (inside[0][:, :, None] & inside[1][:, None, :]).astype(jnp.float32)


def partner_weights(
    shape: tuple[int, int, int], key: Key[Array, ""], augmentation: Augmentation, rows: Rows = ALL
) -> tuple[Float[Array, "batch rows columns"], Float[Array, " batch"]]:
    """Draws how much of its partner each example takes.

    Args:
      shape: batch, height and width of the images.
      key: of the ``augment`` stream at this step.
      augmentation: with ``mixup`` or ``cutmix``.
      rows: of the global batch that the images are.

    Returns:
      The weight of the partner in each pixel, with one row and one column where all are alike, and in the label: the
      mean of the former.
    """
    batch, height, width = shape
    blend = box = None
    if augmentation.mixup:
        alpha = augmentation.mixup
        of_blend = change_key(key, "mixup")
        blend = rows.draw(lambda shape: jax.random.beta(of_blend, alpha, alpha, shape), (batch, 1, 1))
    if augmentation.cutmix:
        of_share, of_place = jax.random.split(change_key(key, "cutmix"))
        beta = augmentation.cutmix
        share = rows.draw(lambda shape: jax.random.beta(of_share, beta, beta, shape), (batch,))
        centre = rows.draw(lambda shape: jax.random.uniform(of_place, shape), (batch, 2))
        box = box_masks(share, centre, height, width)
    if blend is None or box is None:
        pixels = box if blend is None else blend
    else:
        of_choice = change_key(key, "mix")
        is_blend = rows.draw(lambda shape: jax.random.bernoulli(of_choice, 0.5, shape), (batch, 1, 1))
        pixels = jnp.where(is_blend, blend, box)
    return pixels, pixels.mean(axis=(1, 2))


def _of_partners(own: Real[Array, "batch ..."], rows: Rows) -> Real[Array, "batch ..."]:
    """What the mirror images of the rows at hand have."""
    if rows.axis is None:
        return own[::-1]
    opposite = [(device, rows.devices - 1 - device) for device in range(rows.devices)]
    return jax.lax.ppermute(own[::-1], rows.axis, opposite)


def _blended(own: Real[Array, "batch ..."], weight: Float[Array, "batch ..."], rows: Rows) -> Float[Array, "batch ..."]:
    """What an example has, blended with what its partner has by the partner's weight."""
    # Exact where a weight is 0 or 1, which own + weight * (partner - own) is not.
    return (1 - weight) * own + weight * _of_partners(own, rows)


def mixed(
    images: Real[Array, "batch height width channel"],
    targets: Float[Array, "batch classes"],
    weight: Float[Array, " batch"] | None,
    pixels: Float[Array, "batch rows columns"],
    share: Float[Array, " batch"],
    rows: Rows = ALL,
) -> tuple[Float[Array, "batch height width channel"], Float[Array, "batch classes"], Float[Array, " batch"] | None]:
    """Mixes each example with its partner.

    The loss of a mixed example is the mix of two losses, so a class that weighs more does so as a partner too.

    Args:
      images: in [0, 255].
      targets: probabilities of the classes.
      weight: of each example in the loss, or None.
      pixels: weight of the partner in each pixel, or one for all.
      share: of the partner in the label.
      rows: of the global batch that these are, all of one device; the partner may be on another.

    Returns:
      Images, targets and weights, such that weight times cross entropy is the mix of that of both examples.
    """
    images, share = _blended(images, pixels[..., None], rows), share[:, None]
    if weight is None:
        return images, _blended(targets, share, rows), None
    both = _blended(weight[:, None], share, rows)
    return images, _blended(weight[:, None] * targets, share, rows) / both, both[:, 0]
