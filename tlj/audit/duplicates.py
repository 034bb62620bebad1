"""Copies between the training and another split, copies within a split, and copies whose labels differ; with ids."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.audit.contents import TRAIN
from tlj.audit.copies import MIRRORED, NEAR, Copies

# Rows of one list in audit.json; what is beyond is counted.
LISTED = 10_000
_MEMBERS = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Copied:
    """What is needed to name copies; every array has a row per example that was read.

    Attributes:
      copies: ways of being the same, the strictest first.
      ids: of the examples.
      labels: of the examples.
      classes: class names.
      split: name of the split of each example.
    """

    copies: Sequence[Copies]
    ids: Sequence[str]
    labels: Int[np.ndarray, " n"]
    classes: Sequence[str]
    split: np.ndarray

    def label(self, at: int) -> str:
        """Returns the name of the class of an example."""
        return self.classes[self.labels[at]]


def copies_of_training(copied: Copied, split: str) -> dict[str, Any]:
    """Returns the examples of a split that are copies of training examples, the strictest likeness of each.

    Args:
      copied: all the examples.
      split: any but the training split.

    Returns:
      ``{split, examples, copies, kinds: {kind: count}, pairs: [{kind, likeness, id, label, train_id, train_label}],
      left_out}``; a pair per example of the split.
    """
    members = np.flatnonzero(copied.split == split)
    pairs, told = [], np.zeros(len(copied.split), bool)
    for copies in copied.copies:
        for at in members[(copies.partner[members] >= 0) & ~told[members]]:
            told[at] = True
            train = copies.partner[at]
            pairs.append(
                {
                    "kind": MIRRORED if copies.mirrored[at] else copies.kind,
                    "likeness": round(float(copies.likeness[at]), 3),
                    **{"id": copied.ids[at], "label": copied.label(at)},
                    **{"train_id": copied.ids[train], "train_label": copied.label(train)},
                }
            )
    return {
        "split": split,
        "examples": len(members),
        "copies": len(pairs),
        "kinds": dict(Counter(pair["kind"] for pair in pairs)),
        **_capped("pairs", pairs),
    }


def copies_within(copied: Copied, split: str) -> dict[str, Any]:
    """Returns the sets of copies inside one split, and how many examples it would lose without them.

    Args:
      copied: all the examples.
      split: any.

    Returns:
      ``{split, examples, superfluous, kinds: {kind: examples that are copies of an earlier one}, groups: [{kind,
      members, ids, labels}], left_out}``. A group's kind is the strictest that holds for all of it.
    """
    members = np.flatnonzero(copied.split == split)
    rows = [copies.groups[members] for copies in copied.copies]
    groups = [
        {
            "kind": next(c.kind for c, row in zip(copied.copies, rows, strict=True) if len(set(row[group])) == 1),
            **_named(copied, members[group]),
        }
        for group in _groups_of_several(rows[-1])
    ]
    distinct = [len(np.unique(row)) for row in rows]
    lost = -np.diff([len(members), *distinct])
    return {
        "split": split,
        "examples": len(members),
        "superfluous": int(lost.sum()),
        "kinds": {copies.kind: int(n) for copies, n in zip(copied.copies, lost, strict=True) if n},
        **_capped("groups", sorted(groups, key=lambda group: -group["members"])),
    }


def conflicts(copied: Copied) -> dict[str, Any]:
    """Returns the sets of copies, over all splits, that do not agree on the label.

    Args:
      copied: all the examples.

    Returns:
      ``{kinds: {kind: sets}, groups: [{kind, members, ids, labels, splits}], left_out}``; a set is of the strictest
      kind in which it disagrees.
    """
    found, told = [], np.zeros(len(copied.split), bool)
    for copies in copied.copies:
        for group in _groups_of_several(copies.groups):
            if len(np.unique(copied.labels[group])) > 1 and not told[group].any():
                told[group] = True
                splits = [str(copied.split[at]) for at in _shown(copied, group)]
                found.append({"kind": copies.kind, **_named(copied, group), "splits": splits})
    return {"kinds": dict(Counter(group["kind"] for group in found)), **_capped("groups", found)}


def all_copies(copied: Copied, splits: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``{of_training, within, conflicts}``: everything above, for every split."""
    return {
        "of_training": [copies_of_training(copied, split) for split in splits if split != TRAIN],
        "within": [copies_within(copied, split) for split in splits],
        "conflicts": conflicts(copied),
        "near_searched": any(copies.kind == NEAR for copies in copied.copies),
    }


def _groups_of_several(groups: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " members"]]:
    order = np.argsort(groups, kind="stable")
    borders = np.flatnonzero(np.diff(groups[order])) + 1
    return [group for group in np.split(order, borders) if len(group) > 1]


def _shown(copied: Copied, group: np.ndarray) -> np.ndarray:
    """A part of a large group in which every label that it has is seen."""
    first = np.sort(np.unique(copied.labels[group], return_index=True)[1])
    return group[np.concatenate([first, np.setdiff1d(np.arange(len(group)), first)])[:_MEMBERS]]


def _named(copied: Copied, group: np.ndarray) -> dict[str, Any]:
    shown = _shown(copied, group)
    return {
        "members": len(group),
        "ids": [copied.ids[at] for at in shown],
        "labels": [copied.label(at) for at in shown],
    }


def _capped(name: str, rows: list) -> dict[str, Any]:
    return {name: rows[:LISTED], "left_out": max(len(rows) - LISTED, 0)}
