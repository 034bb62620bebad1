"""Labels that are sets of classes: lists of names or numbers, or text with a bar between names, ``cat|dog``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.data.origins.labels import EMPTY, Numbered, number_labels
from tlj.data.settings import DataSettings

BETWEEN = "|"


def members_of(value: Any) -> list[Any] | None:
    """Returns the members of a set as a table holds it, or None where there is none.

    A list is a list, also one written as JSON. Other text has a bar between names, and is the empty set where it is
    empty: a table of text has no other way to write that. Whatever else is a set of one.

    Args:
      value: of a cell.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        text = value.strip()
        return (_json_list(text) if text.startswith("[") else None) or _between_bars(text)
    return list(value) if isinstance(value, list | tuple) else [value]


def _json_list(text: str) -> list[Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _between_bars(text: str) -> list[str]:
    return [] if text in ("", "[]") else text.split(BETWEEN)


def number_sets(
    values: Sequence[Any],
    codes: Int[np.ndarray, " examples"],
    parts: Mapping[str, Int[np.ndarray, " part"]],
    settings: DataSettings,
    own: tuple[str, ...] = (),
    where: str = "",
) -> Numbered:
    """Returns the labels as one column a class, 1 where the class is in the set; the classes are as for single labels.

    Args:
      values: the different sets as the data has them.
      codes: index into ``values`` of every example.
      parts: indices of every split, by name; may be empty.
      settings: with what is declared.
      own: class names that the data set comes with.
      where: the data set, for messages.

    Raises:
      InputError: for a class list that does not fit, or fewer than two classes.
    """
    sets = [members_of(value) for value in values]
    owner = np.repeat(np.arange(len(sets)), [len(members or ()) for members in sets])
    code_of: dict[str, int] = {}
    distinct, member_codes = [], []
    for member in (member for members in sets for member in members or ()):
        key = repr(member)
        if key not in code_of:
            code_of[key] = len(distinct)
            distinct.append(member)
        member_codes.append(code_of[key])
    trained = {"train": np.flatnonzero(np.isin(owner, codes[parts["train"]]))} if "train" in parts else {}
    found = number_labels(distinct, np.array(member_codes, int), trained, settings, own, where)
    matrix = np.zeros((len(sets), len(found.classes)), np.int8)
    known = found.labels >= 0
    matrix[owner[known], found.labels[known]] = 1
    reasons = {code: EMPTY for code, members in enumerate(sets) if members is None}
    for place in sorted(found.reasons):
        reasons.setdefault(int(owner[place]), found.reasons[place])
    left_out = np.flatnonzero(np.isin(codes, list(reasons)))
    return Numbered(found.classes, matrix[codes], {int(i): reasons[int(codes[i])] for i in left_out})
