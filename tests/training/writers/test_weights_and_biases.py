"""Weights & Biases, by a stand-in that keeps what it is told and drops nothing."""

import sys
import types

import pytest

from tlj.errors import InputError
from tlj.training.writers.weights_and_biases import WandbWriter, import_wandb

CONFIG = {"log": {"wandb": "project"}, "steps": 40}
HASH = "0123456789abcdef"


class Server:
    """The package, and what it would hold on its side."""

    def __init__(self):
        self.runs, self.options, self.ended = {}, [], []
        self.Settings = lambda **settings: settings

    def init(self, **options):
        self.options.append(options)
        rows = self.runs.setdefault(options["id"], [])
        run = types.SimpleNamespace(step=rows[-1][0] + 1 if rows else 0)

        def log(values, step):
            assert step >= run.step
            run.step = step
            rows.append((step, values))

        run.log, run.finish = log, lambda exit_code: self.ended.append(exit_code)
        return run


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setitem(sys.modules, "wandb", server)
    return server


def rows(*steps):
    return [{"step": step, "loss": 1.0 / step} for step in steps]


def write(directory, before, after, config_hash=HASH):
    writer = WandbWriter(directory, CONFIG, config_hash, before)
    for row in after:
        writer.write(row)
    return writer


def steps_of(server):
    return [[step for step, _ in rows] for rows in server.runs.values()]


def test_a_run_has_the_project_the_config_and_a_place_for_the_packages_files(server, tmp_path):
    write(tmp_path / "full-3", [], [])
    (options,) = server.options
    assert options["project"] == "project"
    assert options["config"] == CONFIG
    assert options["name"] == "full-3"
    assert options["dir"] == str(tmp_path / "full-3")
    assert "mode" not in options, "WANDB_MODE decides"


def test_the_numbers_of_a_row_are_logged_at_its_step(server, tmp_path):
    write(tmp_path, [], [{"step": 8, "phase": 0, "loss": None, "timing": {"step_s": 0.5}}])
    assert list(server.runs.values()) == [[(8, {"phase": 0.0, "timing/step_s": 0.5})]]


def test_a_validation_at_the_step_of_a_window_is_logged_too(server, tmp_path):
    write(tmp_path, [], [{"step": 8, "loss": 1.0}, {"step": 8, "validation_loss": 2.0}])
    assert steps_of(server) == [[8, 8]]


def test_a_restart_goes_on_with_the_same_run_and_no_step_is_there_twice_or_missing(server, tmp_path):
    write(tmp_path, [], rows(5, 10, 15))
    # Killed, and gone on with from step 10: 15 comes again.
    write(tmp_path, rows(5, 10), rows(15, 20))
    assert steps_of(server) == [[5, 10, 15, 20]]
    assert all(options["resume"] == "allow" for options in server.options)


def test_rows_that_a_kill_kept_from_being_sent_are_sent(server, tmp_path):
    write(tmp_path, [], rows(5))
    write(tmp_path, rows(5, 10, 15), rows(20))
    assert steps_of(server) == [[5, 10, 15, 20]]


def test_the_id_begins_with_the_hash_and_differs_between_directories_and_configs(server, tmp_path):
    for directory, config_hash in [("a", HASH), ("b", HASH), ("a", HASH[::-1])]:
        write(tmp_path / directory, [], [], config_hash)
    ids = [options["id"] for options in server.options]
    assert len(set(ids)) == 3
    assert [id_[:12] for id_ in ids] == [HASH[:12], HASH[:12], HASH[::-1][:12]]


def test_the_package_is_told_whether_the_run_came_to_its_end(server, tmp_path):
    write(tmp_path, [], []).close(failed=False)
    write(tmp_path, [], []).close(failed=True)
    assert server.ended == [0, 1]


def test_a_missing_package_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        InputError, match=r"config.log.wandb: .* not installed; install it with pip install 'tlj\[wandb\]'"
    ):
        import_wandb()


def test_a_folder_of_that_name_is_not_mistaken_for_the_package(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(InputError, match="not installed"):
        import_wandb()
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
