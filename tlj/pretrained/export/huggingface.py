"""The layout of transformers: config.json, weights, and what its processors or tokenizers read."""

from __future__ import annotations

from tlj.data.images import Preprocessing
from tlj.models.registry import family_of
from tlj.pretrained.export.arrays import torch_arrays
from tlj.pretrained.export.files import Writer, as_arrays, as_copy, as_json
from tlj.pretrained.formats.huggingface.extra import with_extra
from tlj.pretrained.formats.huggingface.families import FAMILIES
from tlj.pretrained.formats.preprocessing_files import FILE, preprocessor_config
from tlj.pretrained.formats.tokenizer_files import check_tokenizer_files
from tlj.pretrained.load import Model


def huggingface_files(model: Model) -> dict[str, Writer]:
    """Returns the files that transformers' own class loads with nothing missing and nothing left over.

    Args:
      model: what to export.

    Raises:
      InputError: for a model that no class of transformers computes, weights that are not finite, or the files of
        another tokenizer.
    """
    spec, preprocessing = model.spec, model.preprocessing
    family = FAMILIES[family_of(spec).name]
    config = with_extra(family, family.config(spec, model.classes), spec, preprocessing)
    arrays = torch_arrays(model.variables, family.modules(spec, family.prefix(spec)))
    files = {"config.json": as_json(config), "model.safetensors": as_arrays(arrays, {"format": "pt"})}
    if isinstance(preprocessing, Preprocessing):
        return files | {FILE: as_json(preprocessor_config(preprocessing, family.model_type))}
    check_tokenizer_files(model.files, preprocessing.tokenizer, "the model's own")
    return files | {name: as_copy(file) for name, file in model.files.items()}
