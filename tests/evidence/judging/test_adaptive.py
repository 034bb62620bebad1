"""Two looks at a cell."""

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.evidence.judging.adaptive import SeedsRule, declared_confidence, look_confidence, needs_more, seeds_rule
from tlj.evidence.judging.statistics import mean_interval, paired_difference


def difference(values, confidence=0.95):
    return paired_difference(np.array(values), np.zeros(len(values)), confidence)


def test_without_a_second_look_the_confidence_is_that_of_one():
    assert look_confidence(5, 5) == look_confidence(10, 5) == 0.95


def test_with_many_seeds_the_level_is_that_of_pocock():
    # Pocock 1977: two looks of equal size, 0.0294 each.
    assert look_confidence(200, 400) == pytest.approx(1 - 0.0294, abs=5e-4)


def test_both_looks_together_are_wrong_one_time_in_twenty():
    confidence, rng = look_confidence(5, 10), np.random.default_rng(3)
    draws = rng.normal(size=(20_000, 10))

    def excludes(values):
        quantile = mean_interval(np.array([-1.0, 1.0] + [0.0] * (values.shape[1] - 2)), confidence)
        unit = np.sqrt(2 / (values.shape[1] - 1) / values.shape[1])
        return np.abs(values.mean(1)) > quantile.high / unit * values.std(1, ddof=1) / np.sqrt(values.shape[1])

    assert np.mean(excludes(draws[:, :5]) | excludes(draws)) == pytest.approx(0.05, abs=0.005)


def test_a_look_after_one_seed_is_refused():
    with pytest.raises(InputError, match="1 seed gives no interval"):
        look_confidence(1, 5)


def test_only_an_interval_that_straddles_zero_asks_for_more_seeds():
    rule = seeds_rule(5, 10)
    assert needs_more(difference([-1.0, 1.0, 2.0, -2.0, 0.1], rule.confidence), rule)
    assert not needs_more(difference([1.0, 1.1, 0.9, 1.0, 1.05], rule.confidence), rule)
    assert not needs_more(difference([-1.0, -1.1, -0.9, -1.0, -1.05], rule.confidence), rule)
    assert not needs_more(difference([-1.0, 1.0] * 5, rule.confidence), rule)
    assert needs_more(difference([1.0]), SeedsRule(2, 3, 0.95))


def test_the_rule_is_written_and_read_back():
    rule = seeds_rule(5, 10)
    assert rule.to_json() == {"first": 5, "most": 10, "confidence": rule.confidence}
    assert declared_confidence({"seeds_rule": rule.to_json()}) == rule.confidence > 0.95
    assert declared_confidence({}) == declared_confidence({"seeds_rule": None}) == 0.95
    assert seeds_rule(5, 3) == SeedsRule(5, 5, 0.95)
