"""Labels that are numbers, from numbers or their text."""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from tlj.data.origins.labels import EMPTY, NAN, Numbered, shown

# What float() takes besides, such as 1_000 and infinity, is a slip rather than a number.
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LARGEST = float(np.finfo(np.float32).max)


def number_of(value: Any) -> float | str:
    """Returns the number that a cell holds, or, as text, why it holds none.

    Args:
      value: of a cell.
    """
    if value is None:
        return EMPTY
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return EMPTY
        if text.lower() == "nan":
            return NAN
        if not _NUMBER.fullmatch(text):
            return f"the label {shown(value)} is no number"
        value = text
    elif isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
        return f"the label {shown(value)} is no number"
    number = float(value)
    if math.isnan(number):
        return NAN
    return number if abs(number) <= _LARGEST else f"the label {shown(value)} is too large"


def read_numbers(values: Sequence[Any], codes: Int[np.ndarray, " examples"]) -> Numbered:
    """Returns the labels as numbers, float32; there are no classes.

    Args:
      values: the different labels as the data has them.
      codes: index into ``values`` of every example.
    """
    read = [number_of(value) for value in values]
    reasons = {code: number for code, number in enumerate(read) if isinstance(number, str)}
    numbers = np.array([0.0 if isinstance(number, str) else number for number in read], np.float32)
    left_out = np.flatnonzero(np.isin(codes, list(reasons)))
    return Numbered((), numbers[codes], {int(i): reasons[int(codes[i])] for i in left_out})
