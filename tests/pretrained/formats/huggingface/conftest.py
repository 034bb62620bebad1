"""Tiny checkpoints of every family in the Hugging Face layout, written as transformers writes them."""

import json
import pathlib
import types

import numpy as np
import pytest
from flax import serialization, traverse_util
from safetensors.numpy import save_file

from tlj.models.bert import BERTSpec
from tlj.models.registry import family_of
from tlj.models.resnet import ResNetSpec
from tlj.models.shapes import leaf_shapes
from tlj.models.vit import ViTSpec
from tlj.pretrained.formats.huggingface.families import FAMILIES
from tlj.pretrained.formats.name_map import entries

SPECS = {
    "vit": ViTSpec(
        num_classes=3, image_size=8, patch_size=4, width=8, depth=2, heads=2, mlp_width=12, mlp_dropout=False
    ),
    "resnet": ResNetSpec(num_classes=3, image_size=32, stem_width=4, stage_depths=(1, 2), stage_widths=(2, 4)),
    "bert": BERTSpec(num_classes=3, vocabulary=11, width=8, depth=2, heads=2, mlp_width=12, positions=6, types=1),
}
PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
}


def stored_arrays(spec, prefix="", layout="torch"):
    """The arrays of a model with random values, by the names that transformers gives them."""
    draws = np.random.default_rng(0)
    found = {}
    for entry in entries(FAMILIES[family_of(spec).name].modules(spec, prefix), leaf_shapes(spec), layout):
        leaf = draws.uniform(0.1, 1, entry.shape).astype(np.float32)
        found.update(zip(entry.names, entry.to_stored(leaf), strict=True))
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def write(directory, spec, arrays=None, layout="torch", **changes):
    """Writes a checkpoint of a spec, with other arrays and other settings where they are given."""
    directory.mkdir(parents=True, exist_ok=True)
    family = FAMILIES[family_of(spec).name]
    arrays = stored_arrays(spec, family.prefix(spec), layout) if arrays is None else arrays
    (directory / "config.json").write_text(json.dumps({**family.config(spec), **changes}))
    if family.model_type != "bert":
        size = {"height": spec.image_size, "width": spec.image_size}
        (directory / "preprocessor_config.json").write_text(json.dumps({**PREPROCESSOR, "size": size}))
    if layout == "torch":
        save_file(arrays, directory / "model.safetensors", metadata={"format": "pt"})
    else:
        nested = traverse_util.unflatten_dict(arrays, sep="/")
        (directory / "flax_model.msgpack").write_bytes(serialization.msgpack_serialize(nested))
    return directory


@pytest.fixture(scope="session")
def tiny():
    """``specs`` of each family, their ``arrays(spec, prefix, layout)`` and ``write(directory, spec, ...)``."""
    return types.SimpleNamespace(specs=SPECS, arrays=stored_arrays, write=write)


@pytest.fixture(scope="session")
def goldens():
    """The directories that transformers' own classes wrote, by name."""
    root = pathlib.Path(__file__).parents[3] / "golden" / "checkpoints"
    return {
        path.name: path
        for path in sorted(root.iterdir())
        if path.name.startswith(("vit_", "resnet_", "bert_")) and (path / "config.json").is_file()
    }
