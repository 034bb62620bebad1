import contextlib
import json
import re

import pytest

from tlj.errors import InputError
from tlj.experiments import checks
from tlj.experiments.checks import check_batch_runs, check_before_work, check_prices, declared_rules
from tlj.experiments.description import describe
from tlj.experiments.grid import make_grid


@pytest.fixture
def begun(tiny_config, tmp_path):
    """A workdir in which a first run is done, with what was declared before it."""

    def begin(**changes):
        config = tiny_config(tmp_path, arms=("scratch", "full"), label_budgets=(10,), **changes)
        grid = make_grid(config)
        done = tmp_path / grid.runs[0].folder
        done.mkdir(parents=True)
        (done / "summary.json").write_text("{}")
        (tmp_path / "comparison.json").write_text(json.dumps(declared_rules(config)))
        return tmp_path

    return begin


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"margin": 0.01}, {"margin": 0.02}, "the margin was declared as 0.01 before the first run and is 0.02 now"),
        ({}, {"metric": "nll"}, "the metric was declared as accuracy before the first run and is nll now"),
        ({}, {"most_seeds": 6}, "the seeds rule was declared as no rule before the first run and is {'first': 3"),
        ({"most_seeds": 6}, {"most_seeds": 8}, "config.most_seeds"),
    ],
)
def test_what_a_comparison_is_judged_by_is_fixed_before_its_first_run(begun, tiny_config, before, now, message):
    workdir = begun(**before)
    config = tiny_config(workdir, **{"arms": ("scratch", "full"), "label_budgets": (10,), **before, **now})
    with pytest.raises(InputError) as caught:
        check_before_work(config, make_grid(config), workdir)
    assert message in str(caught.value)


def test_before_the_first_run_it_may_still_be_changed(begun, tiny_config):
    workdir = begun(margin=0.01)
    config = tiny_config(workdir, arms=("scratch", "full"), label_budgets=(10,), margin=0.02)
    (workdir / make_grid(config).runs[0].folder / "summary.json").unlink()
    check_before_work(config, make_grid(config), workdir)


def test_one_look_has_no_rule_and_two_have_one(tiny_config):
    assert declared_rules(tiny_config("w"))["seeds_rule"] is None
    rule = declared_rules(tiny_config("w", most_seeds=6))["seeds_rule"]
    assert (rule["first"], rule["most"]) == (3, 6)
    assert 0.95 < rule["confidence"] < 1


def test_dollars_need_a_file_of_prices_that_can_be_read(tiny_config, tmp_path):
    with pytest.raises(InputError, match="nothing says what an hour costs"):
        check_prices(tiny_config("w", **{"exit.dollars": 5.0}))
    (tmp_path / "prices.toml").write_text("[[accelerators]]\nname = 3\n")
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "prices.toml"))):
        check_prices(tiny_config("w", prices=str(tmp_path / "prices.toml")))
    check_prices(tiny_config("w"))


def test_the_data_of_the_screening_is_looked_at_before_the_source_is_trained(tiny_config, tmp_path):
    config = tiny_config(tmp_path, **{"arms": ("scratch", "full"), "screening.data": "digit:0-4"})
    with pytest.raises(InputError, match="did you mean 'digits'"):
        check_before_work(config, make_grid(config), tmp_path)


def test_runs_of_a_search_are_not_held_against_their_config_before_it_has_chosen(tiny_config, tmp_path):
    changes = {"tuning.trials": 2, "tuning.space.optimizer.learning_rate": "1e-4 to 1e-2"}
    config = tiny_config(tmp_path, arms=("scratch", "full"), label_budgets=(10,), **changes)
    grid = make_grid(config)
    run = tmp_path / grid.runs[0].folder
    run.mkdir(parents=True)
    own = json.loads(json.dumps(grid.runs[0].config))
    (run / "config.json").write_text(json.dumps({**own, "optimizer": {**own["optimizer"], "learning_rate": 0.005}}))
    check_before_work(config, grid, tmp_path)
    trial = tmp_path / "tuning/scratch/10/0/1000"
    trial.mkdir(parents=True)
    (trial / "config.json").write_text(json.dumps({**own, "steps": 7}))
    with pytest.raises(InputError, match="this run was made with another config"):
        check_before_work(config, grid, tmp_path)


