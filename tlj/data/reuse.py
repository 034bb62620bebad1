"""The split of an earlier run or comparison, used again: the sample ids that its manifests list.

``data.split_from=PATH`` takes the place of drawing a split. ``PATH`` is

- a run, or its ``manifest.json``: every run has that split, whatever its seed, and there is one label budget;
- the workdir of a comparison: each run has the split of the same label budget and seed, which all arms there share.

So a comparison on new arms, another model or the same data in another format has the labels of an earlier one, run by
run, with ``--config.data.split_from=EARLIER``; its ``label_budgets`` and ``seeds`` must be among those of the earlier
one, where ``"all"`` stands for the largest. The keys that say how a split is drawn (``train``, ``test``,
``test_fraction``, ``validation_fraction``, ``split_seed``, ``min_per_class``) mean nothing then.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import warnings
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.data.sources import Source
from tlj.data.splits import Split
from tlj.errors import InputError
from tlj.named_paths import named_path

_WHERE = "config.data.split_from"
_MANIFEST = "manifest.json"
_PARTS = ("train", "validation", "test")

Indices = Int[np.ndarray, " part"]


@dataclasses.dataclass(frozen=True)
class _Kept:
    """The data of a run, as its manifest has it; ``parts`` are the sample ids of each, in order."""

    path: pathlib.Path
    source: str
    digest: str
    classes: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]
    split_hash: str

    @property
    def budget(self) -> int:
        """Labelled examples, validation counted."""
        return len(self.parts[0]) + len(self.parts[1])


def reused_split(source: Source, path: str, budget: int | str, seed: int) -> Split:
    """Returns the split that an earlier run has written down, as indices of a source.

    Args:
      source: the data; it may hold other examples too.
      path: ``config.data.split_from``, relative to here.
      budget: ``config.label_budget``, a number or ``"all"``.
      seed: of the run; it chooses among the runs of a comparison.

    Raises:
      InputError: where there is no such split, or this source does not have its examples.
    """
    root = _root(path)
    file = root if root.is_file() else _of_comparison(root, budget, seed)
    kept = _read(file, file.stat().st_mtime_ns)
    if budget not in ("all", kept.budget):
        raise InputError(
            f"a budget of {budget} labels, but {file} lists {kept.budget}",
            where=_WHERE,
            do=f"use label_budget {kept.budget} or 'all'",
        )
    return _mapped(source, kept)


def reused_pool_and_test(source: Source, path: str) -> tuple[Indices, Indices]:
    """Returns what an earlier run or comparison labelled at its largest budget, and what it tested, each sorted.

    Args:
      source: the data.
      path: ``config.data.split_from``, relative to here.

    Raises:
      InputError: where there is no such split, or this source does not have its examples.
    """
    root = _root(path)
    file = root if root.is_file() else next(iter(_runs(root, _largest(root)).values()))
    split = _mapped(source, _read(file, file.stat().st_mtime_ns))
    return np.sort(np.concatenate([split.train, split.validation])), np.sort(split.test)


def _root(path: str) -> pathlib.Path:
    """The manifest that a path stands for, or the folder of a comparison."""
    root = named_path(path, _WHERE)
    if root.is_file():
        return root
    if (root / _MANIFEST).is_file():
        return root / _MANIFEST
    if any(root.glob(f"runs/*/*/*/{_MANIFEST}")):
        return root
    what = "holds no run with a manifest" if root.is_dir() else "does not exist"
    raise InputError(f"{path!r} {what}", where=_WHERE, do=f"name a run, its {_MANIFEST}, or a comparison's workdir")


def _runs(root: pathlib.Path, budget: int) -> dict[int, pathlib.Path]:
    """The manifest of one run for each seed at a budget, by seed; the arms of a comparison share them."""
    found = {int(file.parent.name): file for file in _manifests(root) if file.parent.parent.name == str(budget)}
    return dict(sorted(found.items()))


def _manifests(root: pathlib.Path) -> list[pathlib.Path]:
    files = sorted(root.glob(f"runs/*/*/*/{_MANIFEST}"))
    return [file for file in files if file.parent.name.isdecimal() and file.parent.parent.name.isdecimal()]


def _budgets(root: pathlib.Path) -> list[int]:
    return sorted({int(file.parent.parent.name) for file in _manifests(root)})


def _largest(root: pathlib.Path) -> int:
    budgets = _budgets(root)
    if not budgets:
        raise InputError(f"{root} holds no run of a comparison", where=_WHERE, do="name a comparison's workdir")
    return budgets[-1]


def _of_comparison(root: pathlib.Path, budget: int | str, seed: int) -> pathlib.Path:
    largest = _largest(root)
    runs = _runs(root, largest if budget == "all" else int(budget))
    if not runs:
        known = ", ".join(str(known) for known in _budgets(root))
        what = f"no run with a budget of {budget} labels in {root}"
        raise InputError(what, where=_WHERE, do=f"use a label budget of {known}")
    if seed not in runs:
        known = ", ".join(str(known) for known in runs)
        what = f"no run with a budget of {budget} labels and seed {seed} in {root}"
        raise InputError(what, where=_WHERE, do=f"use seed {known}")
    return runs[seed]


@functools.lru_cache(maxsize=8)
def _read(file: pathlib.Path, changed: int) -> _Kept:
    """What a manifest says of its data.

    Args:
      file: the manifest.
      changed: when, so that it is read again if it was.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))["data"]
        parts = tuple(_texts(data["split"][name]) for name in _PARTS)
        classes = _texts(data.get("classes", []))
        return _Kept(file, str(data["source"]), str(data.get("hash", "")), classes, parts, data["split"]["hash"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{file} lists no split", where=_WHERE, do="name the manifest.json of a run") from None


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("not a list of texts")
    return tuple(values)


def _mapped(source: Source, kept: _Kept) -> Split:
    """The split as indices of a source, checked against it."""
    if kept.classes and kept.classes != tuple(source.classes):
        raise InputError(
            f"the classes of {kept.path} are not those of {source.name}: {_difference(kept.classes, source.classes)}",
            where=_WHERE,
            do="use the data of that run, or set data.classes to its classes in its order",
        )
    place = {name: index for index, name in enumerate(source.ids)}
    if absent := [name for part in kept.parts for name in part if name not in place]:
        raise InputError(
            f"{len(absent)} of {sum(map(len, kept.parts))} ids in {kept.path} are not in {source.name}, such as "
            + ", ".join(repr(name) for name in absent[:3]),
            where=_WHERE,
            do="use the data of that run, or name its ids with data.columns.id",
        )
    split = Split(*(np.array([place[name] for name in part], int) for part in kept.parts))
    if split.manifest(source.ids)["hash"] != kept.split_hash:
        what = f"the split in {kept.path} does not have its hash {kept.split_hash!r}: the file was changed"
        raise InputError(what, where=_WHERE, do="restore it")
    if kept.source == source.name and kept.digest != source.digest:
        warnings.warn(f"tlj: {source.name} is not as it was for {kept.path}; the same ids are used", stacklevel=2)
    return split


def _difference(theirs: tuple[str, ...], ours: tuple[str, ...]) -> str:
    """The first place at which two lists of classes differ, in words."""
    if len(theirs) != len(ours):
        return f"{len(theirs)} and {len(ours)} classes"
    place = next(i for i, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b)
    return f"class {place} is {theirs[place]!r} there and {ours[place]!r} here"
