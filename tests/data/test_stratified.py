"""The stratified order: exactly that of the plain method, in a fraction of its time."""

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.data.stratified import by_class, stratified_order
from tlj.streams import generator

quick = settings(max_examples=100, deadline=None, derandomize=True)


def plain_order(labels: np.ndarray, seed: int, part: int) -> list[int]:
    """The quota method as it is written in books: every place asks every class."""
    rng = generator(seed, "data", part)
    names, counts = np.unique(labels, return_counts=True)
    members = [rng.permutation(np.flatnonzero(labels == name)) for name in names]
    taken, ties = np.zeros(len(names), int), rng.permutation(len(names)) * 1e-12
    order = []
    for place in range(len(labels)):
        within_share = taken * len(labels) < (place + 1) * counts
        chosen = int(np.argmax(np.where(within_share, counts / (taken + 1) + ties, -1.0)))
        order.append(int(members[chosen][taken[chosen]]))
        taken[chosen] += 1
    return order


@quick
@given(st.lists(st.integers(1, 80), max_size=9), st.integers(0, 2**31), st.integers(0, 1), st.integers(0, 99))
def test_the_order_is_that_of_the_plain_method(counts, seed, part, mixing):
    labels = np.random.default_rng(mixing).permutation(np.repeat(3 * np.arange(len(counts)), counts))
    np.testing.assert_array_equal(stratified_order(labels, seed, part), plain_order(labels, seed, part))


@quick
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_classes_of_one_size_tie_at_every_place_and_are_ordered_as_by_the_plain_method(classes, size, seed):
    labels = np.tile(np.arange(classes), size)
    np.testing.assert_array_equal(stratified_order(labels, seed, 0), plain_order(labels, seed, 0))


def test_counts_too_large_for_the_ties_to_show_are_ordered_as_by_the_plain_method():
    labels = np.repeat([0, 1, 2, 3], [15_000, 15_000, 70, 3])
    np.testing.assert_array_equal(stratified_order(labels, 5, 0), plain_order(labels, 5, 0))


def test_no_class_is_a_whole_example_from_its_share_of_any_prefix():
    counts = [200, 3, 3, 3, 3, 3, 3, 3, 3]
    for seed in range(40):
        labels = np.repeat(np.arange(len(counts)), counts)
        got = np.cumsum(labels[stratified_order(labels, seed, 0)][:, None] == np.arange(len(counts)), axis=0)
        wanted = np.arange(1, len(labels) + 1)[:, None] * np.array(counts) / len(labels)
        assert np.abs(got - wanted).max() < 1


def test_many_classes_cost_little_more_than_few():
    labels = np.random.default_rng(0).integers(0, 5000, 200_000)
    begin = time.thread_time()
    order = stratified_order(labels, 0, 0)
    # The plain method takes several times as long, and for a million examples minutes.
    assert time.thread_time() - begin < 2
    np.testing.assert_array_equal(np.sort(order), np.arange(200_000))


def test_who_changes_an_order_changes_no_later_one():
    labels = np.array([0, 1, 0, 1, 1])
    first = stratified_order(labels, 0, 0)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(stratified_order(labels, 0, 0), kept)


@quick
@given(st.lists(st.integers(0, 5), max_size=30))
def test_examples_are_grouped_by_class_in_their_order(labels):
    names, members = by_class(np.array(labels, int))
    assert names.tolist() == sorted(set(labels))
    assert [places.tolist() for places in members] == [[i for i, x in enumerate(labels) if x == n] for n in names]
