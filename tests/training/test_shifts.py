"""Shifted test sets: what is refused before any work, and what a run predicts of them."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tlj import config as configuration
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.training.identity import resolve_run, run_hash
from tlj.training.loop import train_run
from tlj.training.run_files import read_predictions
from tlj.training.shifts import open_shifts
from tlj.training.surroundings import Surroundings
from tlj.training.tasks import TASKS


def config_of(*shifts, **data):
    changes = {"evaluate": {"shifts": shifts}, "data": {"source": "digits:5-9", **data}}
    return configuration.run_config(configuration.merge(configuration.default(), changes))


def opened(*shifts, **data):
    config = config_of(*shifts, **data)
    return open_shifts(config, open_source(config["data"]["source"]))


def test_the_labels_of_a_shifted_set_are_numbered_as_the_run_numbers_its_classes():
    (shift,) = opened("some=digits:7-8#all[:50%]")
    names = open_source("digits:7-8")
    wanted = [("5", "6", "7", "8", "9").index(names.classes[names.labels[i]]) for i in shift.examples]
    np.testing.assert_array_equal(shift.labels[shift.examples], wanted)
    assert len(shift.examples) == round(len(names.labels) / 2)
    assert (shift.split, shift.ids[0]) == ("shift:some", f"shift:some/{names.ids[shift.examples[0]]}")


def test_a_set_without_a_part_is_tested_whole():
    (shift,) = opened("whole=digits:8-9")
    assert len(shift.examples) == len(shift.source.labels) == len(set(shift.ids))


@pytest.mark.parametrize(
    ("shifts", "said"),
    [
        (["fog"], "'fog' names no shifted set; write NAME=SOURCE"),
        (["a/b=digits:5-9"], "names no shifted set"),
        (["fog="], "names no shifted set"),
        (["fog=digits:5-6", "fog=digits:7-8"], "two sets have the name 'fog'"),
        (["fog=digit:5-6"], "config.evaluate.shifts: unknown data source 'digit'"),
        (["fog=digits:4-6"], r"\(fog\): digits:4-6 has 1 of 3 classes that the model has not: 4"),
        (["fog=synthetic_text:8x2"], "holds text, digits:5-9 holds images"),
        (["fog=digits:5-6#tset"], r"\(fog\): unknown part 'tset'"),
        (["fog=digits:5-6#all[:0]"], "holds no example"),
    ],
)
def test_what_is_no_shifted_set_is_told_before_any_work(shifts, said):
    with pytest.raises(InputError, match=said):
        resolve_run(config_of(*shifts))


def test_images_that_the_model_does_not_take_are_refused(tiny_run):
    with pytest.raises(InputError, match=r"shifts \(big\).*images of 8 pixels, the data has 16"):
        tiny_run(data={"source": "synthetic:8x5"}, evaluate={"shifts": ["big=synthetic:16x5"]})


def test_examples_that_the_run_learns_from_are_no_shifted_set(tiny_run):
    with pytest.raises(InputError, match="are trained or validated on"):
        tiny_run(label_budget="all", evaluate={"shifts": ["same=digits:5-9#all[:50%]"]})


def test_numbers_are_no_classes(tmp_path):
    for name, labels in (("a", "xy"), ("b", ("0.5", "1.25"))):
        rows = "".join(f"text {i}\t{labels[i % 2]}\n" for i in range(8))
        (tmp_path / f"{name}.tsv").write_text(f"text\tlabel\n{rows}")
    config = config_of(f"b=tsv:{tmp_path}/b.tsv", source=f"tsv:{tmp_path}/a.tsv")
    with pytest.raises(InputError, match="the label '0.5' is not one of the 2 classes x, y"):
        resolve_run(config)


def test_another_content_at_the_same_path_makes_another_run(tmp_path):
    hashes = []
    for folder, text in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        rows = "".join(f"{text} {i}\t{'xy'[i % 2]}\n" for i in range(8))
        (tmp_path / folder / "t.tsv").write_text(f"text\tlabel\n{rows}")
        resolved = resolve_run(config_of(f"new=tsv:{tmp_path / folder}/t.tsv", source=f"tsv:{tmp_path}/a/t.tsv"))
        hashes.append(resolved["evaluate"]["shift_hashes"]["new"])
        resolved["evaluate"]["shifts"] = ["new=the same path"]
        hashes.append(run_hash(resolved))
    assert hashes[0] != hashes[2]
    assert hashes[1] != hashes[3]
    assert "shift_hashes" not in resolve_run(config_of())["evaluate"]


def test_a_run_predicts_its_shifted_sets_where_it_opens_the_test(tiny_run, tmp_path):
    shifts = ["some=digits:7-8#all[:40]", "more=digits:5-6#all[-30:]"]
    setup = tiny_run(steps=2, evaluate={"shifts": shifts})
    summary = train_run(setup, tmp_path, "hash", Surroundings())
    found = read_predictions(tmp_path / "predictions.parquet")
    assert {name: len(labels) for name, (_, labels) in found.items() if ":" in name} == {
        "shift:some": 40,
        "shift:more": 30,
    }
    assert set(found["shift:some"][1]) == {2, 3}
    accuracy = TASKS["multiclass"].evaluate(*found["shift:some"])["accuracy"]
    assert summary["metrics"]["shift:some_accuracy"] == pytest.approx(accuracy)
    # The same digits in the source of the run and in the shifted set get the same logits.
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert len(set(table["id"])) == len(table["id"])
    of = dict(zip(table["id"], table["logits"], strict=True))
    both = [name for name in of if f"shift:some/{name}" in of]
    assert both
    for name in both:
        np.testing.assert_allclose(of[name], of[f"shift:some/{name}"], rtol=1e-4, atol=1e-5)
    assert json.loads((tmp_path / "summary.json").read_text())["metrics"] == summary["metrics"]
