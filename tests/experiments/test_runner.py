import json
import pathlib
import re
import threading
import types

import pytest

from tlj.distributed import PreemptedError
from tlj.errors import InputError
from tlj.experiments import runner
from tlj.experiments.grid import make_grid
from tlj.experiments.runner import Outcome, check_same_config, run_all
from tlj.training.loop import StoppedError
from tlj.training.non_finite import NonFiniteError
from tlj.training.programs import Programs


@pytest.fixture
def runs(tiny_config):
    return make_grid(tiny_config("w", arms=("scratch",), label_budgets=(10,), seeds=tuple(range(6)))).runs


@pytest.fixture
def trained(monkeypatch):
    """Runs that are trained in name only: who was, what the next is to raise, and which last until they are stopped."""
    seen, lock = [], threading.Lock()

    def train_run(setup, directory, config_hash, shared):
        with lock:
            seen.append(int(directory.name))
        if directory.name in failing:
            raise failing[directory.name]
        if directory.name in lasting:
            assert shared.stop.wait(60)
            raise StoppedError
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "summary.json").write_text("{}")

    failing, lasting = {}, set()
    monkeypatch.setattr(runner, "set_up", lambda config, base: None)
    monkeypatch.setattr(runner, "train_run", train_run)
    train_run.seen, train_run.failing, train_run.lasting = seen, failing, lasting
    return train_run


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_done_is_not_trained_again(runs, trained, tmp_path, workers):
    for run in runs[:2]:
        (tmp_path / run.folder).mkdir(parents=True)
        (tmp_path / run.folder / "summary.json").write_text("{}")
    assert run_all(runs, tmp_path, Programs(), workers) == Outcome(trained=4)
    assert sorted(trained.seen) == [2, 3, 4, 5]
    assert run_all(runs, tmp_path, Programs(), workers) == Outcome()


def test_a_loss_that_is_not_finite_is_tried_once_more_and_the_others_are_trained(runs, trained, tmp_path):
    trained.failing["1"] = NonFiniteError("the loss was not finite at step 3")
    folder = str(runs[1].folder)
    assert run_all(runs, tmp_path, Programs(), 1) == Outcome(trained=5, failed=(folder,))
    assert trained.seen.count(1) == 2
    told = json.loads((tmp_path / folder / "failed.json").read_text())
    assert told == {"attempts": 2, "error": "NonFiniteError: the loss was not finite at step 3"}
    # Given up, it is not tried again, and it is still told.
    assert run_all(runs, tmp_path, Programs(), 1) == Outcome(failed=(folder,))
    assert trained.seen.count(1) == 2


def test_a_run_that_works_the_second_time_has_not_failed(runs, trained, tmp_path):
    (tmp_path / runs[1].folder).mkdir(parents=True)
    (tmp_path / runs[1].folder / "failed.json").write_text('{"attempts": 1, "error": "NaN"}')
    assert run_all(runs, tmp_path, Programs(), 1) == Outcome(trained=6)
    assert not (tmp_path / runs[1].folder / "failed.json").exists()


def test_no_run_begins_once_a_comparison_is_to_end(runs, trained, tmp_path):
    outcome = run_all(runs, tmp_path, Programs(), 1, lambda: "enough" if len(trained.seen) == 2 else "")
    assert outcome == Outcome(trained=2, ended="enough")
    assert trained.seen == [0, 1]


def test_runs_that_two_parities_share_are_trained_once(runs, trained, tmp_path):
    assert run_all([*runs, *runs], tmp_path, Programs(), 1) == Outcome(trained=6)


def test_a_failing_run_stops_the_others_and_its_error_is_the_one_raised(runs, trained, tmp_path):
    trained.failing["1"] = ValueError("this run is broken")
    trained.lasting.add("2")
    with pytest.raises(ValueError, match="this run is broken"):
        run_all(runs, tmp_path, Programs(), 1)
    assert trained.seen[:2] == [0, 1]
    assert trained.seen[2:] in ([], [2])


