"""What of a config activations cannot be cached for, told before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from tlj.data.images import Augmentation
from tlj.errors import InputError
from tlj.freezing.boundary import boundaries
from tlj.freezing.phases import Layout, Phase

WHERE = "config.cache.activations"
_MIXES = ("mixup", "cutmix")


def changed_fields(augmentation: Augmentation) -> list[str]:
    """Returns what an augmentation does to images, by name."""
    return [name for name in ("shift", "flip", "crop", "colour", *_MIXES) if getattr(augmentation, name)]


def check_cache(config: Mapping[str, Any], augmentation: Augmentation, phases: Sequence[Phase], layout: Layout) -> None:
    """Checks that what a run is to keep of activations is the same at every step.

    Args:
      config: of the run, nested.
      augmentation: of training images.
      phases: of the run.
      layout: of the model.

    Raises:
      InputError: where it is not, or cannot be kept so.
    """
    cache, text = config["cache"], config["data"]["text"]
    if cache["activations"] == "none":
        if cache["views"]:
            what = "there are views to keep, but no activations are kept"
            raise InputError(what, where="config.cache.views", do="set config.cache.activations, or leave views out")
        return
    found = {boundary for boundary in boundaries(phases, layout) if boundary is not None}
    if not found:
        return
    if jax.process_count() > 1:
        raise InputError("activations are cached by one process alone", where=WHERE, do="leave it out, or use one")
    if any(boundary < layout.blocks for boundary in found) and text["batching"] == "packed":
        what = "packed text has no row for each example, whose activations could be kept"
        raise InputError(what, where=WHERE, do="set config.data.text.batching to buckets")
    changes = changed_fields(augmentation)
    if cache["views"]:
        _check_views(changes)
    elif changes:
        raise InputError(
            f"data.augment.{changes[0]} makes other inputs of an example at every step, so there is nothing to keep",
            where=WHERE,
            do="switch it off, or keep some views of every example with config.cache.views=4",
        )


def _check_views(changes: Sequence[str]) -> None:
    where = "config.cache.views"
    if not changes:
        raise InputError("without augmentation every view is the example itself", where=where, do="leave it at 0")
    if mixes := [name for name in changes if name in _MIXES]:
        what = f"data.augment.{mixes[0]} makes one example of two, which is no view of either"
        raise InputError(what, where=where, do="switch it off")
