"""The lengths that sequences are padded to."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.data.tokens.lengths import choose_lengths, padding_share


def padded_tokens(lengths, chosen):
    return int(np.asarray(chosen)[np.searchsorted(chosen, lengths)].sum())


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=25), st.integers(1, 5))
def test_no_other_lengths_waste_less(lengths, count):
    lengths = np.array(lengths)
    chosen = choose_lengths(lengths, count)
    others = itertools.combinations(range(1, lengths.max()), len(chosen) - 1)
    assert padded_tokens(lengths, chosen) == min(padded_tokens(lengths, (*o, lengths.max())) for o in others)
    assert len(chosen) == min(count, len(set(lengths.tolist())))


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 512), min_size=1, max_size=40), st.integers(1, 16))
def test_lengths_increase_and_end_with_the_longest(lengths, count):
    chosen = choose_lengths(np.array(lengths), count)
    assert list(chosen) == sorted(set(chosen))
    assert chosen[-1] == max(lengths)
    assert all(isinstance(length, int) for length in chosen)


def test_enough_lengths_waste_nothing():
    assert choose_lengths(np.array([7, 3, 7, 9]), 12) == (3, 7, 9)


def test_many_long_sequences_do_not_overflow():
    assert choose_lengths(np.full(3, 2_000_000_000, np.int32), 2) == (2_000_000_000,)
    assert choose_lengths(np.array([1_500_000_000, 2_000_000_000] * 9, np.int32), 1) == (2_000_000_000,)


@pytest.mark.parametrize(("real", "padded", "share"), [(3, 4, 0.25), (4, 4, 0.0)])
def test_the_share_of_padding(real, padded, share):
    assert padding_share(real, padded) == share
