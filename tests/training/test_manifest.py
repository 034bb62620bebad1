import json

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.initialise import initial_variables
from tlj.training.manifest import (
    check_same_split,
    data_facts,
    format_label_table,
    label_table,
    manifest,
    start_of,
)


def test_the_label_table_has_a_row_per_group_and_one_for_the_frozen(tiny_run):
    setup = tiny_run(strategy="last_blocks:1", init="scratch", optimizer={"learning_rate": 0.5})
    rows = {row["name"]: row for row in label_table(setup, setup.phases[0])}
    assert list(rows) == ["backbone", "head", "frozen"]
    assert rows["head"]["parameters"] == 16 * 5 + 5
    assert rows["head"]["learning_rate"] == 0.5
    assert rows["head"]["decayed"] == 1  # the kernel, not the bias
    assert (rows["frozen"]["learning_rate"], rows["frozen"]["dropout"]) == (None, False)
    assert sum(row["leaves"] for row in rows.values()) == len(setup.phases[0].labels)


def test_what_trains_everything_has_no_frozen_row(tiny_run):
    setup = tiny_run()
    assert [row["name"] for row in label_table(setup, setup.phases[0])] == ["backbone", "head"]


def test_a_label_table_has_shares_decay_modes_and_the_range_of_the_rate(tiny_run):
    optimizer = {"learning_rate": 0.5, "schedule": "linear", "warmup": "4 steps", "weight_decay": 0.1}
    setup = tiny_run(
        strategy="last_blocks:1", init="scratch", steps=24, optimizer=optimizer,
        groups={"head": {"decays": "all", "optimizer": "sgd", "learning_rate_factor": 0.1}},
    )  # fmt: skip
    rows = {row["name"]: row for row in label_table(setup, setup.phases[0])}
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1.0)
    assert rows["backbone"]["share"] == rows["backbone"]["parameters"] / sum(r["parameters"] for r in rows.values())
    # The first step has a quarter of the peak, the last one twentieth of it.
    assert rows["backbone"]["learning_rate_range"] == pytest.approx([0.5 / 20, 0.5])
    assert rows["head"]["learning_rate_range"] == pytest.approx([0.05 / 20, 0.05])
    assert (rows["head"]["optimizer"], rows["head"]["decayed"], rows["head"]["leaves"]) == ("sgd", 2, 2)
    assert (rows["backbone"]["optimizer"], rows["backbone"]["schedule"]) == ("adamw", "linear")
    assert rows["backbone"]["decayed"] < rows["backbone"]["leaves"]
    assert (rows["frozen"]["learning_rate_range"], rows["frozen"]["decayed"]) == (None, 0)


def test_the_range_of_a_rate_is_over_the_steps_of_its_phase(tiny_run):
    setup = tiny_run(
        strategy="gradual:5", init="scratch", steps=24, optimizer={"schedule": "linear", "warmup": "0 steps"}
    )
    ranges = [label_table(setup, phase)[-1 if index == 3 else -2]["learning_rate_range"]
              for index, phase in enumerate(setup.phases)]  # fmt: skip
    expected = [
        [1e-3 * (1 - last / 24), 1e-3 * (1 - first / 24)] for first, last in ((0, 4), (5, 9), (10, 14), (15, 23))
    ]
    np.testing.assert_allclose(ranges, expected, rtol=1e-4)


def test_what_is_frozen_says_so_where_its_norms_adapt(tiny_run):
    for mode in ("frozen", "adapt"):
        config = dict(strategy="linear_probe", init="scratch", groups={"frozen": {"norm_mode": mode}})
        setup = tiny_run("resnet", **config)
        assert label_table(setup, setup.phases[0])[-1]["norm_mode"] == mode


def test_norms_that_adapt_beside_others_that_do_not_are_counted(tiny_run):
    config = dict(strategy="last_blocks:1", init="scratch", groups={"backbone": {"norm_mode": "adapt"}})
    setup = tiny_run("resnet", **config)
    (phase,) = setup.phases
    row = label_table(setup, phase)[-1]
    assert phase.adapting
    assert (row["name"], row["norm_mode"]) == ("frozen", f"frozen, {len(phase.adapting)} adapt")


def test_the_start_of_a_phase_is_a_step_or_a_rule_in_words(tiny_run):
    phases = tiny_run(strategy="lp_ft", init="scratch", plateau={"patience": 2}, evaluate={"every": 4}).phases
    assert start_of(phases[0]) == {"start": 0, "start_rule": "step 0"}
    assert start_of(phases[1]) == {"start": None, "start_rule": "a plateau (2 validations without a lower loss)"}


def test_a_label_table_is_aligned(tiny_run):
    setup = tiny_run(strategy="linear_probe", init="scratch")
    lines = format_label_table(label_table(setup, setup.phases[0])).splitlines()
    assert lines[0].split() == ["group", "leaves", "parameters", "share", "learning", "rate", "decay", "decayed",
                                "optimizer", "schedule", "norms", "dropout"]  # fmt: skip
    for column in ("leaves", "share", "learning rate", "optimizer", "dropout"):
        at = lines[0].index(column)
        assert all(line[at - 1] == " " and line[at] != " " for line in lines[1:]), column
    assert lines[1].startswith("head ")
    assert lines[-1].startswith("frozen ")
    assert lines[-1].split()[4:6] == ["-", "-"]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_manifest_is_json_and_says_how_many_threads_sums_were_split_over(tiny_run, monkeypatch, threads):
    monkeypatch.setenv("NPROC", threads)
    setup = tiny_run()
    _, report = initial_variables("scratch", setup.spec, None, 0)
    written = json.loads(json.dumps(manifest(setup, report, "hash")))
    assert written["devices"]["cpu_threads"] == int(threads)
    assert written["data"]["hash"] == setup.source.digest
    assert written["phases"][0]["digest"] == setup.phases[0].digest
    assert len(written["load_report"]) == len(setup.phases[0].labels)


def test_a_run_goes_on_with_the_examples_it_began_with_or_not_at_all(tiny_run, tmp_path):
    path, setup = tmp_path / "manifest.json", tiny_run()
    check_same_split(setup, path)
    path.write_text(json.dumps({"data": data_facts(setup)}))
    check_same_split(setup, path)
    with pytest.raises(InputError, match="began with other examples than the config names now"):
        check_same_split(tiny_run(seed=1), path)
