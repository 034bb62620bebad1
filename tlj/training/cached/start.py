"""The backbone that a run starts from, shared by the runs of a process that start from the same one."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Hashable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from tlj.freezing.digests import leaf_digests
from tlj.models.registry import Spec
from tlj.pretrained.initialise import new_head
from tlj.pretrained.load_report import LoadReport
from tlj.pretrained.source import PretrainedSource
from tlj.training.cached.parts import below
from tlj.training.initial import start_variables
from tlj.training.setup import Setup

# Backbones on the host at a time: those of a source, and of a control that draws its own.
_KEPT = 2


@dataclasses.dataclass(frozen=True, eq=False)
class SharedStart:
    """What the runs of one start have in common.

    Attributes:
      variables: of the backbone, by kind and path, on the host.
      report: what became of every leaf.
      digests: of every leaf, by path.
    """

    variables: Mapping[str, Mapping[str, np.ndarray]]
    report: LoadReport
    digests: Mapping[str, str]

    def below(self, setup: Setup, depth: int) -> dict[str, dict[str, np.ndarray]]:
        """Returns the variables at and below a depth, by kind and path."""
        return below({kind: _unflat(leaves) for kind, leaves in self.variables.items()}, setup.spec, depth)


def _unflat(leaves: Mapping[str, Any]) -> dict[str, Any]:
    return traverse_util.unflatten_dict(dict(leaves), sep="/")


def start_identity(setup: Setup, depth: int) -> tuple[Hashable, ...]:
    """Returns what the variables of a run's backbone up to a depth follow from.

    The seed is of it where any of them is drawn with it.

    Args:
      setup: of the run.
      depth: of the boundary.
    """
    load = _Load(setup.init, setup.spec, setup.copied, setup.pretrained, setup)
    known, backbone = _known(load, depth), dataclasses.replace(setup.spec, num_classes=0, head_layers=())
    identity = setup.pretrained.identity if setup.pretrained and setup.init != "scratch" else ""
    return (setup.init, identity, setup.copied, backbone, None if known else setup.config["seed"])


@dataclasses.dataclass(frozen=True)
class _Load:
    """What decides what becomes of every leaf, which runs have in common."""

    init: str
    spec: Spec
    copied: int | None
    source: PretrainedSource | None
    setup: Setup = dataclasses.field(compare=False)


@functools.lru_cache(maxsize=64)
def _known(load: _Load, depth: int) -> bool:
    """Whether every leaf up to a depth comes from the source as it is there."""
    setup = load.setup
    rows = [row for row in setup.load_plan.leaves if row.path.startswith(("params/backbone/", "batch_stats/"))]
    flat = {row.path: row.status for row in rows}
    within = below(_split_kinds(flat), setup.spec, depth)
    return all(status in ("loaded", "resized") for leaves in within.values() for status in leaves.values())


def _split_kinds(flat: Mapping[str, str]) -> dict[str, Any]:
    nested = _unflat(flat)
    return {"params": nested.get("params", {}), "batch_stats": nested.get("batch_stats", {})}


class _Starts:
    """The last few, by identity; threads that want the same one wait for the first."""

    def __init__(self) -> None:
        self._lock, self._kept = threading.Lock(), {}

    def get(self, setup: Setup) -> SharedStart:
        key = start_identity(setup, setup.spec.depth)
        with self._lock:
            if key not in self._kept:
                made = _read(setup)
                self._kept = dict([*self._kept.items(), (key, made)][-_KEPT:])
            return self._kept[key]


_starts = _Starts()


def _read(setup: Setup) -> SharedStart:
    variables, report = start_variables(setup)
    backbone = {"params": {"backbone": variables["params"]["backbone"]}, "batch_stats": variables["batch_stats"]}
    held = below(jax.device_get(backbone), setup.spec, setup.spec.depth)
    digests = {path: digest for leaves in held.values() for path, digest in leaf_digests(_unflat(leaves)).items()}
    return SharedStart(held, report, digests)


def shared_start(setup: Setup) -> SharedStart:
    """Returns the backbone that a run starts from; its source is read once for all runs that start from it.

    Args:
      setup: of a run without adapters.
    """
    return _starts.get(setup)


def shared_variables(setup: Setup) -> tuple[dict[str, Any], LoadReport]:
    """Returns what ``start_variables`` returns, with the backbone on the host, shared; the head is the run's own."""
    start = shared_start(setup)
    backbone = {kind: _unflat(leaves) for kind, leaves in start.variables.items()}
    head = _new_head(setup.spec, setup.config["seed"])
    return {**backbone, "params": {**backbone["params"], **head}}, start.report


@functools.lru_cache(maxsize=8)
def _new_head(spec: Any, seed: int) -> dict[str, Any]:
    return new_head(spec, seed)
