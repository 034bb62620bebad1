"""What a model expects of its images, and the part of it that runs on the device: images travel as uint8."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from tlj.errors import InputError, unknown_name

# Pillow's filters, under its names in small letters.
RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
_WHERE = "the preprocessing of images"


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a model expects of its images; it comes with the checkpoint and both arms of a pair share it.

    Attributes:
      image_size: height and width in pixels.
      mean: per channel, of images scaled to [0, 1].
      std: per channel, likewise.
      resample: the filter that resizes, one of ``RESAMPLING``.
      resize_to: length of the shorter edge in pixels, before the central ``image_size`` pixels are cut out; 0 resizes
        both edges to ``image_size`` and cuts nothing.
      keep_aspect: whether the resize to ``resize_to`` keeps the shape; otherwise both edges become so long. True where
        ``resize_to`` is 0 and there is nothing to say.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: str = "bilinear"
    resize_to: int = 0
    keep_aspect: bool = True

    kind: ClassVar[str] = "images"

    def __post_init__(self) -> None:
        _check_pixels(self.image_size, self.resize_to)
        if self.resample not in RESAMPLING:
            raise unknown_name("resample", self.resample, RESAMPLING, where=_WHERE)
        object.__setattr__(self, "keep_aspect", bool(self.keep_aspect) or not self.resize_to)
        # A manifest gives lists; as a key of compiled programs this must be hashable.
        object.__setattr__(self, "mean", _channels("mean", self.mean))
        object.__setattr__(self, "std", _channels("std", self.std))
        if min(self.std) <= 0:
            raise InputError(
                f"std = {list(self.std)} is not above 0", where=_WHERE, do="give what pixels are divided by"
            )

    def changed(self, **fields: Any) -> Preprocessing:
        """Returns this with other values; at another ``image_size`` the same share of an image is cut out.

        Args:
          **fields: of this class; ``resize_to`` follows ``image_size`` unless it is given.

        Raises:
          InputError: for values that no preprocessing has.
        """
        size = fields.get("image_size", self.image_size)
        if "resize_to" not in fields and isinstance(size, int):
            fields["resize_to"] = round(self.resize_to * size / self.image_size)
        return dataclasses.replace(self, **fields)

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


def _check_pixels(image_size: Any, resize_to: Any) -> None:
    for name, pixels, least in (("image_size", image_size, 1), ("resize_to", resize_to, 0)):
        if not isinstance(pixels, int) or isinstance(pixels, bool) or pixels < least:
            raise InputError(f"{name} = {pixels!r} is no number of pixels", where=_WHERE, do=f"give {least} or more")
    if 0 < resize_to < image_size:
        raise InputError(
            f"resize_to = {resize_to} leaves fewer than image_size = {image_size} pixels",
            where=_WHERE,
            do=f"give at least {image_size}, or 0 to resize both edges to image_size",
        )


def is_finite(number: int | float) -> bool:
    """Whether a number is one as a float too: an integer of JSON may be larger than any."""
    return abs(number) <= sys.float_info.max


def _channels(name: str, values: Any) -> tuple[float, ...]:
    numbers = list(values) if isinstance(values, list | tuple) else []
    real = [n for n in numbers if isinstance(n, int | float) and not isinstance(n, bool) and is_finite(n)]
    if len(real) != 3 or len(numbers) != 3:
        raise InputError(
            f"{name} = {values!r} is not three finite numbers", where=_WHERE, do="give one for each of red, green, blue"
        )
    return tuple(float(number) for number in real)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes to training images; hashable, as a key of compiled programs.

    Attributes:
      shift: largest random shift in pixels along each axis; what enters at the border is zero.
      flip: whether each image is mirrored, left to right, with probability one half.
      crop: smallest share of an image's area in a random crop, of any place and shape, that is resized to the model's
        size; 0 crops nothing.
      crop_from: pixels a side of the squashed image that a crop is cut from; 0: 8/7 of the model's size.
      colour: number of random colour changes per image.
      magnitude: of the colour changes, 0 to 10.
      mixup: alpha of the Beta distribution of mixup's share; 0 mixes nothing.
      cutmix: alpha of the Beta distribution of cutmix's share; 0 cuts nothing. With both, each example takes one of
        them at random.
    """

    shift: int = 0
    flip: bool = False
    crop: float = 0.0
    crop_from: int = 0
    colour: int = 0
    magnitude: float = 9.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def squashed(self, image_size: int) -> int:
        """Returns the pixels a side of what the host sends to be cropped; 0 where nothing is cropped."""
        return (self.crop_from or round(image_size * 8 / 7)) if self.crop else 0


def normalise(
    images: Real[Array, "batch height width 3"], preprocessing: Preprocessing
) -> Float[Array, "batch height width 3"]:
    """Scales bytes, or floats in [0, 255], to [0, 1], subtracts the mean and divides by the deviation, per channel."""
    scaled = images.astype(jnp.float32) / 255
    return (scaled - jnp.asarray(preprocessing.mean)) / jnp.asarray(preprocessing.std)
