"""What a file beside a ResNet's weights tells of its variant: our own ``tlj.json``, or the ``config.json`` of timm."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tlj.data.images import Preprocessing
from tlj.errors import InputError, nearest_name
from tlj.models.resnet import ResNetSpec
from tlj.pretrained.formats.preprocessing_files import timm_preprocessing

FILE = "tlj.json"
_CONFIG = "config.json"
_KEYS = ("family", "settings", "preprocessing", "classes", "weights")
_OF_PREPROCESSING = tuple(field.name for field in dataclasses.fields(Preprocessing))
# The image size is told by the preprocessing, the number of classes by the head.
_SETTINGS = tuple(f.name for f in dataclasses.fields(ResNetSpec) if f.name not in ("num_classes", "image_size"))
# timm's plain ResNets; a letter or a word more is another network.
_TIMM = re.compile(r"(tv_|ssl_|swsl_|gluon_)?resnet(?P<layers>18|26|34|50|101|152|200)")
_TIMM_BASIC = ("18", "34")
# Arguments of a timm model that its arrays tell, or that do not change what it computes.
_TIMM_TOLD = ("layers", "channels", "num_classes", "drop_rate", "drop_path_rate", "drop_block_rate", "zero_init_last")
_TIMM_FIXED = {"in_chans": 3, "global_pool": "avg", "output_stride": 32}


@dataclasses.dataclass(frozen=True)
class Variant:
    """The weights of a ResNet and what is told of them beside their shapes.

    Attributes:
      weights: the file.
      told_by: the file that tells; the weights where there is none.
      settings: of the spec, as they are written.
      preprocessing: None where nobody tells.
      classes: names, empty where nobody tells.
    """

    weights: pathlib.Path
    told_by: pathlib.Path
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] = ()


def is_variant(path: pathlib.Path) -> bool:
    """Whether a path is a safetensors file, or a directory with a config of these or one safetensors file and none."""
    if not path.is_dir():
        return path.suffix == ".safetensors"
    if (path / FILE).is_file():
        return True
    return _is_timm(path) if (path / _CONFIG).exists() else len(_weights_in(path)) == 1


def read_variant(path: pathlib.Path) -> Variant:
    """Reads what is told of the ResNet at a path.

    Args:
      path: of a safetensors file or of its directory.

    Raises:
      InputError: for a file that tells what tlj does not know or implement.
    """
    directory = path if path.is_dir() else path.parent
    if (directory / FILE).is_file():
        variant = _own(directory / FILE)
        if path.is_dir() or variant.weights.name == path.name:
            return variant
    if _is_timm(directory) and (path.is_dir() or path.name == "model.safetensors"):
        return _timm(directory / _CONFIG)
    weights = _only_weights(path, path) if path.is_dir() else path
    return Variant(weights, weights)


def variant_json(
    spec: ResNetSpec, preprocessing: Preprocessing, classes: Sequence[str], weights: str = "model.safetensors"
) -> dict[str, Any]:
    """Returns the content of the ``tlj.json`` that tells all of a ResNet.

    Args:
      spec: of the model.
      preprocessing: of the model.
      classes: names of the classes; may be empty.
      weights: name of the file beside it.
    """
    settings = dataclasses.asdict(spec)
    return {
        "family": "resnet",
        "settings": {name: _as_json(settings[name]) for name in _SETTINGS},
        "preprocessing": {name: _as_json(value) for name, value in dataclasses.asdict(preprocessing).items()},
        "classes": list(classes),
        "weights": weights,
    }


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _own(file: pathlib.Path) -> Variant:
    content = _object(file)
    _check_keys(content, _KEYS, file, "")
    if content.get("family") != "resnet":
        what = f"family = {content.get('family')!r}, but this file describes ResNets"
        raise InputError(what, where=str(file), nearest="resnet", do="a ViT or a BERT takes the Hugging Face layout")
    settings = content.get("settings", {})
    _check_keys(settings, _SETTINGS, file, "settings")
    classes = content.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise InputError("classes is not a list of names", where=str(file), do='write ["cat", "dog"]')
    preprocessing = content.get("preprocessing")
    weights = _named_weights(content["weights"], file) if "weights" in content else _only_weights(file.parent, file)
    return Variant(
        weights,
        file,
        settings,
        None if preprocessing is None else _preprocessing(preprocessing, file),
        tuple(classes),
    )


def _preprocessing(content: Any, file: pathlib.Path) -> Preprocessing:
    _check_keys(content, _OF_PREPROCESSING, file, "preprocessing")
    if missing := [name for name in ("image_size", "mean", "std") if name not in content]:
        what = f"preprocessing lacks {', '.join(missing)}"
        raise InputError(what, where=str(file), do="write it, or leave preprocessing out for the usual one")
    return Preprocessing(**content)


def _named_weights(name: Any, file: pathlib.Path) -> pathlib.Path:
    if not isinstance(name, str) or name in ("", ".", "..") or re.search(r"[/\\\0]", name):
        what = f"weights = {name!r} climbs out of its directory"
        raise InputError(what, where=str(file), do="write the plain name of a file beside it")
    if not (file.parent / name).is_file():
        near = nearest_name(name, [one.name for one in _weights_in(file.parent)])
        raise InputError(f"weights = {name!r} is not there", where=str(file), nearest=near, do="put the file beside it")
    return file.parent / name


def _weights_in(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(one for one in directory.glob("*.safetensors") if one.is_file())


def _only_weights(directory: pathlib.Path, where: pathlib.Path) -> pathlib.Path:
    found = _weights_in(directory)
    if len(found) != 1:
        what = f"{len(found)} safetensors files in the directory: {', '.join(one.name for one in found) or 'none'}"
        raise InputError(what, where=str(where), do="keep one there, or give the file itself")
    return found[0]


def _is_timm(directory: pathlib.Path) -> bool:
    try:
        content = _object(directory / _CONFIG)
    except InputError:  # said by whoever takes the directory for another layout
        return False
    return "architecture" in content and "model_type" not in content


def _timm(file: pathlib.Path) -> Variant:
    content, where = _object(file), str(file)
    architecture = content["architecture"]
    found = _TIMM.fullmatch(architecture) if isinstance(architecture, str) else None
    if not found:
        what = f"architecture {architecture!r} of timm is not implemented"
        raise InputError(what, where=where, do="choose a plain resnet18, 26, 34, 50, 101, 152 or 200")
    arguments = content.get("model_args") or {}
    for name, value in arguments.items() if isinstance(arguments, dict) else [("model_args", arguments)]:
        if name not in _TIMM_TOLD and not (name in _TIMM_FIXED and value == _TIMM_FIXED[name]):
            raise InputError(
                f"model_args.{name} = {value!r} is not implemented", where=where, do="choose another model"
            )
    cfg = content.get("pretrained_cfg") or {}
    if not isinstance(cfg, dict):
        raise InputError(f"pretrained_cfg = {cfg!r} is not an object", where=where, do="get the file again")
    names = cfg.get("label_names") or content.get("label_names") or ()
    is_named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return Variant(
        _only_weights(file.parent, file),
        file,
        {
            "block": "basic" if found["layers"] in _TIMM_BASIC else "bottleneck",
            "bottleneck_stride": "second",
            "shortcut": "projection",
            "stem": "imagenet",
            **({"num_classes": content["num_classes"]} if "num_classes" in content else {}),
        },
        timm_preprocessing(cfg) if cfg else None,
        tuple(names) if is_named else (),
    )


def _object(file: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        what = f"is no JSON that can be read ({type(error).__name__}: {error})"
        raise InputError(what, where=str(file), do="get the file again") from error
    if not isinstance(content, dict):
        raise InputError("holds no JSON object", where=str(file), do="get the file again")
    return content


def _check_keys(content: Any, known: Collection[str], file: pathlib.Path, part: str) -> None:
    if not isinstance(content, dict):
        raise InputError(f"{part} = {content!r} is not an object", where=str(file), do=f"use {', '.join(known)}")
    for name in content:
        if name not in known:
            what = f"unknown key {f'{part}.' if part else ''}{name}"
            do = f"use {', '.join(known)}"
            raise InputError(what, where=str(file), nearest=nearest_name(name, known), do=do)
