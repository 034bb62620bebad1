"""Effective data, against a power law whose answer is known."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.evidence.labels.effective_data import effective_data

BUDGETS = (10, 20, 40, 80, 160, 320, 640)
SEEDS = 5


def power_law(labels: float) -> float:
    return 4.0 * labels**-0.5


def noisy(loss: float, rng: np.random.Generator, noise: float) -> list[float]:
    return (loss * np.exp(noise * rng.normal(size=SEEDS))).tolist()


def curves(arm: dict[int, float], noise: float = 0.0, seed: int = 0) -> dict[str, dict[int, list[float]]]:
    rng = np.random.default_rng(seed)
    return {
        "scratch": {b: noisy(power_law(b), rng, noise) for b in BUDGETS},
        "full": {b: noisy(loss, rng, noise) for b, loss in arm.items()},
    }


def test_a_known_multiplier_is_recovered_exactly_without_noise():
    # A power law is a line in log-log, so interpolation between budgets is exact too.
    _, rows = effective_data("scratch", curves({b: power_law(3.0 * b) for b in (10, 20, 100, 200)}), "nll")
    assert [row.multiplier for row in rows] == pytest.approx([3.0] * 4)
    assert [row.effective_labels for row in rows] == pytest.approx([30.0, 60.0, 300.0, 600.0])
    assert {row.censored for row in rows} == {None}
    # log labels fall by 1 / 0.5 for each unit of log loss.
    assert [row.condition for row in rows] == pytest.approx([2.0] * 4)


def test_negative_transfer_is_less_than_one():
    _, rows = effective_data("scratch", curves({100: power_law(25.0)}), "nll")
    assert rows[0].multiplier == pytest.approx(0.25)


def test_a_result_better_than_all_of_the_curve_is_a_lower_bound():
    _, (row,) = effective_data("scratch", curves({100: power_law(5000.0)}, noise=0.02), "nll")
    assert (row.censored, row.effective_labels, row.multiplier) == ("above", pytest.approx(640.0), pytest.approx(6.4))
    assert (row.condition, row.flagged) == (None, False)
    assert row.interval == pytest.approx((640.0, 640.0))
    assert row.interval_censored == ("above", "above")


def test_a_result_worse_than_all_of_the_curve_is_an_upper_bound():
    _, (row,) = effective_data("scratch", curves({100: power_law(2.0)}, noise=0.02), "nll")
    assert (row.censored, row.effective_labels, row.multiplier) == ("below", pytest.approx(10.0), pytest.approx(0.1))
    assert row.interval_censored == ("below", "below")


def test_an_interval_that_runs_into_the_end_of_the_curve_is_marked_at_that_end():
    _, (row,) = effective_data("scratch", curves({100: power_law(600.0)}, noise=0.1), "nll")
    assert row.interval_censored == (None, "above")
    assert row.interval[0] < 600.0 < row.interval[1] == pytest.approx(640.0)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    covered, widths = [], []
    for seed in range(60):
        losses = curves({40: power_law(120.0), 80: power_law(240.0)}, noise=0.02, seed=seed)
        _, rows = effective_data("scratch", losses, "nll", resamples=400)
        covered += [row.interval[0] <= 3.0 * row.budget <= row.interval[1] for row in rows]
        widths.append(math.log(rows[1].interval[1] / rows[1].interval[0]))
    assert 0.85 <= np.mean(covered) <= 1.0
    # 240 labels lie a share s between 160 and 320, where log labels move by two for each unit of log loss.
    s = math.log2(240 / 160)
    deviation = 2 * 0.02 / math.sqrt(SEEDS) * math.sqrt(1 + s**2 + (1 - s) ** 2)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_more_noise_makes_wider_intervals():
    widths = []
    for noise in (0.01, 0.1):
        _, (row,) = effective_data("scratch", curves({80: power_law(160.0)}, noise), "nll")
        widths.append(math.log(row.interval[1] / row.interval[0]))
    assert widths[1] > 4 * widths[0]


def test_the_same_losses_give_the_same_interval():
    losses = curves({40: power_law(120.0)}, noise=0.05)
    assert effective_data("scratch", losses, "nll") == effective_data("scratch", losses, "nll")


def test_a_flat_curve_is_flagged():
    losses = curves({40: 0.5}, noise=0.05)
    losses["scratch"] = {b: noisy(0.5 - 0.0001 * i, np.random.default_rng(i), 0.05) for i, b in enumerate(BUDGETS)}
    losses["full"] = {40: losses["scratch"][40]}
    curve, rows = effective_data("scratch", losses, "nll")
    assert all(row.flagged for row in rows if row.censored is None)
    assert list(curve.monotone_loss) == sorted(curve.monotone_loss, reverse=True)


@pytest.mark.parametrize(("noise", "flagged"), [(0.02, True), (0.002, False)])
def test_a_slow_curve_is_flagged_where_the_noise_would_carry_too_far(noise, flagged):
    # Log labels move by fifty for each unit of log loss; the residuals leave every mean where it is.
    pattern = np.exp(noise * np.array([-2, -1, 0, 1, 2]))
    losses = {arm: {b: (b**-0.02 * pattern).tolist() for b in BUDGETS} for arm in ("scratch", "full")}
    row = effective_data("scratch", losses, "nll")[1][3]
    assert row.condition == pytest.approx(50)
    assert row.flagged == flagged


def test_a_curve_that_rises_beyond_chance_is_warned_about():
    losses = curves({40: 0.5}, noise=0.01)
    losses["scratch"][320] = [3 * value for value in losses["scratch"][320]]
    curve, _ = effective_data("scratch", losses, "nll")
    assert curve.warning
    assert curve.largest_shift > 2
    assert curve.monotone_loss[-3] == pytest.approx(curve.monotone_loss[-2])
    assert not effective_data("scratch", curves({40: 0.5}, noise=0.01), "nll")[0].warning


def test_residuals_are_pooled_over_arms_only_where_arms_spread_alike():
    losses = curves({b: power_law(b) for b in BUDGETS}, noise=0.05)
    assert effective_data("scratch", losses, "nll")[0].pooling == "all"
    rng = np.random.default_rng(1)
    losses["full"] = {b: noisy(power_law(b), rng, 0.8) for b in BUDGETS}
    assert effective_data("scratch", losses, "nll")[0].pooling == "arm"


def test_one_seed_gives_an_estimate_without_an_interval():
    losses = {arm: {b: values[:1] for b, values in cells.items()} for arm, cells in curves({40: 0.4}, 0.05).items()}
    curve, (row,) = effective_data("scratch", losses, "nll")
    assert (row.interval, row.interval_censored) == (None, (None, None))
    assert row.flagged
    assert (curve.largest_shift, curve.warning) == (None, False)


def test_missing_cells_and_infinite_losses_are_left_out():
    losses = curves({40: power_law(120.0), 80: power_law(240.0)})
    del losses["scratch"][160]
    losses["scratch"][320][2] = math.inf
    losses["full"][80] = [math.inf] * SEEDS
    curve, rows = effective_data("scratch", losses, "nll")
    assert 160 not in curve.budgets
    assert [(row.budget, row.effective_labels) for row in rows] == [(40, pytest.approx(120.0))]


def test_without_a_twin_there_is_nothing_to_invert():
    assert effective_data("scratch", {"scratch": {}, "full": {10: [0.5]}}, "nll") == (None, [])


def test_a_loss_of_zero_is_a_lower_bound_and_not_a_crash():
    _, (row,) = effective_data("scratch", curves({40: 0.0}), "nll")
    assert row.censored == "above"


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 1.6), st.floats(0.0, 0.3))
def test_a_better_arm_is_never_worth_fewer_labels(loss, gain):
    losses = curves({40: loss}) | {"better": {40: [loss - gain * loss] * SEEDS}}
    rows = {row.arm: row for row in effective_data("scratch", losses, "nll", resamples=10)[1]}
    assert rows["better"].effective_labels >= rows["full"].effective_labels * (1 - 1e-9)


def test_the_row_in_json_has_the_interval_of_the_multiplier_beside_that_of_the_labels():
    _, (row,) = effective_data("scratch", curves({40: power_law(120.0)}, noise=0.02), "nll")
    written = row.to_json()
    assert written["multiplier"] == written["effective_labels"] / 40
    assert written["multiplier_interval"] == [end / 40 for end in written["interval"]]


def test_a_whole_comparison_takes_well_under_three_seconds():
    rng = np.random.default_rng(0)
    losses = {arm: {b: noisy(power_law(b), rng, 0.1) for b in BUDGETS} for arm in ("scratch", "a", "b", "c", "d")}
    start = time.perf_counter()
    effective_data("scratch", losses, "nll")
    assert time.perf_counter() - start < 1.5
