"""Images that cannot be decoded are found before training, and left out where that was asked for."""

import dataclasses

import numpy as np
import pytest

from tlj.data.cache import cache_folder
from tlj.data.examples import Examples
from tlj.data.readable import readable
from tlj.data.settings import DataSettings, Skipped
from tlj.data.sources import open_source
from tlj.errors import InputError

from .test_image_reader import Pictures, picture

SKIP = DataSettings("pictures", on_error="skip", skip_limit=3)
BAD = (2, 130)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TLJ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source():
    contents = [b"no image" if i in BAD else picture(i) for i in range(140)]
    return Examples(
        "pictures",
        "images",
        ("a", "b"),
        np.arange(140) % 2,
        tuple(f"id {i}" for i in range(140)),
        Pictures(contents),
        "digest",
        parts={"train": np.arange(100), "test": np.arange(100, 140)},
    )


def test_those_that_cannot_be_decoded_are_left_out_and_listed(source):
    found = readable(source, SKIP)
    assert len(found.labels) == len(found.items) == len(found.ids) == 138
    assert not {f"id {i}" for i in BAD} & set(found.ids)
    assert [skipped.where for skipped in found.skipped] == ["picture 2", "picture 130"]
    assert all("JPEG" in skipped.reason for skipped in found.skipped)
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 99, "test": 39}
    assert [found.ids[i] for i in found.parts["test"][:2]] == ["id 100", "id 101"]


def test_what_was_found_is_kept_and_no_image_is_read_again(source):
    first = readable(source, SKIP)
    source.items.read[:] = 0
    second = readable(source, SKIP)
    assert not source.items.read.any()
    assert (second.ids, second.skipped) == (first.ids, first.skipped)


def test_other_content_is_looked_at_anew(source):
    readable(source, SKIP)
    source.items.read[:] = 0
    readable(dataclasses.replace(source, digest="another"), SKIP)
    assert (source.items.read == 1).all()


@pytest.mark.parametrize(
    "kept", [b"", b"{", b"[]", b'{"unreadable": {"999": "x"}}', b'{"unreadable": {"a": "x"}}', b"\xff"]
)
def test_a_cache_that_makes_no_sense_is_ignored(source, kept):
    expected = readable(source, SKIP).skipped
    (file,) = cache_folder("readable").iterdir()
    file.write_bytes(kept)
    assert readable(source, SKIP).skipped == expected


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_images_are_read_only_where_some_may_be_left_out(source, on_error):
    settings = dataclasses.replace(SKIP, on_error=on_error)
    assert (readable(source, settings) is source) == (on_error == "raise")
    assert source.items.read.any() == (on_error == "skip")


def test_text_is_left_alone(source):
    text = dataclasses.replace(source, kind="text")
    assert readable(text, SKIP) is text


def test_more_than_the_limit_is_an_error_with_those_the_source_left_out_counted_in(source):
    before = (Skipped("a file", "empty"),)
    assert len(readable(dataclasses.replace(source, skipped=before), SKIP).skipped) == 3
    for _ in range(2):  # found, and from what was kept
        with pytest.raises(InputError, match="more than 3 examples cannot be read; the last is picture 130"):
            readable(dataclasses.replace(source, skipped=before * 2), SKIP)


def test_a_source_is_opened_without_its_unreadable_images(tmp_path):
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "data" / name / f"{i}.jpg").write_bytes(picture(i))
    (tmp_path / "data/b/1.jpg").write_bytes(b"text")
    settings = DataSettings(f"folder:{tmp_path / 'data'}", on_error="skip")
    source = open_source(settings)
    assert len(source.labels) == 5
    assert [skipped.where for skipped in source.skipped] == [str(tmp_path / "data/b/1.jpg")]


def test_nothing_that_can_be_read_is_one_line_that_says_so(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_bytes(b"text")
    with pytest.raises(InputError, match=f"folder:{tmp_path}: not one image can be read"):
        open_source(DataSettings(f"folder:{tmp_path}", on_error="skip"))
