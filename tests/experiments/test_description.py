import pytest

from tlj.experiments.description import describe, going_on
from tlj.experiments.grid import make_grid
from tlj.experiments.tuning import first_trials


def test_everything_that_was_declared_is_told(tiny_config):
    changes = {
        "tuning.trials": 2, "tuning.space.optimizer.learning_rate": "1e-4 to 1e-2", "exit.hours": 3,
        "parities": ("steps", "best"), "most_seeds": 5, "declared": {"full": {"optimizer": {"clip_norm": 2.0}}},
    }  # fmt: skip
    config = tiny_config("w", arms=("scratch", "full"), label_budgets=(10,), **changes)
    grid = make_grid(config)
    told = describe(config, grid, {"scratch": "", "full": ""}, "tlj compare", first_trials(config, grid), grid.runs[:1])
    assert (told["metric"], told["task_kind"], told["exit"]) == ("accuracy", "multiclass", {"hours": 3.0})
    assert told["seeds_rule"]["most"] == 5
    assert told["arms"][1]["declared"] == {"optimizer.clip_norm": 2.0}
    assert told["tuning"]["spaces"]["full"] == {"optimizer.learning_rate": "0.0001 to 0.01 log"}
    assert len(told["tuning"]["trials"]) == 4
    assert told["runs"][0] == {"arm": "scratch", "budget": 10, "seed": 0, "path": "runs/scratch/10/0"}
    assert told["parity_runs"] == [{**told["runs"][0], "parity": "steps", "steps": 24}]


def test_without_a_search_none_is_told(tiny_config):
    config = tiny_config("w", arms=("scratch", "full"))
    grid = make_grid(config)
    told = describe(config, grid, {"scratch": "", "full": ""}, "tlj compare", (), ())
    assert (told["tuning"], told["exit"], told["seeds_rule"]) == (None, {}, None)


@pytest.fixture
def described(tiny_config):
    """Describes a comparison with a search, and what it looks like once everything was planned."""
    changes = {"tuning.trials": 1, "tuning.space.optimizer.learning_rate": "1e-4 to 1e-2"}
    config = tiny_config("w", arms=("scratch", "full"), label_budgets=(10,), **changes)
    grid = make_grid(config)
    now = describe(config, grid, {"scratch": "", "full": ""}, "again", (), ())
    full = describe(config, grid, {"scratch": "", "full": ""}, "first", first_trials(config, grid), grid.runs[:1])
    added = {"arm": "full", "budget": 10, "seed": 9, "path": "runs/full/10/9"}
    return now, {**full, "runs": [*full["runs"], added], "seeds": [*full["seeds"], 9]}


def test_a_rerun_keeps_what_was_planned_after_the_first_look(described):
    now, before = described
    merged = going_on(before, now)
    assert merged["runs"] == before["runs"]
    assert merged["seeds"] == before["seeds"]
    assert merged["parity_runs"] == before["parity_runs"]
    assert merged["tuning"]["trials"] == before["tuning"]["trials"]
    assert merged["command"] == "again"


@pytest.mark.parametrize("changed", [{"margin": 0.3}, {"tuning": None}, {"runs": []}])
def test_another_comparison_keeps_nothing(described, changed):
    now, before = described
    assert going_on({**before, **changed}, now)["runs"] == now["runs"]
    assert going_on({}, now) == now
