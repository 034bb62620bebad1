"""Several sequences to a row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.data.tokens.packing import pack, round_up, row_step

CAPACITY = 20
LENGTHS = st.lists(st.integers(1, CAPACITY), min_size=1, max_size=40).map(np.array)


@settings(derandomize=True, deadline=None)
@given(LENGTHS)
def test_sequences_share_rows_without_overlap_and_are_numbered_along_them(lengths):
    packing = pack(lengths, CAPACITY)
    taken = np.zeros((len(lengths), CAPACITY), int)
    for row, start, length in zip(packing.row, packing.start, lengths, strict=True):
        assert start + length <= CAPACITY
        taken[row, start : start + length] += 1
    assert taken.max() == 1
    for row in range(packing.rows):
        inside = np.flatnonzero(packing.row == row)
        order = inside[np.argsort(packing.start[inside])]
        assert packing.segment[order].tolist() == list(range(1, len(order) + 1))
        # No gap between them.
        assert packing.start[order].tolist() == [0, *np.cumsum(lengths[order])[:-1]]


@settings(derandomize=True, deadline=None)
@given(LENGTHS)
def test_it_is_first_fit_decreasing(lengths):
    free, expected = [], {}
    for sequence in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((row for row, room in enumerate(free) if room >= lengths[sequence]), len(free))
        if row == len(free):
            free.append(CAPACITY)
        free[row] -= lengths[sequence]
        expected[sequence] = row
    packing = pack(lengths, CAPACITY)
    assert packing.row.tolist() == [expected[i] for i in range(len(lengths))]
    assert packing.rows == len(free)
    # What is known of first-fit decreasing (Dosa 2007): at most 11/9 of the best and 6/9.
    assert packing.rows <= 11 / 9 * np.ceil(lengths.sum() / CAPACITY) + 6 / 9 or lengths.max() * 2 > CAPACITY


def test_a_packing_by_hand():
    packing = pack(np.array([3, 7, 10, 3]), 10)
    assert packing.row.tolist() == [1, 1, 0, 2]
    assert packing.start.tolist() == [7, 0, 0, 0]
    assert packing.segment.tolist() == [2, 1, 1, 1]
    assert packing.rows == 3


@pytest.mark.parametrize(
    ("mean", "batch", "shards", "step"),
    # 8 % of the 13 rows and of the 50 rows that a batch fills, in whole shares.
    [(13.0, 64, 1, 1), (13.0, 256, 1, 4), (13.0, 256, 2, 4), (13.0, 256, 3, 3), (13.0, 256, 8, 8), (66.0, 1, 1, 1)],
)
def test_rows_are_added_in_steps_that_devices_can_share(mean, batch, shards, step):
    assert row_step(mean, 66, batch, shards) == step


@pytest.mark.parametrize(("rows", "step", "rounded"), [(1, 1, 1), (7, 4, 8), (8, 4, 8), (9, 4, 12)])
def test_rows_are_rounded_up(rows, step, rounded):
    assert round_up(rows, step) == rounded
