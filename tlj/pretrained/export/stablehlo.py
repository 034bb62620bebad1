"""A program that runs without tlj: a serialised ``jax.export`` module, its weights, and an example of their use."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jax import export
from jaxtyping import Array, Float

import tlj
from tlj.data.images import Preprocessing, normalise
from tlj.data.text import TEXT_INPUTS
from tlj.models.registry import family_of
from tlj.pretrained.export.arrays import flat_leaves
from tlj.pretrained.export.files import Writer, as_arrays, as_bytes, as_copy, as_json, as_text
from tlj.pretrained.formats.tokenizer_files import check_tokenizer_files, open_tokenizer
from tlj.pretrained.load import Model

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM, WEIGHTS, TOKENIZER = "program.jax_export", "weights.safetensors", "tokenizer.json"


def stablehlo_files(model: Model) -> dict[str, Writer]:
    """Returns a program for every kind of device, its weights, what is to be known of it, and an example of its use.

    Args:
      model: what to export.

    Raises:
      InputError: for weights that are not finite, or the files of another tokenizer.
    """
    leaves = {path: np.asarray(leaf, np.float32) for path, leaf in sorted(flat_leaves(model.variables).items())}
    exported = exported_program(model)
    is_image = isinstance(model.preprocessing, Preprocessing)
    example = pathlib.Path(__file__).with_name("image_example.py" if is_image else "text_example.py")
    tokenizer = _tokenizer(model)
    return {
        PROGRAM: as_bytes(exported.serialize()),
        WEIGHTS: as_arrays(leaves, {"format": "np"}),
        "model.json": as_json(_description(model, exported, list(leaves), has_tokenizer=bool(tokenizer))),
        "example.py": as_copy(example),
        **({TOKENIZER: as_text(tokenizer)} if tokenizer else {}),
    }


def exported_program(model: Model) -> export.Exported:
    """Returns the model as a function of its weights and its inputs, for any batch and any length of text.

    The weights are a dict by path. Images are bytes, as they are after a resize; the program normalises them.

    Args:
      model: to be exported; what its backbone computes in is kept.
    """
    shapes = {path: jax.ShapeDtypeStruct(leaf.shape, np.float32) for path, leaf in flat_leaves(model.variables).items()}
    if isinstance(model.preprocessing, Preprocessing):
        (batch,) = export.symbolic_shape("batch")
        inputs = [jax.ShapeDtypeStruct((batch, *model.spec.input_shape), np.uint8)]
    else:
        shape = export.symbolic_shape("batch, length", constraints=[f"length <= {model.spec.positions}"])
        inputs = [jax.ShapeDtypeStruct(shape, np.int32) for _ in TEXT_INPUTS]

    def logits(weights: Mapping[str, Array], *inputs: Array) -> Float[Array, "batch classes"]:
        is_image = isinstance(model.preprocessing, Preprocessing)
        taken = normalise(*inputs, model.preprocessing) if is_image else dict(zip(TEXT_INPUTS, inputs, strict=True))
        return model.module.apply(traverse_util.unflatten_dict(weights, sep="/"), taken)

    # Of the files that a program was traced from, their names are kept and not where they lay on this machine.
    name = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, name)
    jax.config.update(name, ".*/")
    try:
        return export.export(jax.jit(logits), platforms=PLATFORMS)(shapes, *inputs)
    finally:
        jax.config.update(name, before)


def _tokenizer(model: Model) -> str:
    """All of the tokenizer in one file, whatever files the model came with; nothing where it has none."""
    if not {"tokenizer.json", "vocab.txt"} & set(model.files):
        return ""
    check_tokenizer_files(model.files, model.preprocessing.tokenizer, "the model's own")
    return open_tokenizer(model.files).backend_tokenizer.to_str(pretty=True)


def _description(model: Model, exported: export.Exported, weights: list[str], *, has_tokenizer: bool) -> dict[str, Any]:
    """What ``model.json`` says: all that the example, or whoever writes another, has to know."""
    is_image = isinstance(model.preprocessing, Preprocessing)
    names = ("images",) if is_image else TEXT_INPUTS
    inputs = exported.in_avals[len(weights) :]
    return {
        "family": family_of(model.spec).name,
        "kind": model.preprocessing.kind,
        "classes": list(model.classes),
        "num_classes": model.spec.num_classes,
        "inputs": [_described(name, aval) for name, aval in zip(names, inputs, strict=True)],
        "output": _described("logits" if model.spec.num_classes else "features", exported.out_avals[0]),
        "preprocessing": dataclasses.asdict(model.preprocessing),
        "tokenizer": TOKENIZER if has_tokenizer else None,
        "program": {
            "file": PROGRAM,
            "platforms": list(exported.platforms),
            "calling_convention_version": exported.calling_convention_version,
        },
        "weights": {"file": WEIGHTS, "names": weights},
        "spec": dataclasses.asdict(model.spec),
        "versions": {"tlj": tlj.__version__, **{n: importlib.metadata.version(n) for n in ("jax", "jaxlib")}},
    }


def _described(name: str, aval: jax.core.ShapedArray) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in aval.shape]
    return {"name": name, "shape": shape, "dtype": str(aval.dtype)}
