import pytest

from tlj.evidence.page.parities import parities_context


def row(arm, budget, **changes):
    return {"arm": arm, "budget": budget, "verdict": "helps", "difference": 0.1, "difference_interval": [0.0, 0.2],
            "steps": 100.0, "best_step": 40.0, "relative_flops": 0.5, **changes}  # fmt: skip


@pytest.fixture
def summary():
    steps = [row("scratch", 10, verdict=None), row("full", 10), row("full", 20)]
    return {
        "arms": [{"arm": "scratch", "role": "twin"}, {"arm": "full", "role": "transfer"}],
        "twin": "scratch",
        "budgets": [10, 20],
        "cost": {"parities": []},
        "parities": [{"parity": "steps", "rows": steps}, {"parity": "best", "rows": [row("full", 10)]}],
    }


def test_each_arm_and_budget_has_a_column_per_parity_and_a_gap_where_nothing_was_run(summary):
    rows = parities_context(None, summary)["rows"]
    assert [(r["arm"], r["budget"]) for r in rows] == [("full", 10), ("full", 20)]
    assert [cell["steps_words"] for cell in rows[0]["columns"]] == ["100 steps, 0.50× FLOPs", "at step 40 on average"]
    assert rows[1]["columns"][1] is None


def test_equal_steps_alone_are_no_section(summary):
    assert parities_context(None, {**summary, "parities": summary["parities"][:1]})["rows"] == []


def test_equal_seconds_stand_between_the_others_though_they_are_kept_with_what_is_measured(summary):
    seconds = {"parity": "seconds", "rows": [row("full", 10, steps=70.0)]}
    told = parities_context(None, {**summary, "cost": {"parities": [seconds]}})
    assert [parity["parity"] for parity in told["parities"]] == ["steps", "seconds", "best"]
    assert told["rows"][0]["columns"][1]["steps_words"] == "70 steps, 0.50× FLOPs"


def test_arms_that_did_not_come_to_the_twins_flops_are_named_once(summary):
    rows = [
        row("thaw", 10, relative_flops=1.2),
        row("thaw", 20, relative_flops=0.9),
        row("full", 10, relative_flops=1.04),
    ]
    flops = {"parity": "flops", "rows": [*rows, row("probe", 10, relative_flops=None)]}
    told = parities_context(None, {**summary, "parities": [*summary["parities"], flops]})
    assert told["off"] == ["thaw"]
    assert parities_context(None, summary)["off"] == []
