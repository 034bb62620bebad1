import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlj.freezing.phases import Plateau
from tlj.training.phase_record import PhaseRecord


def waited_after(losses, min_delta=0.0):
    record = PhaseRecord({})
    for loss in losses:
        record.observe(loss, min_delta)
    return record.lowest_loss, record.waited


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], (None, 0)),
        ([1.0], (1.0, 0)),
        ([1.0, 0.9, 0.8], (0.8, 0)),
        ([1.0, 1.0, 1.0], (1.0, 2)),
        ([1.0, 0.9, 0.95, 0.91], (0.9, 2)),
        ([1.0, 1.1, 0.9], (0.9, 0)),
    ],
)
def test_validations_without_a_lower_loss_are_counted_since_the_lowest(losses, expected):
    assert waited_after(losses) == expected


def test_a_loss_that_is_lower_by_too_little_is_not_lower():
    assert waited_after([1.0, 0.95, 0.91], min_delta=0.1) == (1.0, 2)
    # What counts is the fall since the lowest, however slow.
    assert waited_after([1.0, 0.95, 0.89], min_delta=0.1) == (0.89, 0)


def test_a_loss_that_is_not_a_number_is_not_lower():
    assert waited_after([1.0, math.nan, math.nan]) == (1.0, 2)
    assert waited_after([math.nan, 2.0, 1.5, 1.0]) == (1.0, 0)
    assert waited_after([math.inf, math.nan]) == (None, 2)
    assert waited_after([1.0, math.inf, 0.5]) == (0.5, 0)


def test_a_phase_that_waits_for_a_plateau_is_over_when_its_patience_is():
    record, rule = PhaseRecord({}), Plateau(patience=2)
    over = []
    for loss in (1.0, 0.9, 0.95, 0.9):
        record.observe(loss, 0.0)
        over.append(record.is_over(rule, step=10**9))
    assert over == [False, False, False, True]


def test_a_phase_is_over_at_the_step_of_the_next_one_and_the_last_one_never():
    record = PhaseRecord({}, waited=99)
    assert [record.is_over(7, step) for step in (6, 7, 8)] == [False, True, True]
    assert not record.is_over(None, 10**9)


def test_the_next_phase_begins_with_its_own_digests_and_waits_anew():
    record = PhaseRecord({"a": "1"}, lowest_loss=0.5, waited=3, never_moved=["b"], flops=[10.0])
    record.enter_next(12, {"a": "2"}, ["a", "b"])
    assert (record.index, record.starts) == (1, [0, 12])
    assert (record.start_digests, record.lowest_loss, record.waited) == ({"a": "2"}, None, 0)
    assert (record.never_moved, record.flops) == (["a", "b"], [10.0])


def test_steps_are_counted_in_the_phase_that_takes_them():
    record = PhaseRecord({})
    for flops in (4.0, 6.0):
        record.count(flops)
    assert record.flops == [10.0]
    record.enter_next(2, {}, [])
    assert record.flops == [10.0]
    record.count(1.0)
    assert record.flops == [10.0, 1.0]


@given(
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.floats(0, 1e30)),
    st.lists(st.integers(0, 10**9), min_size=1),
)
def test_a_record_survives_json_bit_for_bit(lowest_loss, flops, starts):
    record = PhaseRecord({"a/b": "0f"}, starts, lowest_loss, 2, ["a/b"], flops)
    assert PhaseRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
