"""Which examples may be labelled and which are tested: the splits that the data comes with, by name and by stretch."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.data.label_kinds import are_numbers, count_classes, strata
from tlj.data.reuse import reused_pool_and_test
from tlj.data.sources import Source
from tlj.data.splits import split_off_test
from tlj.data.stratified import stratified_order
from tlj.errors import InputError, unknown_name

Indices = Int[np.ndarray, " part"]

# What stands for all examples of a source that has no parts.
WHOLE = "all"
_TERM = re.compile(r"\s*(?P<name>[^\[\]+]+?)\s*(?:\[(?P<begin>[^:\[\]]*):(?P<end>[^:\[\]]*)\])?\s*")
_BOUND = re.compile(r"(-?)(\d+(?:\.\d+)?)%|(-?)(\d+)")
_TEST_NAMES = ("test", "validation", "val", "dev")


def pool_and_test(source: Source, data: Mapping[str, Any], *, every_class: bool = True) -> tuple[Indices, Indices]:
    """Returns what may be labelled and what is tested, the same for every run of a comparison.

    ``data.train`` and ``data.test`` are written ``NAME`` or ``NAME[a:b]``, joined with ``+``: ``train[:80%]+extra``.
    Bounds count examples, or are percents of the part; negative ones count from its end. A source without parts has the
    one part ``all``, in an order of which any stretch holds the classes in proportion.

    Args:
      source: the data.
      data: ``config.data``: ``train``, ``test``, ``test_fraction``, ``split_seed`` and ``split_from``.
      every_class: whether a class without an example in the pool is an error: it cannot be trained. Numbers have none.

    Returns:
      Indices of the pool and of the test set, each sorted.

    Raises:
      InputError: for a part that does not exist or is empty, for examples that are in both, or for a class that has no
        example in the pool.
    """
    if data["split_from"]:
        return reused_pool_and_test(source, data["split_from"])
    train = data["train"] or _default_train(source)
    pool = chosen_part(source, train, data["split_seed"], "config.data.train")
    if data["test"]:
        test = chosen_part(source, data["test"], data["split_seed"], "config.data.test")
        _check_apart(source, pool, test)
    else:
        _mention_unused(source, train)
        labelled, tested = split_off_test(source.labels[pool], data["test_fraction"], data["split_seed"])
        pool, test = pool[labelled], pool[tested]
        if not len(test):
            what = f"a share of {data['test_fraction']:g} of {len(pool)} examples is none"
            raise InputError(what, where="config.data.test_fraction", do="use a larger share, or name data.test")
    if every_class and not are_numbers(source.labels):
        _check_classes(source, pool)
    return pool, test


def _parts(source: Source, split_seed: int) -> Mapping[str, Indices]:
    return source.parts or {WHOLE: stratified_order(strata(source.labels), split_seed, 0)}


def _default_train(source: Source) -> str:
    if not source.parts:
        return WHOLE
    if "train" in source.parts:
        return "train"
    raise InputError(
        f"{source.name} has no part 'train'", where="config.data.train", do=f"name one of {', '.join(source.parts)}"
    )


def _terms(text: str, where: str) -> list[tuple[str, str, str]]:
    """The name and the bounds of each term of a split, as text."""
    matches = [_TERM.fullmatch(term) for term in text.split("+")]
    if not all(matches):
        raise InputError(f"{text!r} names no split", where=where, do="write for example 'train' or 'train[:80%]+extra'")
    return [(match["name"], match["begin"] or "", match["end"] or "") for match in matches]


def _place(bound: str, count: int, default: int, where: str) -> int:
    """The place in a part of so many examples that a bound stands for."""
    if not bound.strip():
        return default
    match = _BOUND.fullmatch(bound.strip())
    if not match:
        raise InputError(f"{bound!r} is no bound of a split", where=where, do="write a count, 100, or a percent, 80%")
    negative = match[1] or match[3]
    places = round(count * float(match[2]) / 100) if match[2] else int(match[4])
    if places > count or (match[2] and float(match[2]) > 100):
        raise InputError(f"{bound.strip()!r} lies beyond the {count} examples of the part", where=where, do="lower it")
    return count - places if negative else places


def chosen_part(source: Source, text: str, split_seed: int, where: str) -> Indices:
    """Returns the indices that a split names, sorted.

    Args:
      source: the data.
      text: the split, as ``pool_and_test`` reads it.
      split_seed: of the order that a source without parts is cut in.
      where: the key or flag that held it, for the error.

    Raises:
      InputError: for a part that does not exist, or a split that is empty or names an example twice.
    """
    parts, found = _parts(source, split_seed), []
    for name, begin, end in _terms(text, where):
        if name in getattr(source, "facts", {}).get("unlabelled", ()):
            raise InputError(
                f"the part {name!r} has no labels", where=where, do=f"name one that has: {', '.join(parts)}"
            )
        if name not in parts:
            raise unknown_name("part", name, parts, where=where)
        count = len(parts[name])
        found.append(parts[name][_place(begin, count, 0, where) : _place(end, count, count, where)])
    indices = np.sort(np.concatenate(found))
    if not len(indices):
        raise InputError(f"{text!r} holds no example", where=where, do="name a larger part")
    if len(repeated := indices[1:][indices[1:] == indices[:-1]]):
        raise InputError(
            f"{text!r} names {len(repeated)} examples twice, the first {source.ids[repeated[0]]!r}",
            where=where,
            do="name each part once",
        )
    return indices.astype(int)


def _check_apart(source: Source, pool: Indices, test: Indices) -> None:
    if len(both := np.intersect1d(pool, test, assume_unique=True)):
        raise InputError(
            f"{len(both)} examples are in data.train too, the first {source.ids[both[0]]!r}",
            where="config.data.test",
            do="name parts that have none in common",
        )


def _check_classes(source: Source, pool: Indices) -> None:
    counts = count_classes(source.labels[pool], len(source.classes))
    if absent := [repr(name) for name, count in zip(source.classes, counts, strict=True) if not count]:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        classes = f"class {absent[0]} has" if len(absent) == 1 else f"classes {', '.join(absent[:3])}{more} have"
        raise InputError(
            f"{classes} no example that may be labelled",
            where="config.data.train",
            do="add examples of each class, name a larger part, or leave the class out of data.classes",
        )


def _mention_unused(source: Source, train: str) -> None:
    used = {name for name, _, _ in _terms(train, "config.data.train")}
    if unused := tuple(name for name in source.parts if name not in used and len(source.parts[name])):
        _warn_of_unused(source.name, unused)


@functools.lru_cache(maxsize=256)
def _warn_of_unused(source: str, unused: tuple[str, ...]) -> None:
    """Says it once a process: who has a test set usually wants to be tested on it."""
    best = next((name for name in _TEST_NAMES if name in unused), unused[0])
    plural = "s" if len(unused) > 1 else ""
    warnings.warn(
        f"tlj: {source} has part{plural} {', '.join(unused)}, which nothing uses; a share of data.train is the test;"
        f" data.test={best} tests on {best}",
        stacklevel=2,
    )
