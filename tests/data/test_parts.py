"""What may be labelled and what is tested."""

import types
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.data import parts
from tlj.data.parts import pool_and_test
from tlj.data.sources import open_source
from tlj.data.splits import split_off_test
from tlj.errors import InputError

quick = settings(max_examples=80, deadline=None, derandomize=True)


def data(**changes):
    return {"train": "", "test": "", "test_fraction": 0.4, "split_seed": 0, "split_from": "", **changes}


def make_source(name="pets", classes=("cat", "dog"), **sizes):
    """A source with parts of these sizes, each in a mixed order of its own."""
    ends = np.cumsum(list(sizes.values()))
    count = int(ends[-1])
    mixed = np.random.default_rng(count)
    stretches = np.split(np.arange(count), ends[:-1])
    return types.SimpleNamespace(
        name=name,
        classes=classes,
        labels=(np.arange(count) % len(classes)).astype(np.int32),
        ids=tuple(f"id/{i}" for i in range(count)),
        parts={part: mixed.permutation(found) for part, found in zip(sizes, stretches, strict=True)},
    )


def without_parts(source):
    return types.SimpleNamespace(**{**vars(source), "parts": {}})


@pytest.fixture
def source():
    return make_source(train=50, val=20, test=30)


@pytest.fixture(autouse=True)
def no_warning_yet():
    parts._warn_of_unused.cache_clear()


def refusal(source, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError) as caught:
            pool_and_test(source, data(**changes))
    return str(caught.value)


@pytest.mark.parametrize("seed", range(3))
def test_a_source_without_parts_is_split_as_it_always_was(seed):
    digits = open_source("digits:5-9")
    for fraction in (0.4, 0.1):
        found = pool_and_test(digits, data(test_fraction=fraction, split_seed=seed))
        for ours, wanted in zip(found, split_off_test(digits.labels, fraction, seed), strict=True):
            np.testing.assert_array_equal(ours, wanted)
            assert ours.dtype == wanted.dtype


def test_the_part_train_is_the_pool_and_a_share_of_it_the_test(source):
    with pytest.warns(UserWarning, match=r"tlj: pets has parts val, test, .*data\.test=test tests on test"):
        pool, test = pool_and_test(source, data())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool_and_test(source, data(test_fraction=0.2))
    assert (len(pool), len(test)) == (30, 20)
    np.testing.assert_array_equal(np.sort(np.concatenate([pool, test])), np.sort(source.parts["train"]))


def test_a_named_test_is_tested_whole_and_nothing_needs_to_be_said(source):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool, test = pool_and_test(source, data(test="test"))
        pool_and_test(make_source(train=50), data())
    np.testing.assert_array_equal(pool, np.sort(source.parts["train"]))
    np.testing.assert_array_equal(test, np.sort(source.parts["test"]))


@quick
@given(st.one_of(st.none(), st.integers(-50, 50)), st.one_of(st.none(), st.integers(-50, 50)))
def test_counts_cut_a_part_as_python_cuts_a_list(begin, end):
    source = make_source(train=50, test=30)
    wanted = source.parts["train"][begin:end]
    text = f"train[{'' if begin is None else begin}:{'' if end is None else end}]"
    if set(source.labels[wanted]) != {0, 1}:
        assert refusal(source, train=text, test="test")
        return
    pool, _ = pool_and_test(source, data(train=text, test="test"))
    np.testing.assert_array_equal(pool, np.sort(wanted))


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [("[:80%]", 0, 40), ("[80%:]", 40, 50), ("[-20%:]", 40, 50), ("[10%:-10%]", 5, 45), ("[: 33.3% ]", 0, 17)],
)
def test_percents_cut_a_part_at_the_nearest_example(source, text, begin, end):
    pool, _ = pool_and_test(source, data(train=f"train{text}", test="test"))
    np.testing.assert_array_equal(pool, np.sort(source.parts["train"][begin:end]))


