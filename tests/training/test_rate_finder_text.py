import numpy as np
import pytest

from tlj.training.rate_curve import RateCurve, RateRange
from tlj.training.rate_finder_text import HEIGHT, WIDTH, format_rates


def found(loss_of, rate_range=None, taken=None):
    rate_range = rate_range or RateRange(1e-6, 1.0, 120)
    rates = rate_range.rates()[:taken]
    curve = RateCurve(rate_range, rates, np.array([loss_of(np.log10(rate)) for rate in rates]))
    return {"strategy": "full", "groups": {"backbone": 1.0, "head": 10.0}, "global_batch_size": 32, **curve.to_json()}


def valley(place):
    return float(np.interp(place, [-6, -4, -2, 0], [2.0, 2.0, 0.5, 8.0]))


def test_the_text_has_the_curve_the_suggestions_and_the_factor_of_each_group():
    text = format_rates(found(valley)).splitlines()
    assert text[0].startswith("strategy full, batch 32: 120 of 120 steps, rates 1e-06 to 1")
    assert text[1] == "factor on the rate of each group: backbone 1, head 10"
    plot = text[2 : 2 + HEIGHT]
    assert all("|" in line for line in plot)
    assert text[-2].startswith("steepest descent: --config.optimizer.learning_rate=0.")
    assert text[-1].startswith("a tenth of the minimum's: --config.optimizer.learning_rate=0.00")


def test_the_plot_falls_to_the_lowest_loss_and_marks_the_rates_below_it():
    facts = found(valley)
    text = format_rates(facts).splitlines()
    lowest, axis = text[1 + HEIGHT], text[2 + HEIGHT]
    assert float(lowest.split("|")[0]) == pytest.approx(min(facts["smoothed"]), rel=1e-2)
    place_of_minimum = np.mean([i for i, mark in enumerate(lowest.split("|")[1]) if mark == "*"])
    rate_of_minimum = facts["smoothed_rates"][int(np.argmin(facts["smoothed"]))]
    assert place_of_minimum == pytest.approx(WIDTH * (np.log10(rate_of_minimum) + 6) / 6, abs=2)
    marks = axis.split("+")[1]
    assert marks.index("t") == pytest.approx(place_of_minimum - WIDTH / 6, abs=2)
    assert WIDTH * 2 / 6 < marks.index("s") < place_of_minimum


@pytest.mark.parametrize("loss_of", [lambda place: 1.0, lambda place: 0.0, lambda place: -place])
def test_what_the_range_lacks_is_said_and_any_curve_can_be_drawn(loss_of):
    text = format_rates(found(loss_of))
    assert "not sound: " in text
    assert "raise --highest" in text


def test_a_loss_that_was_never_finite_is_told_without_a_plot():
    text = format_rates(found(lambda place: np.nan, taken=1))
    assert "then the loss diverged" in text
    assert "|" not in text
    assert "not sound: the loss does not fall" in text
