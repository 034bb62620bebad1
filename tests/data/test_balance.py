"""Classes weighed alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.data.balance import BalancedEpochs, class_weights
from tlj.data.order import BatchOrder
from tlj.data.pipeline import training_batches
from tlj.data.sources import open_source

quick = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def training_parts(draw):
    """Indices of some examples, the labels of all, and a seed."""
    counts = draw(st.lists(st.integers(1, 25), min_size=1, max_size=6))
    labels = np.random.default_rng(draw(st.integers(0, 99))).permutation(np.repeat(np.arange(len(counts)) * 2, counts))
    examples = np.flatnonzero(np.random.default_rng(1).random(len(labels)) < 0.8)
    return (examples if len(examples) else np.arange(len(labels))), labels, draw(st.integers(0, 2**31))


@quick
@given(training_parts(), st.integers(0, 50))
def test_an_epoch_draws_each_class_as_often_as_any_other_to_within_one(part, epoch):
    examples, labels, seed = part
    drawn = BalancedEpochs(examples, labels, seed)(epoch)
    assert len(drawn) == len(examples)
    assert set(drawn) <= set(examples)
    counts = [np.sum(labels[drawn] == label) for label in np.unique(labels[examples])]
    assert max(counts) - min(counts) <= 1


@quick
@given(training_parts())
def test_also_many_epochs_together_draw_each_class_as_often_to_within_one(part):
    examples, labels, seed = part
    epochs = BalancedEpochs(examples, labels, seed)
    drawn = np.concatenate([epochs(epoch) for epoch in range(7)])
    counts = [np.sum(labels[drawn] == label) for label in np.unique(labels[examples])]
    assert max(counts) - min(counts) <= 1


@quick
@given(training_parts())
def test_the_members_of_a_class_come_equally_often_to_within_one(part):
    examples, labels, seed = part
    epochs = BalancedEpochs(examples, labels, seed)
    drawn = np.concatenate([epochs(epoch) for epoch in range(5)])
    for label in np.unique(labels[examples]):
        members = examples[labels[examples] == label]
        counts = [np.sum(drawn == member) for member in members]
        assert max(counts) - min(counts) <= 1


def test_epochs_and_seeds_draw_in_orders_of_their_own_and_alone_as_in_a_row():
    examples, labels = np.arange(60), np.repeat([0, 1], [50, 10])
    epochs = BalancedEpochs(examples, labels, 0)
    drawn = [epochs(epoch).tolist() for epoch in range(4)]
    assert len({tuple(epoch) for epoch in drawn}) == 4
    assert BalancedEpochs(examples, labels, 0)(3).tolist() == drawn[3]
    assert BalancedEpochs(examples, labels, 1)(0).tolist() != drawn[0]
    # Draws are mixed over classes, so that every batch holds each.
    assert 10 < np.sum(labels[drawn[0]][:30] == 1) < 20


def test_every_round_of_a_class_has_an_order_of_its_own():
    # Each epoch draws 30 of the 50, and after five epochs three rounds are over.
    epochs = BalancedEpochs(np.arange(60), np.repeat([0, 1], [50, 10]), 0)
    begun = [set(epochs(epoch).tolist()) - set(range(50, 60)) for epoch in (0, 5, 10)]
    assert [len(drawn) for drawn in begun] == [30, 30, 30]
    assert begun[0] != begun[1] != begun[2] != begun[0]


def test_balanced_batches_are_cut_from_balanced_epochs():
    source = open_source("digits:5-9")
    examples = np.concatenate(
        [np.flatnonzero(source.labels == label)[:count] for label, count in enumerate((40, 8, 4))]
    )
    options = dict(batch_size=13, seed=3, steps=8)
    found = training_batches(source, examples, **options, balance="sample", labels=source.labels)
    drawn = np.concatenate([found[step]["label"] for step in range(8)])
    assert np.bincount(drawn[:52]).tolist() in ([18, 17, 17], [17, 18, 17], [17, 17, 18])
    order = BatchOrder(examples, 13, 3, 8, BalancedEpochs(examples, source.labels, 3))
    np.testing.assert_array_equal(found[5]["image"], source.images[order[5]])


def test_a_weight_is_examples_by_classes_times_members():
    np.testing.assert_allclose(class_weights(np.array([0, 0, 0, 2])), [4 / (2 * 3), 0, 4 / (2 * 1)], rtol=1e-6)


@quick
@given(training_parts())
def test_weights_have_mean_one_and_every_class_weighs_the_same(part):
    examples, labels, _ = part
    weights = class_weights(labels[examples])[labels[examples]]
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1, abs=1e-5)
    sums = [weights[labels[examples] == label].sum() for label in np.unique(labels[examples])]
    np.testing.assert_allclose(sums, sums[0], rtol=1e-4)


def test_the_loss_is_weighed_by_the_classes_of_the_training_part_and_the_batches_stay():
    source = open_source("digits:5-9")
    examples = np.concatenate([np.flatnonzero(source.labels == label)[:count] for label, count in enumerate((30, 6))])
    options = dict(batch_size=9, seed=0, steps=4)
    plain = training_batches(source, examples, **options)
    weighed = training_batches(source, examples, **options, balance="loss", labels=source.labels)
    for step in range(4):
        batch = weighed[step]
        np.testing.assert_array_equal(batch["image"], plain[step]["image"])
        np.testing.assert_allclose(batch["weight"], np.where(batch["label"] == 0, 36 / 60, 36 / 12), rtol=1e-6)
        assert "weight" not in plain[step]
