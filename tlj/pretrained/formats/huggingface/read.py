"""Reading a directory in the Hugging Face layout: what its files say, before any value is read."""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.registry import FAMILIES as MODELS
from tlj.models.registry import Spec
from tlj.pretrained.files.stored import StoredArray
from tlj.pretrained.formats.checkpoint import Checkpoint
from tlj.pretrained.formats.huggingface.config import architecture_in, class_names, family_in, read_config, settings_of
from tlj.pretrained.formats.huggingface.extra import extra_preprocessing, extra_spec
from tlj.pretrained.formats.huggingface.families import FAMILIES
from tlj.pretrained.formats.huggingface.family import HuggingFaceFamily
from tlj.pretrained.formats.huggingface.names import plain_names
from tlj.pretrained.formats.huggingface.weights import Weights, open_weights
from tlj.pretrained.formats.preprocessing_files import read_image_preprocessing
from tlj.pretrained.formats.tokenizer_files import find_tokenizer_files
from tlj.pretrained.identity import content_identity
from tlj.pretrained.overrides import Overrides


def read_huggingface(directory: pathlib.Path, chosen: Overrides) -> Checkpoint:
    """Returns what a directory says of the model in it.

    Args:
      directory: with ``config.json`` and the weights, as transformers' ``save_pretrained`` writes them.
      chosen: what the user says beside the path.

    Raises:
      InputError: for a file that cannot be used, or a setting that is not implemented or that the user may not change.
    """
    file = directory / "config.json"
    if not file.is_file():
        there = ", ".join(sorted(entry.name for entry in directory.iterdir())[:10]) or "nothing"
        raise InputError(
            f"no config.json; there is {there}", where=str(directory), do="give a directory in the Hugging Face layout"
        )
    config = read_config(file)
    # The oldest checkpoints leave the model_type to whoever loads them.
    told = {"model_type": chosen.family} if chosen.family else {}
    family = family_in({**told, **config}, FAMILIES, str(file))
    settings = settings_of(family, config, str(file))
    weights = open_weights(directory)
    arrays = plain_names(weights.arrays, family, weights.layout, str(weights.file))
    head = _Head.of(family, config, arrays, weights.layout, str(file))
    preprocessing = _image_preprocessing(directory, family)
    stored = _spec(family, settings, weights, head.classes, preprocessing, str(file))
    stored = extra_spec(family, stored, config, str(file))
    spec = chosen.adjust(stored)
    family.check(settings, spec, str(file))
    files = {} if preprocessing else find_tokenizer_files(directory)
    names = class_names(config, str(file)) or ()
    if preprocessing is None:
        preprocessing = extra_preprocessing(_text_preprocessing(stored, files), stored, config, str(file))
    return Checkpoint(
        spec=spec,
        stored_spec=stored,
        modules=family.modules(spec),
        layout=weights.layout,
        arrays=arrays,
        unused={**family.unused(spec), **head.unused},
        preprocessing=chosen.on_preprocessing(preprocessing, spec),
        classes=names if len(names) == head.classes else (),
        files=files,
        location=str(weights.file),
        hint=_hint(spec, arrays),
        identity=content_identity([file, *weights.files, *_preprocessing_files(directory), *files.values()]),
    )


@dataclasses.dataclass(frozen=True)
class _Head:
    """The classification head: its number of classes, 0 without one, and the patterns of a head of another kind."""

    classes: int
    unused: Mapping[str, str]

    @classmethod
    def of(
        cls,
        family: HuggingFaceFamily,
        config: Mapping[str, Any],
        arrays: Mapping[str, StoredArray],
        layout: str,
        file: str,
    ) -> _Head:
        saved_from = architecture_in(config, file)
        if saved_from in family.other_heads:
            return cls(0, {rf"{family.head}[./].*": f"the head of {saved_from}"})
        kernel, bias = f"{family.head}.weight", f"{family.head}.bias"
        if layout == "flax":
            kernel, bias = f"{family.head}.kernel".replace(".", "/"), bias.replace(".", "/")
        for name, dimensions, axis in ((kernel, 2, 0 if layout == "torch" else 1), (bias, 1, 0)):
            if name in arrays:
                shape = arrays[name].shape
                if len(shape) != dimensions or not shape[axis]:
                    raise InputError(
                        f"{arrays[name].name} has shape {shape}, which no head has",
                        where=file,
                        do="mend the checkpoint",
                    )
                return cls(shape[axis], {})
        if saved_from != family.classifier_class:
            return cls(0, {})
        # A classifier whose head is not there: of as many classes as transformers would give it, and missing.
        names = class_names(config, file)
        return cls(_number_of_labels(config, file) if names is None else len(names), {})


def _number_of_labels(config: Mapping[str, Any], file: str) -> int:
    """As transformers takes it where the classes have no names."""
    count = config.get("num_labels", 2)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InputError(f"num_labels = {count!r} is not a number of classes", where=file, do="mend the file")
    return count


def _spec(
    family: HuggingFaceFamily,
    settings: Mapping[str, Any],
    weights: Weights,
    classes: int,
    preprocessing: Preprocessing | None,
    file: str,
) -> Spec:
    """The checkpoint's own sizes; what does not go together is said of its config.json."""
    try:
        fields = family.fields(settings, weights.layout)
        if preprocessing:
            fields.setdefault("image_size", preprocessing.image_size)
        spec = MODELS[family.model_type].spec(num_classes=classes, **fields)
    except InputError as error:
        raise InputError(error.what, where=file, do="mend the file") from None
    # Each block has arrays; a depth beyond their number would take for ever to find out one by one.
    if spec.depth > len(weights.arrays):
        raise InputError(
            f"a depth of {spec.depth}, but {weights.file.name} holds {len(weights.arrays)} arrays",
            where=file,
            do="get the checkpoint again",
        )
    return spec


def _hint(spec: Spec, arrays: Mapping[str, StoredArray]) -> str:
    """What to do where arrays are missing that not every class of transformers has."""
    if getattr(spec, "pool", "") != "pooler" or any(name.startswith("pooler") for name in arrays):
        return ""
    return 'the checkpoint has no pooler: choose pool="first" or pool="mean"'


def _image_preprocessing(directory: pathlib.Path, family: HuggingFaceFamily) -> Preprocessing | None:
    """What the checkpoint expects of images; None for a family of text."""
    if MODELS[family.model_type].preprocessing is not Preprocessing:
        return None
    preprocessing, note = read_image_preprocessing(directory, family.model_type)
    if note:
        warnings.warn(note, stacklevel=2)
    return preprocessing


def _text_preprocessing(spec: Spec, files: Mapping[str, pathlib.Path]) -> TextPreprocessing:
    tokenizer = content_identity(files.values()) if files else ""
    return TextPreprocessing(spec.positions, spec.vocabulary, padding=spec.padding, tokenizer=tokenizer)


def _preprocessing_files(directory: pathlib.Path) -> list[pathlib.Path]:
    return [file for file in (directory / "preprocessor_config.json",) if file.is_file()]
