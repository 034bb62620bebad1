"""Runs on a folder of photographs of any size: augmented, reproducible, resumed, and honest about what is broken."""

import json
import pathlib

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest

from tlj.errors import InputError
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.run_files import read_metrics

COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 70), "red": (210, 40, 50)}
AUGMENT = {"flip": True, "crop": 0.5, "colour": 1, "mixup": 0.2, "cutmix": 0.5}


def paint(folder, count, seed):
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            height, width = rng.integers(9, 30, 2)
            pixels = np.clip(rng.normal(colour, 40, (height, width, 3)), 0, 255).astype(np.uint8)
            suffix = "jpg" if index % 2 else "png"
            PIL.Image.fromarray(pixels).save(folder / name / f"{index}.{suffix}")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    paint(folder / "train", 14, 0)
    paint(folder / "test", 6, 1)
    return folder


@pytest.fixture(scope="module")
def on_folder(set_up_run):
    """Sets up a tiny run on a folder: ``on_folder(folder, {"steps": 5})``; the data may be changed apart."""

    def make(folder, *changes, **data):
        settings = {"patch_size": 4, "image_size": 8, "width": 16, "depth": 1, "heads": 2}
        run = {
            "model": {"family": "vit", "settings": settings},
            "data": {"source": f"folder:{folder}", "test": "test", "augment": AUGMENT, **data},
            "strategy": "scratch", "steps": 8, "global_batch_size": 8,
            "log": {"every": 2}, "checkpoint": {"every": 2}, "evaluate": {"batch_size": 8},
        }  # fmt: skip
        return set_up_run(run, *changes)

    return make


@pytest.fixture(scope="module")
def done(on_folder, photographs, programs, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    return run, train_run(on_folder(photographs), run, "hash", Surroundings(programs))


def logits_of(run):
    return pq.read_table(run / "predictions.parquet").to_pydict()


def test_the_official_test_split_is_tested_on_and_validation_comes_out_of_the_labels(done):
    run, summary = done
    assert (summary["train_examples"], summary["validation_examples"], summary["test_examples"]) == (34, 8, 18)
    table = logits_of(run)
    parts = {(split, name.split("/")[0]) for split, name in zip(table["split"], table["id"], strict=True)}
    assert parts == {("test", "test"), ("validation", "train")}
    data = json.loads((run / "manifest.json").read_text())["data"]
    assert (data["classes"], data["parts"], data["skipped"]) == (
        ["blue", "green", "red"],
        {"test": 18, "train": 42},
        [],
    )


def test_a_run_tells_how_long_it_waited_for_input(done):
    run, summary = done
    rows = [row["timing"] for row in read_metrics(run / "metrics.jsonl") if "timing" in row]
    assert rows
    assert all(0 <= row["input_wait_share"] <= 1 for row in rows)
    assert summary["timing"]["input_wait_s"] > 0
    assert 0 < summary["timing"]["input_wait_share"] <= 1


@pytest.mark.parametrize("data", [{"memory": 0}, {"threads": 3}, {"workers": 2}], ids=str)
def test_how_images_are_read_changes_nothing(on_folder, photographs, done, programs, tmp_path, data):
    train_run(on_folder(photographs, **data), tmp_path, "hash", Surroundings(programs))
    assert logits_of(tmp_path) == logits_of(done[0])


def test_a_run_that_was_stopped_goes_on_with_the_batches_that_were_left(
    on_folder, photographs, done, programs, tmp_path
):
    surroundings = Surroundings(programs, on_step=lambda steps: None)
    steps = []

    def stop_at_five(count):
        steps.append(count)
        if len(steps) == 5:
            surroundings.stop.set()

    surroundings = Surroundings(programs, on_step=stop_at_five)
    with pytest.raises(StoppedError):
        train_run(on_folder(photographs), tmp_path, "hash", surroundings)
    train_run(on_folder(photographs), tmp_path, "hash", Surroundings(programs))
    assert logits_of(tmp_path) == logits_of(done[0])


def test_augmentation_and_balance_change_what_is_learned(on_folder, photographs, done, programs, tmp_path):
    found = [logits_of(done[0])["logits"]]
    for index, data in enumerate([{"augment": {"mixup": 0.0, "cutmix": 0.0, "crop": 0.0}}, {"balance": "sample"}]):
        train_run(on_folder(photographs, **data), tmp_path / str(index), "hash", Surroundings(programs))
        found.append(logits_of(tmp_path / str(index))["logits"])
    assert found[0] != found[1] != found[2] != found[0]


def test_a_broken_photograph_stops_a_run_with_its_name_or_is_left_out_and_listed(on_folder, programs, tmp_path):
    photographs = tmp_path / "photographs"
    paint(photographs / "train", 8, 2)
    paint(photographs / "test", 3, 3)
    broken = photographs / "train/red/3.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(InputError, match="train/red/3.jpg"):
        train_run(on_folder(photographs), tmp_path / "raise", "hash", Surroundings(programs))
    setup = on_folder(photographs, on_error="skip")
    train_run(setup, tmp_path / "skip", "hash", Surroundings(programs))
    (skipped,) = json.loads((tmp_path / "skip/manifest.json").read_text())["data"]["skipped"]
    assert pathlib.Path(skipped["where"]) == broken
    assert len(setup.source.labels) == 3 * 11 - 1
