import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from tlj.errors import InputError
from tlj.evidence.report import write_report
from tlj.experiments.compare import compare, train
from tlj.pretrained.runs import read_variables
from tlj.training.programs import count_compilations
from tlj.training.run_lock import run_lock

RUNS = 5 * 2 * 3


def summaries(workdir, names=("scratch", "linear_probe", "last_blocks-1", "full", "full-from-mean_var")):
    for name in names:
        for path in sorted((workdir / "runs" / name).glob("*/*/summary.json")):
            yield name, path.parent, json.loads(path.read_text())


def manifest(run):
    return json.loads((run / "manifest.json").read_text())


def predictions(run):
    table = pq.read_table(run / "predictions.parquet").to_pydict()
    return {**table, "logits": np.array(table["logits"])}


def lasting(path):
    """A summary without what is measured in seconds or bytes."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name not in ("timing", "cost")}


def test_every_run_of_the_grid_leaves_its_files(comparison):
    workdir, _ = comparison
    runs = list(summaries(workdir))
    assert len(runs) == RUNS
    for _, run, _ in runs:
        names = {path.name for path in run.iterdir()}
        assert names == {
            "config.json", "manifest.json", "metrics.jsonl", "checkpoints", "predictions.parquet", "summary.json",
            "tensorboard",
        }  # fmt: skip


def test_one_program_is_compiled_per_model_and_phase_whatever_the_budgets_and_seeds(comparison):
    _, compiled = comparison
    # Three phases: everything (which the source, scratch, full and mean_var share), the head, the last block and head.
    # Backbone and head are initialised by programs of their own.
    assert compiled == collections.Counter(
        {
            "train_step": 3,
            "initialise_state": 3,
            "evaluate_step": 1,
            "initialise_scratch": 2,
            "mean_var_params": 1,
            "feature_step": 1,
        }
    )


def test_a_finished_comparison_compiles_and_trains_nothing(comparison, tiny_config):
    workdir, _ = comparison
    before = {path: path.stat().st_mtime_ns for _, run, _ in summaries(workdir) for path in run.iterdir()}
    with count_compilations() as compiled:
        compare(tiny_config(workdir), "tlj compare --config=tiny.py")
    assert not compiled
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_arm_and_twin_share_labels(comparison):
    workdir, _ = comparison
    for budget in (10, 40):
        for seed in (0, 1, 2):
            pairs = [workdir / "runs" / name / str(budget) / str(seed) for name in ("scratch", "full", "linear_probe")]
            splits = [manifest(run)["data"]["split"] for run in pairs]
            assert splits[0] == splits[1] == splits[2]
            assert len(splits[0]["train"]) + len(splits[0]["validation"]) == budget


def test_before_any_update_arms_of_one_init_have_the_same_loss(tiny_config, tmp_path):
    # Same weights, same head, same batch, same augmentation; without dropout only the strategy is left to differ.
    source = tiny_config(tmp_path / "source", strategy="scratch", steps=3, model={"settings": {"dropout": 0.0}})
    source.data.source, source.model.source = "digits:0-4", ""
    train(source)
    losses = {}
    for arm in ("linear_probe", "last_blocks:1", "full"):
        config = tiny_config(tmp_path / arm, strategy=arm, label_budget=40, steps=1, seed=1)
        config.model.source, config.model.settings = str(tmp_path / "source"), {}
        losses[arm] = json.loads((train(config) / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    assert losses["linear_probe"] == pytest.approx(losses["full"], rel=1e-6)
    assert losses["last_blocks:1"] == pytest.approx(losses["full"], rel=1e-6)


def test_label_budgets_of_a_seed_are_nested_and_the_test_split_is_the_same_everywhere(comparison):
    workdir, _ = comparison
    tests = set()
    for seed in (0, 1, 2):
        small, large = (manifest(workdir / "runs" / "full" / str(b) / str(seed))["data"]["split"] for b in (10, 40))
        assert set(small["train"]) < set(large["train"])
        assert set(small["validation"]) < set(large["validation"])
        assert not set(large["train"] + large["validation"]) & set(large["test"])
        tests.add(tuple(large["test"]))
    assert len(tests) == 1
    assert len(tests.pop()) >= 350


def test_the_test_split_is_opened_once_per_run(comparison):
    assert {summary["test_opened"] for _, _, summary in summaries(comparison[0])} == {1}


def test_frozen_parts_are_the_sources_own_bits_and_trained_parts_moved(comparison):
    backbone = read_variables(comparison[0] / "source")[0]["params"]["backbone"]
    for name, run, summary in summaries(comparison[0]):
        assert summary["never_moved"] == []
        ours = read_variables(run)[0]["params"]["backbone"]
        if name in ("linear_probe", "last_blocks-1"):
            np.testing.assert_array_equal(
                ours["embedding"]["patch"]["kernel"], backbone["embedding"]["patch"]["kernel"]
            )
            np.testing.assert_array_equal(
                ours["block0"]["mlp"]["up"]["kernel"], backbone["block0"]["mlp"]["up"]["kernel"]
            )
        total, trained = summary["parameters"]["total"], summary["parameters"]["trained"]
        assert (trained == total) == (name in ("scratch", "full", "full-from-mean_var"))


def test_a_run_reports_the_metrics_that_its_predictions_give(comparison):
    for _, run, summary in list(summaries(comparison[0]))[::7]:
        rows = predictions(run)
        of_test = np.array(rows["split"]) == "test"
        right = rows["logits"].argmax(-1) == np.array(rows["label"])
        assert right[of_test].mean() == pytest.approx(summary["metrics"]["test_accuracy"])
        assert len(set(rows["id"])) == len(rows["id"])
        assert of_test.sum() == summary["test_examples"]


def test_the_twin_differs_from_an_arm_in_strategy_and_init_alone(comparison):
    described = json.loads((comparison[0] / "comparison.json").read_text())
    for arm in described["arms"]:
        assert set(arm["diff"]) <= {"strategy", "init"}
    assert {arm["arm"]: arm["diff"] for arm in described["arms"]}["full@mean_var"]["init"] == ["scratch", "mean_var"]


def test_step_times_are_there_for_every_arm(comparison):
    times = json.loads((comparison[0] / "step_time.json").read_text())["arms"]
    assert set(times) == {"scratch", "linear_probe", "last_blocks:1", "full", "full@mean_var"}
    assert all(row["p5_s"] <= row["median_s"] <= row["p95_s"] for row in times.values())
    assert all(row["steps_per_window"] >= 20 for row in times.values())


def test_a_workdir_is_judged_by_the_margin_it_began_with(comparison, tiny_config):
    with pytest.raises(InputError, match=re.escape("the margin was declared as 0.005 before the first run")):
        compare(tiny_config(comparison[0], margin=0.4), "tlj compare")


def test_a_run_is_not_taken_for_the_workdir_of_a_comparison_nor_the_other_way(comparison, tiny_config):
    with pytest.raises(InputError, match="a run, not a comparison"):
        compare(tiny_config(comparison[0] / "source"), "tlj compare")
    with pytest.raises(InputError, match="a comparison, not a run"):
        train(tiny_config(comparison[0]))


def test_runs_on_one_source_are_not_joined_with_runs_on_another(comparison, tiny_config, tmp_path):
    workdir = tmp_path / "copy"
    shutil.copytree(comparison[0], workdir)
    shutil.rmtree(workdir / "source")
    with pytest.raises(InputError, match="source_hash was"):
        compare(tiny_config(workdir, pretrain={"steps": 9}), "tlj compare")


def test_step_times_of_another_batch_size_are_measured_again(comparison, tiny_config, tmp_path):
    config = tiny_config(tmp_path, arms=("scratch",), label_budgets=(10,), seeds=(0,), steps=1)
    compare(config, "tlj compare")
    path = tmp_path / "step_time.json"
    stale = json.loads(path.read_text())
    stale["what"]["global_batch_size"] = 512
    path.write_text(json.dumps(stale))
    compare(config, "tlj compare")
    assert json.loads(path.read_text())["what"]["global_batch_size"] == 16


def test_a_workdir_of_another_config_is_refused_before_any_work(comparison, tiny_config):
    workdir, _ = comparison
    with pytest.raises(InputError, match=re.escape("steps was 24 and is 25")):
        compare(tiny_config(workdir, steps=25), "tlj compare")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ("scratch", "last_blocks:9")}, "last_blocks:9 on a model of 2 blocks"),
        ({"arms": ("scratch", "linear_prob")}, "did you mean 'linear_probe'?"),
        ({"label_budgets": (10, 5000)}, "a budget of 5000 labels, but the pool has 538"),
        ({"label_budgets": (5,)}, "cannot give a training example to each of 5 classes"),
        ({"model": {"settings": {"widht": 3}}}, "did you mean 'width'?"),
        ({"data": {"source": "digit:5-9"}}, "did you mean 'digits'?"),
        ({"model": {"source": "elsewhere"}}, "set it to 'source'"),
        ({"twin": "full"}, "the twin 'full' starts from init 'pretrained'"),
        ({"pretrain": {"model": {"settings": {"width": 32}}}}, "config.pretrain.model: the source would be"),
        ({"pretrain": {"strategy": "full"}}, "config.pretrain.strategy: 'strategy' means nothing to the source"),
        ({"declared": {"full": {"data": {"split_seed": 3}}}}, "is shared by all arms of a comparison"),
        ({"declared": {"full": {"seed": 3}}}, "is laid out by the comparison"),
    ],
)
def test_a_mistake_in_the_config_stops_before_any_work(tiny_config, tmp_path, changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        compare(tiny_config(tmp_path / "new", **changes), "tlj compare")
    assert not (tmp_path / "new").exists()


def test_a_comparison_killed_at_any_time_and_rerun_gives_the_same_summary(comparison, tmp_path):
    config = tmp_path / "tiny.py"
    root = pathlib.Path(__file__).parents[2]
    # The very config of the whole comparison, as a file that a process can be started with.
    config.write_text(
        textwrap.dedent(f"""
        import runpy
        def get_config(arg=None):
            return runpy.run_path({str(root / "tests" / "conftest.py")!r})["TINY"]
        """)
    )
    workdir = tmp_path / "work"
    command = [sys.executable, "-m", "tlj", "compare", f"--config={config}", f"--workdir={workdir}"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while len(list(workdir.glob("runs/*/*/*/summary.json"))) < 7 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(workdir.glob("runs/*/*/*/summary.json")))
    assert 7 <= done < RUNS, "killed too late to test anything"
    rerun = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True, check=False)
    assert rerun.returncode == 0, rerun.stderr
    assert rerun.stdout.splitlines()[-1] == f"report: {workdir / 'report.html'}"
    assert f"{RUNS - done} runs trained, {done} already done" in rerun.stderr
    write_report(comparison[0])
    assert lasting(workdir / "summary.json") == lasting(comparison[0] / "summary.json")
    for name, run, _ in summaries(workdir):
        whole = comparison[0] / "runs" / name / run.parent.name / run.name
        np.testing.assert_array_equal(predictions(run)["logits"], predictions(whole)["logits"])


def test_train_makes_the_one_run_that_the_config_describes(comparison, tiny_config, tmp_path):
    config = tiny_config(tmp_path / "one", strategy="last_blocks:1", label_budget=40, seed=1)
    config.model.source = str(comparison[0] / "source")
    run = train(config)
    twin = comparison[0] / "runs" / "last_blocks-1" / "40" / "1"
    np.testing.assert_array_equal(predictions(run)["logits"], predictions(twin)["logits"])


def test_the_batch_that_is_told_is_the_one_that_the_devices_made(tiny_config, tmp_path):
    small = {"arms": ("scratch",), "label_budgets": (40,), "seeds": (0,), "steps": 2, "pretrain": {"steps": 2}}
    config = tiny_config(tmp_path / "all", **small, global_batch_size=32, parallel={"batch_per_device": 16})
    told = json.loads((compare(config, "tlj compare") / "comparison.json").read_text())
    assert told["global_batch_size"] == 16


def test_what_an_arm_cannot_do_is_said_of_the_arm(tiny_config, tmp_path):
    with pytest.raises(InputError, match="gradual:100 reaches") as caught:
        compare(tiny_config(tmp_path / "a", arms=("scratch", "gradual:100")), "tlj compare")
    assert caught.value.where == "config.arms[1]"
    groups = {"backbone": {"optimizer": "sgd"}}
    with pytest.raises(InputError, match=r"no group 'backbone' \(arm 'linear_probe'\).*config.declared"):
        compare(tiny_config(tmp_path / "b", arms=("scratch", "linear_probe"), groups=groups), "tlj compare")
    assert list(tmp_path.iterdir()) == []


def test_a_second_comparison_in_a_workdir_is_refused_before_it_writes(tiny_config, tmp_path):
    workdir = tmp_path / "held"
    with run_lock(workdir), pytest.raises(InputError, match="another run is at work here"):
        compare(tiny_config(workdir), "tlj compare")
    assert not (workdir / "comparison.json").exists()
