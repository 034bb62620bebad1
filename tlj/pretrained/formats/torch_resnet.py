"""ResNets under torch names, as torchvision, timm and many scripts save them: the name map, and reading them."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.models.registry import make_spec
from tlj.models.resnet import ResNetSpec
from tlj.pretrained.files.safetensors_file import open_safetensors
from tlj.pretrained.formats.checkpoint import Checkpoint
from tlj.pretrained.formats.name_map import Module
from tlj.pretrained.formats.resnet_shapes import read_shapes
from tlj.pretrained.formats.resnet_variant import Variant, is_variant, read_variant
from tlj.pretrained.identity import content_identity
from tlj.pretrained.overrides import ADJUSTABLE, Overrides

_UNUSED = {r".*num_batches_tracked": "counts the batches that a norm has seen"}
# Of ImageNet's training images, as torchvision and timm have them.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIZES = {"imagenet": 224, "cifar": 32}


def is_torch_resnet(path: pathlib.Path) -> bool:
    """Whether a path may be a ResNet under torch names.

    It is a safetensors file, or a directory with a ``tlj.json``, with timm's ``config.json``, or with one safetensors
    file and no ``config.json``.
    """
    return is_variant(path)


def read_torch_resnet(path: pathlib.Path, chosen: Overrides) -> Checkpoint:
    """Reads what a ResNet's file says of itself, and what is told of it; no value is read.

    Block, depths, widths, stem, shortcut and classes are those of the shapes. Which convolution of a bottleneck strides
    is not in them: ``tlj.json``, timm's architecture or the user has to tell. Without a preprocessing there, that of
    torchvision is taken, with a warning.

    Args:
      path: of a safetensors file or of its directory.
      chosen: what the user says.

    Raises:
      InputError: where it is another model, a part is not implemented or not told, or what is told contradicts the
        shapes.
    """
    variant = read_variant(path)
    arrays = open_safetensors(variant.weights)
    shapes = read_shapes(arrays, str(variant.weights))
    stored = _spec(variant, shapes.settings, chosen)
    spec = chosen.adjust(stored)
    preprocessing = variant.preprocessing or _assumed(stored, variant, chosen)
    return Checkpoint(
        spec,
        stored,
        modules(spec, head=shapes.head or "fc", shortcut=shapes.shortcut),
        "torch",
        arrays,
        _UNUSED,
        chosen.on_preprocessing(preprocessing, spec),
        classes=_classes(variant, stored),
        location=str(path),
        identity=content_identity({variant.weights, variant.told_by}),
    )


def modules(spec: ResNetSpec, *, head: str = "fc", shortcut: str = "downsample") -> tuple[Module, ...]:
    """Returns where a file holds each layer of a model; the defaults are torchvision's names.

    Args:
      spec: of the model.
      head: the layer that gives the logits.
      shortcut: the layers of a shortcut by projection.
    """
    found = [
        Module("backbone/embedding/conv", ("conv1",), "conv"),
        Module("backbone/embedding/norm", ("bn1",), "batch_norm"),
        Module("head", (head,), "dense"),
    ]
    names = [f"layer{stage + 1}.{i}" for stage, blocks in enumerate(spec.stage_depths) for i in range(blocks)]
    for index, theirs in enumerate(names):
        ours = f"backbone/block{index}"
        for i in range(3 if spec.block == "bottleneck" else 2):
            found.append(Module(f"{ours}/conv{i}/conv", (f"{theirs}.conv{i + 1}",), "conv"))
            found.append(Module(f"{ours}/conv{i}/norm", (f"{theirs}.bn{i + 1}",), "batch_norm"))
        found.append(Module(f"{ours}/shortcut/conv", (f"{theirs}.{shortcut}.0",), "conv"))
        found.append(Module(f"{ours}/shortcut/norm", (f"{theirs}.{shortcut}.1",), "batch_norm"))
    return tuple(found)


def _spec(variant: Variant, of_shapes: Mapping[str, Any], chosen: Overrides) -> ResNetSpec:
    where = str(variant.told_by)
    for name, value in variant.settings.items():
        own = tuple(value) if isinstance(value, list) else value
        if name in of_shapes and own != of_shapes[name]:
            what = f"{name} = {value!r}, but the shapes in {variant.weights.name} make it {of_shapes[name]!r}"
            raise InputError(what, where=where, do="correct what is told, or use the weights that it belongs to")
    user = {name: value for name, value in chosen.of_spec("resnet").items() if name not in ADJUSTABLE["resnet"]}
    settings = {**user, **variant.settings, **of_shapes}
    if settings["block"] == "bottleneck" and "bottleneck_stride" not in settings:
        raise InputError(
            "which convolution of a bottleneck strides is not told, and no shape tells it",
            where=where,
            do="give bottleneck_stride='second' (torchvision, timm) or 'first' (the paper of 2015), or a tlj.json",
        )
    size = variant.preprocessing.image_size if variant.preprocessing else _SIZES[settings["stem"]]
    try:
        return make_spec("resnet", settings, image_size=size)
    except InputError as error:  # said of the file that tells, as it is no setting of a config
        raise InputError(error.what, where=where, nearest=error.nearest, do=error.do) from error


def _assumed(spec: ResNetSpec, variant: Variant, chosen: Overrides) -> Preprocessing:
    """torchvision's preprocessing, with a warning for what the user does not tell either."""
    resize_to = 256 if spec.stem == "imagenet" else 0
    if missing := [name for name in ("mean", "std") if name not in chosen.given]:
        crop = f", cut from {resize_to}" if resize_to else ""
        warnings.warn(
            f"{variant.weights}: nothing tells its preprocessing; {' and '.join(missing)} of ImageNet and images of "
            f"{spec.image_size} pixels{crop} are assumed; give mean and std, or a tlj.json, to tell others",
            stacklevel=2,
        )
    return Preprocessing(spec.image_size, _MEAN, _STD, resize_to=resize_to)


def _classes(variant: Variant, spec: ResNetSpec) -> tuple[str, ...]:
    if variant.classes and len(variant.classes) != spec.num_classes:
        what = f"{len(variant.classes)} names of classes, but the head in {variant.weights.name} has {spec.num_classes}"
        raise InputError(what, where=str(variant.told_by), do="name each class once, or none")
    return variant.classes
