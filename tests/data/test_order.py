"""Which examples are in the batch of a step."""

import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.data.balance import BalancedEpochs
from tlj.data.order import BatchOrder, LengthOrder, ViewOrder

quick = settings(max_examples=60, deadline=None, derandomize=True)
sizes = {"count": st.integers(1, 40), "batch_size": st.integers(1, 50), "seed": st.integers(0, 2**31)}


def shuffled(count: int, batch_size: int, seed: int, steps: int) -> BatchOrder:
    return BatchOrder(np.arange(count) + 1000, batch_size, seed, steps)


def by_length(count: int, batch_size: int, seed: int, steps: int, balanced: bool = False) -> LengthOrder:
    examples, lengths = np.arange(count) + 1000, np.random.default_rng(seed).integers(1, 12, count + 1000)
    epochs = BalancedEpochs(examples, np.arange(count + 1000) % 3, seed) if balanced else None
    order = BatchOrder(examples, batch_size, seed, steps, epochs)
    return LengthOrder(order, lengths, count=count, batch_size=batch_size, seed=seed)


def all_batches(order) -> np.ndarray:
    return np.stack([order[step] for step in range(len(order))])


@quick
@given(**sizes)
def test_every_example_comes_once_per_epoch_without_a_gap_between_epochs(count, batch_size, seed):
    stream = all_batches(shuffled(count, batch_size, seed, -(-3 * count // batch_size))).reshape(-1)
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(1000, 1000 + count))


@quick
@given(**sizes, kind=st.sampled_from([shuffled, by_length]))
def test_batches_have_one_size_whatever_the_number_of_examples(count, batch_size, seed, kind):
    assert all_batches(kind(count, batch_size, seed, 5)).shape == (5, batch_size)


@quick
@given(**sizes, kind=st.sampled_from([shuffled, by_length]))
def test_a_longer_run_begins_with_the_batches_of_a_shorter_one(count, batch_size, seed, kind):
    short, long = (all_batches(kind(count, batch_size, seed, steps)) for steps in (4, 9))
    np.testing.assert_array_equal(short, long[:4])


@quick
@given(**sizes, step=st.integers(0, 30), kind=st.sampled_from([shuffled, by_length]))
def test_a_batch_depends_on_its_step_and_not_on_what_was_read_before(count, batch_size, seed, step, kind):
    alone = kind(count, batch_size, seed, 31)[step]
    np.testing.assert_array_equal(alone, all_batches(kind(count, batch_size, seed, 31))[step])


def test_epochs_and_seeds_have_orders_of_their_own():
    stream = all_batches(shuffled(30, 30, 0, 4))
    assert len({tuple(epoch) for epoch in stream.tolist()}) == 4
    assert not np.array_equal(stream, all_batches(shuffled(30, 30, 1, 4)))


def test_batch_size_cuts_one_stream_of_examples():
    streams = [all_batches(shuffled(13, size, 0, 60 // size)).reshape(-1) for size in (6, 10)]
    np.testing.assert_array_equal(*streams)


@settings(quick, max_examples=25)
@given(**sizes, balanced=st.booleans())
def test_a_window_by_length_holds_the_examples_that_the_stream_has_there(count, batch_size, seed, balanced):
    order = by_length(count, batch_size, seed, 40, balanced)
    stream = order._order
    window = order.window * batch_size
    for begin in range(0, 40 // order.window):
        steps = range(begin * order.window, (begin + 1) * order.window)
        got = np.concatenate([order[step] for step in steps])
        np.testing.assert_array_equal(np.sort(got), np.sort(stream.stretch(begin * window, (begin + 1) * window)))
        if not balanced and window <= count:
            assert np.bincount(got).max() <= 2


@quick
@given(**sizes)
def test_no_two_batches_of_a_window_overlap_in_length(count, batch_size, seed):
    order = by_length(count, batch_size, seed, 40)
    lengths = [order._lengths[order[step]] for step in range(order.window)]
    spans = sorted((batch.min(), batch.max()) for batch in lengths)
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))


def test_the_batches_of_a_window_come_in_random_order_and_ties_in_length_too():
    order = by_length(40 * 16, 16, 0, 80)
    assert order.window == 40
    places = [
        np.argsort([order._lengths[order[step]].mean() for step in steps]) for steps in (range(40), range(40, 80))
    ]
    assert all(abs(np.corrcoef(found, np.arange(40))[0, 1]) < 0.5 for found in places)
    assert not np.array_equal(*places)
    stream = BatchOrder(np.arange(600), 60, 3, 10)
    same = LengthOrder(stream, np.ones(600, int), count=600, batch_size=60, seed=3)
    assert sorted(map(tuple, all_batches(same).tolist())) == sorted(map(tuple, all_batches(stream).tolist()))
    assert not np.array_equal(all_batches(same), all_batches(stream))


def test_a_window_is_no_larger_than_the_examples_or_512_batches():
    assert by_length(100, 30, 0, 5).window == 3
    assert by_length(10, 30, 0, 5).window == 1
    assert by_length(5000, 4, 0, 5).window == 512


def test_orders_travel_to_another_process():
    for order in (shuffled(20, 6, 0, 9), by_length(20, 6, 0, 9), by_length(20, 6, 0, 9, balanced=True)):
        before = all_batches(order)
        np.testing.assert_array_equal(all_batches(pickle.loads(pickle.dumps(order))), before)


def test_views_are_drawn_by_seed_and_step_and_leave_the_order_as_it_is():
    plain = shuffled(30, 10, 0, 40)
    views = ViewOrder(plain, 0, 3, 10_000)
    assert len(views) == 40
    stream = all_batches(views)
    np.testing.assert_array_equal(stream % 10_000, all_batches(plain))
    assert set(np.unique(stream // 10_000)) == {1, 2, 3}
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(views))[7], views[7])
    assert not np.array_equal(all_batches(ViewOrder(plain, 1, 3, 10_000)), stream)
