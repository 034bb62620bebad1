import contextlib
import dataclasses
import json
import shutil

import numpy as np
import pytest
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import InputError
from tlj.training.inspection import inspect_run
from tlj.training.loop import Surroundings, train_run
from tlj.training.programs import Programs
from tlj.training.setup import set_up

RESNET = dict(stem="cifar", stem_width=4, block="basic", stage_depths=(1, 1), stage_widths=(4, 8))


def run_of(comparison, arm):
    return comparison[0] / "runs" / arm / "40" / "1"


@pytest.fixture(scope="module")
def train(tiny_config, comparison, tmp_path_factory):
    """Trains one tiny run beside the comparison's source and returns its directory."""
    shared = Surroundings(Programs())

    def one(stop_at=None, model=None, **changes):
        workdir = tmp_path_factory.mktemp("inspected")
        (workdir / "source").symlink_to(comparison[0] / "source")
        config = tiny_config(workdir, **{"label_budget": 40, "steps": 12, **changes})
        if model:
            config.model = ConfigDict({**configuration.default().model.to_dict(), **model})
        run = workdir / "run"
        run.mkdir()
        surroundings = shared
        if stop_at is not None:

            def stop(steps, taken=[]):  # noqa: B006
                taken.append(steps)
                if sum(taken) == stop_at:
                    raise KeyboardInterrupt

            surroundings = Surroundings(shared.programs, on_step=stop)
        with contextlib.suppress(KeyboardInterrupt):
            train_run(set_up(configuration.run_config(config), workdir), run, "hash", surroundings)
        return run

    return one


def depths_that_moved(report):
    return [row["depth"] for row in report["moved_by_depth"] if row["distance"] > 0]


def test_a_probe_moved_its_head_and_nothing_else(comparison):
    report = inspect_run(run_of(comparison, "linear_probe"))
    assert (report["step"], report["phase"], report["largest_frozen_change"]) == (24, 0, 0.0)
    assert depths_that_moved(report) == [3]
    assert {leaf["path"] for leaf in report["leaves"] if leaf["group"] != "frozen"} == {"head/kernel", "head/bias"}
    assert report["never_trained"] == len(report["leaves"]) - 2
    assert report["frozen_since_phase_start_unchanged"]


@pytest.mark.parametrize("arm", ["scratch", "full", "full-from-mean_var"])
def test_what_trains_everything_moved_at_every_depth_from_its_own_init(comparison, arm):
    report = inspect_run(run_of(comparison, arm))
    assert depths_that_moved(report) == [0, 1, 2, 3]
    assert all(0 < row["relative"] < 1 for row in report["moved_by_depth"][:3])
    assert (report["never_trained"], report["largest_frozen_change"]) == (0, 0.0)


def test_an_inspection_is_json(comparison):
    report = inspect_run(run_of(comparison, "last_blocks-1"))
    assert json.loads(json.dumps(report)) == report
    assert [(row["trained"], row["leaves"]) for row in report["moved_by_depth"]] == [(0, 4), (0, 12), (14, 14), (2, 2)]


def test_a_run_in_its_second_phase_tells_what_either_has_trained(train):
    report = inspect_run(train(strategy="freeze_out:0.5"))
    assert report["phase"] == len(report["phase_starts"]) - 1 > 0
    embedding = report["moved_by_depth"][0]
    # Trained at first and frozen now: it has moved from its init, and not since the phase began.
    assert (embedding["trained"], embedding["trained_now"]) == (4, 0)
    assert embedding["distance"] > 0
    assert report["frozen_since_phase_start_unchanged"]
    assert report["never_trained"] == 0


def test_the_phase_is_that_of_the_record_and_not_what_the_step_suggests(train):
    # Nothing is ever lower by 100 nats, so every validation but the first one waits.
    plateau = {"strategy": "lp_ft:plateau", "plateau": {"patience": 1, "min_delta": 100.0}, "evaluate": {"every": 4}}
    report = inspect_run(train(**plateau, checkpoint={"every": 8, "latest": 9}))
    assert (report["step"], report["phase"], report["phase_starts"]) == (12, 1, [0, 8])
    # Stopped at the end of the probe: its checkpoint is of the same step as the start of what follows.
    report = inspect_run(train(**plateau, checkpoint={"every": 8, "latest": 9}, stop_at=9))
    assert (report["step"], report["phase"]) == (8, 0)
    assert depths_that_moved(report) == [3]
    assert report["largest_frozen_change"] == 0.0


def test_adapters_have_the_depth_of_what_they_adapt(train):
    report = inspect_run(train(strategy="lora:2"))
    assert depths_that_moved(report) == [1, 2, 3]
    assert [(row["trained"], row["leaves"]) for row in report["moved_by_depth"]] == [(0, 4), (4, 16), (4, 18), (2, 2)]
    assert report["largest_frozen_change"] == 0.0


