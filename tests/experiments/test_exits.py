import datetime
import json

import pytest

from tlj.errors import InputError
from tlj.experiments.exits import Exits, declared_exit, open_exits, write_ended
from tlj.experiments.grid import make_grid

PRICES = '[[accelerators]]\nname = "this"\nkinds = ["cpu"]\ndollars_per_chip_hour = 3.6\n'


@pytest.fixture
def planned(tiny_config):
    return make_grid(tiny_config("w", arms=("scratch", "full"), label_budgets=(10,), seeds=(0, 1))).runs


def finish(workdir, run, seconds=1800.0, devices=2):
    (workdir / run.folder).mkdir(parents=True)
    content = {"timing": {"wall_s": seconds}, "cost": {"devices": devices}}
    (workdir / run.folder / "summary.json").write_text(json.dumps(content))


def exits(config, workdir, metric="accuracy", price=None, scores=None, today="2027-01-01"):
    def score(run):
        return (scores or {}).get((run.parent.parent.name, int(run.name)))

    now = datetime.datetime.fromisoformat(today).replace(tzinfo=datetime.UTC)
    return Exits(config, metric, workdir, price, score, lambda: now)


def test_without_a_criterion_nothing_ends(tiny_config, planned, tmp_path):
    config = tiny_config("w")
    assert declared_exit(config) == {}
    finish(tmp_path, planned[0], 1e9)
    assert exits(config, tmp_path, scores={("scratch", 0): 1.0}).reason(planned) == ""


def test_hours_are_those_of_all_devices_and_of_all_finished_runs(tiny_config, planned, tmp_path):
    config = tiny_config("w", **{"exit.hours": 2})
    ends = exits(config, tmp_path)
    finish(tmp_path, planned[0])
    assert ends.reason(planned) == ""
    finish(tmp_path, planned[1])
    assert ends.reason(planned) == "2 accelerator-hours are spent of the 2 declared"


def test_the_source_is_paid_for_too(tiny_config, planned, tmp_path):
    (tmp_path / "source").mkdir()
    content = {"timing": {"wall_s": 3600.0}, "cost": {"devices": 2}}
    (tmp_path / "source" / "summary.json").write_text(json.dumps(content))
    assert exits(tiny_config("w", **{"exit.hours": 2}), tmp_path).reason(planned).startswith("2 accelerator-hours")


def test_dollars_are_hours_at_their_price(tiny_config, planned, tmp_path):
    config = tiny_config("w", **{"exit.dollars": 3.6, "prices": "prices.toml"})
    finish(tmp_path, planned[0])
    assert exits(config, tmp_path, price=3.5).reason(planned) == ""
    assert exits(config, tmp_path, price=3.6).reason(planned) == "$3.60 are spent of the $3.60 declared"


def test_a_date_ends_it_from_that_day_on(tiny_config, planned, tmp_path):
    config = tiny_config("w", **{"exit.date": "2027-01-02"})
    assert exits(config, tmp_path).reason(planned) == ""
    assert "the date 2027-01-02 has come" in exits(config, tmp_path, today="2027-01-02").reason(planned)


@pytest.mark.parametrize(
    ("metric", "target", "values", "reached"),
    [("accuracy", 0.8, (0.7, 0.9), True), ("accuracy", 0.81, (0.7, 0.9), False), ("nll", 0.5, (0.4, 0.6), True)],
)
def test_a_target_is_reached_by_the_mean_over_all_seeds_of_a_cell(
    tiny_config, planned, tmp_path, metric, target, values, reached
):
    config = tiny_config("w", **{"exit.target": target})
    scores = {("full", seed): value for seed, value in enumerate(values)}
    ends = exits(config, tmp_path, metric, scores=scores)
    finish(tmp_path, planned[1])
    assert planned[1].arm.name == "full"
    assert ends.reason(planned) == "", "one seed of two is not the mean"
    finish(tmp_path, planned[3])
    assert bool(ends.reason(planned)) is reached
    if reached:
        assert ends.reason(planned).startswith("full at 10 labels has reached")


def test_a_price_is_asked_for_before_any_work(tiny_config, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    config = tiny_config("w", **{"exit.dollars": 1.0, "prices": str(prices)})
    assert open_exits(config, tmp_path).reason(()) == ""
    prices.write_text(PRICES.replace('"cpu"', '"TPU v9"'))
    with pytest.raises(InputError, match="an hour of 'cpu' has no price"):
        open_exits(config, tmp_path)


def test_why_it_ended_is_written_down_and_taken_back(tmp_path):
    write_ended(tmp_path, "enough", {"hours": 2})
    assert json.loads((tmp_path / "ended.json").read_text()) == {"reason": "enough", "declared": {"hours": 2}}
    write_ended(tmp_path, "", {})
    assert not (tmp_path / "ended.json").exists()
