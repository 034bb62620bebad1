"""Images in folders."""

import collections
import io
import os
import pickle
import shutil

import numpy as np
import PIL.Image
import pytest

from tlj.data.origins.folder import open_folder
from tlj.data.settings import DataSettings
from tlj.errors import InputError


def image(seed=0):
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (3, 2), (seed % 256, 50, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(root, *paths):
    for i, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(image(i))


def opened(root, **settings):
    return open_folder(DataSettings(f"folder:{root}", **settings), str(root))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TLJ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


@pytest.fixture
def flat(root):
    fill(root, *(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(5)))
    return root


@pytest.fixture
def split(root):
    fill(root, *(f"{part}/{name}/{i}.png" for part in ("train", "test") for name in ("cat", "dog") for i in range(5)))
    return root


def test_folders_of_classes_label_their_images(flat):
    source = opened(flat)
    assert (source.kind, source.classes, source.parts, source.skipped) == ("images", ("cat", "dog"), {}, ())
    assert sorted(source.ids) == [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(5)]
    assert [source.classes[label] for label in source.labels] == [name.split("/")[0] for name in source.ids]
    for index, name in enumerate(source.ids):
        assert source.items[index] == (flat / name).read_bytes()
        assert source.items.where(index) == str(flat / name)
    assert source.facts == {"layout": "class/image", "hash_of": "paths and contents"}


def test_folders_of_splits_are_parts(split):
    source = opened(split)
    assert source.classes == ("cat", "dog")
    assert list(source.parts) == ["test", "train"]
    for name, part in source.parts.items():
        assert len(part) == 10
        assert {source.ids[i].split("/")[0] for i in part} == {name}
    assert source.facts["layout"] == "split/class/image"


def test_photographs_in_their_splits(shared_data):
    source = opened(shared_data("data/hymenoptera"))
    assert source.classes == ("ants", "bees")
    assert sum(map(len, source.parts.values())) == len(source.labels) > 300
    assert PIL.Image.open(io.BytesIO(source.items[0])).format == "JPEG"


def test_any_stretch_of_a_part_is_a_fair_part_of_it(root):
    fill(root, *(f"{name}/{i:03}.png" for name in "abcde" for i in range(40)))
    source = opened(root)
    counts = collections.Counter(source.labels[: len(source.labels) * 4 // 5].tolist())
    assert all(24 <= counts[label] <= 40 for label in range(5))
    assert counts.total() == 160


def test_files_that_are_added_leave_the_others_in_their_order(flat):
    before = opened(flat).ids
    fill(flat, "cat/new.png", "dog/another.png")
    after = opened(flat).ids
    assert tuple(name for name in after if name in before) == before
    assert len(after) == 12


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("b", "a", "B"), ("B", "a", "b")), (("10", "9", "0"), ("0", "9", "10")), (("10", "9", "x"), ("10", "9", "x"))],
)
def test_classes_are_sorted_whole_numbers_by_value(root, names, expected):
    fill(root, *(f"{name}/1.png" for name in names))
    assert opened(root).classes == expected


def test_declared_classes_keep_their_order(flat):
    source = opened(flat, classes=("dog", "cat"))
    assert source.classes == ("dog", "cat")
    assert [source.classes[label] for label in source.labels] == [name.split("/")[0] for name in source.ids]
    assert source.digest != opened(flat).digest


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "dig"), r"unknown class 'dog'; did you mean 'dig'"),
        (("cat", "dog", "cow"), r"config.data.classes: no folder 'cow' below "),
    ],
)
def test_declared_classes_must_be_those_that_are_there(flat, classes, message):
    with pytest.raises(InputError, match=message):
        opened(flat, classes=classes)


def test_a_class_may_be_missing_from_a_split(split):
    shutil.rmtree(split / "test/dog")
    (split / "test/dog").mkdir()
    source = opened(split)
    assert set(source.labels[source.parts["test"]].tolist()) == {0}
    assert set(source.labels[source.parts["train"]].tolist()) == {0, 1}


def test_hidden_files_and_litter_are_ignored(flat):
    for litter in (".DS_Store", "cat/Thumbs.db", "__MACOSX/cat/1.png", "desktop.ini", ".git/1.png"):
        fill(flat, litter)
    assert len(opened(flat).ids) == 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: fill(root, "train/cat/1.png"), "as class/image and as split/class/image, for example cat/"),
        (lambda root: fill(root, "a/b/c/1.png"), "a/b/c/1.png: the file lies 4 names deep"),
        (lambda root: (root / "cow").mkdir(), "cow: the class has no image"),
        (lambda root: shutil.rmtree(root / "dog"), "there is only one class, 'cat'"),
        (lambda root: [shutil.rmtree(root / name) for name in ("cat", "dog")], "there is no image in the folder"),
        (
            lambda root: [(root / old).rename(root / new) for old, new in (("cat", "train"), ("dog", "val"))],
            "train and val would be the classes",
        ),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_folder_that_is_laid_out_otherwise_is_an_error(flat, make, message, on_error):
    make(flat)
    with pytest.raises(InputError, match=message):
        opened(flat, on_error=on_error)


