"""A comparison's `summary.json`."""

import dataclasses
import json
import shutil

import pyarrow.parquet as pq
import pytest

from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary, write_summary, write_text


@pytest.fixture(scope="module")
def summary(comparison_directory):
    return build_summary(read_comparison(comparison_directory))


def test_every_cell_has_a_mean_an_interval_and_its_seeds(summary):
    assert len(summary["cells"]) == 5 * 6
    for cell in summary["cells"]:
        assert cell["seeds"] == [0, 1, 2, 3, 4]
        assert cell["mean"] == pytest.approx(sum(cell["values"]) / 5)
        assert cell["interval"][0] < cell["mean"] < cell["interval"][1]
        assert cell["nll_interval"][0] < cell["nll_mean"] < cell["nll_interval"][1]


def test_every_arm_has_a_verdict_against_its_twin_at_every_budget(summary):
    places = [(row["budget"], row["arm"]) for row in summary["verdicts"]]
    arms = ["linear_probe", "last_blocks:1", "full", "full@mean_var"]
    assert places == [(budget, arm) for budget in summary["budgets"] for arm in arms]
    assert {row["against"] for row in summary["verdicts"]} == {"scratch"}
    for row in summary["verdicts"]:
        assert row["verdict"] in ("helps", "helps-small", "hurts", "equivalent", "undecided")
        assert row["interval"][0] <= row["difference"] <= row["interval"][1]
        assert 0.0625 == row["p_floor"] <= row["p"] <= 1.0
        assert 0.0 <= row["probability_of_improvement"] <= 1.0


def test_the_verdicts_are_those_that_the_runs_were_drawn_to_give(summary):
    verdicts = {(row["arm"], row["budget"]): row["verdict"] for row in summary["verdicts"]}
    assert verdicts["full", 10] == verdicts["full", 50] == verdicts["linear_probe", 10] == "helps"
    assert verdicts["linear_probe", 538] == verdicts["last_blocks:1", 538] == "hurts"
    assert verdicts["full", 538] not in ("helps", "hurts")


def test_every_pair_of_arms_is_compared_once_at_every_budget(summary):
    pairs = [(row["arm"], row["against"], row["budget"]) for row in summary["pairs"]]
    assert len(pairs) == len(set(pairs)) == 10 * 6
    assert not any((against, arm, budget) in pairs for arm, against, budget in pairs)
    assert all(arm != "scratch" for arm, _, _ in pairs)


def test_effective_data_is_given_by_every_measure_for_every_arm_but_the_twin(summary):
    places = {(row["arm"], row["budget"], row["measure"]) for row in summary["effective_data"]}
    assert len(places) == len(summary["effective_data"]) == 4 * 6 * 3
    assert [curve["measure"] for curve in summary["effective_data_curves"]] == ["nll", "error", "nll_scaled"]
    for row in summary["effective_data"]:
        assert row["censored"] in (None, "above", "below")
        assert 10 * (1 - 1e-9) <= row["effective_labels"] <= 538 * (1 + 1e-9)
        assert row["multiplier"] == row["effective_labels"] / row["budget"]


def test_a_probe_that_stops_learning_is_worth_fewer_and_fewer_labels(summary):
    rows = [row for row in summary["effective_data"] if (row["arm"], row["measure"]) == ("linear_probe", "error")]
    multipliers = [row["multiplier"] for row in rows]
    assert multipliers == sorted(multipliers, reverse=True)
    assert multipliers[0] > 1.0 > multipliers[-1]


def test_the_answer_and_what_follows_it_are_in_the_summary(summary):
    assert summary["answer"].startswith("Transfer: fine-tuning everything (full) beats training from scratch")
    assert len(summary["findings"]) == 4
    assert any("0.0625" in note for note in summary["notes"])


def test_two_builds_give_the_same_bytes(comparison_directory, tmp_path):
    texts = []
    for name in ("one", "two"):
        copy = tmp_path / name / "somewhere"
        shutil.copytree(comparison_directory, copy)
        texts.append(write_summary(copy, build_summary(read_comparison(copy))).read_bytes())
    assert texts[0] == texts[1]
    assert str(tmp_path).encode() not in texts[0]


