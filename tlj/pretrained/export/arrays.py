"""A model's leaves as the arrays of a torch checkpoint: the way in, backwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float, Shaped

from tlj.errors import InputError
from tlj.pretrained.formats.name_map import Module, entries


def flat_leaves(variables: Mapping[str, Any]) -> dict[str, Float[Array, "..."]]:
    """Returns the leaves of a model by path, ``params/...`` and ``batch_stats/...``.

    Raises:
      InputError: for numbers that are not finite, which nothing that reads the export would take.
    """
    leaves = traverse_util.flatten_dict(dict(variables), sep="/")
    bad = [path for path, leaf in leaves.items() if not np.isfinite(np.asarray(leaf)).all()]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise InputError(
            f"{', '.join(bad[:3])}{more}: numbers that are NaN or infinite",
            where="tlj export",
            do="export another step, from before the run diverged",
        )
    return leaves


def torch_arrays(variables: Mapping[str, Any], modules: Iterable[Module]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Returns the arrays of a torch checkpoint of a model, in float32.

    Args:
      variables: ``params`` and ``batch_stats``.
      modules: where the checkpoint holds each layer.

    Raises:
      InputError: for numbers that are not finite.
    """
    leaves = flat_leaves(variables)
    found: dict[str, Shaped[np.ndarray, "..."]] = {}
    for entry in entries(modules, {path: tuple(leaf.shape) for path, leaf in leaves.items()}, "torch"):
        parts = entry.to_stored(np.asarray(leaves[entry.path], np.float32))
        found.update(zip(entry.names, map(np.ascontiguousarray, parts), strict=True))
    # No value depends on torch's count of the batches, but its classes call a checkpoint without it incomplete.
    norms = [name.removesuffix("running_mean") for name in found if name.endswith(".running_mean")]
    return found | {f"{norm}num_batches_tracked": np.zeros((), np.int64) for norm in norms}
