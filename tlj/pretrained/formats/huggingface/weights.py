"""The files that hold a checkpoint's arrays: which of those in a directory is read, and in what layout."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping

from tlj.errors import InputError
from tlj.pretrained.files.msgpack_file import open_msgpack
from tlj.pretrained.files.safetensors_file import open_safetensors, open_sharded
from tlj.pretrained.files.stored import StoredArray

# Files that hold arrays too, and why they are not read.
_NOT_READ = {
    "flax_model.msgpack.index.json": "msgpack files in several shards are not read",
    "pytorch_model.bin": "a pickle, which is never opened",
    "pytorch_model.bin.index.json": "pickles, which are never opened",
    "tf_model.h5": "a file of TensorFlow, which tlj does without",
}


@dataclasses.dataclass(frozen=True)
class Weights:
    """The arrays of a checkpoint, none of them read yet.

    Attributes:
      file: that was opened: the arrays' own, or the index of several.
      files: all that hold something of it, the index included.
      layout: ``"torch"`` or ``"flax"``.
      arrays: by their names in the file.
    """

    file: pathlib.Path
    files: tuple[pathlib.Path, ...]
    layout: str
    arrays: Mapping[str, StoredArray]


def open_weights(directory: pathlib.Path) -> Weights:
    """Opens the arrays of a directory: those of safetensors before those of msgpack, as transformers does.

    Args:
      directory: in the Hugging Face layout.

    Raises:
      InputError: where there are none that can be read.
    """
    single, index, msgpack = (
        directory / name for name in ("model.safetensors", "model.safetensors.index.json", "flax_model.msgpack")
    )
    if single.exists():
        return Weights(single, (single,), "torch", open_safetensors(single))
    if index.exists():
        arrays = open_sharded(index)
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        return Weights(index, (index, *(directory / shard for shard in shards)), "torch", arrays)
    if msgpack.exists():
        return Weights(msgpack, (msgpack,), "flax", open_msgpack(msgpack))
    there = [f"{name} ({why})" for name, why in _NOT_READ.items() if (directory / name).exists()]
    held = f"; there is {', '.join(there)}" if there else ""
    raise InputError(
        f"no model.safetensors, model.safetensors.index.json or flax_model.msgpack{held}",
        where=str(directory),
        do="convert the weights to safetensors" if there else "get the checkpoint again",
    )
