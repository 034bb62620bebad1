"""ViT as transformers has it: `ViTConfig`, `ViTModel`, `ViTForImageClassification` and their Flax classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.errors import InputError
from tlj.models.vit import ViTSpec
from tlj.pretrained.formats.huggingface.blocks import block_modules
from tlj.pretrained.formats.huggingface.family import HuggingFaceFamily
from tlj.pretrained.formats.huggingface.settings import (
    ACTIVATION_NAMES,
    flag,
    one_of,
    optional_size,
    positive,
    rate,
    side,
    size,
    text,
)
from tlj.pretrained.formats.name_map import Module

# The defaults are those of transformers.ViTConfig.
_SETTINGS = {
    "hidden_size": size(768),
    "num_hidden_layers": size(12),
    "num_attention_heads": size(12),
    "intermediate_size": size(3072),
    "hidden_act": one_of("gelu", ACTIVATION_NAMES),
    "hidden_dropout_prob": rate(0.0),
    "attention_probs_dropout_prob": rate(0.0),
    "layer_norm_eps": positive(1e-12),
    "image_size": side(224),
    "patch_size": side(16),
    "qkv_bias": flag(True),
    "pooler_act": text("tanh"),
    "pooler_output_size": optional_size(),
}


def _fields(settings: Mapping[str, Any], layout: str) -> dict[str, Any]:
    return {
        "image_size": settings["image_size"],
        "patch_size": settings["patch_size"],
        "width": settings["hidden_size"],
        "depth": settings["num_hidden_layers"],
        "heads": settings["num_attention_heads"],
        "mlp_width": settings["intermediate_size"],
        "activation": settings["hidden_act"],
        "epsilon": settings["layer_norm_eps"],
        "qkv_bias": settings["qkv_bias"],
        "pool": "first",
        "class_token": True,
        "dropout": settings["hidden_dropout_prob"],
        "attention_dropout": settings["attention_probs_dropout_prob"],
        "mlp_dropout": False,
    }


def _written(spec: ViTSpec) -> dict[str, Any]:
    return {
        "hidden_size": spec.width,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.heads,
        "intermediate_size": spec.mlp_width or 4 * spec.width,
        "hidden_act": ACTIVATION_NAMES[spec.activation][0],
        "hidden_dropout_prob": spec.dropout,
        "attention_probs_dropout_prob": spec.attention_dropout,
        "layer_norm_eps": spec.epsilon,
        "image_size": spec.image_size,
        "patch_size": spec.patch_size,
        "qkv_bias": spec.qkv_bias,
        "pooler_act": "tanh",
        "pooler_output_size": spec.width,
    }


def _check(settings: Mapping[str, Any], spec: ViTSpec, where: str) -> None:
    if spec.pool != "pooler":
        return
    for key, implemented in (("pooler_act", ("tanh",)), ("pooler_output_size", (None, 0, spec.width))):
        if settings[key] not in implemented:
            raise InputError(
                f"{key} = {settings[key]!r} is not implemented", where=where, do=f"tlj implements {implemented[-1]}"
            )


def _backbone(spec: ViTSpec) -> tuple[Module, ...]:
    modules = [
        Module("backbone/embedding/class_token", ("embeddings.cls_token",), "leaf"),
        Module("backbone/embedding/position", ("embeddings.position_embeddings",), "leaf"),
        Module("backbone/embedding/patch", ("embeddings.patch_embeddings.projection",), "conv"),
        Module("backbone/norm", ("layernorm",), "norm"),
        Module("backbone/pooler", ("pooler.dense",), "dense"),
    ]
    for i in range(spec.depth):
        modules += block_modules(
            i, attention="attention", attention_norm="layernorm_before", mlp_norm="layernorm_after"
        )
    return tuple(modules)


def _unused(spec: ViTSpec) -> dict[str, str]:
    pooler = {} if spec.pool == "pooler" else {r"pooler[./].*": "the model pools otherwise"}
    return {
        **pooler,
        r"embeddings[./]mask_token": "only masked image modelling uses it",
        r"decoder[./].*": "the decoder of masked image modelling",
    }


def _architecture(spec: ViTSpec) -> str:
    # ViTModel always has a pooler; the classifier with no labels gives the first token as it is.
    return "ViTModel" if not spec.num_classes and spec.pool == "pooler" else "ViTForImageClassification"


def _lacks(spec: ViTSpec) -> dict[str, Any]:
    lacking = {} if spec.class_token else {"class_token": False}
    if spec.pool == "mean" or (spec.num_classes and spec.pool == "pooler"):
        lacking["pool"] = spec.pool
    return lacking


VIT = HuggingFaceFamily(
    model_type="vit",
    model_class="ViTModel",
    classifier_class="ViTForImageClassification",
    settings=_SETTINGS,
    fixed={"num_channels": (3,)},
    ignored=frozenset({"encoder_stride"}),
    signature={"torch": "embeddings.cls_token", "flax": "embeddings/cls_token"},
    head="classifier",
    fields=_fields,
    written=_written,
    check=_check,
    backbone=_backbone,
    unused=_unused,
    architecture=_architecture,
    lacks=_lacks,
)
