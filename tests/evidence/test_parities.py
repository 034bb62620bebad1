import dataclasses

import pytest

from tlj.evidence.parities import parities_summary, under_parity
from tlj.evidence.runs import read_comparison


@pytest.fixture
def two_arms(in_memory, five_seeds):
    """Scratch and a probe; the best checkpoint of every run is two points better."""
    comparison = in_memory({"scratch": {10: five_seeds(0.5)}, "linear_probe": {10: five_seeds(0.6)}})
    runs = tuple(
        dataclasses.replace(
            run,
            summary={"steps": 20, "flops": {"training_total": 6.0 if run.key.arm == "scratch" else 2.0}},
            scores=dataclasses.replace(
                run.scores, best=dataclasses.replace(run.scores, accuracy=run.scores.accuracy + 0.02)
            ),
        )
        for run in comparison.runs
    )
    return dataclasses.replace(comparison, runs=runs)


def declaring(comparison, **declared):
    return dataclasses.replace(comparison, declared={**comparison.declared, **declared})


def test_without_a_declaration_there_are_equal_steps_alone(two_arms):
    (steps,) = parities_summary(two_arms)
    assert steps["parity"] == "steps"
    probe = next(row for row in steps["rows"] if row["arm"] == "linear_probe")
    assert probe["mean"] == pytest.approx(0.6)
    assert probe["relative_flops"] == pytest.approx(1 / 3)
    assert (probe["verdict"], probe["difference"]) == ("helps", pytest.approx(0.1))


def test_the_best_stopping_point_is_that_of_the_best_checkpoints(two_arms):
    best = parities_summary(declaring(two_arms, parities=["steps", "best"]))[1]
    assert next(row for row in best["rows"] if row["arm"] == "scratch")["mean"] == pytest.approx(0.52)


def test_runs_without_a_best_checkpoint_are_left_out(two_arms):
    runs = tuple(dataclasses.replace(run, scores=dataclasses.replace(run.scores, best=None)) for run in two_arms.runs)
    assert under_parity(dataclasses.replace(two_arms, runs=runs), "best").runs == ()


def test_equal_flops_take_the_runs_declared_for_them_and_count_the_missing(make_comparison, tmp_path):
    directory = make_comparison(
        tmp_path, arms=("scratch", "full", "linear_probe"), budgets=(10,), seeds=(0, 1),
        accuracies={"scratch": (0.5,), "full": (0.6,), "linear_probe": (0.7,)},
    )  # fmt: skip
    comparison = read_comparison(directory)
    rows = [
        # The twin keeps its runs; `full` is stood in for by what the probe's folders hold; one run is not there.
        *(
            {"arm": "scratch", "budget": 10, "seed": s, "path": f"runs/scratch/10/{s}", "parity": "flops"}
            for s in (0, 1)
        ),
        {"arm": "full", "budget": 10, "seed": 0, "path": "runs/linear_probe/10/0", "parity": "flops"},
        {"arm": "full", "budget": 10, "seed": 1, "path": "parity/flops/full/10/1", "parity": "flops"},
        {"arm": "full", "budget": 10, "seed": 0, "path": "runs/full/10/0", "parity": "seconds"},
    ]
    (flops,) = parities_summary(declaring(comparison, parities=["flops"], parity_runs=rows))
    assert flops["missing"] == 1
    full = next(row for row in flops["rows"] if row["arm"] == "full")
    assert full["seeds"] == [0]
    assert full["mean"] == comparison.cell("linear_probe", 10)[0].accuracy
