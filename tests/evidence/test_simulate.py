"""A few hundred simulated comparisons: bands that a broken interval leaves. The full table is the script's own."""

import pytest

from tests.evidence import simulate
from tlj.evidence.judging.adaptive import SeedsRule, seeds_rule


@pytest.fixture(scope="module", params=[(3, "independent"), (5, "seed")], ids=str)
def found(request):
    seeds, kind = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "RESAMPLES", 200)
        return simulate.coverages(kind, seeds, 80)


@pytest.mark.parametrize("name", ["effective data", "paired difference"])
def test_intervals_of_every_budget_cover(found, name):
    mean, worst = found[name]
    assert 0.92 <= mean <= 0.985
    assert worst >= 0.85


@pytest.mark.parametrize("name", ["alpha", "crossover", "AULC", "AULC difference"])
def test_intervals_over_all_budgets_cover(found, name):
    assert 0.88 <= found[name][0] <= 1.0


def test_a_second_look_at_the_declared_level_finds_no_more_than_its_share():
    assert simulate.false_helps(seeds_rule(5, 10), 500) <= 0.04
    assert simulate.false_helps(seeds_rule(3, 3), 500) <= 0.04
    # With no level agreed on beforehand a look finds what there is not.
    assert simulate.false_helps(SeedsRule(5, 10, 0.8), 500) > 0.08


def test_the_interval_of_the_last_look_covers():
    assert 0.93 <= simulate.adaptive_coverage(seeds_rule(5, 10), 0.0, 500) <= 0.97
    assert simulate.adaptive_coverage(seeds_rule(5, 10), 1.0, 500) >= 0.94


def test_holm_keeps_a_family_to_one_false_verdict_in_twenty():
    plain, corrected = simulate.false_families(5, 4, 200)
    assert plain > 0.1 > corrected


def test_the_table_has_a_line_per_quantity(monkeypatch):
    monkeypatch.setattr(simulate, "RESAMPLES", 50)
    lines = list(simulate.table(2))
    assert sum(line.startswith("| effective data") for line in lines) == 2 * 4
    assert lines[1].count("|") == lines[0].count("|")
