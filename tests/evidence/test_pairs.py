import json

import pytest

from tlj.errors import InputError
from tlj.evidence.advice.advise import advise_on
from tlj.evidence.advice.question import Question
from tlj.evidence.pairs import check_pairs
from tlj.evidence.report import write_across, write_report
from tlj.evidence.runs import read_comparison

CONFIG = {
    "strategy": "full",
    "init": "pretrained",
    "seed": 0,
    "optimizer": {"learning_rate": 1e-3},
    "data": {"augment": {"shift": 1}, "threads": 0},
    "groups": {},
}
PAIR = {"split": "a", "first_batch": "b", "preprocessing": "c"}


@pytest.fixture
def pair(make_comparison, tmp_path):
    """A comparison of two arms with configs and what they read, and the folder of the transferred run."""
    directory = make_comparison(
        tmp_path / "c",
        arms=("scratch", "full"),
        budgets=(10,),
        seeds=(0, 1),
        accuracies={"scratch": (0.5,), "full": (0.6,)},
    )
    for arm in ("scratch", "full"):
        for seed in (0, 1):
            run = directory / "runs" / arm / "10" / str(seed)
            own = {**CONFIG, "seed": seed, **({} if arm == "full" else {"strategy": "scratch", "init": "scratch"})}
            (run / "config.json").write_text(json.dumps(own))
            summary = json.loads((run / "summary.json").read_text())
            (run / "summary.json").write_text(json.dumps({**summary, "pair": PAIR}))
    return directory, directory / "runs" / "full" / "10" / "1"


def edit(path, **changes):
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def declare(directory, **changes):
    content = json.loads((directory / "comparison.json").read_text())
    content["arms"][1] |= changes.pop("arm", {})
    (directory / "comparison.json").write_text(json.dumps({**content, **changes}))


def test_a_pair_that_differs_in_strategy_and_init_alone_is_one(pair):
    check_pairs(read_comparison(pair[0]))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"optimizer": {"learning_rate": 3e-3}}, "optimizer.learning_rate (0.001 against 0.003)"),
        ({"data": {"augment": {"shift": 0}, "threads": 0}}, "data.augment.shift (1 against 0)"),
    ],
)
def test_a_planted_difference_of_configs_is_refused_by_the_report(pair, changes, named):
    directory, run = pair
    edit(run / "config.json", **changes)
    with pytest.raises(InputError) as caught:
        write_report(directory)
    assert named in caught.value.what
    assert caught.value.where == str(run)
    assert not (directory / "report.html").exists()


@pytest.mark.parametrize(
    ("key", "words"),
    [("split", "the examples"), ("first_batch", "the first batch"), ("preprocessing", "the preprocessing")],
)
def test_what_a_run_read_otherwise_than_its_twin_is_refused(pair, key, words):
    directory, run = pair
    edit(run / "summary.json", pair={**PAIR, key: "other"})
    with pytest.raises(InputError, match=words):
        check_pairs(read_comparison(directory))


def test_what_was_declared_or_tuned_may_differ(pair):
    directory, run = pair
    edit(run / "config.json", optimizer={"learning_rate": 3e-3})
    declare(directory, arm={"declared": {"optimizer.learning_rate": 3e-3}})
    check_pairs(read_comparison(directory))
    declare(directory, arm={"declared": {}}, tuning={"spaces": {"full": {"optimizer.learning_rate": "1e-4 to 1"}}})
    check_pairs(read_comparison(directory))


def test_a_declared_difference_of_the_data_may_change_what_is_read(pair):
    directory, run = pair
    edit(run / "config.json", data={"augment": {"shift": 2}, "threads": 0})
    edit(run / "summary.json", pair={**PAIR, "first_batch": "other"})
    declare(directory, arm={"declared": {"data": {"augment": {"shift": 2}}}})
    check_pairs(read_comparison(directory))


def test_how_a_run_was_carried_out_makes_no_difference(pair):
    directory, run = pair
    edit(run / "config.json", data={"augment": {"shift": 1}, "threads": 8})
    check_pairs(read_comparison(directory))


def test_runs_of_an_earlier_version_without_those_files_are_taken_as_they_are(pair):
    directory, run = pair
    (run / "config.json").unlink()
    edit(run / "summary.json", pair=None)
    check_pairs(read_comparison(directory))


def test_a_damaged_config_is_named(pair):
    directory, run = pair
    (run / "config.json").write_text('{"strategy":')
    with pytest.raises(InputError, match=r"full/10/1/config\.json: cannot be read"):
        check_pairs(read_comparison(directory))


def test_neither_advice_nor_a_report_across_is_given_on_a_pair_that_is_none(pair, tmp_path):
    directory, run = pair
    edit(run / "config.json", optimizer={"learning_rate": 3e-3})
    for ask in (lambda: advise_on(directory, Question()), lambda: write_across([directory, directory], tmp_path)):
        with pytest.raises(InputError, match="arm and twin differ"):
            ask()


@pytest.fixture
def searched(pair):
    """The same after a search whose best rate is that of the runs, 1e-3."""
    directory, run = pair
    rows = []
    for arm in ("scratch", "full"):
        for number, (rate, loss) in enumerate(((1e-2, 0.9), (1e-3, 0.1))):
            path = f"tuning/{arm}/10/{number}/70"
            (directory / path).mkdir(parents=True)
            (directory / path / "summary.json").write_text(json.dumps({"metrics": {"validation_loss": loss}}))
            rows.append({"arm": arm, "budget": 10, "trial": number, "seed": 70, "path": path,
                         "values": {"optimizer.learning_rate": rate},
                         "ranges": {"optimizer.learning_rate": [1e-4, 1e-1, "log"]}})  # fmt: skip
    space = {"optimizer.learning_rate": "0.0001 to 0.1 log"}
    tuning = {"metric": "validation_loss", "budgets": "each", "trials": rows, "per_arm": 2, "search": "random",
              "seeds": [70], "spaces": {"scratch": space, "full": space}}  # fmt: skip
    declare(directory, tuning=tuning)
    return directory, run


def test_runs_with_what_the_search_chose_are_a_pair(searched):
    check_pairs(read_comparison(searched[0]))


@pytest.mark.parametrize("arm", ["full", "scratch"])
def test_a_run_with_another_rate_than_the_search_chose_is_refused(searched, arm):
    directory, _ = searched
    edit(directory / "runs" / arm / "10" / "0" / "config.json", optimizer={"learning_rate": 2e-3})
    with pytest.raises(
        InputError, match="it has not what the search chose: optimizer.learning_rate is 0.002, not 0.001"
    ):
        check_pairs(read_comparison(directory))


def test_what_is_not_chosen_yet_is_not_asked_for(searched):
    directory, run = searched
    edit(run / "config.json", optimizer={"learning_rate": 2e-3})
    (directory / "tuning/full/10/0/70/summary.json").unlink()
    check_pairs(read_comparison(directory))


def test_a_rate_that_grows_with_the_batch_is_not_the_one_that_was_drawn(searched):
    directory, run = searched
    edit(run / "config.json", optimizer={"learning_rate": 2e-3})
    (directory / "config.json").write_text(json.dumps({"optimizer": {"reference_batch": 256}}))
    check_pairs(read_comparison(directory))