@pytest.mark.parametrize("init", ["pretrained", "mean_var", "scratch"])
def test_blocks_that_were_reset_are_compared_with_what_they_were_reset_to(train, init):
    report = inspect_run(train(strategy="copy_freeze:1", init=init))
    assert depths_that_moved(report) == [2, 3]
    # From what was in the source it would be as far as one random draw is from another.
    assert report["moved_by_depth"][2]["relative"] < 0.1
    assert report["largest_frozen_change"] == 0.0
    assert report["never_trained"] == 16


@pytest.fixture(scope="module")
def resnet(train):
    model = {"family": "resnet", "source": "", "settings": RESNET}
    changes = {"model": model, "init": "scratch", "strategy": "last_blocks:1"}

    def make(**more):
        return train(**{**changes, **more})

    return make


def test_statistics_are_told_with_what_their_norms_do(resnet):
    report = inspect_run(resnet())
    by_mode = {}
    for row in report["statistics"]:
        by_mode.setdefault(row["norm_mode"], []).append(row["distance"])
    assert set(by_mode) == {"frozen", "train"}
    assert set(by_mode["frozen"]) == {0.0}
    assert all(distance > 0 for distance in by_mode["train"])


def test_statistics_that_adapt_have_moved_and_are_no_frozen_ones(resnet):
    report = inspect_run(resnet(groups={"frozen": {"norm_mode": "adapt"}}))
    assert {row["norm_mode"] for row in report["statistics"]} == {"adapt", "train"}
    assert all(row["distance"] > 0 for row in report["statistics"])
    assert report["frozen_since_phase_start_unchanged"]
    assert report["largest_frozen_change"] == 0.0


def test_what_changed_though_it_is_frozen_is_listed(resnet, monkeypatch):
    run = resnet()
    from tlj.training import inspection

    def tampered(directory, step):
        read = open_stored_run(directory, step)
        scale, mean = "backbone/block0/conv0/norm/scale", "backbone/block0/conv0/norm/mean"
        params = {**read.params, scale: read.params[scale] + np.float32(0.25)}
        statistics = {**read.statistics, mean: read.statistics[mean] + np.float32(1)}
        return dataclasses.replace(read, params=params, statistics=statistics)

    open_stored_run = inspection.open_stored_run
    monkeypatch.setattr(inspection, "open_stored_run", tampered)
    report = inspect_run(run)
    assert not report["frozen_since_phase_start_unchanged"]
    assert report["changed_since_phase_start"] == [
        "backbone/block0/conv0/norm/mean",
        "backbone/block0/conv0/norm/scale",
    ]
    assert report["largest_frozen_change"] == 0.25


def test_a_run_whose_source_is_gone_can_be_read_but_not_compared(comparison, tmp_path):
    shutil.copytree(run_of(comparison, "linear_probe"), tmp_path / "run")
    report = inspect_run(tmp_path / "run")
    assert (report["largest_frozen_change"], report["moved_by_depth"]) == (None, None)
    assert len(report["leaves"]) > 10
    # What the phase started from is in the checkpoint.
    assert report["frozen_since_phase_start_unchanged"]


def test_a_folder_without_a_checkpoint_is_said_to_have_none(tmp_path):
    with pytest.raises(InputError, match="no checkpoint here"):
        inspect_run(tmp_path)


@pytest.mark.parametrize("form", ["run without files", "checkpoints", "one by itself"])
def test_a_checkpoint_tells_all_of_itself_without_a_file_of_its_run(comparison, tmp_path, form):
    run = run_of(comparison, "last_blocks-1")
    # Beside the source, as the run was.
    (tmp_path / "source").symlink_to(comparison[0] / "source")
    if form == "one by itself":
        copy = shutil.copytree(run / "checkpoints" / "24", tmp_path / "kept")
    elif form == "checkpoints":
        copy = shutil.copytree(run / "checkpoints", tmp_path / "kept")
    else:
        copy = tmp_path / "run"
        shutil.copytree(run / "checkpoints", copy / "checkpoints")
    assert inspect_run(copy) == inspect_run(run)


def test_the_step_may_be_chosen_and_its_metrics_are_told(train):
    run = train(strategy="full", evaluate={"every": 4}, checkpoint={"every": 4, "latest": 9})
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validated = {row["step"]: row["validation_loss"] for row in rows if "validation_loss" in row}
    reports = {step: inspect_run(run, step) for step in (4, 8, 12)}
    assert {step: report["metrics"]["validation_loss"] for step, report in reports.items()} == validated
    assert all(report["step"] == step for step, report in reports.items())
    moved = [report["moved_by_depth"][3]["distance"] for report in reports.values()]
    assert sorted(moved) == moved
    assert len(set(moved)) == 3
    assert inspect_run(run) == reports[12]
    assert inspect_run(run, "best")["step"] == min(validated, key=validated.get)


