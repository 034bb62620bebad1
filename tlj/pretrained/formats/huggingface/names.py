"""The names of a checkpoint's arrays without what the class that saved them put before them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping

from tlj.errors import InputError
from tlj.pretrained.files.stored import StoredArray
from tlj.pretrained.formats.huggingface.family import HuggingFaceFamily

# What TensorFlow's BERT called them, and the first releases of its torch class.
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_COLLECTIONS = ("params/", "batch_stats/")


def plain_names(
    arrays: Mapping[str, StoredArray], family: HuggingFaceFamily, layout: str, where: str
) -> dict[str, StoredArray]:
    """Returns a checkpoint's arrays by the names they have in the class without a head.

    Args:
      arrays: by their names in the file.
      family: of the checkpoint.
      layout: ``"torch"`` or ``"flax"``.
      where: the file.

    Raises:
      InputError: where there are two models in the file, or two arrays of one name.
    """
    spelled = _modern if layout == "torch" else _without_collection
    names = {name: spelled(name) for name in arrays}
    prefix = _prefix(names.values(), family, layout, where)
    separator = "." if layout == "torch" else "/"
    # A wrapper puts its own name before the backbone and the head: `module.bert.embeddings...`, `module.classifier...`.
    outer = prefix.removesuffix(f"{family.model_type}{separator}")
    found: dict[str, StoredArray] = {}
    for name, spelling in names.items():
        plain = spelling.removeprefix(prefix) if spelling.startswith(prefix) else spelling.removeprefix(outer)
        if plain in found:
            raise InputError(f"{found[plain].name} and {name} are the same array", where=where, do="remove one of them")
        found[plain] = dataclasses.replace(arrays[name], name=name)
    return found


def _modern(name: str) -> str:
    old = next((old for old in _OLD_NAMES if name.endswith(old)), "")
    return name.removesuffix(old) + _OLD_NAMES[old] if old else name


def _without_collection(name: str) -> str:
    return re.sub(rf"^({'|'.join(_COLLECTIONS)})", "", name)


def _prefix(names: Collection[str], family: HuggingFaceFamily, layout: str, where: str) -> str:
    """What stands before the names of the backbone, told by an array that every backbone has."""
    signature = family.signature[layout]
    separator = "." if layout == "torch" else "/"
    found = {
        name.removesuffix(signature) for name in names if name == signature or name.endswith(separator + signature)
    }
    if len(found) > 1:
        several = ", ".join(repr(prefix) for prefix in sorted(found))
        raise InputError(
            f"{len(found)} models in one checkpoint, under the prefixes {several}",
            where=where,
            do="save the one to be loaded by itself",
        )
    usual = f"{family.model_type}{separator}"
    return found.pop() if found else usual if any(name.startswith(usual) for name in names) else ""
