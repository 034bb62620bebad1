"""Arrays of msgpack files as Flax writes them, each mapped when it is asked for."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from tlj.pretrained.files.msgpack_walk import ArrayPlace, walk_msgpack
from tlj.pretrained.files.stored import StoredArray, in_memory
from tlj.pretrained.files.weight_file import DTYPES, malformed, map_array, quoted, stored_bytes, weight_file_size

_KIND = "a msgpack file of Flax"
# Flax cuts arrays of more than 1 GiB into pieces and puts a map with this key in their place.
_CHUNKED = "__msgpack_chunked_array__"


@dataclasses.dataclass(frozen=True)
class _Chunked:
    """An array in pieces."""

    shape: tuple[int, ...]
    places: tuple[ArrayPlace, ...]


def open_msgpack(path: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """Returns the arrays of a msgpack file of Flax by their names, nested ones joined with ``/``; no value is read.

    The format is that of ``flax.serialization.msgpack_serialize``.

    Args:
      path: of the file.

    Raises:
      InputError: where it is not such a file, is cut short, or holds anything but arrays and numbers.
    """
    path = pathlib.Path(path)
    size = weight_file_size(path)
    try:
        with path.open("rb") as opened:
            tree = walk_msgpack(opened, size)
        found: dict[str, StoredArray] = {}
        for name, leaf in _flatten(tree, ""):
            if name in found:
                raise ValueError(f"{quoted(name)} is there twice")
            found[name] = _stored(path, name, leaf)
    except (OSError, ValueError) as error:
        raise malformed(path, _KIND, error) from error
    return found


def _flatten(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from [(name, _chunked(name, value))] if _CHUNKED in value else _flatten(value, f"{name}/")
        else:
            yield name, value


def _chunked(name: str, told: Mapping[str, Any]) -> _Chunked:
    shape, places = (_numbered(told.get(part)) for part in ("shape", "chunks"))
    if not (places and all(type(size) is int for size in shape) and all(isinstance(p, ArrayPlace) for p in places)):
        raise ValueError(f"{quoted(name)} is an array in pieces without its shape or its pieces")
    return _Chunked(shape, places)


def _numbered(values: object) -> tuple[Any, ...]:
    """The values of a map from "0", "1", ... which is how Flax writes a tuple; empty where it is none."""
    keys = [str(i) for i in range(len(values))] if isinstance(values, dict) else []
    return tuple(values[key] for key in keys) if keys and set(keys) == set(values) else ()


def _stored(path: pathlib.Path, name: str, leaf: object) -> StoredArray:
    if isinstance(leaf, (bool, int, float)):
        return in_memory(name, np.asarray(leaf))
    chunked = leaf if isinstance(leaf, _Chunked) else _Chunked(leaf.shape, (leaf,))
    for place in chunked.places:
        if place.dtype not in DTYPES:
            raise ValueError(f"{quoted(name)} holds {quoted(place.dtype)}, which is not supported")
        if stored_bytes(path, name, place.shape, DTYPES[place.dtype]) != place.length:
            raise ValueError(f"{quoted(name)} has {place.length} bytes, too many or too few for {place.shape}")
    dtype = DTYPES[chunked.places[0].dtype]
    in_pieces = sum(place.length for place in chunked.places)
    is_whole = stored_bytes(path, name, chunked.shape, dtype) == in_pieces
    if not is_whole or any(place.dtype != dtype.name for place in chunked.places):
        raise ValueError(f"the pieces of {quoted(name)} do not make an array of shape {chunked.shape}")
    return StoredArray(name, chunked.shape, dtype, functools.partial(_read, path, name, chunked, dtype))


def _read(path: pathlib.Path, name: str, chunked: _Chunked, dtype: np.dtype) -> Shaped[np.ndarray, "..."]:
    if len(chunked.places) == 1:
        return map_array(path, name, dtype, chunked.shape, chunked.places[0].offset)
    values, filled = np.empty(math.prod(chunked.shape), dtype), 0
    for place in chunked.places:
        piece = map_array(path, name, dtype, place.shape, place.offset).ravel()
        values[filled : filled + piece.size] = piece
        filled += piece.size
    return values.reshape(chunked.shape)
