"""Digests of parameters and statistics: taken when a phase starts, checked when it ends."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from tlj.freezing.modes import norm_mode
from tlj.freezing.phases import FROZEN, Phase


class FrozenChangedError(RuntimeError):
    """A parameter or statistic that was frozen is not what it was when the phase started."""


def leaf_digests(tree: Mapping[str, Any]) -> dict[str, str]:
    """Returns a hash of the bytes of every leaf, by path.

    Args:
      tree: nested mapping of arrays, on device or host.
    """
    flat = traverse_util.flatten_dict(jax.device_get(tree), sep="/")
    return {path: hashlib.blake2b(np.ascontiguousarray(leaf), digest_size=8).hexdigest() for path, leaf in flat.items()}


def is_frozen(phase: Phase, path: str) -> bool:
    """Returns whether a parameter or statistic keeps its value throughout a phase.

    Args:
      phase: of the run.
      path: as ``leaf_digests`` names it.
    """
    if path in phase.label_of:
        return phase.label_of[path] == FROZEN
    return norm_mode(phase, path.rpartition("/")[0]) == "frozen"


def check_phase_end(phase: Phase, before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Checks that the frozen did not change over a phase, and returns what should have moved but never did.

    Args:
      phase: the phase that ended.
      before: ``leaf_digests`` of parameters and statistics at its start.
      after: the same at its end.

    Returns:
      Paths of trained parameters whose bytes are those of the start.

    Raises:
      FrozenChangedError: listing every frozen parameter and statistic that changed.
    """
    changed = sorted(path for path in before if is_frozen(phase, path) and before[path] != after[path])
    if changed:
        raise FrozenChangedError(f"frozen but changed during the phase that started at {phase.start}: {changed}")
    return tuple(path for path in phase.trained if before[path] == after[path])