def test_parts_are_joined_and_a_part_may_be_divided_in_two(source):
    pool, test = pool_and_test(source, data(train="train[:60%] + val", test="train[60%:]+test"))
    first, rest = np.split(source.parts["train"], [30])
    np.testing.assert_array_equal(pool, np.sort(np.concatenate([first, source.parts["val"]])))
    np.testing.assert_array_equal(test, np.sort(np.concatenate([rest, source.parts["test"]])))


def test_any_stretch_of_a_source_without_parts_holds_the_classes_in_proportion(source):
    whole = without_parts(source)
    whole.labels = np.sort(whole.labels)
    pool, test = pool_and_test(whole, data(train="all[:30%]", test="all[30%:]"))
    assert np.bincount(whole.labels[pool]).tolist() == [15, 15]
    assert np.bincount(whole.labels[test]).tolist() == [35, 35]
    default = pool_and_test(whole, data(test_fraction=0.4))
    for named, drawn in zip(pool_and_test(whole, data(train="all[40%:]", test="all[:40%]")), default, strict=True):
        np.testing.assert_array_equal(named, drawn)


def test_an_example_in_both_is_refused(source):
    found = refusal(source, train="train", test="train[:3]")
    assert found.startswith("config.data.test: 3 examples are in data.train too, the first 'id/")


def test_an_example_named_twice_is_refused(source):
    assert "names 5 examples twice" in refusal(source, train="train+train[:5]", test="test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(train="trian"),
            r"config.data.train: unknown part 'trian'; did you mean 'train'?; use one of test, train",
        ),
        (dict(test="tests"), r"config.data.test: unknown part 'tests'; did you mean 'test'?"),
        (dict(train="all"), "unknown part 'all'"),
        (dict(train="train[:0]"), "config.data.train: 'train[:0]' holds no example"),
        (dict(test="test[20:10]"), "config.data.test: 'test[20:10]' holds no example"),
        (dict(train="train[:51]"), "'51' lies beyond the 50 examples of the part"),
        (dict(train="train[:-101%]"), "'-101%' lies beyond"),
        (dict(train="train[:x]"), "'x' is no bound of a split"),
        (dict(train="train[5]"), "'train[5]' names no split"),
        (dict(train="train+"), "'train+' names no split"),
        (dict(train="train[:1]", test="test"), "class '"),
        (dict(test_fraction=0.001), "a share of 0.001 of 50 examples is none"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(source, changes, message):
    found = refusal(source, **changes)
    assert message in found
    assert "\n" not in found


def test_a_source_with_parts_but_no_train_asks_for_one():
    found = refusal(make_source(fit=20, test=10))
    assert found == "config.data.train: pets has no part 'train'; name one of fit, test"


def test_classes_that_nothing_may_be_labelled_of_are_named():
    source = make_source(train=20, test=20, classes=("cat", "dog"))
    source.classes = ("cat", "dog", "emu")
    assert "class 'emu' has no example that may be labelled" in refusal(source, test="test")
    source.classes = ("cat", "dog", "emu", "fox", "gnu", "hen")
    assert "classes 'emu', 'fox', 'gnu' and 1 more have no example" in refusal(source, test="test")


def test_an_earlier_split_takes_the_place_of_drawing_one(source):
    assert "config.data.split_from: 'nowhere' does not exist" in refusal(source, train="trian", split_from="nowhere")


def test_a_class_must_be_in_a_set_that_may_be_labelled_and_numbers_have_none():
    labels = np.array([[1, 0], [1, 1], [1, 0], [1, 0]], np.int8)
    whole = types.SimpleNamespace(name="s", classes=("cat", "newt"), labels=labels, ids="abcd", parts={})
    whole.parts = {"train": np.array([0, 2]), "test": np.array([1, 3])}
    with pytest.raises(InputError, match="class 'newt' has no example that may be labelled"):
        pool_and_test(whole, data(test="test"))
    whole.labels, whole.classes = np.arange(4, dtype=np.float32), ()
    assert [part.tolist() for part in pool_and_test(whole, data(test="test"))] == [[0, 2], [1, 3]]
