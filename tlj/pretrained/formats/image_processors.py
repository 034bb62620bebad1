"""The image processors of transformers that tlj follows: what their settings mean, and what they assume of others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tlj.data.images import RESAMPLING, Preprocessing, is_finite
from tlj.errors import InputError, unknown_name

_HALF = (0.5, 0.5, 0.5)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclasses.dataclass(frozen=True)
class ImageProcessor:
    """What a class of transformers (4.57.6) assumes where a file does not tell.

    Attributes:
      size: as a file would say it.
      resample: a filter.
      crop_size: of the central crop in pixels; 0 for a class that crops nothing.
      mean: per channel, of images scaled to [0, 1].
      std: per channel, likewise.
      crop_pct: the share of the shorter edge that is kept, for a class that has it; else 0.
    """

    size: Mapping[str, int]
    resample: str
    crop_size: int = 0
    mean: tuple[float, ...] = _HALF
    std: tuple[float, ...] = _HALF
    crop_pct: float = 0.0

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that the class follows."""
        crop = (("do_center_crop", "crop_size") if self.crop_size else ()) + (("crop_pct",) if self.crop_pct else ())
        rescale = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")
        return ("do_resize", "size", "resample", *crop, *rescale, "do_convert_rgb")


PROCESSORS = {
    "ViTImageProcessor": ImageProcessor({"height": 224, "width": 224}, "bilinear"),
    "DeiTImageProcessor": ImageProcessor({"height": 256, "width": 256}, "bicubic", 224),
    "BitImageProcessor": ImageProcessor({"shortest_edge": 224}, "bicubic", 224, _CLIP_MEAN, _CLIP_STD),
    "CLIPImageProcessor": ImageProcessor({"shortest_edge": 224}, "bicubic", 224, _CLIP_MEAN, _CLIP_STD),
    "ConvNextImageProcessor": ImageProcessor({"shortest_edge": 384}, "bilinear", crop_pct=224 / 256),
}
# Of AutoImageProcessor, for a checkpoint whose files name no class.
OF_FAMILY = {"vit": "ViTImageProcessor", "resnet": "ConvNextImageProcessor"}
# From this size on a ConvNextImageProcessor resizes both edges and crops nothing.
CONVNEXT_WARPS_FROM = 384

# Settings that change no pixel of one image: names, the layout of the result, how a batch is gone through.
_WITHOUT_EFFECT = {
    *("image_processor_type", "feature_extractor_type", "processor_class", "_processor_class", "auto_map"),
    *("_valid_processor_keys", "model_input_names", "name_or_path", "_name_or_path", "transformers_version"),
    *("data_format", "input_data_format", "return_tensors", "device", "disable_grouping", "default_to_square"),
}
# By Pillow's numbers.
_FILTERS = dict(enumerate(RESAMPLING))


def processor_name(settings: Mapping[str, Any], family: str, where: str) -> str:
    """Returns the class that a ``preprocessor_config.json`` names, or else the one of the family.

    Args:
      settings: of the file.
      family: ``"vit"`` or ``"resnet"``.
      where: the file.

    Raises:
      InputError: for a class that tlj does not follow, or code that comes with the checkpoint.
    """
    key = next((k for k in ("image_processor_type", "feature_extractor_type") if settings.get(k)), "")
    if not key:
        if settings.get("auto_map"):
            what = "auto_map names code that comes with the checkpoint, which is not run"
            raise InputError(what, where=where, do="set image_processor_type to a class of transformers")
        return OF_FAMILY[family]
    # Older files name the feature extractor that became the class, newer ones how it is implemented.
    named = str(settings[key]).removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")
    if named not in PROCESSORS:
        raise unknown_name(key, str(settings[key]), PROCESSORS, where=where)
    return named


def preprocessing_of(settings: Mapping[str, Any], name: str, where: str) -> tuple[Preprocessing, list[str]]:
    """Returns what the settings of an image processor mean, and the names of those that had to be assumed.

    Args:
      settings: of a ``preprocessor_config.json``.
      name: of the class, a key of ``PROCESSORS``.
      where: the file.

    Raises:
      InputError: naming a setting that tlj cannot follow.
    """
    reader = _Reader(settings, name, where)
    reader.check_names()
    mean, std = reader.channels()
    resample = reader.resample()
    found = {**reader.pixels(), "mean": mean, "std": std, "resample": resample}
    try:
        return Preprocessing(**found), [*reader.assumed]
    except InputError as error:
        raise InputError(error.what, where=where, nearest=error.nearest, do=error.do) from error


