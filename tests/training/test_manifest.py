import json

import pytest

from tlj.pretrained.initialise import initial_variables
from tlj.training.manifest import format_label_table, label_table, manifest


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


def test_a_label_table_is_aligned(tiny_run):
    setup = tiny_run(strategy="linear_probe", init="scratch")
    lines = format_label_table(label_table(setup, setup.phases[0])).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split()[0] == "name"
    assert lines[-1].split()[3] == "-"


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
