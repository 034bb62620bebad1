"""What tlj knows of a model and transformers has no setting for: the key ``tlj`` of a config.json.

It holds what changes nothing that transformers' class computes: what only training reads, which of a headless class's
outputs are the features, and how long its texts were.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, nearest_name
from tlj.models.registry import Spec, make_spec
from tlj.models.shapes import leaf_shapes
from tlj.pretrained.formats.huggingface.config import EXTRA, settings_of
from tlj.pretrained.formats.huggingface.family import HuggingFaceFamily

# By family, of its spec. An mlp_width of 0 is four times the width: the same model, said otherwise.
_SETTINGS = {
    "vit": ("mlp_width", "mlp_dropout", "stochastic_depth", "pool"),
    "resnet": ("momentum",),
    "bert": ("mlp_width",),
}
_OF_TEXT = ("length", "vocabulary", "padding")


def with_extra(
    family: HuggingFaceFamily, config: Mapping[str, Any], spec: Spec, preprocessing: Preprocessing | TextPreprocessing
) -> dict[str, Any]:
    """Returns a config.json that also tells what reading it back would otherwise lose.

    Args:
      family: of the model.
      config: ``family.config(spec, classes)``.
      spec: of the model.
      preprocessing: of the model.
    """
    pixels = {"image_size": spec.image_size} if isinstance(preprocessing, Preprocessing) else {}
    fields = family.fields(settings_of(family, config, "config.json"), "torch")
    again = type(spec)(num_classes=spec.num_classes, **{**pixels, **fields})
    told = {"settings": _differences(spec, again, _SETTINGS[family.model_type])}
    if isinstance(preprocessing, TextPreprocessing):
        usual = TextPreprocessing(spec.positions, spec.vocabulary, spec.padding)
        told["preprocessing"] = _differences(preprocessing, usual, _OF_TEXT)
    told = {part: values for part, values in told.items() if values}
    return {**config, EXTRA: told} if told else dict(config)


def extra_spec(family: HuggingFaceFamily, stored: Spec, config: Mapping[str, Any], where: str) -> Spec:
    """Returns the sizes of a checkpoint with the settings that transformers has none for.

    Args:
      family: of the checkpoint.
      stored: what transformers' settings make.
      config: the content of a config.json.
      where: the file.

    Raises:
      InputError: for a setting that does not belong there, or that would make another model.
    """
    told = _told(config, "settings", _SETTINGS[family.model_type], where)
    if not told:
        return stored
    try:
        spec = make_spec(family.model_type, {**dataclasses.asdict(stored), **told})
    except InputError as error:
        raise InputError(error.what, where=f"{where}: {EXTRA}", do="mend the file") from None
    shapes = leaf_shapes(spec)
    if family.lacks(spec) or any(shapes.get(path) != shape for path, shape in leaf_shapes(stored).items()):
        raise InputError(f"{told} would make another model", where=f"{where}: {EXTRA}", do="mend the file")
    return spec


def extra_preprocessing(
    usual: TextPreprocessing, spec: Spec, config: Mapping[str, Any], where: str
) -> TextPreprocessing:
    """Returns what a model expects of its text, with what transformers has no setting for.

    Args:
      usual: what transformers' settings make.
      spec: of the model.
      config: the content of a config.json.
      where: the file.

    Raises:
      InputError: for a setting that does not belong there, or that the model has no room for.
    """
    told = _told(config, "preprocessing", _OF_TEXT, where)
    bounds = {"length": (1, spec.positions), "vocabulary": (1, spec.vocabulary), "padding": (0, spec.vocabulary - 1)}
    for name, value in told.items():
        least, most = bounds[name]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            what = f"{name} = {value!r} is not a whole number from {least} to {most}"
            raise InputError(what, where=f"{where}: {EXTRA}", do="mend the file")
    return dataclasses.replace(usual, **told)


def _differences(own: Any, other: Any, names: Collection[str]) -> dict[str, Any]:
    return {name: getattr(own, name) for name in names if getattr(own, name) != getattr(other, name)}


def _told(config: Mapping[str, Any], part: str, names: Collection[str], where: str) -> dict[str, Any]:
    extra = config.get(EXTRA, {})
    told = extra.get(part, {}) if isinstance(extra, dict) else None
    if not isinstance(told, dict) or set(extra) - {"settings", "preprocessing"}:
        do = "write an object of settings and preprocessing, or leave it out"
        raise InputError(f"{EXTRA} is not what tlj writes there", where=where, do=do)
    if unknown := sorted(set(told) - set(names)):
        raise InputError(
            f"{EXTRA}.{part} has no {unknown[0]!r}",
            where=where,
            nearest=nearest_name(unknown[0], names),
            do=f"use {', '.join(names)}",
        )
    return told