def test_ctrl_c_stops_the_runs_and_is_passed_on(runs, trained, tmp_path, monkeypatch):
    def interrupted(futures, return_when):
        raise KeyboardInterrupt

    trained.lasting.add("1")
    monkeypatch.setattr(runner.concurrent.futures, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all(runs, tmp_path, Programs(), 1)
    assert trained.seen in ([], [0], [0, 1])


@pytest.mark.parametrize("told", ["stopped at step 7 by SIGTERM", "1: not begun, by SIGTERM"])
def test_after_a_notice_no_further_run_begins(runs, trained, tmp_path, monkeypatch, told):
    monkeypatch.setattr(runner, "stop_requested", lambda step: bool(trained.seen))
    if "step 7" in told:
        trained.failing["0"] = PreemptedError(told)
    with pytest.raises(PreemptedError, match=told):
        run_all(runs, tmp_path, Programs(), 1)
    assert trained.seen == [0]


def test_a_run_that_saves_after_a_notice_leaves_the_others_the_time_to_save(runs, monkeypatch, tmp_path):
    both, saved = threading.Barrier(2, timeout=60), []

    def train_run(setup, directory, config_hash, shared):
        both.wait()
        if directory.name == "1":
            # The first has ended by now, and nobody is told to drop what it has.
            assert not shared.stop.wait(0.5)
        saved.append(directory.name)
        raise PreemptedError(f"{directory.name} at step 7")

    monkeypatch.setattr(runner, "set_up", lambda config, base: None)
    monkeypatch.setattr(runner, "train_run", train_run)
    with pytest.raises(PreemptedError, match="0 at step 7"):
        run_all(runs[:2], tmp_path, Programs(), 2)
    assert saved == ["0", "1"]


@pytest.fixture
def company(monkeypatch, trained):
    """Runs that are trained together in name only: which were, by their seeds."""
    seen = []

    def train_together(began, most, shared):
        batch = [begin(shared) for begin in began]
        assert len(batch) <= most
        seen.append(batch)
        return [trained.failing.get(str(seed), {"metrics": {}}) for seed in batch]

    def run_steps(setup, directory, config_hash, shared):
        return int(directory.name)

    monkeypatch.setattr(runner, "set_up", lambda config, base: types.SimpleNamespace(config=config, phases=[None]))
    monkeypatch.setattr(runner, "together_key", lambda setup, phase: setup.config["seed"] == 1)
    monkeypatch.setattr(runner, "order_key", lambda setup: None)
    monkeypatch.setattr(runner, "run_steps", run_steps)
    monkeypatch.setattr(runner, "train_together", train_together)
    return seen


def test_runs_of_one_program_are_trained_together_and_the_odd_one_by_itself(runs, trained, company, tmp_path):
    asked = []
    outcome = run_all(runs, tmp_path, Programs(), 1, lambda: asked.append(len(trained.seen)) or "", batch_runs=3)
    assert outcome == Outcome(trained=6)
    assert company == [[0, 2, 3], [4, 5]]
    assert trained.seen == [1]
    # Whether a comparison is to end is asked before each batch.
    assert len(asked) == 3


def test_seed_by_seed_only_runs_of_one_seed_are_trained_together(runs, trained, company, tmp_path):
    run_all(runs, tmp_path, Programs(), 1, batch_runs=3, seed_by_seed=True)
    assert (company, trained.seen) == ([], [0, 1, 2, 3, 4, 5])


def test_one_of_those_trained_together_that_diverges_is_tried_once_more_by_itself(runs, trained, company, tmp_path):
    trained.failing["2"] = NonFiniteError("the loss was not finite at step 3")
    outcome = run_all(runs, tmp_path, Programs(), 1, batch_runs=5)
    assert outcome == Outcome(trained=5, failed=(str(runs[2].folder),))
    assert (company, trained.seen) == ([[0, 2, 3, 4, 5]], [2, 1])
    assert json.loads((tmp_path / runs[2].folder / "failed.json").read_text())["attempts"] == 2


def test_a_run_directory_of_another_config_is_refused(tmp_path):
    check_same_config(tmp_path, {"steps": 5})
    (tmp_path / "config.json").write_text(json.dumps({"steps": 5, "data": {"source": "digits"}}))
    check_same_config(tmp_path, {"steps": 5, "data": {"source": "digits"}})
    with pytest.raises(InputError, match=re.escape("steps was 5 and is 6")):
        check_same_config(pathlib.Path(tmp_path), {"steps": 6, "data": {"source": "digits"}})


def test_a_batch_that_the_devices_made_is_refused_on_others_with_what_to_do(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"global_batch_size": 64}))
    with pytest.raises(InputError, match=r"was 64 and is 32; .* \(with config.parallel.batch_per_device=0: "):
        check_same_config(tmp_path, {"global_batch_size": 32})
