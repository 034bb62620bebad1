"""Random crops of any place, size and shape (Szegedy et al. 2015, "Going deeper with convolutions", section 6).

The host sends the whole image squashed to a square, and its true shape beside it. A crop of the image is then a crop of
the square, so every one of them can be cut on the device, where shapes do not change.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Real

from tlj.rows import ALL, Rows

RATIOS = (3 / 4, 4 / 3)
# A box may not fit into the image: so many are drawn and the first that does is taken, as is usual.
ATTEMPTS = 10


def random_boxes(
    key: Key[Array, ""], aspect: Float[Array, " batch"], smallest: float, rows: Rows = ALL
) -> tuple[Float[Array, "batch 2"], Float[Array, "batch 2"]]:
    """Draws a box in each image: its share of the area uniform, its shape log-uniform in ``RATIOS``, its place uniform.

    Where none of ``ATTEMPTS`` boxes fits, it is the largest central one that has a shape within ``RATIOS``.

    Args:
      key: what boxes are drawn from.
      aspect: width over height of each image.
      smallest: share of the area of the smallest box.
      rows: of the global batch that the images are.

    Returns:
      Top and left, then height and width, as shares of the image's own.
    """
    of_area, of_ratio, of_place = jax.random.split(key, 3)
    shape, aspect = (len(aspect), ATTEMPTS), aspect[:, None]
    area = rows.draw(lambda shape: jax.random.uniform(of_area, shape, minval=smallest, maxval=1.0), shape)
    low, high = (jnp.log(ratio) for ratio in RATIOS)
    ratio = jnp.exp(rows.draw(lambda shape: jax.random.uniform(of_ratio, shape, minval=low, maxval=high), shape))
    tried = jnp.stack([jnp.sqrt(area * aspect / ratio), jnp.sqrt(area * ratio / aspect)], axis=-1)

    fits = (tried <= 1).all(-1)
    first = jnp.take_along_axis(tried, fits.argmax(1)[:, None, None], axis=1)[:, 0]
    central = jnp.minimum(1, jnp.concatenate([aspect / RATIOS[0], RATIOS[1] / aspect], axis=1))
    any_fits = fits.any(1, keepdims=True)
    size = jnp.where(any_fits, first, central)
    place = jnp.where(any_fits, rows.draw(lambda shape: jax.random.uniform(of_place, shape), size.shape), 0.5)
    return (1 - size) * place, size


def cut(
    images: Real[Array, "batch height width channel"],
    corner: Float[Array, "batch 2"],
    size: Float[Array, "batch 2"],
    pixels: int,
) -> Float[Array, "batch pixels pixels channel"]:
    """Cuts a box out of each image and resizes it, bilinear and antialiased, like Pillow's ``resize(box=...)``.

    It comes to two products with a matrix per image: accelerators have no faster way to read an image at any place.

    Args:
      images: raw, in [0, 255].
      corner: top and left of the box, as shares of height and width.
      size: height and width, likewise.
      pixels: height and width of the result.

    Returns:
      Images in [0, 255], not rounded.
    """
    height, width, channels = images.shape[1:]

    def resized(image: Array, corner: Array, size: Array) -> Array:
        # Three passes where an accelerator multiplies in bfloat16: one would lose the last bit of a byte.
        return jax.image.scale_and_translate(
            image.astype(jnp.float32),
            (pixels, pixels, channels),
            (0, 1),
            scale=pixels / (size * jnp.array([height, width])),
            translation=-corner / size * pixels,
            method="linear",
            antialias=True,
            precision="high",
        )

    # Rounding can lead a hair beyond what the weights add up to.
    return jnp.clip(jax.vmap(resized)(images, corner, size), 0, 255)


def cropped(
    images: Real[Array, "batch height width channel"],
    aspect: Float[Array, " batch"] | None,
    key: Key[Array, ""],
    smallest: float,
    pixels: int,
    rows: Rows = ALL,
) -> Float[Array, "batch pixels pixels channel"]:
    """Cuts a random box out of each image and resizes it.

    Args:
      images: whole images squashed to one size, in [0, 255].
      aspect: width over height of each before it was squashed; None: as they are here.
      key: what boxes are drawn from.
      smallest: share of the area of the smallest box.
      pixels: height and width of the result.
      rows: of the global batch that the images are.

    Returns:
      Images in [0, 255], not rounded.
    """
    if aspect is None:
        aspect = jnp.full(len(images), images.shape[2] / images.shape[1], jnp.float32)
    return cut(images, *random_boxes(key, aspect, smallest, rows), pixels)