def test_seconds_stand_under_timing_and_cost_alone(comparison_directory, tmp_path):
    copy = tmp_path / "slower"
    shutil.copytree(comparison_directory, copy)
    for path in copy.glob("runs/*/*/*/summary.json"):
        run = json.loads(path.read_text())
        run["timing"] = {key: 2 * value for key, value in run["timing"].items()}
        path.write_text(json.dumps(run))
    times = json.loads((copy / "step_time.json").read_text())
    for row in times["arms"].values():
        row["median_s"] *= 3
    (copy / "step_time.json").write_text(json.dumps(times))
    here, there = (build_summary(read_comparison(directory)) for directory in (comparison_directory, copy))
    assert {key for key in here if here[key] != there[key]} == {"timing", "cost"}


def test_the_file_is_sorted_json_without_nan(summary, tmp_path):
    text = write_summary(tmp_path, summary).read_text()
    written = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the summary"))
    assert list(written) == sorted(written)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_missing_runs_are_listed_and_the_rest_is_judged(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", unfinished=lambda arm, budget, seed: budget == 538 or seed == 4)
    summary = build_summary(read_comparison(directory))
    assert len(summary["missing"]) == 25 + 25
    assert {"arm": "full", "budget": 538, "seed": 0} in summary["missing"]
    assert {cell["budget"] for cell in summary["cells"]} == {10, 25, 50, 100, 200}
    assert {row["p_floor"] for row in summary["verdicts"]} == {0.125}
    assert summary["answer"].startswith("So far, with 100 of 150 runs, transfer: ")


def test_a_comparison_without_a_run_has_a_summary(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", unfinished=lambda *key: True, step_time=False)
    summary = build_summary(read_comparison(directory))
    assert summary["cells"] == summary["verdicts"] == summary["pairs"] == summary["effective_data"] == []
    assert summary["answer"].startswith("Undecided: no transferred arm and its twin")
    assert len(summary["missing"]) == 150
    json.dumps(summary, allow_nan=False)


def test_one_seed_has_no_intervals_and_no_verdicts(make_comparison, tmp_path):
    summary = build_summary(read_comparison(make_comparison(tmp_path / "c", seeds=(0,))))
    assert {row["interval"] for row in summary["cells"] + summary["verdicts"] + summary["effective_data"]} == {None}
    assert {row["verdict"] for row in summary["verdicts"]} == {"undecided"}
    json.dumps(summary, allow_nan=False)


def test_a_run_that_diverged_is_named_and_leaves_no_nan(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", budgets=(10, 25), seeds=(0, 1))
    path = directory / "runs/full/10/1/predictions.parquet"
    table = pq.read_table(path)
    logits = [[float("nan")] * 5] * table.num_rows
    pq.write_table(table.set_column(2, "logits", [logits]), path)
    summary = build_summary(read_comparison(directory))
    assert summary["diverged"] == [{"arm": "full", "budget": 10, "seed": 1}]
    cell = next(cell for cell in summary["cells"] if (cell["arm"], cell["budget"]) == ("full", 10))
    assert (cell["values"][1], cell["nll_values"][1], cell["nll_mean"]) == (0.0, None, None)
    json.dumps(summary, allow_nan=False)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "page.html", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"


def test_effective_data_take_each_run_at_its_best_step_where_every_run_was_tested_there(in_memory, five_seeds):
    comparison = in_memory({arm: {b: five_seeds(0.5) for b in (10, 100)} for arm in ("scratch", "full")})
    last = build_summary(comparison)
    assert last["effective_data_at"] == "last step"
    runs = tuple(
        dataclasses.replace(run, scores=dataclasses.replace(run.scores, best=dataclasses.replace(run.scores, loss=0.2)))
        for run in comparison.runs
    )
    best = build_summary(dataclasses.replace(comparison, runs=runs))
    assert best["effective_data_at"] == "best step"
    curve = next(curve for curve in best["effective_data_curves"] if curve["measure"] == "nll")
    assert curve["loss"] == pytest.approx([0.2, 0.2])
    one_missing = dataclasses.replace(comparison, runs=(comparison.runs[0], *runs[1:]))
    assert build_summary(one_missing)["effective_data_at"] == "last step"
