"""What a comparison says of its input."""

import dataclasses

import pytest

from tlj.evidence.input import input_facts, input_words, waiting_share


@dataclasses.dataclass
class Run:
    summary: dict


@dataclasses.dataclass
class Comparison:
    runs: list
    manifest: dict | None


def test_padding_is_the_mean_over_runs_that_have_tokens_and_what_was_left_out_is_counted():
    runs = [Run({"input": {"padding_share": 0.1}}), Run({"input": {"padding_share": 0.3}}), Run({})]
    comparison = Comparison(runs, {"data": {"skipped": [{"where": "a", "reason": "b"}]}})
    facts = input_facts(comparison)
    assert facts == {"padding_share": pytest.approx(0.2), "skipped": 1}
    assert input_words(facts, 0.034) == (
        "3.4 % of training time spent waiting for it; 20.0 % of tokens were padding; "
        "left out because it could not be read: 1 (listed in manifest.json)"
    )


def test_where_nothing_was_measured_nothing_is_said():
    assert input_facts(Comparison([Run({})], None)) == {"padding_share": None, "skipped": 0}
    assert input_words({"padding_share": None, "skipped": 0}, None) is None
    assert waiting_share({"runs_by_arm": {}}) is None


def test_the_share_of_waiting_is_over_all_runs_together():
    totals = {"a": {"train_s": 3.0, "input_wait_s": 0.3}, "b": {"train_s": 1.0}}
    assert waiting_share({"runs_by_arm": totals}) == pytest.approx(0.075)
