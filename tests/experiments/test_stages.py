"""A whole comparison with a search, added seeds and every parity: what it leaves, and that it goes on where it was."""

import json
import re
import shutil
import types

import pytest

from tlj.errors import InputError
from tlj.evidence.report import write_report
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary, write_summary
from tlj.experiments.compare import _tune, compare
from tlj.experiments.grid import make_grid

ARMS = ("scratch", "linear_probe")


def staged(tiny_config, workdir, **changes):
    settings = {
        "arms": ARMS, "label_budgets": (20,), "seeds": (0, 1), "most_seeds": 3, "steps": 8,
        "parities": ("steps", "flops", "seconds", "best"), "evaluate.every": 4, "checkpoint.background": False,
        "tuning.trials": 2, "tuning.seeds": (50,), "tuning.space.optimizer.learning_rate": "1e-4 to 1e-2",
        # So wide that no interval of a few seeds leaves zero out.
        "margin": 0.9, "pretrain": {"steps": 2}, "screening.examples": 0,
    }  # fmt: skip
    return tiny_config(workdir, **{**settings, **changes})


@pytest.fixture(scope="module")
def stages(tiny_config, tmp_path_factory):
    workdir = compare(staged(tiny_config, tmp_path_factory.mktemp("stages")), "tlj compare")
    tell(workdir)
    return workdir


def declared(workdir):
    return json.loads((workdir / "comparison.json").read_text())


def tell(workdir):
    """Writes what a comparison shows, without the page, which takes most of the time."""
    write_summary(workdir, build_summary(read_comparison(workdir)))


def lasting(workdir):
    summary = json.loads((workdir / "summary.json").read_text())
    return {key: value for key, value in summary.items() if key not in ("timing", "cost")}


def test_trials_come_before_the_runs_which_have_what_was_best(stages):
    tuning = lasting(stages)["tuning"]
    assert [(cell["arm"], cell["trials"], cell["unfinished"]) for cell in tuning["cells"]] == [
        (arm, 2, 0) for arm in ARMS
    ]
    for cell in tuning["cells"]:
        best = min((t for t in tuning["trials"] if t["arm"] == cell["arm"]), key=lambda t: t["mean"])
        assert cell["values"] == best["values"]
        run = json.loads((stages / "runs" / cell["arm"] / "20" / "0" / "config.json").read_text())
        assert run["optimizer"]["learning_rate"] == cell["values"]["optimizer.learning_rate"]


def test_no_trial_opens_the_test(stages):
    for path in stages.glob("tuning/*/*/*/*/summary.json"):
        assert json.loads(path.read_text())["test_opened"] == 0


def test_the_rule_of_seeds_was_declared_and_its_seeds_were_added(stages):
    content = declared(stages)
    assert content["seeds_rule"]["first"], content["seeds_rule"]["most"] == (2, 3)
    seeds = {row["seed"] for row in content["runs"]}
    verdicts = lasting(stages)["verdicts"]
    assert all(len(row["seeds"]) == len(seeds) for row in verdicts)
    assert seeds == {0, 1, 2}


def test_every_parity_has_its_runs(stages):
    parities = {row["parity"]: row for row in lasting(stages)["parities"]}
    assert list(parities) == ["steps", "flops", "best"]
    # Seconds are not the same twice.
    (seconds,) = json.loads((stages / "summary.json").read_text())["cost"]["parities"]
    assert {row["arm"] for row in seconds["rows"]} == set(ARMS)
    flops = {row["arm"]: row for row in parities["flops"]["rows"]}
    assert flops["linear_probe"]["steps"] > 8
    assert flops["linear_probe"]["relative_flops"] == pytest.approx(1.0, abs=0.05)
    assert flops["scratch"]["steps"] == 8
    assert {row["arm"] for row in parities["best"]["rows"]} == set(ARMS)
    assert all(row["best_step"] in (4, 6, 8, 16 / 3, 20 / 3) for row in parities["best"]["rows"])


def test_a_comparison_that_lost_runs_of_every_stage_ends_where_it_was(stages, tiny_config, tmp_path):
    workdir = tmp_path / "again"
    shutil.copytree(stages, workdir)
    for name in ("tuning/scratch/20/1", "runs/linear_probe/20/1", "parity"):
        shutil.rmtree(workdir / name)
    compare(staged(tiny_config, workdir), "tlj compare")
    tell(workdir)
    assert lasting(workdir) == lasting(stages)


def test_a_half_finished_comparison_says_what_is_missing(stages, tmp_path):
    workdir = tmp_path / "half"
    shutil.copytree(stages, workdir)
    (workdir / "runs/linear_probe/20/1/summary.json").unlink()
    (workdir / "tuning/scratch/20/0/50/summary.json").unlink()
    shutil.rmtree(workdir / "parity/flops")
    tell(workdir)
    half = lasting(workdir)
    assert half["missing"] == [{"arm": "linear_probe", "budget": 20, "seed": 1}]
    assert sum(trial["unfinished"] for trial in half["tuning"]["trials"]) == 1
    assert next(row["missing"] for row in half["parities"] if row["parity"] == "flops") == 3


def test_it_ends_when_its_hours_are_spent_and_says_so(stages, tiny_config, tmp_path):
    workdir = tmp_path / "ended"
    shutil.copytree(stages, workdir)
    shutil.rmtree(workdir / "runs")
    (workdir / "comparison.json").unlink()
    compare(staged(tiny_config, workdir, **{"exit.hours": 1e-6}), "tlj compare")
    write_report(workdir)
    ended = lasting(workdir)
    assert "accelerator-hours are spent of the 1e-06 declared" in ended["ended"]
    assert len(ended["missing"]) == 4
    assert "<strong>Ended.</strong>" in (workdir / "report.html").read_text()


def test_a_trial_of_another_search_is_never_taken_for_one_of_an_extension(tiny_config, tmp_path):
    config = staged(tiny_config, tmp_path, **{"tuning.extend": 1, "tuning.search": "grid"})
    trained = []

    def train(runs):
        trained.append(len(runs))
        for run in runs:
            (tmp_path / run.folder).mkdir(parents=True, exist_ok=True)
            # The lower the rate, the better: the best lies at the edge.
            loss = {"metrics": {"validation_loss": run.config["optimizer"]["learning_rate"]}}
            (tmp_path / run.folder / "summary.json").write_text(json.dumps(loss))
        return True

    # A third trial of a search that had more of them, with another rate.
    (tmp_path / "tuning/scratch/20/2/50").mkdir(parents=True)
    (tmp_path / "tuning/scratch/20/2/50/config.json").write_text('{"optimizer": {"learning_rate": 0.5}}')
    grid = make_grid(config)
    course = types.SimpleNamespace(
        config=config, grid=grid, workdir=tmp_path, trials=(), describe=lambda: None, train=train
    )
    with pytest.raises(InputError, match=re.escape("tuning/scratch/20/2/50: this run was made with another config")):
        _tune(course)
    assert trained == [4]


def test_a_comparison_under_way_has_not_ended(stages, tiny_config, tmp_path, monkeypatch):
    workdir = tmp_path / "on"
    shutil.copytree(stages, workdir)
    (workdir / "ended.json").write_text('{"reason": "the hours are spent", "declared": {"hours": 1}}')
    monkeypatch.setattr("tlj.experiments.compare._run_through", lambda course: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compare(staged(tiny_config, workdir), "tlj compare")
    assert not (workdir / "ended.json").exists()
