"""A pretrained model as its files hold it: what it is, and its leaves, read one by one when they are asked for."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util
from jaxtyping import Float

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.registry import Spec


@dataclasses.dataclass(frozen=True)
class SourceLeaf:
    """One leaf of a model in a source, or what a source holds beside them.

    Attributes:
      names: of the arrays of the source that make it.
      shape: of the leaf.
      read: returns the leaf, in the model's own layout and in float32; it may be a read-only view. It raises InputError
        for a number that is not finite.
      note: how it is resized, for example ``"bicubic from 14x14 to 24x24"``, or why the model does not take it; empty
        for a leaf that is taken as it is.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    read: Callable[[], Float[np.ndarray, "..."]]
    note: str = ""

    @property
    def source(self) -> str:
        """The names as one text."""
        return " + ".join(self.names)


@dataclasses.dataclass(frozen=True, eq=False)
class PretrainedSource:
    """A pretrained model, not read yet.

    Attributes:
      spec: its sizes, with the classes it was trained on; ``num_classes`` is 0 where it has no head.
      preprocessing: what it expects of its inputs.
      leaves: by path, ``params/...`` and ``batch_stats/...``.
      ignored: arrays that the model does not take, each with the reason.
      reset: paths of leaves that the source lacks, or has in another shape, and that it may lack.
      classes: names of the classes it was trained on; empty where nobody tells.
      task: what its labels were, ``config.task`` of a run; empty where nobody tells.
      step: of the run's checkpoint; None for a checkpoint of another origin.
      files: that travel with the model, by name: those of its tokenizer.
      identity: hash of what is there, which tells one source from another at the same place.
      location: where it was found.
    """

    spec: Spec
    preprocessing: Preprocessing | TextPreprocessing
    leaves: Mapping[str, SourceLeaf]
    ignored: tuple[SourceLeaf, ...] = ()
    reset: frozenset[str] = frozenset()
    classes: tuple[str, ...] = ()
    task: str = ""
    step: int | None = None
    files: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    identity: str = ""
    location: str = ""

    @functools.cached_property
    def variables(self) -> dict[str, Any]:
        """All leaves, read: ``params`` and ``batch_stats`` (empty for a family without) as nested NumPy arrays."""
        nested = traverse_util.unflatten_dict({path: leaf.read() for path, leaf in self.leaves.items()}, sep="/")
        return {"params": nested.get("params", {}), "batch_stats": nested.get("batch_stats", {})}


def source_of_variables(
    spec: Spec,
    preprocessing: Preprocessing | TextPreprocessing,
    variables: Mapping[str, Any],
    **told: Any,
) -> PretrainedSource:
    """Returns a source of arrays that are in memory; like those of files they are checked when they are read.

    Args:
      spec: of the model.
      preprocessing: of the model.
      variables: ``params`` and ``batch_stats``, nested.
      **told: the other attributes of ``PretrainedSource``.
    """

    def read(path: str) -> Float[np.ndarray, "..."]:
        return check_finite(np.asarray(flat[path], np.float32), path, told.get("location", ""))

    flat = traverse_util.flatten_dict(dict(variables), sep="/")
    leaves = {
        path: SourceLeaf((path,), tuple(leaf.shape), functools.partial(read, path)) for path, leaf in flat.items()
    }
    return PretrainedSource(spec, preprocessing, leaves, **told)


def check_finite(values: Float[np.ndarray, "..."], name: str, where: str) -> Float[np.ndarray, "..."]:
    """Returns an array as it is.

    Args:
      values: of one array of a source.
      name: of the array.
      where: the source.

    Raises:
      InputError: where a number is NaN or infinite, with how many are.
    """
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        raise InputError(
            f"{name} has {bad} of {values.size} numbers that are NaN or infinite",
            where=where,
            do="get the checkpoint again, or another one: a run that diverged is no source",
        )
    return values