SEARCH = {
    "arms": ("scratch", "full"), "label_budgets": (20,), "seeds": (0,), "tuning.trials": 2, "tuning.seeds": (50,),
    "tuning.space.optimizer.learning_rate": "1e-4 to 1e-2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"label_budgets": (20, 40), "arms": ("scratch", "full", "linear_probe")}, ""),
        ({"tuning.trials": 3}, "config.tuning.trials: it was 2 before the first run and is 3 now"),
        ({"tuning.metric": "validation_accuracy"}, "config.tuning.metric: it was validation_loss before"),
        ({"tuning.extend": 1}, "config.tuning.extend: it was 0"),
        (
            {"declared": {"full": {"tuning": {"space": {"optimizer": {"learning_rate": "1e-3 to 1"}}}}}},
            "config.tuning.space: it was {",
        ),
    ],
)
def test_a_search_is_not_changed_once_a_run_has_what_it_chose(tiny_config, tmp_path, changes, message):
    config = tiny_config(tmp_path, **SEARCH)
    begun = describe(config, make_grid(config), {"scratch": "", "full": ""}, "tlj compare", [], [])
    (tmp_path / "comparison.json").write_text(json.dumps(begun))
    changed = tiny_config(tmp_path, **{**SEARCH, **changes})
    # Before the first run a search may have more trials.
    check_before_work(changed, make_grid(changed), tmp_path)
    (tmp_path / "runs/full/20/0").mkdir(parents=True)
    (tmp_path / "runs/full/20/0/config.json").write_text("{}")
    with pytest.raises(InputError, match=re.escape(message)) if message else contextlib.nullcontext():
        check_before_work(changed, make_grid(changed), tmp_path)


def test_a_search_after_runs_without_one_is_refused_before_its_trials(tiny_config, tmp_path):
    (tmp_path / "comparison.json").write_text('{"tuning": null}')
    (tmp_path / "runs/full/20/0").mkdir(parents=True)
    (tmp_path / "runs/full/20/0/config.json").write_text("{}")
    config = tiny_config(tmp_path, **SEARCH)
    with pytest.raises(InputError, match="config.tuning.trials: runs are there that were begun without a search"):
        check_before_work(config, make_grid(config), tmp_path)


def test_a_trial_that_cannot_be_done_is_refused_before_any_work(tiny_config, tmp_path):
    config = tiny_config(tmp_path, **{**SEARCH, "tuning.space.optimizer.accumulate": [3, 5, 6]})
    with pytest.raises(InputError, match="a batch of 16 does not divide into"):
        check_before_work(config, make_grid(config), tmp_path)


def test_a_second_look_after_one_seed_is_refused_under_the_key_of_the_user(tiny_config, tmp_path):
    with pytest.raises(InputError, match="config.seeds: 1 seed gives no interval"):
        declared_rules(tiny_config(tmp_path, seeds=(0,), most_seeds=3))


def test_a_comparison_whose_runs_open_no_test_is_refused(tiny_config, tmp_path):
    config = tiny_config(tmp_path, **{"arms": ("scratch", "full"), "evaluate.test": False})
    with pytest.raises(InputError, match="config.evaluate.test: a comparison is judged on the test split"):
        check_before_work(config, make_grid(config), tmp_path)


def test_runs_cannot_be_trained_together_by_pmap(tiny_config, tmp_path):
    together = {"experiments": {"batch_runs": 4}}
    check_batch_runs(tiny_config(tmp_path, **together))
    check_batch_runs(tiny_config(tmp_path, parallel={"mode": "pmap"}))
    with pytest.raises(InputError, match="batch_runs: runs are trained together by jit alone"):
        check_batch_runs(tiny_config(tmp_path, parallel={"mode": "pmap"}, **together))


def test_runs_are_trained_together_in_one_process_and_with_keys_that_vmap_leaves_alone(
    tiny_config, tmp_path, monkeypatch
):
    config = tiny_config(tmp_path, experiments={"batch_runs": 4})
    with monkeypatch.context() as patch:
        patch.setattr(checks.jax, "process_count", lambda: 2)
        with pytest.raises(InputError, match="in one process, and there are 2"):
            check_batch_runs(config)
    check_batch_runs(tiny_config(tmp_path, prng="rbg"))
    with pytest.raises(
        InputError, match="keys of rbg would draw other numbers.*set it to 1, or config.prng to threefry2x32"
    ):
        check_batch_runs(tiny_config(tmp_path, prng="rbg", experiments={"batch_runs": 4}))
