"""How a config's model and its data fit: the sizes of the one, the preprocessing of both, and how examples are read."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from tlj.data.images import Augmentation, Preprocessing
from tlj.data.settings import Reading
from tlj.data.sources import Source
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.registry import FAMILIES, Spec, make_spec
from tlj.named_paths import named_path
from tlj.pretrained.formats.tokenizer_files import find_tokenizer_files, open_tokenizer
from tlj.pretrained.identity import content_identity
from tlj.pretrained.overrides import Overrides, check_preprocessing
from tlj.pretrained.source import PretrainedSource
from tlj.training.model_source import open_model_source
from tlj.training.task_checks import check_task
from tlj.training.tasks import TASKS

# Of images scaled to [0, 1], over ImageNet's training set: what most vision code normalises with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """What a model and its data make of each other.

    Attributes:
      spec: of the model.
      preprocessing: of the model, for this data; both arms of a pair share it.
      pretrained: the model source, or None.
      reading: how examples are read for evaluation.
      training_reading: how they are read for training; another where the device cuts crops.
      tokenizer_files: that travel with the run, by name; empty where there are none.
    """

    spec: Spec
    preprocessing: Preprocessing | TextPreprocessing
    pretrained: PretrainedSource | None
    reading: Reading
    training_reading: Reading
    tokenizer_files: Mapping[str, pathlib.Path]


def fit_model(config: Mapping[str, Any], source: Source, augmentation: Augmentation, base: pathlib.Path) -> Fit:
    """Fits the model of a config to its data.

    Args:
      config: the resolved config of one run, nested.
      source: the data.
      augmentation: of training images.
      base: the directory that a relative ``model.source`` is relative to.

    Raises:
      InputError: where the model cannot take the data, or the config says of either what cannot be.
    """
    wanted = config["model"]
    check_task(config, source, augmentation)
    outputs = TASKS[config["task"]].outputs(len(source.classes))
    _check_kind(wanted["family"], source, augmentation)
    if wanted["family"] in FAMILIES:
        check_preprocessing(wanted["preprocessing"], wanted["family"])
    pretrained = open_model_source(wanted, base) if wanted["source"] else None
    files = tokenizer_files(config["data"], pretrained)
    if pretrained is None:
        spec, preprocessing = _new_model(wanted, source, outputs, files)
    else:
        own = make_spec(wanted["family"], {"head_layers": wanted["settings"].get("head_layers", ())})
        spec = dataclasses.replace(pretrained.spec, num_classes=outputs, head_layers=own.head_layers)
        preprocessing = pretrained.preprocessing
    if source.preprocessing is not None:
        if misfit := source.preprocessing.misfit(spec):
            if pretrained:
                raise InputError(misfit, where="config.model.source", do=f"use a source that {source.name} fits")
            raise InputError(misfit, where="config.model.settings", do="change the settings, or use other data")
        preprocessing = preprocessing.on(source.preprocessing)
    elif isinstance(preprocessing, TextPreprocessing):
        preprocessing = for_text(config["data"]["text"], spec, preprocessing, files)
    reading = _reading(config["data"], preprocessing, files)
    crop_from = augmentation.squashed(preprocessing.image_size) if isinstance(preprocessing, Preprocessing) else 0
    if crop_from and crop_from < preprocessing.image_size:
        raise InputError(
            f"a crop of {crop_from} pixels a side is enlarged to the model's {preprocessing.image_size}",
            where="config.data.augment.crop_from",
            do=f"use at least {preprocessing.image_size}, or 0",
        )
    return Fit(spec, preprocessing, pretrained, reading, dataclasses.replace(reading, crop_from=crop_from), files)


def _check_kind(family: str, source: Source, augmentation: Augmentation) -> None:
    """Raises the error for a family that takes another kind of input, or for what cannot be done to it."""
    if family in FAMILIES and FAMILIES[family].preprocessing.kind != source.kind:
        fitting = [name for name, other in FAMILIES.items() if other.preprocessing.kind == source.kind]
        raise InputError(
            f"{family} takes {FAMILIES[family].preprocessing.kind}, {source.name} holds {source.kind}",
            where="config.model.family",
            do=f"use {' or '.join(fitting)}, or other data",
        )
    changed = [name for name, value in dataclasses.asdict(augmentation).items() if value != getattr(Augmentation, name)]
    if source.kind != Preprocessing.kind and changed:
        raise InputError(
            f"{source.name} holds {source.kind}, which is not augmented",
            where=f"config.data.augment.{changed[0]}",
            do="leave it out",
        )


def tokenizer_files(data: Mapping[str, Any], pretrained: PretrainedSource | None) -> Mapping[str, pathlib.Path]:
    """Returns the files of the tokenizer: those of the model source, or those that the config names.

    Args:
      data: ``config.data``.
      pretrained: the model source, or None.

    Raises:
      InputError: where there are none in the folder named, or others than those of the model source.
    """
    own = pretrained.files if pretrained else {}
    folder, where = data["text"]["tokenizer"], "config.data.text.tokenizer"
    if not folder:
        return own
    files = find_tokenizer_files(named_path(folder, where))
    if not files:
        raise InputError(f"no tokenizer in {folder!r}", where=where, do="name a folder that holds one")
    if own and content_identity(own.values()) != content_identity(files.values()):
        raise InputError("not the tokenizer that the model source was made with", where=where, do="leave it out")
    return files


def _new_model(
    wanted: Mapping[str, Any], source: Source, outputs: int, files: Mapping[str, pathlib.Path]
) -> tuple[Spec, Preprocessing | TextPreprocessing]:
    """The spec and preprocessing of a model without a source: the config's, and where it leaves open, the data's."""
    sizes: dict[str, Any] = {"num_classes": outputs}
    told = Overrides({**wanted["settings"], **wanted["preprocessing"]})
    if source.preprocessing is not None:
        spec = make_spec(wanted["family"], wanted["settings"], **sizes, **source.preprocessing.sizes())
        told.of_spec(wanted["family"])
        return spec, told.on_preprocessing(source.preprocessing, spec)
    if source.kind == Preprocessing.kind:
        spec = make_spec(wanted["family"], wanted["settings"], **sizes)
        told.of_spec(wanted["family"])
        return spec, told.on_preprocessing(Preprocessing(spec.image_size, IMAGENET_MEAN, IMAGENET_STD), spec)
    if not files:
        raise InputError(
            f"{source.name} holds text, and there is no tokenizer",
            where="config.data.text.tokenizer",
            do="name a folder that holds one, or a model.source that has one",
        )
    tokenizer = open_tokenizer(files)
    padding = tokenizer.pad_token_id or 0
    spec = make_spec(
        wanted["family"], {"vocabulary": len(tokenizer), "padding": padding, **wanted["settings"]}, **sizes
    )
    told.of_spec(wanted["family"])
    return spec, TextPreprocessing(spec.positions, len(tokenizer), padding)


def for_text(
    text: Mapping[str, Any], spec: Spec, own: TextPreprocessing, files: Mapping[str, pathlib.Path]
) -> TextPreprocessing:
    """Returns the preprocessing of a model on text that is yet to be tokenised.

    Args:
      text: ``config.data.text``.
      spec: of the model.
      own: its preprocessing, whatever the data.
      files: of its tokenizer, by name.

    Raises:
      InputError: for a length that the model cannot take, or a tokenizer with more ids than it knows.
    """
    if text["length"] > spec.positions:
        raise InputError(
            f"{text['length']} tokens, but the model has {spec.positions} positions",
            where="config.data.text.length",
            do=f"use at most {spec.positions}",
        )
    if 0 < text["length"] < 3:
        what = f"{text['length']} tokens hold no text between the special ones"
        raise InputError(what, where="config.data.text.length", do="use at least 3, or 0")
    if spec.vocabulary < own.vocabulary:
        raise InputError(
            f"the model knows {spec.vocabulary} token ids, the tokenizer has {own.vocabulary}",
            where="config.model.settings.vocabulary",
            do=f"use {own.vocabulary}, or leave it out",
        )
    identity = content_identity(files.values()) if files else ""
    return dataclasses.replace(own, length=text["length"] or spec.positions, tokenizer=identity)


def _reading(
    data: Mapping[str, Any], preprocessing: Preprocessing | TextPreprocessing, files: Mapping[str, pathlib.Path]
) -> Reading:
    if isinstance(preprocessing, Preprocessing):
        return Reading(threads=data["threads"], memory=data["memory"])
    text = data["text"]
    tokenizer = tuple(sorted(files.items()))
    return Reading(batching=text["batching"], buckets=text["buckets"], tokenizer=tokenizer, shards=jax.device_count())