class _Reader:
    """Reads the settings of one file, and keeps in mind what it had to assume."""

    def __init__(self, settings: Mapping[str, Any], name: str, where: str):
        self.settings, self.name, self.where = settings, name, where
        self.processor = PROCESSORS[name]
        self.assumed: dict[str, None] = {}

    def wrong(self, name: str, why: str, do: str) -> InputError:
        return InputError(f"{name} = {self.settings.get(name)!r} {why}", where=self.where, do=do)

    def check_names(self) -> None:
        known = {*self.processor.settings, *_WITHOUT_EFFECT}
        crops = self.settings.get("do_center_crop")
        for name, value in self.settings.items():
            if name in known or value is None or value is False or (name == "crop_size" and not crops):
                continue
            raise self.wrong(name, f"is a setting that tlj does not follow for {self.name}", "leave it out")
        if self.settings.get("do_convert_rgb") not in (None, True):
            raise self.wrong("do_convert_rgb", "keeps images that are not RGB", "set it to true")

    def told(self, name: str, default: Any) -> Any:
        value = self.settings.get(name)
        if value is not None:
            return value
        self.assumed[name] = None
        return default

    def flag(self, name: str) -> bool:
        # Transformers' classes differ in what null means.
        value = self.settings.get(name, True)
        if not isinstance(value, bool):
            raise self.wrong(name, "is neither true nor false", "write one of them")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.settings.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not (is_finite(value) and value > 0):
            raise self.wrong(name, "is not a number above 0", "write one")
        return float(value)

    def resample(self) -> str:
        value = self.told("resample", self.processor.resample)
        if value in RESAMPLING:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value not in _FILTERS:
            filters = ", ".join(f"{number} ({name})" for number, name in _FILTERS.items())
            raise self.wrong("resample", "is none of Pillow's filters", f"use one of {filters}")
        return _FILTERS[value]

    def channels(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of images scaled to [0, 1], which are what another rescaling comes to."""
        mean, std = (0.0,) * 3, (1.0,) * 3
        if self.flag("do_normalize"):
            mean = self._three("image_mean", self.processor.mean)
            std = self._three("image_std", self.processor.std)
        factor = self.number("rescale_factor", 1 / 255) if self.flag("do_rescale") else 1.0
        # (x f - mean) / std = (x / 255 - mean / (255 f)) / (std / (255 f)).
        scale = 1.0 if math.isclose(255 * factor, 1.0, rel_tol=1e-12) else 255 * factor
        return tuple(m / scale for m in mean), tuple(s / scale for s in std)

    def _three(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        value = self.told(name, default)
        values = value if isinstance(value, list | tuple) else [value] * 3
        if len(values) != 3 or not all(isinstance(v, int | float) and is_finite(v) for v in values):
            raise self.wrong(name, "is not a finite number for each of red, green and blue", "write three")
        return tuple(values)

    def pixels(self) -> dict[str, Any]:
        """The sizes: ``image_size``, ``resize_to`` and ``keep_aspect``."""
        if not self.flag("do_resize"):
            raise self.wrong("do_resize", "leaves images at their own size, the model takes one", "set it to true")
        if self.processor.crop_pct:
            return self._convnext_pixels()
        shorter, edge = self._size()
        if not (self.processor.crop_size and self.flag("do_center_crop")):
            if shorter:
                raise self.wrong(
                    "size", "and no central crop gives images that are not square", "give height and width"
                )
            return {"image_size": edge}
        crop = self._square("crop_size", self.told("crop_size", self.processor.crop_size))
        resize_to = edge if shorter or edge != crop else 0
        return {"image_size": crop, "resize_to": resize_to, "keep_aspect": shorter}

    def _convnext_pixels(self) -> dict[str, Any]:
        shorter, edge = self._size()
        if not shorter:
            raise self.wrong("size", f"is not what {self.name} takes", 'write {"shortest_edge": pixels}')
        if edge >= CONVNEXT_WARPS_FROM:
            return {"image_size": edge}
        share = self.number("crop_pct", self.told("crop_pct", self.processor.crop_pct))
        if share > 1:
            raise self.wrong("crop_pct", "is above 1", "write the share of the shorter edge that is kept")
        return {"image_size": edge, "resize_to": int(edge / share)}

    def _size(self) -> tuple[bool, int]:
        """Whether ``size`` is that of the shorter edge alone, and its pixels."""
        value = self.told("size", self.processor.size)
        if isinstance(value, Mapping) and set(value) == {"shortest_edge"}:
            return True, self._pixels("size", value["shortest_edge"])
        is_shorter = "shortest_edge" in self.processor.size and not isinstance(value, Mapping)
        return is_shorter, self._square("size", value)

    def _square(self, name: str, value: Any) -> int:
        if isinstance(value, Mapping) and set(value) == {"height", "width"} and value["height"] == value["width"]:
            value = value["height"]
        return self._pixels(name, value)

    def _pixels(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, "is not a square of pixels, nor a shortest_edge alone", "write one number of pixels")
        return value
