"""Several sequences to a row: a batch without most of its padding, and where in it each example is.

A packed batch of B examples in R rows of L tokens has, where another has ``attention_mask``:

- ``input_ids``, ``segment_ids`` and ``position_ids`` [R, L], and ``token_type_ids`` [R, L] of pairs. A segment is an
  example: 1, 2, ... along the row, 0 where there is padding. Positions start anew in each.
- ``example_row``, ``example_start``, ``example_length`` [B]: the row, the place in it and the tokens of each example,
  in the order of the batch, as ``label`` is.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Int

# Rows are added by so large a share of a batch: the number of shapes stays small, and so does what they waste.
_STEP = 0.08


@dataclasses.dataclass(frozen=True, eq=False)
class Packing:
    """Where each sequence of a batch lies.

    Attributes:
      row: of each sequence.
      start: its first place in the row.
      segment: its number in the row, from 1.
      rows: how many are in use.
    """

    row: Int[np.ndarray, " batch"]
    start: Int[np.ndarray, " batch"]
    segment: Int[np.ndarray, " batch"]
    rows: int


def pack(lengths: Int[np.ndarray, " batch"], capacity: int) -> Packing:
    """Packs sequences into rows: the longest first, each into the first row that has room (first-fit decreasing).

    Args:
      lengths: tokens of each sequence, at most ``capacity``.
      capacity: tokens of a row.
    """
    count = len(lengths)
    row, start, segment = (np.zeros(count, np.int32) for _ in range(3))
    free, segments, rows = np.full(count, capacity), np.zeros(count, np.int32), 0
    for sequence in np.argsort(-lengths, kind="stable"):
        length = lengths[sequence]
        first = int((free >= length).argmax())
        row[sequence], start[sequence] = first, capacity - free[first]
        segments[first] += 1
        segment[sequence] = segments[first]
        free[first] -= length
        rows = max(rows, first + 1)
    return Packing(row, start, segment, rows)


def row_step(mean: float, capacity: int, batch: int, shards: int) -> int:
    """Returns the number that rows are added by: batches of one size have few different numbers of rows.

    Args:
      mean: tokens of a sequence on average.
      capacity: tokens of a row.
      batch: sequences in a batch.
      shards: devices that rows are divided over; divides the result.
    """
    return shards * max(1, math.floor(_STEP * batch * mean / capacity / shards))


def round_up(rows: int, step: int) -> int:
    """Returns the least multiple of ``step`` that is at least ``rows``."""
    return -(-rows // step) * step
