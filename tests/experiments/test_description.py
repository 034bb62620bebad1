from tlj.experiments.description import describe
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
