"""Examples as a page holds them."""

import base64
import io

import numpy as np
from PIL import Image

from tests.audit.planted import coded, images, scene, texts
from tlj.audit.pictures import Pictures, examples_by_class


def opened(uri: str) -> Image.Image:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_picture_is_small_and_keeps_its_shape():
    pictures = Pictures(images([coded(scene(0, (480, 240)), "PNG")], [np.asarray(scene(1))]))
    assert opened(pictures.image("train/0")).size == (120, 60)
    shown = np.asarray(opened(pictures.image("test/0")), float)
    assert shown.shape == (80, 96, 3)
    assert np.abs(shown - np.asarray(scene(1), float)).mean() < 12


def test_what_cannot_be_shown_is_left_empty():
    pictures = Pictures(images([b"broken"], []))
    assert pictures.image("train/0") == pictures.image("no such id") == ""
    assert Pictures(texts(["a"], [])).text("no such id") == ()


def test_texts_are_cut_and_pairs_stay_pairs():
    pictures = Pictures(texts([("a" * 500, "b")], ["short"]))
    assert pictures.text("train/0") == ["a" * 400 + "…", "b"]
    assert pictures.text("test/0") == ["short"]


def test_examples_are_spread_over_each_class():
    labels, ids = [0] * 10 + [1] * 2 + [2], [str(i) for i in range(13)]
    chosen = examples_by_class(labels, ids, range(13), most_classes=2, each=3)
    assert chosen == {0: ["0", "3", "6"], 1: ["10", "11"]}
