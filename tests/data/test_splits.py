"""Test set, labelled pool and label budgets."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tlj.data import splits
from tlj.data.sources import open_source
from tlj.data.splits import SealedTest, Split, budget_split
from tlj.errors import InputError

quick = settings(max_examples=80, deadline=None, derandomize=True)


def shuffled_labels(counts: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@st.composite
def pools(draw):
    """Labels, unbalanced as they come, their pool, a validation share and a seed: enough for every class to train."""
    counts = draw(st.lists(st.integers(2, 60), min_size=2, max_size=6))
    labels = shuffled_labels(counts, draw(st.integers(0, 999)))
    pool, test = splits.split_off_test(labels, draw(st.sampled_from([0.1, 0.25, 0.4])), draw(st.integers(0, 99)))
    share, seed = draw(st.sampled_from([0.1, 0.2, 0.34, 0.5])), draw(st.integers(0, 2**31))
    try:
        budget_split(labels, pool, "all", validation_fraction=share, seed=seed)
    except InputError:
        assume(False)
    return labels, pool, test, share, seed


def least_budget(labels, pool, share, seed) -> int:
    with pytest.raises(InputError) as caught:
        budget_split(labels, pool, 1, validation_fraction=share, seed=seed)
    return int(re.fullmatch(r"use at least (\d+)", caught.value.do)[1])


@quick
@given(pools(), st.data())
def test_small_budgets_are_within_large_ones_for_training_and_for_validation(case, data):
    labels, pool, _, share, seed = case
    least = least_budget(labels, pool, share, seed)
    small = data.draw(st.integers(least, len(pool)))
    large = data.draw(st.integers(small, len(pool)))
    parts = [budget_split(labels, pool, n, validation_fraction=share, seed=seed) for n in (small, large)]
    for within, around in zip(*parts, strict=True):
        np.testing.assert_array_equal(within, around[: len(within)])


@quick
@given(pools(), st.data())
def test_a_budget_is_spent_on_training_and_validation_and_never_on_the_test(case, data):
    labels, pool, test, share, seed = case
    budget = data.draw(st.integers(least_budget(labels, pool, share, seed), len(pool)))
    train, validation = budget_split(labels, pool, budget, validation_fraction=share, seed=seed)
    spent = np.concatenate([train, validation])
    assert len(spent) == len(set(spent.tolist())) == budget
    assert set(spent.tolist()) <= set(pool.tolist())
    assert not set(spent.tolist()) & set(test.tolist())
    assert len(validation) > 0


@quick
@given(pools(), st.data())
def test_a_budget_holds_the_classes_in_the_proportions_of_the_pool(case, data):
    labels, pool, _, share, seed = case
    budget = data.draw(st.integers(least_budget(labels, pool, share, seed), len(pool)))
    train, validation = budget_split(labels, pool, budget, validation_fraction=share, seed=seed)
    classes, counts = np.unique(labels[pool], return_counts=True)
    spent, held = labels[np.concatenate([train, validation])], labels[validation]
    wanted = budget * counts / len(pool)
    got = np.array([np.sum(spent == label) for label in classes])
    assert np.all(np.abs(got - wanted) < 1)
    held_of_class = np.array([np.sum(held == label) for label in classes])
    assert np.all(np.abs(held_of_class - share * got) < 1)
    assert set(labels[train].tolist()) == set(classes.tolist())


@quick
@given(st.integers(2, 10), st.integers(4, 30), st.integers(0, 999), st.data())
def test_classes_of_one_size_differ_by_at_most_one_example(classes, size, seed, data):
    labels = shuffled_labels([size] * classes, seed)
    budget = data.draw(st.integers(2 * classes, len(labels)))
    train, validation = budget_split(labels, np.arange(len(labels)), budget, validation_fraction=0.2, seed=seed)
    counts = np.bincount(labels[np.concatenate([train, validation])], minlength=classes)
    assert counts.max() - counts.min() <= 1
    assert abs(len(validation) - 0.2 * budget) <= 1


@quick
@given(st.lists(st.integers(2, 60), min_size=2, max_size=6), st.sampled_from([0.1, 0.25, 0.4]), st.integers(0, 99))
def test_test_and_pool_share_the_source_and_its_proportions(counts, fraction, seed):
    labels = shuffled_labels(counts, seed)
    pool, test = splits.split_off_test(labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([pool, test])), np.arange(len(labels)))
    assert len(test) == round(fraction * len(labels))
    tested = np.bincount(labels[test], minlength=len(counts))
    wanted = np.array(counts) * len(test) / len(labels)
    assert np.all(np.abs(tested - wanted) < 1)


def test_the_split_follows_its_seed_and_the_budget_the_seed_of_the_run():
    labels = shuffled_labels([40, 40, 40], 0)
    first, again, other = (splits.split_off_test(labels, 0.4, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other
    pool, _ = splits.split_off_test(labels, 0.4, 0)
    drawn = [budget_split(labels, pool, 20, validation_fraction=0.2, seed=s)[0].tolist() for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_all_is_the_whole_pool():
    labels = shuffled_labels([30, 20], 0)
    pool, _ = splits.split_off_test(labels, 0.4, 0)
    parts = budget_split(labels, pool, "all", validation_fraction=0.2, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), pool)
    for named, counted in zip(parts, budget_split(labels, pool, 30, validation_fraction=0.2, seed=0), strict=True):
        np.testing.assert_array_equal(named, counted)


@pytest.mark.parametrize("seed", range(5))
def test_ten_labels_of_five_digits_train_every_class_and_validate(seed):
    labels = open_source("digits:5-9").labels
    pool, test = splits.split_off_test(labels, 0.4, 0)
    assert len(test) >= 350
    train, validation = budget_split(labels, pool, 10, validation_fraction=0.2, seed=seed)
    assert np.bincount(labels[train], minlength=5).min() >= 1
    assert len(validation) == 2


def test_a_budget_beyond_the_pool_is_refused_with_the_size_of_the_pool():
    labels = shuffled_labels([10, 10], 0)
    with pytest.raises(InputError, match=r"label_budgets: a budget of 17 labels, but the pool has 16; use at most 16"):
        budget_split(labels, np.arange(16), 17, validation_fraction=0.2, seed=0)


@quick
@given(pools())
def test_a_budget_that_is_too_small_is_refused_with_the_least_that_is_not(case):
    labels, pool, _, share, seed = case
    least = least_budget(labels, pool, share, seed)
    budget_split(labels, pool, least, validation_fraction=share, seed=seed)
    with pytest.raises(InputError, match=f"a budget of {least - 1} labels cannot give"):
        budget_split(labels, pool, least - 1, validation_fraction=share, seed=seed)


def test_a_pool_that_no_budget_suffices_for_is_refused():
    with pytest.raises(InputError, match="use a source with more examples per class"):
        budget_split(np.array([0, 1]), np.arange(2), "all", validation_fraction=0.5, seed=0)


def slow_least(labels, pool, share, seed, min_per_class) -> int | None:
    """The least budget by trying each; validation and training parts are prefixes of those of the whole pool."""
    train, validation = budget_split(labels, pool, "all", validation_fraction=share, seed=seed)
    ordered = pool[splits.stratified_order(labels[pool], seed, 1)]
    place = {index: i for i, index in enumerate(ordered)}
    trained, held = sorted(place[i] for i in train), sorted(place[i] for i in validation)
    for count in range(1, len(pool) + 1):
        counts = np.bincount(labels[ordered[[p for p in trained if p < count]]], minlength=labels.max() + 1)
        if held[0] < count and counts[np.unique(labels)].min() >= min_per_class:
            return count
    return None


@settings(quick, max_examples=40)
@given(pools(), st.integers(1, 8))
def test_every_class_gets_its_training_examples_or_the_error_says_the_least_budget_that_gives_them(case, min_per_class):
    labels, pool, _, share, seed = case
    options = dict(validation_fraction=share, seed=seed, min_per_class=min_per_class)
    least = slow_least(labels, pool, share, seed, min_per_class)
    with pytest.raises(InputError) as caught:
        budget_split(labels, pool, (least or len(pool) + 1) - 1, **options)
    if least is None:
        assert caught.value.do.startswith("use a source with more examples per class")
    else:
        assert re.match(r"use at least (\d+)", caught.value.do)[1] == str(least)
        train, _ = budget_split(labels, pool, least, **options)
        assert np.bincount(labels[train]).min() >= min_per_class
        # The requirement refuses budgets and moves no example.
        np.testing.assert_array_equal(train, budget_split(labels, pool, least, validation_fraction=share, seed=seed)[0])


def test_the_error_names_the_classes_that_lack_training_examples():
    labels = np.repeat([0, 1, 2], [100, 100, 10])
    options = dict(validation_fraction=0.2, seed=0, min_per_class=5, classes=("cat", "dog", "newt"))
    with pytest.raises(InputError) as caught:
        budget_split(labels, np.arange(210), 60, **options)
    assert "60 labels cannot give 5 training examples to each of 3 classes" in str(caught.value)
    assert "too few for 'newt';" in str(caught.value)
    assert "lower config.data.min_per_class" in str(caught.value)
    with pytest.raises(InputError, match=r"too few for 'cat', 'dog', 'newt'"):
        budget_split(labels, np.arange(210), 3, **options)


def test_a_class_that_is_only_in_the_test_set_is_an_error():
    labels = np.array([0] * 20 + [1] * 20 + [2])
    pool = np.arange(40)
    with pytest.raises(InputError):
        budget_split(labels, pool, 20, validation_fraction=0.2, seed=0)


def test_the_test_set_opens_once():
    sealed = SealedTest(np.array([3, 1]))
    assert sealed.opened == 0
    np.testing.assert_array_equal(sealed.open(), [3, 1])
    assert sealed.opened == 1
    with pytest.raises(RuntimeError, match="opened already"):
        sealed.open()
    assert sealed.opened == 1


def test_the_manifest_lists_the_ids_and_its_hash_follows_them():
    split = Split(np.array([0, 2]), np.array([1]), np.array([3]))
    written = split.manifest(["a", "b", "c", "d"])
    assert (written["train"], written["validation"], written["test"]) == (["a", "c"], ["b"], ["d"])
    moved = Split(np.array([0]), np.array([1, 2]), np.array([3])).manifest(["a", "b", "c", "d"])
    renamed = split.manifest(["a", "b", "c", "e"])
    assert len({written["hash"], moved["hash"], renamed["hash"]}) == 3
    assert split.manifest(["a", "b", "c", "d"]) == written


@st.composite
def other_pools(draw):
    """Labels that are sets or numbers, and a seed."""
    rng, count = np.random.default_rng(draw(st.integers(0, 999))), draw(st.integers(40, 200))
    if draw(st.booleans()):
        return rng.normal(size=count).round(1).astype(np.float32), draw(st.integers(0, 99))
    return (rng.random((count, 4)) < [0.6, 0.3, 0.3, 0.2]).astype(np.int8), draw(st.integers(0, 99))


@quick
@given(other_pools(), st.data())
def test_budgets_of_sets_and_numbers_are_nested_too(case, data):
    labels, seed = case
    pool, test = splits.split_off_test(labels, 0.25, seed)
    assert len(np.union1d(pool, test)) == len(labels) == len(pool) + len(test)
    large = data.draw(st.integers(min(30, len(pool)), len(pool)))
    small = data.draw(st.integers(min(30, large), large))
    try:
        parts = [budget_split(labels, pool, n, validation_fraction=0.2, seed=seed) for n in (small, large)]
    except InputError:
        assume(False)
    for within, around in zip(*parts, strict=True):
        np.testing.assert_array_equal(within, around[: len(within)])
    assert sum(map(len, parts[0])) == small


def test_a_budget_of_numbers_has_as_many_low_ones_as_high_ones():
    labels = np.random.default_rng(0).exponential(size=1000).astype(np.float32)
    train, validation = budget_split(labels, np.arange(1000), 100, validation_fraction=0.2, seed=1)
    ninth = np.quantile(labels, np.arange(1, 10) / 10)
    for part, each in ((train, 8), (validation, 2)):
        counts = np.bincount(np.searchsorted(ninth, labels[part]), minlength=10)
        assert counts.min() >= each - 1
        assert counts.max() <= each + 1


def test_a_rare_class_of_sets_has_its_share_of_every_budget():
    labels = np.zeros((1000, 3), np.int8)
    labels[:, 0] = 1
    labels[::50, 2] = 1
    for budget in (100, 200, 500):
        parts = budget_split(labels[:, [0, 2]], np.arange(1000), budget, validation_fraction=0.2, seed=0)
        assert sum(int(labels[part, 2].sum()) for part in parts) == budget // 50


def test_a_budget_of_sets_gives_every_class_training_examples_or_is_refused_by_its_name():
    labels = np.zeros((60, 2), np.int8)
    labels[:, 0] = 1
    labels[:3, 1] = 1
    options = {"validation_fraction": 0.2, "seed": 0, "classes": ("cat", "newt")}
    with pytest.raises(InputError, match="to each of 2 classes .* too few for 'newt'") as caught:
        budget_split(labels, np.arange(60), 4, **options, min_per_class=2)
    least = int(re.fullmatch(r"use at least (\d+), .*", caught.value.do)[1])
    train, _ = budget_split(labels, np.arange(60), least, **options, min_per_class=2)
    assert labels[train, 1].sum() == 2


def test_numbers_that_are_few_or_all_the_same_are_refused():
    numbers = np.arange(50, dtype=np.float32)
    with pytest.raises(InputError, match="a budget of 2 labels cannot give two training examples and hold 20% out"):
        budget_split(numbers, np.arange(50), 2, validation_fraction=0.2, seed=0)
    with pytest.raises(InputError, match="training labels are 3"):
        budget_split(np.full(50, 3, np.float32), np.arange(50), "all", validation_fraction=0.2, seed=0)
