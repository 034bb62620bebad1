"""Class names and labels as data sets write them, names or numbers, as indices into the classes."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.data.label_kinds import Labels
from tlj.data.settings import DataSettings
from tlj.errors import InputError
from tlj.named_paths import named_path

EMPTY, NAN = "the label is empty", "the label is NaN"
_WHERE = "config.data.classes"
# As CSV files have them, also those of pandas, which writes whole numbers beside an empty cell as 3.0.
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0+)?")


class _Unusable(str):
    """Why a label is none."""


def declared_classes(settings: DataSettings) -> tuple[str, ...]:
    """Returns the class names that ``data.classes`` gives, or the file that it names; empty where it gives none.

    Raises:
      InputError: for a file that cannot be read, an empty name, a name given twice, or fewer than two.
    """
    names, where = settings.classes, _WHERE
    if not names:
        return ()
    if len(names) == 1:
        file = named_path(names[0], where)
        if not file.is_file():
            raise InputError(
                f"{names[0]!r} is a single class, and no file has that name",
                where=where,
                do="give at least two names in order, or a file with one a line",
            )
        names, where = _names_in(file), str(file)
    for row, name in enumerate(names, 1):
        if not name:
            raise InputError(f"class {row} has no name", where=where, do="give every class a name")
        if (first := names.index(name) + 1) != row:
            raise InputError(f"{name!r} is class {first} and class {row}", where=where, do="give every class once")
    if len(names) < 2:
        raise InputError(f"fewer than two classes: {list(names)}", where=where, do="name every class")
    return tuple(names)


def _names_in(file: pathlib.Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read: {error}", where=str(file), do="give a UTF-8 file, one class a line"
        ) from None
    return tuple(line.strip() for line in lines)


def label_of(value: Any) -> int | str:
    """Returns what a label says, as a whole number where it is one in any spelling (3, 3.0, "3", True), else as a name.

    Names lose the spaces around them. What cannot be a label comes back as a text of its own type that says why.
    """
    if value is None:
        return _Unusable(EMPTY)
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        text = value.strip()
        if whole := _WHOLE.fullmatch(text):
            return int(whole[1])
        return _Unusable(NAN) if text.lower() == "nan" else text or _Unusable(EMPTY)
    if isinstance(value, (int, np.integer, np.bool_)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return _Unusable(NAN)
        if float(value).is_integer():
            return int(value)
    return _Unusable(f"the label {shown(value)} is neither a name nor a whole number")


def shown(value: Any) -> str:
    """Returns a value as messages show it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclasses.dataclass(frozen=True)
class Numbered:
    """Labels as a source has them (``tlj.data.label_kinds``).

    Attributes:
      classes: names of the classes; empty of numbers.
      labels: of every example; a class is -1 where there is none.
      reasons: why an example has none, by its index.
    """

    classes: tuple[str, ...]
    labels: Labels
    reasons: Mapping[int, str]


def unlabelled_parts(
    values: Sequence[Any], codes: Int[np.ndarray, " examples"], parts: Mapping[str, Int[np.ndarray, " part"]]
) -> tuple[str, ...]:
    """Returns the splits without labels: all of them empty, or all -1 where -1 is no label of any other split.

    Args:
      values: the different labels as the data has them.
      codes: index into ``values`` of every example.
      parts: indices of every split, by name.
    """
    read = [label_of(value) for value in values]
    empty = np.array([isinstance(label, _Unusable) and label in (EMPTY, NAN) for label in read], bool)[codes]
    minus = np.array([label == -1 for label in read], bool)[codes]
    bare = [name for name, part in parts.items() if len(part) and (empty | minus)[part].all()]
    if any(minus[part].any() for name, part in parts.items() if name not in bare):
        bare = [name for name in bare if empty[parts[name]].all()]
    return tuple(bare)


def number_labels(
    values: Sequence[Any],
    codes: Int[np.ndarray, " examples"],
    parts: Mapping[str, Int[np.ndarray, " part"]],
    settings: DataSettings,
    own: tuple[str, ...] = (),
    where: str = "",
) -> Numbered:
    """Returns the labels as indices into the classes.

    The classes are those that are declared, those that the data set names itself, or those found: in its split
    ``train`` where it has one, else everywhere; whole numbers in their order, or else names in alphabetical order. A
    whole number that is not the name of a class is an index into the names.

    Args:
      values: the different labels as the data has them.
      codes: index into ``values`` of every example.
      parts: indices of every split, by name; may be empty.
      settings: with what is declared.
      own: class names that the data set comes with; its labels are indices into them.
      where: the data set, for messages.

    Raises:
      InputError: for a class list that does not fit, or fewer than two classes.
    """
    read = [label_of(value) for value in values]
    classes = declared_classes(settings)
    if classes and own == tuple(str(i) for i in range(len(classes))):
        own = ()  # Numbers for want of names: those declared are the first.
    if own:
        read = [_own_name(label, own) for label in read]
        classes = _reordered(own, classes)
    elif not classes:
        classes = settings.known_classes
    outside = f"is not one of the {len(classes)} classes {_listed(classes)}"
    if not classes:
        classes = _found(read, codes[parts["train"]] if "train" in parts else codes, where)
        outside = f"is not a label of the split 'train': {_listed(classes)}"
    index = {name: i for i, name in enumerate(classes)}
    numbers, reasons = np.full(len(read), -1, np.int32), {}
    for code, label in enumerate(read):
        if isinstance(label, _Unusable):
            reasons[code] = str(label)
        elif str(label) in index:
            numbers[code] = index[str(label)]
        elif isinstance(label, int) and settings.classes and not own and 0 <= label < len(classes):
            numbers[code] = label
        else:
            reasons[code] = f"the label {shown(label)} {outside}"
    labels = numbers[codes]
    return Numbered(classes, labels, {int(i): reasons[int(codes[i])] for i in np.flatnonzero(labels < 0)})


def _own_name(label: int | str, own: tuple[str, ...]) -> int | str:
    """What an index into the names of the data set stands for; a name stands for itself."""
    if not isinstance(label, int):
        return label
    return own[label] if 0 <= label < len(own) else _Unusable(f"the label {label} is outside 0 to {len(own) - 1}")


def _reordered(own: tuple[str, ...], declared: tuple[str, ...]) -> tuple[str, ...]:
    """The declared classes, in which every name of the data set must have its place."""
    for name in own if declared else ():
        if name not in declared:
            raise InputError(
                f"the data set names its classes itself, and {name!r} is not declared",
                where=_WHERE,
                do=f"give its names in the order you want: {_listed(own)}",
            )
    return declared or own


def _found(read: Sequence[int | str], codes: Int[np.ndarray, " labelled"], where: str) -> tuple[str, ...]:
    present = {read[code] for code in np.unique(codes) if not isinstance(read[code], _Unusable)}
    if len(present) < 2:
        what = f"every label is {shown(present.pop())}: there is one class" if present else _no_label(read, codes)
        raise InputError(what, where=where, do="give data with at least two classes, or another data.columns.label")
    if all(isinstance(label, int) for label in present):
        return tuple(str(label) for label in sorted(present))
    return tuple(sorted(str(label) for label in present))


def _no_label(read: Sequence[int | str], codes: Int[np.ndarray, " labelled"]) -> str:
    return f"no example has a label: of the first, {read[codes[0]]}" if len(codes) else "no example has a label"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" ... {names[-1]}" if len(names) > 8 else "")
