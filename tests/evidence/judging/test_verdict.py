"""The rule of the verdict, and the paired comparisons it is given on."""

from dataclasses import replace

import pytest

from tlj.evidence.judging.statistics import Estimate
from tlj.evidence.judging.verdict import MEANINGS, all_verdicts, compare_arms, verdict

MARGIN = 0.005


@pytest.mark.parametrize(
    ("mean", "low", "high", "expected"),
    [
        (0.020, 0.010, 0.030, "helps"),
        (0.005, 0.001, 0.009, "helps"),
        (0.005, 0.0, 0.010, "undecided"),
        (0.004, 0.001, 0.007, "helps-small"),
        (0.003, 0.002, 0.004, "equivalent"),
        (0.003, 0.002, 0.005, "helps-small"),
        (-0.020, -0.030, -0.010, "hurts"),
        (-0.001, -0.002, -0.0005, "hurts"),
        (-0.020, -0.040, 0.0, "undecided"),
        (0.000, -0.004, 0.004, "equivalent"),
        (0.000, -0.005, 0.004, "undecided"),
        (0.000, -0.004, 0.005, "undecided"),
        (0.010, -0.010, 0.030, "undecided"),
        (0.000, 0.000, 0.000, "equivalent"),
        (0.100, None, None, "undecided"),
    ],
)
def test_the_rules_are_read_in_their_order(mean, low, high, expected):
    assert verdict(Estimate(mean, low, high), MARGIN) == expected


def test_a_difference_of_exactly_the_margin_helps_whatever_its_last_bit_is():
    just_under = 0.03 - 0.025
    assert just_under < MARGIN
    assert verdict(Estimate(just_under, 0.001, 0.009), MARGIN) == "helps"


def test_every_verdict_has_a_meaning():
    assert list(MEANINGS) == ["helps", "helps-small", "hurts", "equivalent", "undecided"]


def test_arms_are_compared_over_the_seeds_that_both_have_finished(in_memory):
    comparison = in_memory({"scratch": {10: [0.5, 0.6, 0.7]}, "full": {10: [0.7, 0.8]}})
    row = compare_arms(comparison, "full", "scratch", 10)
    assert row.seeds == (0, 1)
    assert row.difference.estimate.mean == pytest.approx(0.2)
    assert row.difference.p_floor == 0.5


def test_arms_without_a_shared_seed_are_not_compared(in_memory):
    comparison = in_memory({"scratch": {10: [0.5]}, "full": {25: [0.7]}})
    assert compare_arms(comparison, "full", "scratch", 10) is None
    assert all_verdicts(comparison) == {}


def test_one_seed_is_undecided_and_has_no_interval(in_memory):
    row = compare_arms(in_memory({"scratch": {10: [0.1]}, "full": {10: [0.9]}}), "full", "scratch", 10)
    assert (row.verdict, row.to_json()["interval"], row.to_json()["p_floor"]) == ("undecided", None, 1.0)


def test_every_ordered_pair_at_every_budget_has_a_verdict(in_memory, five_seeds):
    cells = {10: five_seeds(0.5), 25: five_seeds(0.6)}
    comparison = in_memory({"scratch": cells, "linear_probe": cells, "full": cells})
    verdicts = all_verdicts(comparison)
    assert len(verdicts) == 3 * 2 * 2
    assert {row.verdict for row in verdicts.values()} == {"equivalent"}


def test_the_row_says_what_was_compared_with_what(in_memory, five_seeds):
    comparison = in_memory({"scratch": {10: five_seeds(0.5)}, "full": {10: five_seeds(0.6)}})
    row = compare_arms(comparison, "full", "scratch", 10).to_json()
    assert (row["arm"], row["against"], row["budget"], row["seeds"]) == ("full", "scratch", 10, [0, 1, 2, 3, 4])
    assert row["verdict"] == "helps"
    assert row["difference"] == pytest.approx(0.1)


def seeded(gain: float, spread: float, seeds: int = 5) -> list[float]:
    """Accuracies whose differences to 0.5 have that mean and, seed by seed, that spread."""
    return [0.5 + gain + spread * (i - (seeds - 1) / 2) for i in range(seeds)]


def test_arms_at_one_budget_are_corrected_together(in_memory):
    arms = {"linear_probe": (0.02, 0.01), "full": (0.1, 0.005), "last_blocks:1": (0.0, 0.02)}
    cells = {"scratch": {10: [0.5] * 5}} | {arm: {10: seeded(*how)} for arm, how in arms.items()}
    verdicts = all_verdicts(in_memory(cells))
    rows = {arm: verdicts[arm, "scratch", 10] for arm in arms}
    assert rows["full"].p_holm == pytest.approx(3 * rows["full"].difference.p_t)
    assert rows["linear_probe"].p_holm == pytest.approx(2 * rows["linear_probe"].difference.p_t)
    assert (rows["linear_probe"].verdict, rows["linear_probe"].verdict_holm) == ("helps", "undecided")
    assert (rows["full"].verdict, rows["full"].verdict_holm) == ("helps", "helps")
    assert [row.survives for row in rows.values()] == [False, True, True]


def test_only_verdicts_against_the_twin_are_corrected_and_one_alone_stays_as_it_is(in_memory):
    cells = {"scratch": {10: [0.5] * 5}, "full": {10: seeded(0.02, 0.01)}}
    verdicts = all_verdicts(in_memory(cells))
    assert verdicts["scratch", "full", 10].to_json()["verdict_holm"] is None
    row = verdicts["full", "scratch", 10]
    assert (row.p_holm, row.verdict_holm) == (row.difference.p_t, row.verdict)


def test_an_arm_with_one_seed_stays_out_of_the_family(in_memory):
    cells = {"scratch": {10: [0.5] * 5}, "full": {10: seeded(0.02, 0.01)}, "linear_probe": {10: [0.6]}}
    verdicts = all_verdicts(in_memory(cells))
    assert verdicts["full", "scratch", 10].p_holm == verdicts["full", "scratch", 10].difference.p_t
    assert verdicts["linear_probe", "scratch", 10].to_json()["p_holm"] is None


def test_an_undecided_verdict_says_how_many_seeds_it_lacks(in_memory):
    cells = {"scratch": {10: [0.5] * 5}, "full": {10: seeded(0.02, 0.0126)}, "linear_probe": {10: seeded(0.1, 0.01)}}
    verdicts = all_verdicts(in_memory(cells))
    # A mean of one deviation takes ten seeds, and there are five.
    assert verdicts["full", "scratch", 10].to_json()["more_seeds"] == 5
    assert verdicts["linear_probe", "scratch", 10].to_json()["more_seeds"] is None
    one = all_verdicts(in_memory({"scratch": {10: [0.5]}, "full": {10: [0.6]}}))
    assert one["full", "scratch", 10].more_seeds is None


def test_a_declared_rule_of_seeds_widens_the_intervals(in_memory):
    comparison = in_memory({"scratch": {10: [0.5] * 5}, "full": {10: seeded(0.02, 0.0095)}})
    assert compare_arms(comparison, "full", "scratch", 10).verdict == "helps"
    rule = {"first": 5, "most": 10, "confidence": 0.972}
    ruled = replace(comparison, declared={**comparison.declared, "seeds_rule": rule})
    row = compare_arms(ruled, "full", "scratch", 10)
    assert (row.verdict, row.confidence) == ("undecided", 0.972)
