"""What images and texts are like, in numbers."""

import numpy as np

from tests.audit.planted import Held, coded, scene
from tlj.audit.image_table import read_images
from tlj.audit.summaries import image_summary, text_summary
from tlj.audit.text_table import read_texts


def images(*contents, image_size=None):
    ids = [f"id {i}" for i in range(len(contents))]
    return image_summary(read_images(Held(contents), np.arange(len(contents))), ids, image_size)


def test_sizes_formats_and_modes_are_counted():
    facts = images(
        coded(scene(0)), coded(scene(1, (40, 90)), "PNG"), coded(scene(2).convert("L"), "PNG"), image_size=64
    )
    assert facts["sizes"] == [{"value": "96 x 80", "count": 2}, {"value": "40 x 90", "count": 1}]
    assert facts["smallest"] == {"id": "id 1", "size": "40 x 90"}
    assert facts["largest"]["size"] == "96 x 80"
    assert {row["value"]: row["count"] for row in facts["formats"]} == {"JPEG": 1, "PNG": 2}
    assert {row["value"]: row["count"] for row in facts["modes"]} == {"RGB": 2, "L": 1}
    assert facts["shorter_edge"]["min"] == 40
    assert facts["below_model_size"] == 1 / 3


def test_images_of_one_colour_are_named():
    facts = images(coded(scene(0)), np.zeros((20, 20, 3), np.uint8))
    assert (facts["flat_images"], facts["flat"]) == (1, ["id 1"])


def test_one_image_of_another_format_is_odd():
    facts = images(*[coded(scene(0))] * 300, coded(scene(1), "GIF"))
    assert facts["odd"] == [{"id": "id 300", "kind": "GIF P"}]


def test_histograms_count_everything_once():
    facts = images(*[coded(scene(i, (40 + 3 * i, 50)), "PNG") for i in range(30)])
    for name in ("shorter_edge", "aspect", "bytes"):
        histogram = facts[name]["histogram"]
        assert sum(histogram["counts"]) == 30
        assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    assert 20 <= len(facts["bytes"]["histogram"]["counts"]) <= 26
    assert len(facts["shorter_edge"]["histogram"]["counts"]) == 11


def test_many_sizes_are_summed_up():
    facts = images(*[np.asarray(scene(0, (20 + i, 20))) for i in range(25)])
    assert facts["distinct_sizes"] == 25
    assert facts["sizes"][-1] == {"value": "others", "count": 5}


def test_lengths_in_words_say_nothing_of_what_is_cut_off():
    table = read_texts(Held([("one",), ("two words",), ("  ",)]), np.arange(3))
    facts = text_summary(table, ["a", "b", "c"], max_length=1)
    assert (facts["unit"], facts["truncated"], facts["longest"]) == ("words", None, "b")
    assert (facts["empty_texts"], facts["empty"]) == (1, ["c"])


def test_texts_beyond_the_model_are_counted():
    table = read_texts(Held([("a " * n,) for n in (1, 2, 3, 4)]), np.arange(4))
    object.__setattr__(table, "unit", "tokens")
    facts = text_summary(table, list("abcd"), max_length=2)
    assert (facts["truncated"], facts["truncated_share"]) == (2, 0.5)


def test_nothing_read_is_no_error():
    assert images(b"") == {"images": 0}
    assert text_summary(read_texts(Held([]), np.arange(0)), [], None) == {"texts": 0}
