"""What the shapes of a ResNet's arrays under torch names tell of its variant."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from tlj.errors import InputError
from tlj.pretrained.files.stored import StoredArray

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.(.+)")
_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_PARTS = re.compile(rf"conv[123]\.(weight|bias)|bn[123]\.{_NORM}|(downsample|shortcut)\.(0\.(weight|bias)|1\.{_NORM})")
_HEADS = ("fc", "head.fc", "head", "linear", "classifier")
# torchvision and timm say downsample, many scripts for CIFAR say shortcut.
_SHORTCUTS = ("downsample", "shortcut")
_STEMS = {7: "imagenet", 3: "cifar"}
_NOT_IMPLEMENTED = {
    r"conv1\.\d+\..*": "a stem of several convolutions",
    r"layer\d+\.\d+\.(se|attn|eca|cbam|gate|ge)\..*": "attention over channels",
    r"layer\d+\.\d+\.downsample\.[2-9]\..*": "a shortcut that pools by averages",
}

_ANOTHER = "choose a plain ResNet"


@dataclasses.dataclass(frozen=True)
class ShapesOfResNet:
    """What shapes tell.

    Attributes:
      settings: of the spec, by name; ``shortcut`` is not among them where no block needs one.
      head: name of the layer that gives the logits, empty where there is none.
      shortcut: what the file calls a shortcut's layers.
    """

    settings: Mapping[str, Any]
    head: str
    shortcut: str


def read_shapes(arrays: Mapping[str, StoredArray], where: str) -> ShapesOfResNet:
    """Reads the variant of a ResNet from the names and shapes of its arrays.

    What they do not tell: which convolution of a bottleneck strides, the image size, epsilon, activation.

    Args:
      arrays: of the file, by name.
      where: the file, for errors.

    Raises:
      InputError: where it is no ResNet, or one with parts that are not implemented, which are named.
    """
    _check_implemented(arrays, where)
    stem_width, channels, kernel, _ = _convolution(arrays, "conv1.weight", where)
    if kernel not in _STEMS or channels != 3:
        what = f"conv1.weight is a {kernel}x{kernel} convolution of {channels} channels"
        raise InputError(what, where=where, do="choose a stem of 7x7 (imagenet) or 3x3 (cifar) on 3 channels")
    depths = _stage_depths(arrays, where)
    block = "bottleneck" if "layer1.0.conv3.weight" in arrays else "basic"
    widths = tuple(_stage_width(arrays, f"layer{stage}.0", block, where) for stage in range(1, len(depths) + 1))
    shortcut = next((name for name in _SHORTCUTS if any(f".{name}." in one for one in arrays)), _SHORTCUTS[0])
    head = _head(arrays, where)
    settings = {
        "num_classes": arrays[f"{head}.weight"].shape[0] if head else 0,
        "stem": _STEMS[kernel],
        "stem_width": stem_width,
        "block": block,
        "stage_depths": depths,
        "stage_widths": widths,
    }
    changing = [f"layer{i}.0.{shortcut}.0.weight" for i in range(2, len(depths) + 1)]
    if widths[0] * (4 if block == "bottleneck" else 1) != stem_width:
        changing.insert(0, f"layer1.0.{shortcut}.0.weight")
    if changing:
        settings["shortcut"] = "projection" if any(name in arrays for name in changing) else "padding"
    return ShapesOfResNet(settings, head, shortcut)


def _check_implemented(arrays: Mapping[str, StoredArray], where: str) -> None:
    for pattern, what in _NOT_IMPLEMENTED.items():
        if name := next((name for name in sorted(arrays) if re.fullmatch(pattern, name)), ""):
            raise InputError(f"{name} belongs to {what}, which is not implemented", where=where, do=_ANOTHER)
    if "conv1.weight" not in arrays or not any(_BLOCK.match(name) for name in arrays):
        some = ", ".join(sorted(arrays)[:5]) or "nothing"
        raise InputError(
            f"is no ResNet under torch names (conv1.weight, layer1.0.conv1.weight, ...): it holds {some}, ...",
            where=where,
            do="for a model in the Hugging Face layout, give the directory with its config.json",
        )
    if "bn1.weight" not in arrays:
        what = "has conv1.weight but no bn1.weight: norms before the convolutions (preact) are not implemented"
        raise InputError(what, where=where, do=_ANOTHER)
    for name in sorted(arrays):
        found = _BLOCK.fullmatch(name)
        if found and not _PARTS.fullmatch(found[3]):
            raise InputError(f"{name} is in no block of a ResNet that is implemented", where=where, do=_ANOTHER)
        if found and found[3] == "downsample.1.weight" and len(arrays[name].shape) == 4:
            what = f"{name} is a convolution behind a mean over pixels (a ResNet-D), which is not implemented"
            raise InputError(what, where=where, do=_ANOTHER)


def _stage_depths(arrays: Mapping[str, StoredArray], where: str) -> tuple[int, ...]:
    blocks = {(int(found[1]), int(found[2])) for name in arrays if (found := _BLOCK.match(name))}
    stages = sorted({stage for stage, _ in blocks})
    if stages != list(range(1, len(stages) + 1)):
        what = f"has {', '.join(f'layer{stage}' for stage in stages)}, which are no row of stages from layer1 on"
        raise InputError(what, where=where, do="get the file again")
    return tuple(sum(stage == one for one, _ in blocks) for stage in stages)


def _stage_width(arrays: Mapping[str, StoredArray], first: str, block: str, where: str) -> int:
    """The inner width of the stage whose first block is ``first``."""
    width = _convolution(arrays, f"{first}.conv1.weight", where)[0]
    # Arrays that are missing here are listed with all others when the leaves are matched.
    if f"{first}.conv2.weight" in arrays:
        taken = _convolution(arrays, f"{first}.conv2.weight", where)[1]
        if taken != width:
            what = f"{first}.conv2.weight takes {taken} of {width} channels: grouped convolutions are not implemented"
            raise InputError(what, where=where, do=_ANOTHER)
    if block == "bottleneck" and f"{first}.conv3.weight" in arrays:
        out = _convolution(arrays, f"{first}.conv3.weight", where)[0]
        if out != 4 * width:
            what = f"{first} gives {out} channels from {width}: only four times as many (no wide ResNet) is implemented"
            raise InputError(what, where=where, do=_ANOTHER)
    return width


def _convolution(arrays: Mapping[str, StoredArray], name: str, where: str) -> tuple[int, ...]:
    """Channels out and in, height and width of a kernel."""
    if name not in arrays:
        raise InputError(f"{name} is missing", where=where, do="get the file again")
    shape = arrays[name].shape
    if len(shape) != 4 or not all(shape) or shape[2] != shape[3]:
        raise InputError(f"{name} has shape {shape}, which no convolution has", where=where, do="get the file again")
    return shape


def _head(arrays: Mapping[str, StoredArray], where: str) -> str:
    found = [name for name in _HEADS if f"{name}.weight" in arrays]
    if len(found) > 1:
        raise InputError(f"has more than one head: {', '.join(found)}", where=where, do="keep one of them")
    if found and len(arrays[f"{found[0]}.weight"].shape) != 2:
        what = f"{found[0]}.weight has shape {arrays[f'{found[0]}.weight'].shape}, not (classes, features)"
        raise InputError(what, where=where, do=_ANOTHER)
    return found[0] if found else ""
