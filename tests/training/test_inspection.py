import contextlib
import dataclasses
import json
import shutil

import numpy as np
import pytest
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import InputError
from tlj.freezing.phases import Group, Layout, Phase
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.run_source import open_source_of_run
from tlj.pretrained.source import SourceLeaf
from tlj.training.inspection import inspect_run, moved_by_depth
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

    def tampered(directory):
        variables, step = read_variables(directory)
        norm = variables["params"]["backbone"]["block0"]["conv0"]["norm"]
        norm["scale"] = norm["scale"] + np.float32(0.25)
        statistics = variables["batch_stats"]["backbone"]["block0"]["conv0"]["norm"]
        statistics["mean"] = statistics["mean"] + np.float32(1)
        return variables, step

    read_variables = inspection.read_variables
    monkeypatch.setattr(inspection, "read_variables", tampered)
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


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(InputError, match="no run of tlj here"):
        inspect_run(tmp_path)


def test_another_source_at_the_same_place_is_not_taken_for_the_runs_own(comparison, tmp_path):
    shutil.copytree(run_of(comparison, "full"), tmp_path / "runs" / "full")
    shutil.copytree(run_of(comparison, "scratch"), tmp_path / "source")
    assert inspect_run(tmp_path / "runs" / "full")["moved_by_depth"] is None


@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
def test_a_broken_file_of_a_run_is_one_clear_line(comparison, tmp_path, name):
    shutil.copytree(run_of(comparison, "scratch"), tmp_path / "run")
    (tmp_path / "run" / name).write_text("{")
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        inspect_run(tmp_path / "run")


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
    assert delta == whole


def test_a_delta_whose_base_is_gone_is_not_inspected(train):
    run = train(strategy="linear_probe", checkpoint={"keep": "trainable"})
    (run.parent / "source").unlink()
    with pytest.raises(InputError, match="not to be had: nothing is left at that place"):
        inspect_run(run)


def test_a_source_of_another_origin_is_found_again_by_what_was_loaded_from_it(train):
    run = train(strategy="linear_probe")
    found = open_source_of_run(str(run.parent / "source"), json.loads((run / "config.json").read_text())["model"])
    # Other names than the model's, two arrays for one leaf, and one that the model does not take.
    named = {path: dataclasses.replace(leaf, names=("theirs.a", "theirs.b")) for path, leaf in found.leaves.items()}
    ignored = SourceLeaf(("theirs.c",), (1,), lambda: np.zeros(1, np.float32), "the model does not take it")
    other = dataclasses.replace(found, leaves=named, ignored=(ignored,))
    _, report = initial_variables("pretrained", found.spec, other, 0)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "load_report": report.rows()}))
    assert depths_that_moved(inspect_run(run)) == [3]


def test_distances_are_euclidean_and_relative_to_the_start():
    layout = Layout({"backbone/embedding/a": 0, "head/kernel": 1, "head/bias": 1}, blocks=0)
    labels = (("backbone/embedding/a", "frozen"), ("head/bias", "head"), ("head/kernel", "head"))
    phase = Phase(labels, (Group("head"),))
    start = {"backbone/embedding/a": np.ones(4), "head/kernel": np.array([3.0, 4.0]), "head/bias": np.zeros(1)}
    now = {**start, "head/kernel": np.array([3.0, 7.0]), "head/bias": np.full(1, 4.0)}
    embedding, head = moved_by_depth(now, start, layout, [phase])
    assert embedding == {"depth": 0, "leaves": 1, "trained": 0, "trained_now": 0, "distance": 0.0, "relative": 0.0}
    assert head == {"depth": 1, "leaves": 2, "trained": 2, "trained_now": 2, "distance": 5.0, "relative": 1.0}


def test_a_depth_that_started_at_zero_has_no_relative_distance():
    phase = Phase((("head/kernel", "head"),), (Group("head"),))
    rows = moved_by_depth(
        {"head/kernel": np.ones(4)}, {"head/kernel": np.zeros(4)}, Layout({"head/kernel": 1}, blocks=0), [phase]
    )
    assert (rows[0]["distance"], rows[0]["relative"]) == (2.0, None)


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"model": 1}'])
def test_a_manifest_of_nothing_is_refused_in_a_line(comparison, tmp_path, content):
    run = shutil.copytree(run_of(comparison, "full"), tmp_path / "run")
    (run / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="not a (manifest of a run|JSON object)"):
        inspect_run(run)


def test_a_damaged_source_leaves_what_the_run_holds(comparison, tmp_path):
    workdir = tmp_path / "workdir"
    shutil.copytree(comparison[0] / "runs" / "linear_probe" / "10" / "0", workdir / "run")
    (workdir / "source").mkdir()
    (workdir / "source" / "manifest.json").write_text("{}")
    report = inspect_run(workdir / "run")
    assert report["moved_by_depth"] is None
    assert report["frozen_since_phase_start_unchanged"]
