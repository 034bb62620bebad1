import resource
import sys
import types
import warnings

import pytest

from tlj.errors import InputError
from tlj.training.run_files import MetricsLog
from tlj.training.writers.writers import Writers, check_writers, open_writers

HASH = "0123456789abcdef"


def config(tensorboard=False, wandb=""):
    return {"log": {"tensorboard": tensorboard, "wandb": wandb}}


class Kept:
    """A place that keeps rows in memory, and fails from a step on."""

    def __init__(self, name="memory", fails_at=None):
        self.name, self.fails_at, self.steps, self.closed = name, fails_at, [], []

    def write(self, row):
        if row["step"] == self.fails_at:
            raise ConnectionError("the other side is gone")
        self.steps.append(row["step"])

    def close(self, failed):
        self.closed.append(failed)


def wandb_that(init):
    return types.SimpleNamespace(init=init, Settings=dict)


def test_every_place_gets_every_row_and_is_closed_at_the_end():
    first, second = Kept(), Kept()
    with Writers([first, second]) as writers:
        writers.write({"step": 5})
        writers.write({"step": 10})
    assert first.steps == second.steps == [5, 10]
    assert first.closed == second.closed == [False]


def test_no_place_at_all_is_fine():
    with Writers() as writers:
        writers.write({"step": 5})


def test_a_place_that_fails_is_warned_of_once_and_the_others_go_on():
    bad, good = Kept("bad", fails_at=10), Kept("good")
    with warnings.catch_warnings(record=True, action="always") as caught, Writers([bad, good]) as writers:
        for step in (5, 10, 15, 20):
            writers.write({"step": step})
    (warning,) = caught
    assert "no more rows go to bad" in str(warning.message)
    assert "ConnectionError: the other side is gone" in str(warning.message)
    assert (bad.steps, good.steps) == ([5], [5, 10, 15, 20])


def test_an_error_of_the_run_passes_through_and_the_places_are_told():
    place = Kept()

    def run():
        with Writers([place]):
            raise RuntimeError("of the run")

    with pytest.raises(RuntimeError, match="of the run"):
        run()
    assert place.closed == [True]


def test_a_place_that_cannot_be_closed_is_warned_of():
    class Stuck(Kept):
        def close(self, failed):
            raise OSError("no space")

    last = Kept()
    with pytest.warns(UserWarning, match="OSError: no space"), Writers([Stuck(), last]):
        pass
    assert last.closed == [False]


def test_a_disk_that_fills_up_ends_the_event_files_and_not_the_run(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_writers(tmp_path, config(tensorboard=True), HASH, 0) as writers:
        writers.write({"step": 5, "loss": 1.0})
        (path,) = (tmp_path / "tensorboard").iterdir()
        size = path.stat().st_size
        with warnings.catch_warnings(record=True, action="always") as caught:
            # A file may grow by ten bytes more: what a full disk does to a write.
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limit[1]))
            try:
                for step in (10, 15, 20):
                    writers.write({"step": step, "loss": 1.0})
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert len(caught) == 1
    assert "TensorBoard event files" in str(caught[0].message)


def test_event_files_that_cannot_be_opened_are_a_warning(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.warns(UserWarning, match="TensorBoard event files"):
        writers = open_writers(tmp_path, config(tensorboard=True), HASH, 0)
    with writers:
        writers.write({"step": 5, "loss": 1.0})


def test_a_config_that_asks_for_nothing_writes_nothing(tmp_path):
    with open_writers(tmp_path, config(), HASH, 0) as writers:
        writers.write({"step": 5, "loss": 1.0})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("step", "shown"), [(0, []), (10, [5, 10]), (99, [5, 10, 15])])
def test_a_place_has_shown_what_the_run_goes_on_from(tmp_path, monkeypatch, step, shown):
    log = MetricsLog(tmp_path / "metrics.jsonl", 0)
    for row in ({"step": 5, "loss": 1.0}, {"step": 10, "loss": 1.0}, {"step": 15, "loss": 1.0}):
        log.write(row)
    log.close()
    logged = []
    run = types.SimpleNamespace(step=0, log=lambda values, step: logged.append(step), finish=lambda exit_code: None)
    monkeypatch.setitem(sys.modules, "wandb", wandb_that(lambda **options: run))
    open_writers(tmp_path, config(wandb="project"), HASH, step)
    assert logged == shown


def test_what_is_asked_for_and_not_installed_is_refused_before_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="not installed"):
        check_writers(config(wandb="project"))
    check_writers(config(tensorboard=True))


def test_a_service_that_does_not_start_ends_a_fresh_run_and_not_one_that_goes_on(tmp_path, monkeypatch):
    def init(**options):
        raise RuntimeError("No API key")

    monkeypatch.setitem(sys.modules, "wandb", wandb_that(init))
    with pytest.raises(InputError, match="config.log.wandb: .* does not start: No API key; run wandb login"):
        open_writers(tmp_path, config(tensorboard=True, wandb="project"), HASH, 0)
    with pytest.warns(UserWarning, match="Weights & Biases.*No API key"):
        writers = open_writers(tmp_path, config(tensorboard=True, wandb="project"), HASH, 10)
    with warnings.catch_warnings(action="error"), writers:
        writers.write({"step": 15, "loss": 1.0})
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert isinstance(writers, Writers)
    assert path.stat().st_size > 100
