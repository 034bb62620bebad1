"""Data sets of the datasets library, written to disk as it does and read back."""

import pickle
import sys

import pytest

from tlj.errors import InputError


@pytest.fixture
def datasets(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("datasets", reason="datasets is not installed")
    library.disable_progress_bars()
    return library


@pytest.fixture
def animals(datasets, png, tmp_path):
    """A folder with images in two splits and a third without labels."""
    names = datasets.ClassLabel(names=["dog", "cat"])
    features = datasets.Features({"image": datasets.Image(), "label": names})

    def split(numbers, labels):
        images = [{"bytes": png(number), "path": None} for number in numbers]
        return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)

    splits = {"train": split(range(4), [0, 1, 1, 0]), "test": split([9, 8], [1, 0]), "hidden": split([7], [-1])}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "animals"))
    return tmp_path / "animals"


def test_images_are_the_encoded_bytes_with_splits_and_class_names(animals, opened, png):
    source = opened("hf", animals)
    assert source.classes == ("dog", "cat")
    assert {name: [source.ids[i] for i in part] for name, part in source.parts.items()} == {
        "train": ["train:1", "train:2", "train:3", "train:4"],
        "test": ["test:1", "test:2"],
    }
    assert source.labels[source.parts["train"]].tolist() == [0, 1, 1, 0]
    assert [source.items[i] for i in source.parts["test"]] == [png(9), png(8)]
    assert source.facts["unlabelled"] == ("hidden",)


def test_another_process_maps_the_same_files(animals, opened, png):
    items = opened("hf", animals).items
    sent = pickle.dumps(items)
    assert png(2) not in sent
    assert pickle.loads(sent)[2] == png(2)


def test_a_selection_of_one_split_of_pairs_is_read(datasets, opened, tmp_path):
    columns = {"premise": ["a", "b", "c"], "hypothesis": ["d", "e", "f"], "label": [0, 1, 1], "idx": [5, 6, 7]}
    whole = datasets.Dataset.from_dict(columns)
    whole.select([2, 0]).save_to_disk(str(tmp_path / "pairs"))
    source = opened("hf", tmp_path / "pairs", id="idx")
    assert [source.items[i] for i in range(2)] == [("c", "f"), ("a", "d")]
    assert source.ids == ("7", "5")
    assert not source.parts


def test_a_folder_of_another_kind_is_one_line(datasets, opened, tmp_path):
    with pytest.raises(InputError, match="the folder was not written by save_to_disk; use folder:PATH"):
        opened("hf", tmp_path)


def test_what_the_library_cannot_load_is_one_line(datasets, opened, animals):
    (animals / "train" / "state.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be loaded: ") as error:
        opened("hf", animals)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("argument", ["", "@config"])
def test_no_name_is_one_line(datasets, opened, argument):
    with pytest.raises(InputError, match="no name is given"):
        opened("hf", argument)


def test_without_the_library_the_line_says_how_to_install_it(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'tlj\[hf\]'"):
        opened("hf", "imdb")
