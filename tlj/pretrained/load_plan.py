"""What will become of every leaf of a model when a source is loaded into it, told before any value is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set

from tlj.errors import InputError, unknown_name
from tlj.models.registry import Spec, family_of
from tlj.models.shapes import leaf_shapes
from tlj.pretrained.load_report import LoadedLeaf, LoadReport
from tlj.pretrained.source import PretrainedSource

INITS = ("pretrained", "scratch", "mean_var")
HEAD = "params/head/"

_ANEW = "the model's own starts anew"


def plan_load(
    init: str, spec: Spec, source: PretrainedSource | None, *, keep_head: bool = False, copied: int | None = None
) -> LoadReport:
    """Returns the report of a load as far as it is known beforehand: all but the hashes.

    Args:
      init: ``"pretrained"``, ``"scratch"`` or ``"mean_var"``.
      spec: of the model.
      source: where pretrained values come from; may be None for scratch.
      keep_head: with ``"pretrained"``, load the source's head too.
      copied: number of blocks that come from the source, the others being initialised anew; None takes all.

    Raises:
      InputError: for an init that does not exist or needs a source, and where the source does not fit: every missing,
        extra and misshapen leaf is listed.
    """
    if init not in INITS:
        raise unknown_name("init", init, INITS, where="config.init")
    wanted = leaf_shapes(spec)
    if init == "scratch":
        return LoadReport(tuple(LoadedLeaf(path, "reset", "", wanted[path], "") for path in sorted(wanted)))
    if source is None:
        raise InputError(
            f"init {init!r} needs a source", where="config.model.source", do="name one, or use init 'scratch'"
        )
    reset = _reset_paths(wanted, source, keep_head=keep_head and init == "pretrained", copied=copied)
    _check_fit(wanted, source, reset)
    rows = [_row(path, wanted[path], init, source, path in reset) for path in sorted(wanted)]
    taken = {row.path for row in rows if row.status != "reset"}
    unread = [dataclasses.replace(source.leaves[path], note=_ANEW) for path in sorted(set(source.leaves) - taken)]
    rows += [LoadedLeaf("", "ignored", leaf.source, leaf.shape, "", leaf.note) for leaf in (*unread, *source.ignored)]
    return LoadReport(tuple(rows))


def _reset_paths(
    wanted: Mapping[str, tuple[int, ...]], source: PretrainedSource, *, keep_head: bool, copied: int | None
) -> frozenset[str]:
    """The leaves that start anew although there is a source."""
    blocks, depth_of = source.spec.depth, family_of(source.spec).depth_of
    deepest = blocks if copied is None else copied
    anew = {
        path
        for path in wanted
        if (not keep_head if path.startswith(HEAD) else depth_of(path.partition("/")[2], blocks) > deepest)
    }
    return frozenset(anew | (source.reset & set(wanted)))


def _check_fit(wanted: Mapping[str, tuple[int, ...]], source: PretrainedSource, reset: Set[str]) -> None:
    found = source.leaves
    problems = [f"missing {path}" for path in sorted(set(wanted) - set(found) - reset)]
    problems += [f"extra {path}" for path in sorted(set(found) - set(wanted)) if not path.startswith(HEAD)]
    for path in sorted(set(wanted) & set(found) - reset):
        if found[path].shape != wanted[path]:
            problems.append(f"{path} has shape {found[path].shape}, the model wants {wanted[path]}")
    if problems:
        raise InputError("; ".join(problems), where="config.model.source", do="give a source of the same architecture")


def _row(path: str, shape: tuple[int, ...], init: str, source: PretrainedSource, is_reset: bool) -> LoadedLeaf:
    # Running statistics are not weights: under mean_var they start anew, as in a scratch model.
    if is_reset or (init == "mean_var" and not path.startswith("params/")):
        return LoadedLeaf(path, "reset", "", shape, "")
    leaf = source.leaves[path]
    status = "drawn" if init == "mean_var" else "resized" if leaf.note else "loaded"
    return LoadedLeaf(path, status, leaf.source, shape, "", leaf.note)
