"""How metrics are said."""

import pytest

from tlj.evidence.judging.statistics import Estimate
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words import metric_words as words

ACCURACY, F1, NLL, RMSE = (Metric(name) for name in ("accuracy", "macro_f1", "nll", "rmse"))


@pytest.mark.parametrize(
    ("metric", "name", "value", "quoted", "margin"),
    [
        (ACCURACY, "accuracy", "93.4", "+12.3 points [10.0, 14.6]", "0.5 points"),
        (F1, "macro F1", "93.4", "+12.3 points of macro F1 [10.0, 14.6]", "0.5 points of macro F1"),
        (NLL, "NLL", "0.934", "+0.123 nats [0.1, 0.146]", "0.005 nats"),
        (RMSE, "RMSE", "0.934", "+0.123 of RMSE [0.1, 0.146]", "0.005 of RMSE"),
    ],
)
def test_shares_are_said_in_points_and_all_else_in_its_own_unit(metric, name, value, quoted, margin):
    assert words.named(metric) == name
    assert words.value(0.9342, metric) == value
    assert words.quoted(Estimate(0.123, 0.1, 0.146), metric) == quoted
    assert words.margin(0.005, metric) == margin


def test_a_difference_is_signed_and_a_rounded_zero_has_no_direction():
    assert words.quoted(Estimate(-0.01, -0.021, 0.001)) == "−1.0 points [−2.1, 0.1]"
    assert words.quoted(Estimate(0.123, None, None)) == "+12.3 points"
    assert words.difference(-0.01234, NLL) == "−0.0123"
    assert words.difference(0.0, NLL) == "0"
    assert words.differences(None, NLL) == ""


def test_one_point_is_one_point():
    assert words.margin(0.01, ACCURACY) == "1 point"
    assert words.margin(0.01, F1) == "1 point of macro F1"


def test_filters_say_what_the_metric_is():
    filters = words.filters(RMSE)
    assert filters["judged_interval"]([1.0, 2.0]) == "[1, 2]"
    assert filters["difference"](-1.5) == "−1.5"
