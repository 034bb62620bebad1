"""Image preprocessing that runs on the device, inside the step: images travel as uint8."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a model expects of its images; it comes with the checkpoint and both arms of a pair share it.

    Attributes:
      image_size: height and width in pixels.
      mean: per channel, of images scaled to [0, 1].
      std: per channel, likewise.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    kind: ClassVar[str] = "images"

    def sizes(self) -> dict[str, int]:
        """Returns the settings of a new model that images like these decide."""
        return {"image_size": self.image_size}

    def misfit(self, spec: Any) -> str:
        """Returns why a model of these sizes cannot take images like these, or nothing."""
        if spec.image_size == self.image_size:
            return ""
        return f"the model takes images of {spec.image_size} pixels, the data has {self.image_size}"

    def on(self, data: Preprocessing) -> Preprocessing:
        """Returns what a model that was trained with this applies to other data: the same."""
        return self


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes to training images.

    Attributes:
      shift: largest random shift in pixels along each axis; what enters at the border is zero.
    """

    shift: int = 0


def normalise(
    images: UInt8[Array, "batch height width 3"], preprocessing: Preprocessing
) -> Float[Array, "batch height width 3"]:
    """Scales bytes to [0, 1], subtracts the mean and divides by the standard deviation, per channel."""
    scaled = images.astype(jnp.float32) / 255
    return (scaled - jnp.asarray(preprocessing.mean)) / jnp.asarray(preprocessing.std)


def augment(
    images: UInt8[Array, "batch height width 3"], key: Key[Array, ""], augmentation: Augmentation
) -> UInt8[Array, "batch height width 3"]:
    """Applies the augmentation, with randomness of its own for each image.

    Args:
      images: raw images.
      key: of the ``augment`` stream at this step.
      augmentation: what to do.
    """
    if not augmentation.shift:
        return images
    margin = augmentation.shift
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    offsets = jax.random.randint(key, (len(images), 2), 0, 2 * margin + 1)

    def crop(image: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

    return jax.vmap(crop)(padded, offsets)