def test_images_without_folders_of_classes_are_an_error(root):
    fill(root, "1.png", "2.png")
    with pytest.raises(InputError, match=r"1.png: the image lies in no folder of a class; .*class/image"):
        opened(root)


def test_a_split_without_images_is_an_error(split):
    (split / "val/cat").mkdir(parents=True)
    with pytest.raises(InputError, match="val: the split has no image"):
        opened(split)


PROBLEMS = {
    "cat/notes.txt": (lambda path: path.write_text("x"), "its name does not end like that of an image"),
    "cat/9": (lambda path: path.write_bytes(image()), "its name does not end like that of an image"),
    "dog/8.png": (lambda path: path.touch(), "the file is empty"),
    "dog/7.png": (lambda path: path.symlink_to("nothing"), "cannot be looked at: No such file"),
    "README.md": (lambda path: path.write_text("x"), "does not lie as class/image"),
    "6.png": (lambda path: path.write_bytes(image()), "does not lie as class/image"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_no_image_is_named_or_left_out_and_listed(flat, name):
    make, reason = PROBLEMS[name]
    make(flat / name)
    with pytest.raises(InputError, match=reason) as caught:
        opened(flat)
    assert str(caught.value).startswith(str(flat / name))
    assert "data.on_error=skip" in str(caught.value)
    source = opened(flat, on_error="skip")
    assert len(source.ids) == 10
    assert [skipped.where for skipped in source.skipped] == [str(flat / name)]
    assert reason in source.skipped[0].reason


def test_a_file_beside_the_classes_of_a_split_is_named(split):
    (split / "train/labels.csv").write_text("x")
    with pytest.raises(InputError, match="train/labels.csv: the file does not lie as split/class/image"):
        opened(split)


def test_no_more_is_left_out_than_allowed(flat):
    for i in range(3):
        (flat / f"cat/{i}.txt").touch()
    assert len(opened(flat, on_error="skip", skip_limit=3).skipped) == 3
    with pytest.raises(InputError, match="more than 2 examples cannot be read"):
        opened(flat, on_error="skip", skip_limit=2)


def test_a_class_of_which_nothing_can_be_read_is_an_error(flat):
    for path in (flat / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="cat: the class has no image"):
        opened(flat, on_error="skip")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dta", "there is no folder 'dta'; did you mean 'data'"),
        ("dta/train", "there is no folder 'dta/train'; did you mean 'data'"),
        ("data/cta", "there is no folder 'data/cta'; did you mean 'data/cat'"),
        ("data/cat/1.png", "is a file, not a folder"),
        ("", "no folder is named"),
        ("~nobody-of-that-name/data", "there is no folder"),
        ("nul\0", "there is no folder"),
    ],
)
def test_a_folder_that_is_not_there_is_an_error_with_the_nearest(flat, monkeypatch, argument, message):
    monkeypatch.chdir(flat.parent)
    with pytest.raises(InputError, match=message) as caught:
        open_folder(DataSettings(f"folder:{argument}"), argument)
    assert str(caught.value).startswith("config.data.source: ")


def test_the_folder_is_found_from_the_current_one_and_from_home(flat, monkeypatch, tmp_path):
    monkeypatch.chdir(flat.parent)
    monkeypatch.setenv("HOME", str(flat.parent))
    sources = [open_folder(DataSettings("folder:x"), argument) for argument in ("data", "~/data", str(flat))]
    assert len({(source.ids, source.digest) for source in sources}) == 1
    assert sources[0].items.where(0) == os.path.join("data", sources[0].ids[0])
    # Elsewhere, and in another process, the files are found still.
    monkeypatch.chdir(tmp_path / "cache")
    assert pickle.loads(pickle.dumps(sources[0].items))[0] == (flat / sources[0].ids[0]).read_bytes()


def test_the_digest_follows_the_content(flat):
    first = opened(flat).digest
    assert opened(flat).digest == first
    (flat / "cat/1.png").write_bytes(image(99))
    assert opened(flat).digest != first


def test_a_file_that_goes_away_is_named_when_it_is_read(flat):
    source = opened(flat)
    (flat / source.ids[3]).unlink()
    with pytest.raises(InputError, match=f"{source.ids[3]}: the file cannot be read: No such file"):
        source.items[3]
    assert len(source.items) == len(np.unique(source.ids)) == 10