def test_bytes_are_told_by_leaf_and_optimizer_state_apart(comparison):
    report = inspect_run(run_of(comparison, "linear_probe"))
    by_path = {leaf["path"]: leaf for leaf in report["leaves"]}
    assert (by_path["head/kernel"]["shape"], by_path["head/kernel"]["bytes"]) == ([16, 5], 4 * 16 * 5)
    # Two moments of each parameter that trains, and none of the others.
    assert {path: leaf["optimizer_bytes"] for path, leaf in by_path.items() if leaf["optimizer_bytes"]} == {
        "head/bias": 2 * 4 * 5,
        "head/kernel": 2 * 4 * 16 * 5,
    }
    assert report["bytes"]["params"] == sum(leaf["bytes"] for leaf in report["leaves"])
    moments = sum(leaf["optimizer_bytes"] for leaf in report["leaves"])
    assert moments < report["bytes"]["opt_state"] < moments + 16
    others = {row["path"]: row["bytes"] for row in report["others"]}
    assert others["step"] == 4
    assert sum(others.values()) == report["bytes"]["total"] - report["bytes"]["params"]
    assert report["bytes"]["on_disk"] > 0


def test_averages_are_inspected_where_the_run_was_evaluated_with_them(train):
    averaged = {"optimizer": {"ema": 0.9}, "evaluate": {"ema": True}}
    raw, ema = inspect_run(train(strategy="linear_probe")), inspect_run(train(strategy="linear_probe", **averaged))
    assert (raw["evaluated"], ema["evaluated"]) == ("params", "ema")
    assert depths_that_moved(ema) == [3]
    assert 0 < ema["moved_by_depth"][3]["distance"] < raw["moved_by_depth"][3]["distance"]
    assert ema["frozen_since_phase_start_unchanged"]
    assert ema["bytes"]["ema"] == 4 * (16 * 5 + 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "linear_probe"},
        {"strategy": "lora:2"},
        {"strategy": "copy_freeze:1"},
        {"strategy": "linear_probe", "init": "mean_var"},
        {"strategy": "linear_probe", "init": "scratch"},
    ],
    ids=lambda changes: "@".join(changes.values()),
)
def test_a_delta_says_so_and_its_figures_are_those_of_the_whole_run(train, changes):
    whole = inspect_run(train(**changes))
    delta = inspect_run(train(**changes, checkpoint={"keep": "trainable"}))
    assert (whole.pop("kept"), whole.pop("base")) == ("all", None)
    kept, base = delta.pop("kept"), delta.pop("base")
    assert kept == "trainable"
    assert (len(base["digest"]), base["init"], base["seed"]) == (16, changes.get("init", "pretrained"), 0)
    assert base["source"] == ("" if base["init"] == "scratch" else "source")
    held, all_held = (of.pop("bytes") for of in (delta, whole))
    assert held["params"] < all_held["params"]
    assert held["opt_state"] == all_held["opt_state"]
    for ours, theirs in zip(delta.pop("leaves"), whole.pop("leaves"), strict=True):
        assert ours["bytes"] in (0, theirs["bytes"])
        assert {**ours, "bytes": theirs["bytes"]} == theirs
    assert delta == whole


@pytest.mark.parametrize("what", ["gone", "another"])
def test_a_delta_whose_base_is_not_to_be_had_tells_what_it_holds_itself(train, retell, what):
    run = train(strategy="linear_probe", checkpoint={"keep": "trainable"})
    whole = inspect_run(run)
    if what == "gone":
        (run.parent / "source").unlink()
    else:
        # As on a kind of device that makes other numbers of the same source.
        retell(run / "checkpoints" / "12", base__digest="0" * 16)
    report = inspect_run(run)
    problem = "nothing is left at that place" if what == "gone" else f"gives {whole['base']['digest']}"
    assert problem in report["base_problem"]
    assert report["leaves"] == whole["leaves"]
    assert (report["bytes"]["total"], report["metrics"]) == (whole["bytes"]["total"], whole["metrics"])
    assert (report["largest_frozen_change"], report["moved_by_depth"]) == (None, None)
    assert (report["frozen_since_phase_start_unchanged"], report["changed_since_phase_start"]) == (None, [])
    assert report["never_trained"] == whole["never_trained"] == len(report["leaves"]) - 2


def test_a_damaged_source_leaves_what_the_run_holds(comparison, tmp_path):
    workdir = tmp_path / "workdir"
    shutil.copytree(comparison[0] / "runs" / "linear_probe" / "10" / "0", workdir / "run")
    (workdir / "source").mkdir()
    (workdir / "source" / "manifest.json").write_text("{}")
    report = inspect_run(workdir / "run")
    assert report["moved_by_depth"] is None
    assert report["frozen_since_phase_start_unchanged"]
