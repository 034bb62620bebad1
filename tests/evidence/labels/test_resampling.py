"""Resampled learning curves."""

import math

import numpy as np
import pytest

from tlj.evidence.labels.resampling import cells_of, resampled_means, residual_pools

BUDGETS = (10, 20, 40, 80, 160, 320)


def losses(seed_effect: float, noise: float, seeds: int = 5, shared: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    of_both = shared * rng.normal(size=seeds)
    found = {}
    for arm in ("scratch", "full"):
        effect = of_both + seed_effect * rng.normal(size=seeds)
        found[arm] = {b: np.exp(effect + noise * rng.normal(size=seeds)).tolist() for b in BUDGETS}
    return found


def draws_of(found, twin="scratch", resamples=2000):
    cells = cells_of(found)
    return cells, resampled_means(cells, twin, residual_pools(cells)[1], resamples)


def test_cells_hold_log_losses_and_leave_out_what_is_not_finite():
    (cell,) = cells_of({"full": {10: {3: math.e, 7: math.inf, 9: 1.0}, 20: [math.inf]}})
    assert (cell.arm, cell.budget, cell.seeds) == ("full", 10, (3, 9))
    assert cell.log_losses == pytest.approx([1.0, 0.0])


def test_a_list_of_losses_is_seed_by_seed():
    assert cells_of({"full": {10: [1.0, 2.0]}})[0].seeds == (0, 1)


def test_residuals_have_the_variance_of_the_noise():
    cells = cells_of(losses(0.0, 0.1, seeds=3) | {f"arm{i}": losses(0.0, 0.1, 3, seed=i)["full"] for i in range(40)})
    pools, _ = residual_pools(cells)
    assert np.std(np.concatenate(list(pools.values()))) == pytest.approx(0.1, rel=0.05)


def test_noise_alone_spreads_the_means_by_its_standard_error():
    _, draws = draws_of(losses(0.0, 0.1, seed=2))
    assert draws[:, 0].std() == pytest.approx(0.1 / math.sqrt(5), rel=0.2)
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.1


def test_a_seed_that_moves_a_whole_arm_moves_all_its_means_together():
    _, draws = draws_of(losses(0.3, 0.02))
    assert np.corrcoef(draws[:, len(BUDGETS)], draws[:, -1])[0, 1] > 0.9
    # The twin stays: only the difference of the two matters.
    assert draws[:, 0].std() < 0.03 < draws[:, -1].std()


def test_a_seed_that_moves_both_arms_alike_moves_nothing():
    _, draws = draws_of(losses(0.0, 0.02, shared=0.3))
    assert draws.std(0).max() < 0.03


def test_the_tails_of_a_seed_effect_are_those_of_few_seeds():
    found = losses(0.3, 1e-4, seeds=3)
    _, draws = draws_of(found, resamples=20_000)
    effects = np.log(np.array([found[arm][10] for arm in ("full", "scratch")]))
    expected = 4.303 * (effects[0] - effects[1]).std(ddof=1) / math.sqrt(3)
    low, high = np.quantile(draws[:, -1], [0.025, 0.975])
    assert (high - low) / 2 == pytest.approx(expected, rel=0.1)


def test_with_one_budget_a_seed_cannot_be_told_from_noise_and_all_of_it_counts_as_noise():
    found = losses(0.3, 0.02)
    found["full"] = {40: found["full"][40]}
    cells, draws = draws_of(found)
    assert draws[:, -1].std() > 0.05
    assert len(cells) == len(BUDGETS) + 1


def test_one_seed_has_no_resamples():
    found = {arm: {b: values[:1] for b, values in line.items()} for arm, line in losses(0.1, 0.1).items()}
    assert draws_of(found)[1] is None


def test_seeds_that_are_missing_in_some_cells_are_matched_by_their_number():
    found = {arm: {b: dict(enumerate(v)) for b, v in line.items()} for arm, line in losses(0.3, 0.01).items()}
    for budget in BUDGETS[::2]:
        del found["full"][budget][0]
    whole, partial = draws_of(losses(0.3, 0.01))[1], draws_of(found)[1]
    assert partial[:, -1].std() == pytest.approx(whole[:, -1].std(), rel=0.5)
