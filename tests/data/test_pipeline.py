"""The batches of a run: the same for any number of hosts and restarts, and every example once in an evaluation."""

import pathlib
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj import config as configuration
from tlj.config import run_config
from tlj.data.pipeline import BatchOrder, evaluation_batches, training_batches
from tlj.data.settings import DataSettings
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.training.setup import set_up

quick = settings(max_examples=60, deadline=None, derandomize=True)
# A batch that divides over 1, 2 and 4 hosts.
options = {"batch_size": 8, "seed": 3, "steps": 12}


class Sentences:
    """A reader of token ids of any length, padded to the longest of the global batch."""

    preprocessing, in_memory, by_length = None, True, True

    def __init__(self, count):
        self.lengths = np.random.default_rng(count).integers(1, 40, count)

    def batch(self, indices, rows=slice(None)):
        width = self.lengths[indices].max()
        indices = indices[rows]
        mask = np.arange(width) < self.lengths[indices][:, None]
        ids = np.where(mask, indices[:, None] + 1, 0).astype(np.int32)
        return {"input_ids": ids, "label": (indices % 3).astype(np.int32)}


@pytest.fixture(scope="module")
def source():
    return open_source("digits:5-9")


@pytest.fixture(params=["images", "sentences"])
def reader(request, source):
    return source if request.param == "images" else Sentences(60)


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])


def test_training_batches_are_those_of_the_order(source):
    examples = np.arange(20, 45)
    batches = training_batches(source, examples, batch_size=8, seed=3, steps=6)
    assert len(batches) == 6
    order = BatchOrder(examples, 8, 3, 6)
    for step in (5, 0, 3):
        assert batches[step].keys() == {"image", "label"}
        assert_equal(batches[step], source.batch(order[step]))


@pytest.mark.parametrize("balance", ["none", "sample", "loss"])
@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_together_have_the_global_batch_of_one(reader, hosts, balance):
    choice = dict(
        **options, balance=balance, labels=np.arange(60) % 3 if isinstance(reader, Sentences) else reader.labels
    )
    alone = training_batches(reader, np.arange(10, 60), **choice)
    parts = [training_batches(reader, np.arange(10, 60), **choice, host=host, hosts=hosts) for host in range(hosts)]
    for step in range(12):
        read = [part[step] for part in parts]
        assert all(len(rows["label"]) == 8 // hosts for rows in read)
        assert_equal({name: np.concatenate([rows[name] for rows in read]) for name in read[0]}, alone[step])


def test_a_batch_that_does_not_divide_over_the_hosts_is_refused(source):
    with pytest.raises(InputError, match=r"global_batch_size: a batch of 8 does not divide over 3 hosts"):
        training_batches(source, np.arange(20), **options, hosts=3)


def test_a_balance_that_does_not_exist_is_refused_and_one_that_does_needs_labels(source):
    with pytest.raises(InputError, match="did you mean 'sample'"):
        training_batches(source, np.arange(20), **options, balance="samples")
    with pytest.raises(ValueError, match="needs labels"):
        training_batches(source, np.arange(20), **options, balance="loss")


def test_batches_are_the_same_after_a_restart_at_any_step_and_in_another_process(reader):
    examples = np.arange(10, 60)
    batches = training_batches(reader, examples, **options)
    whole = [batches[step] for step in range(12)]
    sent = pickle.loads(pickle.dumps(batches))
    for first in range(12):
        restarted = training_batches(reader, examples, **options)
        assert_equal(restarted[first], whole[first])
        assert_equal(sent[first], whole[first])


def test_sentences_of_like_length_share_a_batch_and_little_is_padded():
    reader = Sentences(4000)
    batches = training_batches(reader, np.arange(4000), batch_size=16, seed=0, steps=250)
    ids = [batches[step]["input_ids"] for step in range(250)]
    real = sum(np.count_nonzero(batch) for batch in ids)
    assert real / sum(batch.size for batch in ids) > 0.98
    # In random order about a half is padding.
    order = BatchOrder(np.arange(4000), 16, 0, 250)
    plain = [reader.batch(order[step])["input_ids"] for step in range(250)]
    assert sum(np.count_nonzero(batch) for batch in plain) / sum(batch.size for batch in plain) < 0.6


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
            assert_equal(ours, theirs)
    assert not np.array_equal(twin[0]["image"], other[0]["image"])


@quick
@given(count=st.integers(1, 50), batch_size=st.integers(1, 20))
def test_evaluation_takes_every_image_once_in_order_and_masks_the_padding(count, batch_size):
    source = open_source("digits:5-9")
    examples = np.random.default_rng(count).permutation(len(source.labels))[:count]
    batches = list(evaluation_batches(source, examples, batch_size))
    assert len(batches) == -(-count // batch_size)
    assert all(batch["image"].shape == (batch_size, 8, 8, 3) for batch, _, _ in batches)
    assert all(mask.shape == (batch_size,) and mask.sum() == len(places) for _, places, mask in batches)
    assert all(mask.all() for _, _, mask in batches[:-1])
    np.testing.assert_array_equal(np.concatenate([places for _, places, _ in batches]), np.arange(count))
    np.testing.assert_array_equal(np.concatenate([b["image"][m] for b, _, m in batches]), source.images[examples])
    np.testing.assert_array_equal(np.concatenate([b["label"][m] for b, _, m in batches]), source.labels[examples])


@quick
@given(count=st.integers(1, 50), batch_size=st.integers(1, 20))
def test_evaluation_takes_every_sentence_once_shortest_first_and_says_where_each_belongs(count, batch_size):
    reader = Sentences(60)
    examples = np.random.default_rng(count).permutation(60)[:count]
    restored, lengths = np.full(count, -1), []
    for batch, places, mask in evaluation_batches(reader, examples, batch_size):
        assert batch["input_ids"].shape[0] == len(mask) == batch_size
        restored[places] = batch["input_ids"][mask, 0] - 1
        lengths += np.count_nonzero(batch["input_ids"][mask], axis=1).tolist()
    np.testing.assert_array_equal(restored, examples)
    assert lengths == sorted(lengths)


def test_numbers_come_to_the_scale_of_the_training_part():
    source = open_source(DataSettings("synthetic:4x5", task="regression"))
    examples = np.arange(10, 60)
    batches = training_batches(source, examples, **options, labels=source.labels)
    wanted = (source.labels[examples] - source.labels[examples].mean()) / source.labels[examples].std()
    found = np.unique(np.concatenate([batches[step]["label"] for step in range(12)]))
    np.testing.assert_allclose(found, np.unique(wanted), rtol=1e-6)
    assert batches[0]["label"].dtype == np.float32
