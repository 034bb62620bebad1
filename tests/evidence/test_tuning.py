import json

import numpy as np
import pytest

from tlj.evidence.tuning import best_trial, edges, expected_best, position, read_trials, tuning_summary

RATE = "optimizer.learning_rate"


@pytest.fixture
def search(tmp_path):
    """Writes `{arm: [(values, ranges, results)]}`; a result is a loss, None for failed, "open" for not done."""

    def write(arms, seeds=(70,)):
        rows = []
        for arm, trials in arms.items():
            for number, (values, ranges, results) in enumerate(trials):
                for seed, result in zip(seeds, results, strict=True):
                    path = f"tuning/{arm}/20/{number}/{seed}"
                    (tmp_path / path).mkdir(parents=True)
                    if result is None:
                        (tmp_path / path / "failed.json").write_text('{"attempts": 2, "error": "NaN"}')
                    elif result != "open":
                        content = {"metrics": {"validation_loss": result}}
                        (tmp_path / path / "summary.json").write_text(json.dumps(content))
                    rows.append({"arm": arm, "budget": 20, "trial": number, "seed": seed, "path": path,
                                 "values": values, "ranges": ranges})  # fmt: skip
        return tmp_path, rows

    return write


def rates(*pairs):
    return [({RATE: rate}, {RATE: [1e-4, 1e-2, "log"]}, (loss,)) for rate, loss in pairs]


def test_the_best_mean_over_seeds_wins_and_of_equals_the_first(search):
    ranges = {RATE: [1e-4, 1e-2, "log"]}
    trials = [
        ({RATE: 1e-3}, ranges, (0.5, 0.9)),
        ({RATE: 2e-3}, ranges, (0.7, 0.7)),
        ({RATE: 3e-3}, ranges, (0.1, None)),
    ]
    found = read_trials(*search({"full": trials}, seeds=(70, 71)), "validation_loss")
    assert [trial.mean for trial in found] == [pytest.approx(0.7), pytest.approx(0.7), None]
    assert found[2].failed
    assert best_trial(found, "validation_loss").number == 0


def test_of_an_accuracy_the_largest_is_best(search):
    directory, rows = search({"full": rates((1e-3, 0.2), (2e-3, 0.8))})
    for row in rows:
        path = directory / row["path"] / "summary.json"
        value = json.loads(path.read_text())["metrics"]["validation_loss"]
        path.write_text(json.dumps({"metrics": {"validation_accuracy": value}}))
    assert best_trial(read_trials(directory, rows, "validation_accuracy"), "validation_accuracy").number == 1


def test_a_trial_that_is_not_done_is_neither_best_nor_failed(search):
    found = read_trials(*search({"full": rates((1e-3, "open"), (2e-3, 0.8))}), "validation_loss")
    assert (found[0].unfinished, found[0].failed) == ((70,), False)
    assert best_trial(found, "validation_loss").number == 1
    assert best_trial(found[:1], "validation_loss") is None


def test_a_trial_that_failed_once_is_to_be_tried_again(search):
    directory, rows = search({"full": rates((1e-3, None), (2e-3, 0.8))})
    (directory / rows[0]["path"] / "failed.json").write_text('{"attempts": 1, "error": "NaN"}')
    found = read_trials(directory, rows, "validation_loss")
    assert (found[0].unfinished, found[0].failed) == ((70,), False)


@pytest.mark.parametrize(("rate", "side"), [(1.2e-4, "low"), (9e-3, "high"), (1e-3, None)])
def test_an_optimum_in_the_outer_tenth_of_its_range_lies_at_an_edge(search, rate, side):
    found = read_trials(*search({"full": rates((rate, 0.1), (8e-4, 0.5))}), "validation_loss")
    assert edges(best_trial(found, "validation_loss"), found) == ({RATE: side} if side else {})


def test_an_edge_is_that_of_all_that_was_searched(search):
    trials = [*rates((9e-3, 0.5)), ({RATE: 1.1e-2}, {RATE: [1e-2, 1e-1, "log"]}, (0.1,))]
    found = read_trials(*search({"full": trials}), "validation_loss")
    assert edges(found[1], found) == {}


def test_a_list_of_numbers_has_edges_and_one_of_names_has_none(search):
    values = {"optimizer.weight_decay": [0.0, 0.1, 0.2], "optimizer.name": ["sgd", "adamw", "lion"]}
    trials = [
        ({"optimizer.weight_decay": decay, "optimizer.name": name}, values, (loss,))
        for decay, name, loss in ((0.0, "sgd", 0.5), (0.1, "adamw", 0.4), (0.2, "lion", 0.3))
    ]
    found = read_trials(*search({"full": trials}), "validation_loss")
    assert edges(found[2], found) == {"optimizer.weight_decay": "high"}


def test_the_place_in_a_range_is_on_its_scale():
    assert position(1e-3, 1e-4, 1e-2, "log") == pytest.approx(0.5)
    assert position(0.25, 0.0, 1.0, "linear") == 0.25


def test_the_expected_best_of_n_is_that_of_drawing_n_with_replacement():
    values = [0.1, 0.4, 0.4, 0.9]
    found = expected_best(values, lower=False)
    every = np.array(np.meshgrid(*[values] * 3)).reshape(3, -1).max(0).mean()
    assert found[0] == pytest.approx(np.mean(values))
    assert found[2] == pytest.approx(every)
    assert np.all(np.diff(found) > 0)
    lower = expected_best(values, lower=True)
    assert lower[2] == pytest.approx(np.array(np.meshgrid(*[values] * 3)).reshape(3, -1).min(0).mean())


def test_the_summary_shows_failures_edges_and_what_is_missing(search):
    directory, rows = search({"scratch": rates((1.1e-4, 0.1), (1e-3, None), (2e-3, "open"))})
    content = {
        "metric": "validation_loss",
        "search": "random",
        "per_arm": 3,
        "seeds": [70],
        "spaces": {},
        "trials": rows,
    }
    told = tuning_summary(directory, content)
    (cell,) = told["cells"]
    assert (cell["trials"], cell["failed"], cell["unfinished"], cell["best"]) == (3, 1, 1, 0)
    assert cell["edges"] == {RATE: "low"}
    assert cell["expected_best"] == [0.1]
    assert [trial["failed"] for trial in told["trials"]] == [False, True, False]
    assert tuning_summary(directory, None) is None
