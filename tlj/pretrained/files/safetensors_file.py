"""Arrays of safetensors files, one file or several under an index, each mapped when it is asked for."""

from __future__ import annotations

import functools
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError, safe_open

from tlj.errors import InputError
from tlj.pretrained.files.stored import StoredArray
from tlj.pretrained.files.weight_file import AGAIN, DTYPES, malformed, map_array, quoted, stored_bytes, weight_file_size

_KIND = "a safetensors file"
_INDEX = "an index of safetensors files"
_DTYPES = {
    **{"BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32"},
    **{"U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"},
    **{"C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu"},
}


def open_safetensors(path: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """Returns the arrays of a safetensors file by name; no value is read.

    Args:
      path: of the file.

    Raises:
      InputError: where it is not a safetensors file, is cut short, or holds numbers of fewer than 8 bits.
    """
    path = pathlib.Path(path)
    size = weight_file_size(path)
    try:
        # The library checks the header: its length, types, shapes, and that the arrays fill the file without overlap.
        with safe_open(path, framework="numpy"):
            pass
        with path.open("rb") as opened:
            start = 8 + int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(start - 8))
    except (SafetensorError, OSError, ValueError, RecursionError, MemoryError) as error:
        raise malformed(path, _KIND, error) from error
    header.pop("__metadata__", None)
    return {name: _stored(path, name, told, start, size) for name, told in header.items()}


def _stored(path: pathlib.Path, name: str, told: Mapping[str, Any], start: int, size: int) -> StoredArray:
    if told["dtype"] not in _DTYPES:
        what = f"array {quoted(name)} is stored as {quoted(told['dtype'])}, which is not supported"
        raise InputError(what, where=str(path), do=f"store it as one of {', '.join(_DTYPES)}")
    dtype, shape = DTYPES[_DTYPES[told["dtype"]]], tuple(told["shape"])
    first, last = (start + offset for offset in told["data_offsets"])
    if last - first != stored_bytes(path, name, shape, dtype) or last > size:
        raise malformed(path, _KIND, f"array {quoted(name)} does not fill its place")
    return StoredArray(name, shape, dtype, functools.partial(map_array, path, name, dtype, shape, first))


def open_sharded(index_path: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """Returns the arrays of a checkpoint in several safetensors files by name; no value is read.

    Args:
      index_path: of the JSON file whose ``weight_map`` tells which file beside it holds which array, usually
        ``model.safetensors.index.json``.

    Raises:
      InputError: where the index is malformed or names a file outside its directory, and where index and files
        disagree: all that do not fit are listed.
    """
    path = pathlib.Path(index_path)
    weight_map = _weight_map(path)
    # A link is followed: the hub's cache keeps every file as one.
    opened = {shard: open_safetensors(path.parent / shard) for shard in sorted(set(weight_map.values()))}
    found, problems = {}, []
    for shard, arrays in opened.items():
        for name, array in arrays.items():
            if weight_map.get(name) == shard:
                found[name] = array
            else:
                told = weight_map.get(name)
                where = f"the index has it in {quoted(told)}" if told else "the index does not name it"
                problems.append(f"{quoted(name)} is in {quoted(shard)}, {where}")
    problems += [f"{quoted(name)} is not in {quoted(weight_map[name])}" for name in weight_map if name not in found]
    if problems:
        what = f"the index does not fit its files: {'; '.join(problems[:20])}"
        more = f", and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise InputError(what + more, where=str(path), do=AGAIN)
    return {name: found[name] for name in weight_map}


def _weight_map(path: pathlib.Path) -> dict[str, str]:
    weight_file_size(path)
    try:
        index = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise malformed(path, _INDEX, error) from error
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise malformed(path, _INDEX, "it has no weight_map from the names of arrays to the names of files")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not shard:
            raise malformed(path, _INDEX, f"the file of {quoted(name)} has no name")
        if shard in (".", "..") or set(shard) & set("/\\:\0"):
            what = f"{quoted(shard)}, the file of {quoted(name)}, climbs out of its directory"
            raise InputError(what, where=str(path), do="name files beside the index")
    return weight_map
