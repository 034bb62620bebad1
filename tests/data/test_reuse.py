"""The split of an earlier run or comparison, used again."""

import json
import pathlib
import types
import warnings

import numpy as np
import pytest

from tlj.data.reuse import reused_pool_and_test, reused_split
from tlj.data.sources import open_source
from tlj.data.splits import Split, budget_split, split_off_test
from tlj.errors import InputError

BUDGETS, SEEDS = (20, 60), (0, 4)


@pytest.fixture(scope="module")
def source():
    return open_source("digits:5-9")


def drawn(source, budget, seed) -> Split:
    pool, test = split_off_test(source.labels, 0.4, 0)
    return Split(*budget_split(source.labels, pool, budget, validation_fraction=0.2, seed=seed), test)


def write_run(folder: pathlib.Path, source, split: Split, **changes) -> pathlib.Path:
    folder.mkdir(parents=True)
    facts = {"source": source.name, "hash": source.digest, "classes": list(source.classes)}
    facts |= {"split": split.manifest(source.ids), **changes}
    (folder / "manifest.json").write_text(json.dumps({"data": facts}))
    return folder


@pytest.fixture
def run(source, tmp_path):
    return write_run(tmp_path / "run", source, drawn(source, 20, 0))


@pytest.fixture
def comparison(source, tmp_path):
    for budget in BUDGETS:
        for seed in SEEDS:
            for arm in ("scratch", "full"):
                write_run(tmp_path / "runs" / arm / str(budget) / str(seed), source, drawn(source, budget, seed))
    return tmp_path


def assert_same(found: Split, wanted: Split):
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(found, part), getattr(wanted, part))


def refusal(source, path, budget=20, seed=0):
    with pytest.raises(InputError) as caught:
        reused_split(source, str(path), budget, seed)
    assert caught.value.where == "config.data.split_from"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("budget", [20, "all"])
@pytest.mark.parametrize("of_run", [".", "manifest.json"])
def test_the_split_of_a_run_is_used_whatever_the_seed(source, run, budget, of_run):
    for seed in (0, 7):
        assert_same(reused_split(source, str(run / of_run), budget, seed), drawn(source, 20, 0))


def test_each_run_has_the_split_of_its_budget_and_seed_in_the_comparison(source, comparison):
    for budget in BUDGETS:
        for seed in SEEDS:
            assert_same(reused_split(source, str(comparison), budget, seed), drawn(source, budget, seed))
    assert_same(reused_split(source, str(comparison), "all", 4), drawn(source, 60, 4))


def test_the_pool_is_what_the_largest_budget_labelled_and_the_test_what_was_tested(source, comparison, run):
    for path, split in ((comparison, drawn(source, 60, 0)), (run, drawn(source, 20, 0))):
        pool, test = reused_pool_and_test(source, str(path))
        np.testing.assert_array_equal(pool, np.sort(np.concatenate([split.train, split.validation])))
        np.testing.assert_array_equal(test, np.sort(split.test))


def test_the_ids_are_found_in_a_source_of_another_order_with_other_examples_too(source, run):
    order = np.random.default_rng(0).permutation(len(source.ids))
    ids = ["more/0", *(source.ids[i] for i in order), "more/1"]
    other = types.SimpleNamespace(name="csv:digits.csv", classes=source.classes, ids=ids, digest="other")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = reused_split(other, str(run), 20, 0)
    wanted = drawn(source, 20, 0)
    for part in ("train", "validation", "test"):
        assert [ids[i] for i in getattr(found, part)] == [source.ids[i] for i in getattr(wanted, part)]


def test_data_of_the_same_name_and_another_content_is_mentioned(source, run):
    changed = types.SimpleNamespace(name=source.name, classes=source.classes, ids=source.ids, digest="other")
    with pytest.warns(
        UserWarning, match=r"tlj: digits:5-9 is not as it was for .*manifest\.json; the same ids are used"
    ):
        reused_split(changed, str(run), 20, 0)


def test_another_budget_than_that_of_the_run_is_refused(source, run):
    assert "a budget of 21 labels, but" in refusal(source, run, budget=21)
    assert refusal(source, run, budget=21).endswith("use label_budget 20 or 'all'")


def test_a_budget_or_seed_that_the_comparison_does_not_have_is_refused_with_those_that_it_has(source, comparison):
    assert refusal(source, comparison, budget=30).endswith("use a label budget of 20, 60")
    assert refusal(source, comparison, seed=1).endswith("use seed 0, 4")


def test_ids_that_the_source_does_not_have_are_counted_and_the_first_are_named(source, run):
    split = drawn(source, 20, 0)
    left_out = {source.ids[i] for i in split.train[:5]}
    ids = [name if name not in left_out else f"renamed/{name}" for name in source.ids]
    other = types.SimpleNamespace(name="folder:x", classes=source.classes, ids=ids, digest="other")
    found = refusal(other, run)
    assert f"5 of {20 + len(split.test)} ids" in found
    assert ", ".join(repr(source.ids[i]) for i in split.train[:3]) in found


def test_a_manifest_whose_ids_were_changed_is_refused(source, run):
    file = run / "manifest.json"
    manifest = json.loads(file.read_text())
    split = manifest["data"]["split"]
    split["train"], split["test"] = split["train"][1:] + split["test"][:1], split["test"][1:]
    file.write_text(json.dumps(manifest))
    assert "the file was changed" in refusal(source, run)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("5", "6", "7", "8"), "5 and 4 classes"),
        (("5", "6", "9", "8", "7"), "class 2 is '7' there and '9' here"),
    ],
)
def test_classes_that_differ_are_refused(source, run, classes, message):
    other = types.SimpleNamespace(name="csv:x", classes=classes, ids=source.ids, digest=source.digest)
    assert message in refusal(other, run)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"data": 3}',
        '{"data": {"source": "x", "split": {"train": [1], "validation": [], "test": [], "hash": ""}}}',
        '{"data": {"source": "x", "split": {"train": "ab", "validation": [], "test": [], "hash": ""}}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_manifest_is_refused(source, tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    assert refusal(source, tmp_path).endswith("lists no split; name the manifest.json of a run")


def test_a_path_that_leads_nowhere_is_refused(source, tmp_path):
    assert "does not exist" in refusal(source, tmp_path / "no")
    assert "holds no run with a manifest" in refusal(source, tmp_path)


def test_a_manifest_that_was_written_again_is_read_again(source, tmp_path):
    folder = write_run(tmp_path / "run", source, drawn(source, 20, 0))
    reused_split(source, str(folder), "all", 0)
    (folder / "manifest.json").unlink()
    folder.rmdir()
    write_run(folder, source, drawn(source, 60, 0))
    assert_same(reused_split(source, str(folder), "all", 0), drawn(source, 60, 0))
