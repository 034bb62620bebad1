"""The whole audit, of small data sets with planted faults, and of clean ones."""

import json

import numpy as np
import pytest

from tests.audit.planted import COPIES, coded, images, scene, source, texts
from tlj import config
from tlj.audit.audit import audit, audit_source, leaks
from tlj.data.settings import DataSettings, Skipped


def report_of(made, **how):
    report = audit_source(made, made.parts, **how)
    return json.loads(json.dumps(report, allow_nan=False))


def said(report, about: str) -> list[str]:
    return [finding["says"] for finding in report["findings"] if finding["about"] == about]


def test_a_clean_set_of_images_has_no_finding():
    report = report_of(images([scene(i) for i in range(40)], [scene(100 + i) for i in range(20)]))
    assert report["verdict"] == "No test image is a copy of a training image, and nothing else is suspicious."
    assert report["findings"] == []
    assert not leaks(report)


def test_a_clean_set_of_texts_has_no_finding():
    made = texts([f"sentence {i} of many" for i in range(40)], [f"another {i} of many" for i in range(20)])
    report = report_of(made)
    assert report["verdict"] == "No test text is a copy of a training text, and nothing else is suspicious."
    assert report["findings"] == []


def test_planted_image_leaks_are_all_found_with_their_ids():
    scenes = [scene(i) for i in range(20)]
    copies = [coded(scenes[0]), *(change(scenes[i + 1]) for i, change in enumerate(COPIES.values()))]
    clean = [coded(scene(100 + i)) for i in range(10)]
    made = images(scenes, [*clean, *copies, coded(scenes[9].transpose(0))])
    report = report_of(made)
    (between,) = report["duplicates"]["of_training"]
    assert leaks(report)
    assert between["kinds"] == {"identical": 1, "near": len(COPIES), "mirrored": 1}
    pairs = {pair["id"]: pair["train_id"] for pair in between["pairs"]}
    assert pairs == {f"test/{10 + i}": f"train/{i}" for i in range(10)}
    assert report["verdict"].startswith("10 of 20 test images (50 %) are copies or near duplicates of training images")
    assert "mend this before training" in report["verdict"]


def test_planted_text_leaks_are_found_and_told_apart():
    made = texts(
        ["A fine film.", *(f"text {i}" for i in range(20))], ["A fine film.", "a FINE  film", "other", "words"]
    )
    report = report_of(made)
    assert report["duplicates"]["of_training"][0]["kinds"] == {"identical": 1, "normalised": 1}
    assert leaks(report)


def test_copies_among_other_splits_are_no_leak_into_the_test():
    made = texts([f"text {i}" for i in range(20)], ["x", "y", "z", "text 3"])
    splits = {"train": np.arange(20), "test": np.arange(20, 23), "val": np.array([23])}
    report = json.loads(json.dumps(audit_source(made, splits)))
    assert not leaks(report)
    words = ["1 of 1 val text (100 %) is a copy of a training text (1 identical)."]
    assert said(report, "copies of training") == words


def test_labels_that_disagree_are_serious_where_the_content_is_the_same():
    scenes = [scene(i) for i in range(20)]
    made = images([*scenes, scenes[4]], [scene(50), scene(51)], train_labels=[i % 2 for i in range(20)] + [1])
    report = report_of(made)
    (group,) = report["duplicates"]["conflicts"]["groups"]
    assert (group["kind"], group["ids"], group["labels"]) == ("identical", ["train/4", "train/20"], ["ant", "bee"])
    assert said(report, "labels") == ["1 set of images that are identical carries more than one label."]
    assert report["findings"][0]["severity"] == "serious"
    assert ", but 1 set of images" in report["verdict"]


def test_a_class_of_png_files_alone_is_found():
    files = [coded(scene(i), "PNG" if i % 2 else "JPEG") for i in range(40)]
    report = report_of(images(files, [scene(100), scene(101)]))
    assert [row["property"] for row in report["suspicions"]["classes"]] == ["format"]
    (sentence,) = said(report, "shortcut")
    assert "is told by format" in sentence
    assert "100 % of it, 0 % elsewhere" in sentence


def test_a_test_split_of_another_format_is_found():
    made = images([scene(i) for i in range(30)], [coded(scene(100 + i), "PNG") for i in range(30)])
    assert "Split test is told by format PNG" in " ".join(said(report_of(made), "splits differ"))


def test_a_class_that_the_test_lacks_is_named():
    made = texts([f"text {i}" for i in range(40)], [f"other {i}" for i in range(20)], test_labels=[0] * 20)
    assert "test has no example of class bee." in said(report_of(made), "classes")


def test_small_and_unbalanced_classes_are_named():
    made = texts([f"text {i}" for i in range(80)], ["x", "y"], train_labels=[0] * 76 + [1] * 4)
    words = " ".join(said(report_of(made), "classes"))
    assert "1 class has fewer than 10 examples in train: bee." in words
    assert "19 times the examples of the smallest; always answering it is right for 95 %" in words


def test_what_was_skipped_and_what_fails_now_are_both_unreadable():
    skipped = (Skipped("a.jpg", "the file is empty"),)
    made = source("images", [coded(scene(i)) for i in range(20)], [b"broken", coded(scene(30))], skipped=skipped)
    report = report_of(made)
    assert [one["where"] for one in report["unreadable"]["examples"]] == ["a.jpg", "item 20"]
    assert said(report, "unreadable")[0].startswith("2 images cannot be read, for example a.jpg: the file is empty")


def test_nothing_readable_is_a_report_too():
    report = report_of(source("images", [b"x"] * 12, [b"y"] * 3))
    assert report["unreadable"]["count"] == 15
    assert not leaks(report)


def test_digits_are_audited_from_their_config():
    data = dict(config.default().data)
    report = audit(DataSettings("digits:5-9"), data, image_size=8)
    assert sum(row["examples"] for row in report["splits"]) == 896
    assert not leaks(report)
    assert report["images"]["formats"] == [{"value": "pixels", "count": 896}]


@pytest.mark.filterwarnings("ignore:tlj")
def test_the_ants_and_bees_have_no_copy_and_one_gif(shared_data):
    folder = shared_data("data/hymenoptera")
    data = dict(config.default().data) | {"train": "train", "test": "val"}
    report = audit(DataSettings(f"folder:{folder}"), data, image_size=224)
    assert not leaks(report)
    assert all(row["superfluous"] == 0 for row in report["duplicates"]["within"])
    assert report["images"]["odd"] == [{"id": "train/ants/imageNotFound.gif", "kind": "GIF P"}]
