"""ResNet as transformers has it: `ResNetConfig`, `ResNetModel`, `ResNetForImageClassification` and the Flax classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.errors import InputError
from tlj.models.resnet import ResNetSpec
from tlj.pretrained.formats.huggingface.family import HuggingFaceFamily
from tlj.pretrained.formats.huggingface.settings import ACTIVATION_NAMES, flag, one_of, size, sizes
from tlj.pretrained.formats.name_map import Module

# The defaults are those of transformers.ResNetConfig.
_SETTINGS = {
    "embedding_size": size(64),
    "hidden_sizes": sizes((256, 512, 1024, 2048)),
    "depths": sizes((3, 4, 6, 3)),
    "layer_type": one_of("bottleneck", {"basic": ("basic",), "bottleneck": ("bottleneck",)}),
    "hidden_act": one_of("relu", ACTIVATION_NAMES),
    "downsample_in_first_stage": flag(False),
    "downsample_in_bottleneck": flag(False),
}
# Of BatchNorm in both frameworks; transformers has no setting for it.
_EPSILON = 1e-5


def _expansion(block: str) -> int:
    return 4 if block == "bottleneck" else 1


def _fields(settings: Mapping[str, Any], layout: str) -> dict[str, Any]:
    expansion = _expansion(settings["layer_type"])
    if any(width % expansion for width in settings["hidden_sizes"]):
        raise InputError(
            f"hidden_sizes = {list(settings['hidden_sizes'])}: a bottleneck's are divisible by {expansion}"
        )
    # The Flax class has no downsample_in_bottleneck: whatever the config says, its second convolution strides.
    strides_first = settings["downsample_in_bottleneck"] and layout == "torch"
    return {
        "stem": "imagenet",
        "stem_width": settings["embedding_size"],
        "block": settings["layer_type"],
        "stage_depths": settings["depths"],
        "stage_widths": tuple(width // expansion for width in settings["hidden_sizes"]),
        "shortcut": "projection",
        "bottleneck_stride": "first" if strides_first else "second",
        "first_stage_stride": 2 if settings["downsample_in_first_stage"] else 1,
        "activation": settings["hidden_act"],
        "epsilon": _EPSILON,
    }


def _written(spec: ResNetSpec) -> dict[str, Any]:
    return {
        "embedding_size": spec.stem_width,
        "hidden_sizes": [width * _expansion(spec.block) for width in spec.stage_widths],
        "depths": list(spec.stage_depths),
        "layer_type": spec.block,
        "hidden_act": ACTIVATION_NAMES[spec.activation][0],
        "downsample_in_first_stage": spec.first_stage_stride == 2,
        "downsample_in_bottleneck": spec.bottleneck_stride == "first",
    }


def _conv_norm(ours: str, theirs: str, flax: str = "") -> list[Module]:
    flax = flax or theirs.replace(".", "/")
    return [
        Module(f"{ours}/conv", (f"{theirs}.convolution",), "conv", (f"{flax}/convolution",)),
        Module(f"{ours}/norm", (f"{theirs}.normalization",), "batch_norm", (f"{flax}/normalization",)),
    ]


def _backbone(spec: ResNetSpec) -> tuple[Module, ...]:
    modules = _conv_norm("backbone/embedding", "embedder.embedder")
    convolutions = 3 if spec.block == "bottleneck" else 2
    # The Flax class of basic blocks names their convolutions otherwise than that of bottlenecks.
    in_flax = "{}" if spec.block == "bottleneck" else "layer_{}"
    blocks = [(stage, i) for stage, depth in enumerate(spec.stage_depths) for i in range(depth)]
    for index, (stage, i) in enumerate(blocks):
        ours, theirs = f"backbone/block{index}", f"encoder.stages.{stage}.layers.{i}"
        modules += _conv_norm(f"{ours}/shortcut", f"{theirs}.shortcut")
        for j in range(convolutions):
            flax = f"{theirs.replace('.', '/')}/layer/{in_flax.format(j)}"
            modules += _conv_norm(f"{ours}/conv{j}", f"{theirs}.layer.{j}", flax)
    return tuple(modules)


def _lacks(spec: ResNetSpec) -> dict[str, Any]:
    expressible = {
        "stem": ("imagenet",),
        "shortcut": ("projection",),
        "first_stage_stride": (1, 2),
        "epsilon": (_EPSILON,),
    }
    return {name: getattr(spec, name) for name, values in expressible.items() if getattr(spec, name) not in values}


RESNET = HuggingFaceFamily(
    model_type="resnet",
    model_class="ResNetModel",
    classifier_class="ResNetForImageClassification",
    settings=_SETTINGS,
    fixed={"num_channels": (3,)},
    ignored=frozenset({"out_features", "out_indices", "stage_names", "_out_features", "_out_indices"}),
    signature={"torch": "embedder.embedder.convolution.weight", "flax": "embedder/embedder/convolution/kernel"},
    head="classifier.1",
    fields=_fields,
    written=_written,
    backbone=_backbone,
    unused=lambda spec: {r".*[./]num_batches_tracked": "a count that nothing is computed from"},
    architecture=lambda spec: "ResNetForImageClassification" if spec.num_classes else "ResNetModel",
    lacks=_lacks,
    instead="--format=torch or --format=stablehlo",
)
