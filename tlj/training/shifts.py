"""Test sets of another domain, named by ``evaluate.shifts``: checked before any work, predicted at the end."""

from __future__ import annotations

import dataclasses
import functools
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.data.images import Preprocessing
from tlj.data.label_kinds import Labels, are_numbers, are_sets
from tlj.data.parts import chosen_part
from tlj.data.readable import check_readable
from tlj.data.settings import DataSettings
from tlj.data.sources import Reader, Source, open_source
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.registry import Spec
from tlj.training.predict import labels_of_model

_WHERE = "config.evaluate.shifts"
# The name becomes a part of the names of splits and metrics.
_FORM = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})=(?P<source>[^#]+)(?:#(?P<part>[^#]+))?")
_opening = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class ShiftedSet:
    """A test set of another domain.

    Attributes:
      name: as the config gives it.
      source: the data.
      labels: of every example of the source, as the run numbers its classes.
      examples: indices of those that are tested.
    """

    name: str
    source: Source
    labels: Labels
    examples: Int[np.ndarray, " examples"]

    @property
    def split(self) -> str:
        """The split of its rows in ``predictions.parquet``, ``shift:NAME``."""
        return f"shift:{self.name}"

    @property
    def ids(self) -> list[str]:
        """A name for every example that no other set of the run has."""
        return [f"{self.split}/{self.source.ids[i]}" for i in self.examples]

    @property
    def groups(self) -> list[str | None]:
        """The group of every example, or None."""
        return [self.source.groups[i] if self.source.groups else None for i in self.examples]


def shift_hashes(config: Mapping[str, Any], source: Source) -> dict[str, str]:
    """Returns the content hash of every shifted set by name, once each was opened and found readable.

    Args:
      config: of the run, nested.
      source: its data.

    Raises:
      InputError: as ``open_shifts``, or where an image in one cannot be decoded.
    """
    hashes = {}
    for name, settings, _ in _named(config, source):
        shifted = _opened(settings)
        check_readable(shifted, settings)
        hashes[name] = shifted.digest
    open_shifts(config, source)
    return hashes


def open_shifts(config: Mapping[str, Any], source: Source) -> tuple[ShiftedSet, ...]:
    """Opens the shifted sets of a run.

    Args:
      config: of the run, nested.
      source: its data, whose kind of examples, columns and classes they have.

    Raises:
      InputError: for a name that is none or is given twice, or data that cannot be read as that of the run is.
    """
    return tuple(
        _shifted_set(name, _opened(settings), part, source, config) for name, settings, part in _named(config, source)
    )


def check_shifts(
    shifts: Sequence[ShiftedSet],
    source: Source,
    trained: Int[np.ndarray, " trained"],
    spec: Spec,
    preprocessing: Preprocessing | TextPreprocessing,
    tokenizer: bool,
) -> None:
    """Checks that a run can predict its shifted sets and has not learnt from their examples.

    Args:
      shifts: of the run.
      source: its data.
      trained: examples of its data that it learns from, validation counted in.
      spec: of its model.
      preprocessing: of its model, for its data.
      tokenizer: whether the model has one.

    Raises:
      InputError: where it cannot, or has.
    """
    for shift in shifts:
        own, where = shift.source.preprocessing, f"{_WHERE} ({shift.name})"
        misfit = own.misfit(spec) if own else ""
        if own and not misfit and preprocessing.on(own) != preprocessing:
            misfit = f"{shift.source.name} has sequences of another length or padding than {source.name}"
        if own is None and shift.source.kind == TextPreprocessing.kind and not tokenizer:
            misfit = f"{shift.source.name} holds text, and there is no tokenizer"
        if misfit:
            raise InputError(misfit, where=where, do="name data that the model takes")
        if shift.source.digest == source.digest:
            ids = {source.ids[i] for i in trained}
            if both := [i for i in shift.examples if shift.source.ids[i] in ids]:
                what = f"{len(both)} examples are trained or validated on, the first {shift.source.ids[both[0]]!r}"
                raise InputError(what, where=where, do="name a part that the run does not learn from")


def shift_reader(
    shift: ShiftedSet, sets: int, preprocessing: Preprocessing | TextPreprocessing, reading: Any
) -> Reader:
    """Returns the examples of a shifted set as the model takes them; the sets share ``data.memory`` once more.

    Args:
      shift: the set.
      sets: how many there are.
      preprocessing: of the model.
      reading: how examples of the run are read for evaluation.
    """
    share = dataclasses.replace(reading, memory=reading.memory // sets)
    # Two runs in two threads must not tokenise the same text at once.
    with _opening:
        reader = _reader(shift.source, preprocessing, share)
    return getattr(reader, "evaluation", reader)


# Apart from the few that ``tlj.data.sources`` keeps: many sets would push the training data out, and it be read anew.
@functools.lru_cache(maxsize=64)
def _opened(settings: DataSettings) -> Source:
    try:
        return open_source(settings)
    except InputError as error:
        where = _WHERE if error.where.startswith("config.data.source") else error.where
        raise InputError(error.what, where=where, nearest=error.nearest, do=error.do) from error


@functools.lru_cache(maxsize=64)
def _reader(source: Source, preprocessing: Any, reading: Any) -> Reader:
    return source.reader(preprocessing, reading)


def _named(config: Mapping[str, Any], source: Source) -> list[tuple[str, DataSettings, str]]:
    """Name, settings and part of each set, in the config's order."""
    found, names = [], set()
    for text in config["evaluate"]["shifts"]:
        match = _FORM.fullmatch(text.strip())
        if not match:
            do = "write NAME=SOURCE or NAME=SOURCE#PART, the name of letters, digits, '_', '.' and '-'"
            raise InputError(f"{text!r} names no shifted set", where=_WHERE, do=do)
        if match["name"] in names:
            raise InputError(f"two sets have the name {match['name']!r}", where=_WHERE, do="give each its own")
        names.add(match["name"])
        settings = dataclasses.replace(
            DataSettings.of(config["data"], config["task"]),
            source=match["source"].strip(),
            known_classes=tuple(source.classes),
        )
        found.append((match["name"], settings, (match["part"] or "").strip()))
    return found


def _shifted_set(name: str, shifted: Source, part: str, source: Source, config: Mapping[str, Any]) -> ShiftedSet:
    where = f"{_WHERE} ({name})"
    if shifted.kind != source.kind:
        what = f"{shifted.name} holds {shifted.kind}, {source.name} holds {source.kind}"
        raise InputError(what, where=where, do=f"name data that holds {source.kind}")
    for is_so, labels in ((are_numbers, "numbers"), (are_sets, "sets of classes")):
        if is_so(shifted.labels) != is_so(source.labels):
            which = shifted.name if is_so(shifted.labels) else source.name
            raise InputError(f"the labels of {which} alone are {labels}", where=where, do="name data with like labels")
    labels = labels_of_model(shifted, source.classes, where)
    examples = chosen_part(shifted, part, config["data"]["split_seed"], where) if part else np.arange(len(labels))
    return ShiftedSet(name, shifted, labels, examples)
