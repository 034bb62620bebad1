"""The audit by group of a comparison."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from tlj.errors import InputError
from tlj.evidence.predictions import Predictions
from tlj.evidence.scores.group_counts import group_counts
from tlj.evidence.scores.groups import direction, group_audit, wilson_interval

NAMES = np.array([*"a" * 60, *"b" * 50, *"c" * 10, *[None] * 5], object)
LABELS = np.arange(125, dtype=np.int32) % 2


def counts_of(right, labels=LABELS, classes=2, names=NAMES):
    said = np.where(right, labels, (labels + 1) % classes)
    ids = pa.array([f"{i:03d}" for i in range(len(labels))])
    logits = np.eye(classes, dtype=np.float32)[said]
    return group_counts(Predictions(ids, labels, logits, pa.array(names.tolist(), pa.string())))


def right_by(worse, seed):
    """Right nine times in ten, and on group b less often."""
    rng = np.random.default_rng(seed)
    return rng.random(125) < np.where(NAMES == "b", 0.9 - worse, 0.9)


@pytest.fixture
def with_groups(in_memory):
    """A comparison of two arms at one budget; how much worse each is on group b, and of how many seeds."""

    def make(worse, seeds=5, **changes):
        comparison = in_memory({arm: {50: [0.8] * seeds} for arm in worse})
        runs = tuple(
            dataclasses.replace(
                run,
                scores=dataclasses.replace(
                    run.scores,
                    groups=counts_of(
                        right_by(worse[run.key.arm], 10 * run.key.seed + list(worse).index(run.key.arm)), **changes
                    ),
                ),
            )
            for run in comparison.runs
        )
        return dataclasses.replace(comparison, runs=runs)

    return make


def test_a_comparison_without_groups_has_no_audit(in_memory):
    assert group_audit(in_memory({"scratch": {50: [0.8]}})) is None


def test_small_groups_are_listed_and_not_used(with_groups):
    audit = group_audit(with_groups({"scratch": 0.0}))
    assert audit["used"] == [{"group": "a", "examples": 60}, {"group": "b", "examples": 50}]
    assert audit["suppressed"] == [{"group": "c", "examples": 10}]
    assert audit["ungrouped"] == 5
    assert [row["group"] for row in audit["cells"][0]["groups"]] == ["a", "b"]


def test_transfer_that_is_worse_on_one_group_widens_the_gap(with_groups):
    audit = group_audit(with_groups({"scratch": 0.0, "full": 0.5}))
    (row,) = audit["differences"]
    assert (row["arm"], row["word"], row["p_floor"]) == ("full", "widens", 0.0625)
    assert row["interval"][0] > 0
    cell = audit["cells"][1]
    assert (cell["arm"], cell["worst"]["group"]) == ("full", "b")
    assert cell["gap"]["p"] < 0.01 < audit["cells"][0]["gap"]["p"]
    runs = [right_by(0.5, 10 * seed + 1) for seed in range(5)]
    gaps = [abs(right[NAMES == "a"].mean() - right[NAMES == "b"].mean()) for right in runs]
    assert cell["gap"]["mean"] == pytest.approx(np.mean(gaps))


def test_rates_of_two_classes_are_those_of_the_second(with_groups):
    cell = group_audit(with_groups({"scratch": 0.3}, seeds=1))["cells"][0]
    right = right_by(0.3, 0)
    rates = {}
    for name in "ab":
        member = np.equal(NAMES, name)
        true, false = right[member & (LABELS == 1)], ~right[member & (LABELS == 0)]
        rates[name] = (true.mean(), false.mean(), (true.sum() + false.sum()) / (len(true) + len(false)))
    opportunity, wrongly, parity = np.abs(np.subtract(rates["a"], rates["b"]))
    assert cell["equal_opportunity"]["mean"] == pytest.approx(opportunity)
    assert cell["equalised_odds"]["mean"] == pytest.approx(max(opportunity, wrongly))
    assert cell["demographic_parity"]["mean"] == pytest.approx(parity)
    assert cell["groups"][0]["true_positive_rate"] == pytest.approx(rates["a"][0])


def test_of_several_classes_the_largest_and_the_mean_difference_are_given(with_groups):
    labels = np.arange(125, dtype=np.int32) % 3
    cell = group_audit(with_groups({"scratch": 0.3}, seeds=1, labels=labels, classes=3))["cells"][0]
    right = right_by(0.3, 0)
    ranges = [
        abs(right[(NAMES == "a") & (labels == c)].mean() - right[(NAMES == "b") & (labels == c)].mean())
        for c in range(3)
    ]
    assert cell["equal_opportunity"]["mean"] == pytest.approx(max(ranges))
    assert cell["equal_opportunity_mean"]["mean"] == pytest.approx(np.mean(ranges))


def test_one_run_has_wilson_intervals_and_decides_nothing(with_groups):
    audit = group_audit(with_groups({"scratch": 0.0, "full": 0.5}, seeds=1))
    cell = audit["cells"][0]
    assert cell["interval_of"] == "Wilson"
    row = cell["groups"][0]
    assert row["interval"] == wilson_interval(round(row["accuracy"] * 60), 60)
    assert (audit["differences"][0]["word"], audit["differences"][0]["interval"]) == ("undecided", None)


@pytest.mark.parametrize(("hits", "examples"), [(0, 30), (17, 40), (50, 50)])
def test_the_interval_of_a_share_is_wilsons(hits, examples):
    wanted = scipy.stats.binomtest(hits, examples).proportion_ci(method="wilson")
    assert wilson_interval(hits, examples) == pytest.approx([wanted.low, wanted.high])


def test_words_follow_the_interval():
    words = [direction(interval) for interval in ([0.01, 0.02], [-0.02, -0.01], [-0.01, 0.01], [0.0, 0.0], None)]
    assert words == ["widens", "narrows", "undecided", "undecided", "undecided"]


def test_one_group_that_is_large_enough_makes_no_gap(with_groups):
    audit = group_audit(with_groups({"scratch": 0.0}, names=np.where(NAMES == "b", None, NAMES)))
    assert (audit["cells"], audit["differences"]) == ([], [])


def test_the_audit_is_plain_and_the_same_each_time(with_groups):
    comparison = with_groups({"scratch": 0.0, "full": 0.2})
    assert json.dumps(group_audit(comparison), allow_nan=False) == json.dumps(group_audit(comparison))


def test_runs_with_other_groups_are_refused(with_groups):
    comparison = with_groups({"scratch": 0.0}, seeds=2)
    first, second = comparison.runs
    other = dataclasses.replace(second.scores, groups=counts_of(right_by(0, 1), names=NAMES[::-1]))
    with pytest.raises(InputError, match="in other groups"):
        group_audit(dataclasses.replace(comparison, runs=(first, dataclasses.replace(second, scores=other))))
