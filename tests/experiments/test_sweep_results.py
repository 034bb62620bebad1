"""What a sweep says of its members, from their files."""

import json

import pytest

from tlj import config as configuration
from tlj.experiments.sweep_members import Member
from tlj.experiments.sweep_results import format_table, is_done, state_of, summarise


@pytest.fixture
def member(tmp_path):
    """Makes a member with the files that it left: ``member("a", {"seed": 1}, {"metrics": {}})``."""

    def make(name, overrides=None, summary=None, *, verb="train", log=True, failed=None, **changes):
        folder = tmp_path / "members" / name
        folder.mkdir(parents=True)
        config = configuration.merge(configuration.default(), {**(overrides or {}), **changes, "workdir": str(folder)})
        for file, content in (("summary.json", summary), ("failed.json", failed)):
            if content is not None:
                (folder / file).write_text(json.dumps(content))
        if log:
            (folder / "log.txt").write_text("begun\n")
        return Member(verb, overrides or {}, config, name)

    return make


def run(value, **metrics):
    return {"metrics": {"validation_accuracy": value, **metrics}, "timing": {"wall_s": 2.5}}


def test_the_state_of_a_member_is_what_its_files_say(member):
    failure = {"attempts": 2, "exit_code": 3, "last_lines": ["no"]}
    made = [
        member("a", summary=run(0.5)),
        member("b", failed=failure),
        member("c"),
        member("d", log=False),
        member("e", summary=run(0.5), failed=failure),
    ]
    assert [state_of(each) for each in made] == ["done", "failed", "stopped", "not begun", "done"]
    summary = summarise("train", made)
    assert summary["counts"] == {"done": 2, "failed": 1, "stopped": 1, "not begun": 1}
    assert summary["members"][1]["failure"] == {"attempts": 2, "exit_code": 3}
    assert "failed, exit code 3" in format_table(summary)


@pytest.mark.parametrize(
    ("summary", "done"),
    [
        (None, False),
        ({"missing": []}, True),
        ({"missing": [{"arm": "full"}]}, False),
        ({"missing": [{"arm": "full"}], "ended": "a target is reached"}, True),
        ({"missing": [], "parities": [{"missing": 1}]}, False),
        ({"missing": [], "parities": [{"missing": 0}], "ended": None}, True),
    ],
)
def test_a_comparison_is_done_when_it_lacks_no_run_or_ended_as_declared(member, summary, done):
    assert is_done(member("a", summary=summary, verb="compare")) == done


def test_what_is_measured_in_seconds_is_under_timing_alone(member):
    summary = summarise("train", [member("a", {"seed": 1}, run(0.5)), member("b", {"seed": 2})])
    assert summary.pop("timing") == {"wall_s": {"a": 2.5}}
    assert "2.5" not in json.dumps(summary)


def test_the_best_is_marked_by_validation_and_not_by_the_test(member):
    key = "optimizer.learning_rate"
    made = [
        member("a", {key: 0.1}, run(0.6, test_accuracy=0.9)),
        member("b", {key: 0.2}, run(0.7, test_accuracy=0.1)),
        member("c", {key: 0.3}, run(None)),
        member("d", {key: 0.4}),
    ]
    summary = summarise("train", made)
    assert (summary["metric"], summary["best"]) == ("validation_accuracy", ["b"])
    assert "best validation_accuracy of 2 settings; choosing by it is tuning" in summary["note"]
    lines = format_table(summary).splitlines()
    assert [line for line in lines if "*" in line] == [lines[3], lines[-1]]
    assert [cell.strip() for cell in lines[3].split("|")] == ["", "b", "0.2", "done", "0.7000 *", "0.1000", ""]
    assert [cell.strip() for cell in lines[5].split("|")][-4:] == ["stopped", "", "", ""]


def test_an_error_is_best_where_it_is_smallest(member):
    rmse = [{"metrics": {"validation_rmse": value}} for value in (2.0, 1.0)]
    made = [member(str(i), {"steps": i + 1}, rmse[i], task="regression") for i in range(2)]
    assert summarise("train", made)["best"] == ["1"]


def test_members_that_differ_in_the_seed_alone_stand_by_their_mean(member):
    values = {("a", 0.1, 0): 0.9, ("b", 0.1, 1): 0.1, ("c", 0.2, 0): 0.6, ("d", 0.2, 1): 0.6}
    made = [
        member(name, {"optimizer.learning_rate": rate, "seed": seed}, run(value))
        for (name, rate, seed), value in values.items()
    ]
    summary = summarise("train", made)
    assert summary["best"] == ["c", "d"]
    assert "mean validation_accuracy of 2 settings" in summary["note"]
    assert summarise("train", made[:2])["best"] == []


@pytest.mark.parametrize("key", ["data.source", "label_budget"])
def test_none_is_best_where_members_are_not_validated_on_the_same_examples(member, key):
    values = {"data.source": ("digits:0-4", "digits:5-9"), "label_budget": (50, 100)}[key]
    summary = summarise("train", [member(str(v).replace(":", "-"), {key: v}, run(0.5)) for v in values])
    assert summary["best"] == []
    assert f"differ in {key}" in format_table(summary)


def test_a_sweep_of_comparisons_shows_their_answers(member):
    answer = {"missing": [], "answer": "Transfer | it helps.", "failed": [{}, {}]}
    made = [member("a", {"label_budgets": [50]}, answer, verb="compare"), member("b", verb="compare", log=False)]
    summary = summarise("compare", made)
    assert "timing" not in summary
    table = format_table(summary).splitlines()
    assert "Transfer \\| it helps. (2 runs failed)" in table[2]
    assert "not begun" in table[3]


def test_the_same_files_give_the_same_summary(member):
    made = [member("b", {"seed": 2}, run(0.5)), member("a", {"seed": 1}, run(0.25))]
    assert summarise("train", made) == summarise("train", made)
    assert [row["hash"] for row in summarise("train", made)["members"]] == ["b", "a"]
