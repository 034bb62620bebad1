"""What a checkpoint's own files say of its images, and the file that says it to transformers."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from tlj.data.images import RESAMPLING, Preprocessing
from tlj.errors import InputError, unknown_name
from tlj.pretrained.formats.image_processors import (
    CONVNEXT_WARPS_FROM,
    OF_FAMILY,
    preprocessing_of,
    processor_name,
)

FILE = "preprocessor_config.json"


def read_image_preprocessing(directory: pathlib.Path, family: str) -> tuple[Preprocessing, str]:
    """Reads ``preprocessor_config.json`` as transformers' own class would.

    Args:
      directory: of the checkpoint.
      family: ``"vit"`` or ``"resnet"``.

    Returns:
      The preprocessing, and a note on what had to be assumed, empty where the file tells all.

    Raises:
      InputError: naming a setting that tlj cannot follow; nothing is assumed in its place.
    """
    path = directory / FILE
    settings = _settings(path) if path.is_file() else {}
    name = processor_name(settings, family, str(path))
    preprocessing, assumed = preprocessing_of(settings, name, str(path))
    if not path.is_file():
        return preprocessing, f"no {FILE}: the images are taken as {OF_FAMILY[family]} takes them by default"
    if assumed:
        return preprocessing, f"{FILE} does not tell {', '.join(assumed)}: taken as {name} does by default"
    return preprocessing, ""


def _settings(path: pathlib.Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"cannot be read ({error})", where=str(path), do="get the file again") from error
    if not isinstance(settings, dict):
        raise InputError("is not a JSON object", where=str(path), do="get the file again")
    return settings


def preprocessor_config(preprocessing: Preprocessing, family: str) -> dict[str, Any]:
    """Returns the ``preprocessor_config.json`` with which transformers gives the same pixels.

    Args:
      preprocessing: of the model.
      family: ``"vit"`` or ``"resnet"``.
    """
    size, resize_to = preprocessing.image_size, preprocessing.resize_to
    square, shorter = {"height": size, "width": size}, {"shortest_edge": resize_to}
    if not resize_to:
        geometry = {"image_processor_type": "ViTImageProcessor", "size": square}
    elif not preprocessing.keep_aspect:
        geometry = {"image_processor_type": "DeiTImageProcessor", "size": {"height": resize_to, "width": resize_to}}
    elif OF_FAMILY[family] == "ConvNextImageProcessor" and size < CONVNEXT_WARPS_FROM:
        share = size / resize_to
        # The class divides and rounds down; half a pixel keeps that from losing a whole one.
        share = share if int(size / share) == resize_to else size / (resize_to + 0.5)
        geometry = {
            "image_processor_type": "ConvNextImageProcessor",
            "size": {"shortest_edge": size},
            "crop_pct": share,
        }
    else:
        geometry = {"image_processor_type": "BitImageProcessor", "size": shorter, "do_convert_rgb": True}
    if geometry["image_processor_type"] in ("DeiTImageProcessor", "BitImageProcessor"):
        geometry |= {"do_center_crop": True, "crop_size": square}
    return {
        **geometry,
        "do_resize": True,
        "resample": RESAMPLING.index(preprocessing.resample),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }


def timm_preprocessing(cfg: Mapping[str, Any]) -> Preprocessing:
    """Returns what the ``pretrained_cfg`` of timm's ``config.json`` means, as timm evaluates.

    Where an odd number of pixels is cut away, torchvision cuts the crop at most one pixel elsewhere.

    Args:
      cfg: with ``input_size`` (3, height, width in pixels), ``crop_pct``, ``interpolation``, ``mean``, ``std`` and
        ``crop_mode`` where it is not ``"center"``.

    Raises:
      InputError: for a setting that is missing or that tlj cannot follow.
    """
    where = "pretrained_cfg of config.json"
    for name in ("input_size", "crop_pct", "interpolation", "mean", "std"):
        if cfg.get(name) is None:
            raise InputError(f"{name} is missing", where=where, do="write it, as timm's model card tells")
    mode = cfg.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise unknown_name("crop_mode", str(mode), ("center", "squash"), where=where)
    if cfg["interpolation"] not in RESAMPLING:
        raise unknown_name("interpolation", str(cfg["interpolation"]), RESAMPLING, where=where)
    sizes, share = cfg["input_size"], cfg["crop_pct"]
    if not isinstance(sizes, list | tuple) or len(sizes) != 3 or sizes[0] != 3 or sizes[1] != sizes[2]:
        raise InputError(f"input_size = {sizes!r} is not 3 channels of a square", where=where, do="use another model")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError(f"crop_pct = {share!r} is not a share of the shorter edge", where=where, do="write 0 to 1")
    size = sizes[1]
    resize_to = math.floor(size / share)
    return Preprocessing(
        image_size=size,
        mean=cfg["mean"],
        std=cfg["std"],
        resample=cfg["interpolation"],
        resize_to=0 if mode == "squash" and resize_to == size else resize_to,
        keep_aspect=mode == "center",
    )
