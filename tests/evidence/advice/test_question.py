"""What may be asked."""

import math

import pytest

from tlj.errors import InputError
from tlj.evidence.advice.question import Question
from tlj.evidence.money.prices import Prices, Quote
from tlj.evidence.scores.judged import Metric


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"label_cost": -0.1}, "--label-cost: -0.1 dollars per label; give 0 or more"),
        ({"label_cost": math.nan}, "--label-cost: nan"),
        ({"workers": 0}, "--workers-per-label: 0 workers per label; give more than 0"),
        ({"budget": 0}, "--budget: 0 dollars in total; give more than 0"),
        ({"budget": math.inf}, "--budget: inf"),
        ({"label_cost": 1e300}, "--label-cost: 1e+300 dollars per label; give 1e+15 or less"),
        ({"target": math.nan}, "--target: nan is no target"),
    ],
)
def test_what_cannot_be_is_refused_with_a_line(asked, line):
    with pytest.raises(InputError) as refused:
        Question(**asked)
    assert line in str(refused.value)


def test_labels_may_be_free():
    assert Question(label_cost=0).priced(None).value("labels.dollars_per_label") == 0


def test_a_budget_needs_a_label_price_from_the_command_or_the_file():
    with pytest.raises(InputError, match="needs a label price"):
        Question(budget=5).priced(None)
    with pytest.raises(InputError, match="needs a label price"):
        Question(budget=5).priced(Prices())
    prices = Prices(quotes={"labels.dollars_per_label": Quote(0.1)})
    assert Question(budget=5).priced(prices) is prices


def test_the_command_goes_before_the_file():
    prices = Prices(quotes={"labels.dollars_per_label": Quote(0.1), "labels.workers_per_label": Quote(3)})
    found = Question(label_cost=0.2, workers=5).priced(prices)
    assert (found.value("labels.dollars_per_label"), found.value("labels.workers_per_label")) == (0.2, 5)
    assert found.quotes["labels.dollars_per_label"].source == "--label-cost"


def test_a_target_in_percent_is_refused_where_the_metric_is_a_share():
    with pytest.raises(InputError, match="0.9 for 90 %"):
        Question(target=90).check_target(Metric("accuracy"))
    with pytest.raises(InputError, match="give a share from 0 to 1"):
        Question(target=-0.1).check_target(Metric("accuracy"))
    Question(target=90).check_target(Metric("rmse"))
    Question(target=0.9).check_target(Metric("accuracy"))
