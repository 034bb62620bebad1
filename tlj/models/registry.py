"""The families tlj knows: how a family is sized, built, and where its depths are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError, nearest_name, unknown_name
from tlj.models.attention.kernels import XLA, Kernels
from tlj.models.bert import BERT, BERTSpec
from tlj.models.layers import Classifier
from tlj.models.rematerialise import check_policy
from tlj.models.resnet import ResNet, ResNetSpec
from tlj.models.vit import ViT, ViTSpec

Spec = ViTSpec | ResNetSpec | BERTSpec


def depth_of(path: str, blocks: int) -> int:
    """Returns the depth of a parameter: 0 for the embedding, i + 1 for block i, ``blocks`` + 1 for the head.

    What stands between the last block and the head (a final norm, a pooler) belongs to the last block.

    Args:
      path: the parameter's path, for example ``"backbone/block3/mlp/up/kernel"``.
      blocks: number of blocks of the backbone.
    """
    if path.startswith("head/"):
        return blocks + 1
    if path.startswith("backbone/embedding/"):
        return 0
    block = re.match(r"backbone/block(\d+)/", path)
    return int(block.group(1)) + 1 if block else blocks


@dataclasses.dataclass(frozen=True)
class Family:
    """One family of architectures.

    Attributes:
      name: what ``config.model.family`` says.
      spec: the frozen dataclass of its sizes; has ``num_classes`` (0: no head), ``depth`` and ``example(batch)``,
        inputs of zeros.
      backbone: the Linen module, built from a spec, a compute dtype and a policy for what blocks keep.
      preprocessing: the class of what its inputs go through; data of another class does not fit.
      depth_of: from a parameter's path and the number of blocks to its depth.
      head_dropout: from a spec to the rate of the dropout before the head.
      batch_norm: whether layers normalise with statistics of the batch; the backbone then has an ``axis_name``.
      attention: whether tokens look at each other; the backbone then has ``kernels``.
    """

    name: str
    spec: type[Spec]
    backbone: Callable[..., nn.Module]
    preprocessing: type[Preprocessing | TextPreprocessing]
    depth_of: Callable[[str, int], int] = depth_of
    head_dropout: Callable[[Spec], float] = lambda spec: 0.0
    batch_norm: bool = False
    attention: bool = True


def _bert_head_dropout(spec: BERTSpec) -> float:
    return spec.dropout if spec.head_dropout is None else spec.head_dropout


FAMILIES = {
    family.name: family
    for family in (
        Family("vit", ViTSpec, ViT, Preprocessing),
        Family("resnet", ResNetSpec, ResNet, Preprocessing, batch_norm=True, attention=False),
        Family("bert", BERTSpec, BERT, TextPreprocessing, head_dropout=_bert_head_dropout),
    )
}


def family_of(spec: Spec) -> Family:
    """Returns the family that a spec belongs to."""
    return next(family for family in FAMILIES.values() if isinstance(spec, family.spec))


def make_spec(family: str, settings: Mapping[str, Any], **sizes: Any) -> Spec:
    """Builds the spec of a family from a config's settings.

    Args:
      family: name of a registered family.
      settings: sizes by name; lists become tuples.
      **sizes: sizes that the data decides, such as ``num_classes``; they win over ``settings``.

    Raises:
      InputError: for a family or a setting that does not exist, or a value of another type.
    """
    if family not in FAMILIES:
        raise unknown_name("model family", family, FAMILIES, where="config.model.family")
    kind = FAMILIES[family].spec
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    values = {}
    for name, value in {**settings, **sizes}.items():
        where = f"config.model.settings.{name}"
        if name not in defaults:
            raise InputError(
                f"{family} has no setting {name!r}",
                where=where,
                nearest=nearest_name(name, defaults),
                do=f"use one of {', '.join(defaults)}",
            )
        values[name] = _checked(name, value, defaults[name], where)
    return kind(**values)


# Ranges of the settings that are not simply sizes of at least one.
_AT_LEAST_ZERO = ("num_classes", "mlp_width", "padding")
_RATES = ("dropout", "attention_dropout", "head_dropout", "stochastic_depth", "momentum")


def _checked(name: str, value: Any, default: Any, where: str) -> Any:
    """Returns a setting in the type of its default, or raises the error that says what it should have been."""
    if default is None and value is None:
        return None
    if isinstance(default, bool):
        expected, fits = "true or false", isinstance(value, bool)
    elif isinstance(default, str):
        expected, fits = "text", isinstance(value, str)
    elif isinstance(default, tuple):
        value = tuple(value) if isinstance(value, list | tuple) else value
        expected = "a list of whole numbers of at least 1"
        filled = bool(value) or name == "head_layers"
        fits = isinstance(value, tuple) and filled and all(_is_whole(item, 1) for item in value)
    elif isinstance(default, int):
        least = 0 if name in _AT_LEAST_ZERO else 1
        expected, fits = f"a whole number of at least {least}", _is_whole(value, least)
    else:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if is_number else value
        expected = "a number from 0 to below 1" if name in _RATES else "a number above 0"
        fits = is_number and (0 <= value < 1 if name in _RATES else 0 < value < float("inf"))
    if not fits:
        raise InputError(f"{name} = {value!r} is not {expected}", where=where, do="change the value")
    return value


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def build(
    spec: Spec, dtype: str = "float32", remat: str = "none", axis_name: str | None = None, kernels: Kernels = XLA
) -> Classifier:
    """Builds the module of a spec: a backbone that computes in ``dtype`` and a float32 head.

    Args:
      spec: the sizes.
      dtype: what the backbone computes in; parameters, statistics of norms and softmax are float32.
      remat: what blocks keep for the backward pass, one of ``tlj.models.rematerialise.POLICIES``.
      axis_name: of the map over devices that the module is called in, over which BatchNorm takes its statistics; None
        where it sees the whole batch.
      kernels: how attention is computed, in families that have some.

    Raises:
      InputError: for a ``remat`` that does not exist.

    Example:
      >>> module = build(ViTSpec(num_classes=5, image_size=8, patch_size=2, width=16, depth=2, heads=2))
      >>> module.num_classes
      5
    """
    check_policy(remat)
    family = family_of(spec)
    own = ({"axis_name": axis_name} if family.batch_norm else {}) | ({"kernels": kernels} if family.attention else {})
    backbone = family.backbone(spec, jnp.dtype(dtype), remat, **own)
    return Classifier(backbone, spec.num_classes, family.head_dropout(spec), spec.head_layers)
