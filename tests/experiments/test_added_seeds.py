import dataclasses
import types

import pytest

from tlj.evidence.judging.statistics import paired_difference
from tlj.experiments import added_seeds as module
from tlj.experiments.added_seeds import added_runs, added_seeds
from tlj.experiments.grid import make_grid

CLEAR, OPEN = ([0.9, 0.91, 0.92], [0.5, 0.51, 0.5]), ([0.5, 0.6, 0.4], [0.5, 0.4, 0.6])


@dataclasses.dataclass
class Seen:
    """Of a comparison what the rule looks at."""

    runs: tuple


@pytest.fixture
def first_look(tiny_config, monkeypatch):
    def make(most, **cells):
        config = tiny_config("w", arms=("scratch", "linear_probe", "full"), label_budgets=(10, 40), most_seeds=most)

        def compare_arms(comparison, arm, against, budget):
            assert {run.key.seed for run in comparison.runs} == set(config.seeds)
            pair = cells.get(f"{arm}_{budget}")
            return pair and types.SimpleNamespace(difference=paired_difference(*pair))

        # One that was begun again has a run of the second look.
        runs = tuple(types.SimpleNamespace(key=types.SimpleNamespace(seed=seed)) for seed in range(4))
        monkeypatch.setattr(module, "read_comparison", lambda workdir: Seen(runs))
        monkeypatch.setattr(module, "compare_arms", compare_arms)
        return config, make_grid(config)

    return make


def cells_of(runs):
    return {(run.arm.name, run.budget, run.seed) for run in runs}


def test_seeds_are_added_after_the_largest_up_to_as_many_as_were_declared(tiny_config):
    assert added_seeds(tiny_config("w", most_seeds=5)) == (3, 4)
    assert added_seeds(tiny_config("w", most_seeds=5, seeds=(7, 2))) == (8, 9, 10)
    assert added_seeds(tiny_config("w")) == added_seeds(tiny_config("w", most_seeds=2)) == ()


def test_an_open_cell_and_its_twin_get_the_further_look_and_no_other(first_look, tmp_path):
    config, grid = first_look(5, full_10=OPEN, full_40=CLEAR, linear_probe_10=CLEAR, linear_probe_40=CLEAR)
    runs = added_runs(config, grid, tmp_path)
    assert cells_of(runs) == {(arm, 10, seed) for arm in ("scratch", "full") for seed in (3, 4)}
    assert {str(run.folder) for run in runs} >= {"runs/full/10/3", "runs/scratch/10/4"}
    same = next(run for run in grid.runs if (run.arm.name, run.budget) == ("full", 10))
    assert {**runs[1].config, "seed": 0} == {**same.config, "seed": 0}


def test_without_a_rule_or_an_open_cell_nothing_is_added(first_look, tmp_path):
    config, grid = first_look(0, full_10=OPEN)
    assert added_runs(config, grid, tmp_path) == ()
    config, grid = first_look(5, full_10=CLEAR)
    assert added_runs(config, grid, tmp_path) == ()


def test_a_cell_without_a_pair_is_not_looked_at_again(first_look, tmp_path):
    config, grid = first_look(5, full_10=None)
    assert added_runs(config, grid, tmp_path) == ()
