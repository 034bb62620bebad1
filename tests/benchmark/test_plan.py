import json
import math

import pytest

from tlj.benchmark.plan import format_plan, plan


@pytest.fixture(scope="module")
def planned(tiny_config):
    return {name: plan(tiny_config("w", strategy=name)) for name in ("full", "linear_probe", "last_blocks:1")}


def test_a_plan_needs_no_trained_source(planned):
    assert planned["full"]["phases"][0]["relative_flops"] == pytest.approx(1.0)
    assert planned["full"]["topologies"] == []


def test_what_trains_less_costs_less(planned):
    shares = [planned[name]["phases"][0]["relative_flops"] for name in ("linear_probe", "last_blocks:1", "full")]
    assert shares == sorted(shares)
    # Forward alone is a third of forward and backward.
    assert shares[0] == pytest.approx(1 / 3, abs=0.04)


def test_the_label_table_covers_every_parameter_in_every_plan(planned):
    totals = {name: sum(group["parameters"] for group in p["phases"][0]["groups"]) for name, p in planned.items()}
    assert len(set(totals.values())) == 1
    frozen = {g["name"]: g for g in planned["linear_probe"]["phases"][0]["groups"]}["frozen"]
    assert (frozen["learning_rate"], frozen["weight_decay"], frozen["norm_mode"]) == (None, None, "frozen")


def test_the_head_alone_has_two_moments_a_parameter_and_a_count(planned):
    phase = planned["linear_probe"]["phases"][0]
    head = {g["name"]: g for g in phase["groups"]}["head"]["parameters"]
    assert phase["optimizer_bytes"] == 4 * (2 * head + 1)
    assert phase["trained_share"] == pytest.approx(head / sum(g["parameters"] for g in phase["groups"]))


def test_a_plan_is_json_and_prints_as_a_table(planned):
    again = json.loads(json.dumps(planned["last_blocks:1"]))
    assert not math.isnan(again["phases"][0]["relative_flops"])
    lines = format_plan(again).splitlines()
    assert lines[0] == "strategy last_blocks:1"
    assert lines[2].split() == [
        "name", "leaves", "parameters", "learning_rate", "weight_decay", "decayed", "norm_mode", "dropout",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[3:]] == ["backbone", "head", "frozen"]
