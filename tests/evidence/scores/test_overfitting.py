"""Learning curves and what rises in them."""

import dataclasses
import json

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.evidence.scores.overfitting import MOST_POINTS, learning, read_curve, rise_of


def write_log(path, train, validation):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"step": step, "phase": 0, "loss": loss} for step, loss in train.items()]
    rows += [{"step": step, "phase": 0, "validation_loss": loss} for step, loss in validation.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: row["step"])))


def test_a_curve_is_read_without_a_line_that_was_cut(tmp_path):
    log = tmp_path / "metrics.jsonl"
    write_log(log, {2: 1.5, 4: None}, {4: 1.2})
    with log.open("a") as file:
        file.write('{"step": 6, "lo')
    curve = read_curve(log)
    assert (curve.train, curve.validation) == ({2: 1.5}, {4: 1.2})
    log.write_text("[1]\n")
    with pytest.raises(InputError, match="cannot be read as metrics"):
        read_curve(log)


@pytest.mark.parametrize(("one", "other"), [(1000, 900), (130, 40), (51, 50)])
def test_runs_of_different_lengths_share_the_steps_that_are_kept(tmp_path, one, other):
    kept = []
    for rows in (one, other):
        write_log(tmp_path / "metrics.jsonl", {10 * i: 1 / i for i in range(1, rows + 1)}, {})
        curve = read_curve(tmp_path / "metrics.jsonl").train
        assert len(curve) <= MOST_POINTS + 1
        assert list(curve)[-1] == 10 * rows
        kept.append(set(curve))
    # But for its last, what the longer run keeps as far as the shorter goes the shorter keeps, too.
    assert {step for step in kept[0] if step <= 10 * other} <= kept[1]
    assert len(kept[0] & kept[1]) >= 10


def curves(means, noise, seeds=5, seed=0):
    rng = np.random.default_rng(seed)
    return {10 * i: list(mean + noise * rng.normal(size=seeds)) for i, mean in enumerate(means, 1)}


def test_a_validation_loss_that_rises_is_flagged_from_its_lowest_step():
    found = rise_of(curves([1.0, 0.5, 0.6, 0.8], 0.02))
    assert (found["rises"], found["lowest"]["step"], found["rise"]["step"]) == (True, 20, 40)
    assert found["rise"]["mean"] == pytest.approx(0.3, abs=0.05)


def test_a_rise_within_noise_or_of_a_trifle_is_not():
    assert rise_of(curves([1.0, 0.5, 0.6], 0.5))["rises"] is False
    assert rise_of(curves([1.0, 0.5, 0.505], 1e-5))["rises"] is False
    assert rise_of(curves([1.0, 0.6, 0.5], 0.01))["rises"] is False


def test_flat_noise_is_seldom_taken_for_a_rise():
    flagged = [rise_of(curves([0.5] * 20, 0.05, seed=seed))["rises"] for seed in range(200)]
    naive = [_naive(curves([0.5] * 20, 0.05, seed=seed)) for seed in range(200)]
    assert np.mean(flagged) < 0.2
    assert np.mean(flagged) < 0.6 * np.mean(naive)


def _naive(validation):
    values = np.array(list(validation.values()))
    differences = values[-1] - values[values.mean(axis=1).argmin()]
    return differences.mean() > 2 * differences.std(ddof=1) / np.sqrt(5)


def test_one_seed_or_one_validation_cannot_tell():
    alone = rise_of(curves([1.0, 0.5, 0.9], 0.0, seeds=1))
    assert (alone["rises"], alone["rise"]["mean"], alone["rise"]["standard_error"]) == (None, pytest.approx(0.4), None)
    assert rise_of({10: [0.5, 0.6]}) == {"lowest": None, "rise": None, "rises": None}


@pytest.fixture
def logged(in_memory, tmp_path):
    """A comparison of two seeds with logs; training loss 0.5 at step 4 and 0.1 at step 8, test loss 0.5."""
    comparison = dataclasses.replace(in_memory({"scratch": {50: [0.8, 0.8]}}), directory=tmp_path)
    for run in comparison.runs:
        validation = {4: 0.4, 8: 0.6 + 0.01 * run.key.seed}
        write_log(tmp_path / run.key.path / "metrics.jsonl", {4: 0.5, 8: 0.1}, validation)
    return comparison


def test_a_cell_has_mean_curves_and_the_gap_at_the_last_step(logged):
    (cell,) = learning(logged)["cells"]
    assert cell["train"] == {"steps": [4, 8], "loss": [0.5, 0.1]}
    assert cell["validation"] == {"steps": [4, 8], "loss": [0.4, 0.605]}
    assert (cell["rises"], cell["seeds"], cell["lowest"]["step"]) == (True, [0, 1], 4)
    assert (cell["gap"]["at"], cell["gap"]["mean"], cell["gap"]["steps"]) == ("last", pytest.approx(0.4), [8, 8])


def test_the_gap_is_at_the_best_checkpoint_where_that_was_tested(logged):
    runs = tuple(
        dataclasses.replace(
            run,
            summary={"best": {"step": 6, "metric": "validation_loss", "value": 0.4}},
            scores=dataclasses.replace(run.scores, best=dataclasses.replace(run.scores, loss=0.7)),
        )
        for run in logged.runs
    )
    (cell,) = learning(dataclasses.replace(logged, runs=runs))["cells"]
    # No window ends at step 6: the one before it counts.
    assert (cell["gap"]["at"], cell["gap"]["steps"], cell["gap"]["mean"]) == ("best", [4, 4], pytest.approx(0.2))


def test_losses_of_numbers_are_in_two_units_and_have_no_gap(logged):
    runs = tuple(dataclasses.replace(run, scores=dataclasses.replace(run.scores, accuracy=None)) for run in logged.runs)
    assert learning(dataclasses.replace(logged, runs=runs))["cells"][0]["gap"] is None


def test_runs_without_logs_have_no_curves(in_memory):
    assert learning(in_memory({"scratch": {50: [0.8]}})) is None
