"""The order of batches."""

import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj import config as configuration
from tlj.config import run_config
from tlj.data.pipeline import BatchOrder, evaluation_batches, training_batches
from tlj.data.sources import open_source
from tlj.training.setup import set_up

quick = settings(max_examples=60, deadline=None, derandomize=True)
sizes = {"count": st.integers(1, 40), "batch_size": st.integers(1, 50), "seed": st.integers(0, 2**31)}


@pytest.fixture(scope="module")
def source():
    return open_source("digits:5-9")


def all_batches(count: int, batch_size: int, seed: int, steps: int) -> np.ndarray:
    order = BatchOrder(np.arange(count) + 1000, batch_size, seed, steps)
    return np.stack([order[step] for step in range(steps)])


@quick
@given(**sizes)
def test_every_example_comes_once_per_epoch_without_a_gap_between_epochs(count, batch_size, seed):
    steps = -(-3 * count // batch_size)
    stream = all_batches(count, batch_size, seed, steps).reshape(-1)
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(1000, 1000 + count))


@quick
@given(**sizes)
def test_batches_have_one_size_whatever_the_number_of_examples(count, batch_size, seed):
    assert all_batches(count, batch_size, seed, 5).shape == (5, batch_size)


@quick
@given(**sizes)
def test_a_longer_run_begins_with_the_batches_of_a_shorter_one(count, batch_size, seed):
    short, long = (all_batches(count, batch_size, seed, steps) for steps in (4, 9))
    np.testing.assert_array_equal(short, long[:4])


@quick
@given(**sizes, step=st.integers(0, 30))
def test_a_batch_depends_on_its_step_and_not_on_what_was_read_before(count, batch_size, seed, step):
    alone = BatchOrder(np.arange(count) + 1000, batch_size, seed, 31)[step]
    np.testing.assert_array_equal(alone, all_batches(count, batch_size, seed, 31)[step])


def test_epochs_and_seeds_have_orders_of_their_own():
    stream = all_batches(30, 30, 0, 4)
    assert len({tuple(epoch) for epoch in stream.tolist()}) == 4
    assert not np.array_equal(stream, all_batches(30, 30, 1, 4))


def test_batch_size_cuts_one_stream_of_examples():
    np.testing.assert_array_equal(all_batches(13, 6, 0, 10).reshape(-1), all_batches(13, 10, 0, 6).reshape(-1))


def test_training_batches_are_those_of_the_order(source):
    examples = np.arange(20, 45)
    batches = training_batches(source, examples, batch_size=8, seed=3, steps=6)
    assert len(batches) == 6
    order = BatchOrder(examples, 8, 3, 6)
    for step in (5, 0, 3):
        wanted = source.batch(order[step])
        assert batches[step].keys() == {"image", "label"}
        np.testing.assert_array_equal(batches[step]["image"], wanted["image"])
        np.testing.assert_array_equal(batches[step]["label"], wanted["label"])


@pytest.mark.parametrize("budget", [10, 50, "all"])
def test_arm_and_twin_see_the_same_batches(budget):
    def batches(strategy: str, seed: int) -> list[dict[str, np.ndarray]]:
        config = configuration.default()
        config.model.settings = dict(patch_size=4, width=16, depth=2, heads=2)
        config.data.source = "digits:5-9"
        resolved = run_config(config, strategy=strategy, init="scratch", label_budget=budget, seed=seed)
        setup = set_up(resolved, pathlib.Path())
        found = training_batches(setup.source, setup.split.train, batch_size=32, seed=seed, steps=12)
        return [found[step] for step in range(12)]

    twin, other = batches("scratch", 1), batches("scratch", 2)
    for arm in (batches(strategy, 1) for strategy in ("linear_probe", "last_blocks:1", "full")):
        for ours, theirs in zip(arm, twin, strict=True):
            assert ours["image"].shape == (32, 8, 8, 3)
            np.testing.assert_array_equal(ours["image"], theirs["image"])
            np.testing.assert_array_equal(ours["label"], theirs["label"])
    assert not np.array_equal(twin[0]["image"], other[0]["image"])


@quick
@given(count=st.integers(1, 50), batch_size=st.integers(1, 20))
def test_evaluation_takes_every_example_once_in_order_and_masks_the_padding(count, batch_size):
    source = open_source("digits:5-9")
    examples = np.random.default_rng(count).permutation(len(source.labels))[:count]
    batches = list(evaluation_batches(source, examples, batch_size))
    assert len(batches) == -(-count // batch_size)
    assert all(batch["image"].shape == (batch_size, 8, 8, 3) and mask.shape == (batch_size,) for batch, mask in batches)
    assert all(mask.all() for _, mask in batches[:-1])
    np.testing.assert_array_equal(np.concatenate([b["image"][m] for b, m in batches]), source.images[examples])
    np.testing.assert_array_equal(np.concatenate([b["label"][m] for b, m in batches]), source.labels[examples])
    assert sum(mask.sum() for _, mask in batches) == count
