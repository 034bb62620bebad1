"""How many bytes a checkpoint holds, by leaf and by part of the state."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tlj.pretrained.stored import StoredCheckpoint


def array_row(path: str, leaf: Any) -> dict[str, Any]:
    """Returns path, shape, dtype and bytes of an array or of what stands for one."""
    bytes_ = math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize
    return {"path": path, "shape": list(leaf.shape), "dtype": str(leaf.dtype), "bytes": bytes_}


def state_rows(stored: StoredCheckpoint) -> dict[str, list[dict[str, Any]]]:
    """Returns the rows of the arrays that a checkpoint holds, by field of the state (``tlj.training.state``)."""
    return {name: [array_row(path, leaf) for path, leaf in leaves.items()] for name, leaves in stored.shapes.items()}


def bytes_by_field(stored: StoredCheckpoint) -> dict[str, int]:
    """Returns the bytes of each field of the state, of all together, and of the files, which are compressed."""
    fields = {name: sum(row["bytes"] for row in rows) for name, rows in state_rows(stored).items()}
    on_disk = sum(file.stat().st_size for file in stored.folder.rglob("*") if file.is_file())
    return {**fields, "total": sum(fields.values()), "on_disk": on_disk}


def optimizer_bytes(rows: Collection[Mapping[str, Any]], paths: Collection[str]) -> dict[str, int]:
    """Returns the bytes of optimizer state that belong to each parameter; counts of steps belong to none.

    Args:
      rows: of the optimizer's state; the path of a moment ends in that of its parameter.
      paths: of the parameters.
    """
    found = dict.fromkeys(paths, 0)
    for row in rows:
        names = row["path"].split("/")
        ends = ("/".join(names[start:]) for start in range(len(names)))
        if owner := next((end for end in ends if end in found), None):
            found[owner] += row["bytes"]
    return found
