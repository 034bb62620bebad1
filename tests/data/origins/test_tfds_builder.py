"""Finding data sets of TensorFlow Datasets, and what is said where they cannot be read."""

import pytest
import tensorflow_datasets as tfds

from tests.data.origins.tiny_tfds import build
from tlj.data.origins.tfds_builder import builder_of
from tlj.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    features = {"sentence": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)}
    splits = {"train": [{"sentence": "a", "label": 0}, {"sentence": "b", "label": 1}]}
    build(folder, "right", features, splits)
    build(folder, "wrong", features, splits, file_format="parquet")
    return folder


@pytest.fixture(autouse=True)
def data_dir(folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))


def test_a_prepared_data_set_is_found_with_and_without_its_version():
    assert builder_of("right", "tfds:right").info.splits["train"].num_examples == 2
    assert str(builder_of("right:1.0.0", "tfds:right").version) == "1.0.0"


def test_parquet_is_refused_since_it_ignores_slices():
    with pytest.raises(InputError, match="is prepared as parquet, not as array_record in .* another folder: python -c"):
        builder_of("wrong", "tfds:wrong")


def test_a_known_data_set_comes_with_the_command_that_prepares_it():
    with pytest.raises(InputError) as error:
        builder_of("mnist", "tfds:mnist")
    assert "is not prepared in" in str(error.value)
    assert "tlj[tensorflow]" in str(error.value)
    call = "tfds.builder('mnist', file_format='array_record').download_and_prepare()\""
    assert str(error.value).endswith(call)


def test_old_text_builders_are_registered_when_asked_for():
    with pytest.raises(
        InputError, match=r"glue/sst2: is not prepared .*import .* tensorflow_datasets\.text; tfds\.builder"
    ):
        builder_of("glue/sst2", "tfds:glue/sst2")


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("mnistt", "there is no data set 'mnistt'.*; did you mean 'mnist'"),
        ("glue/sst3", "cannot be opened: BuilderConfig sst3 not found"),
        ("mnist:9.9.9", "cannot be opened: Dataset mnist cannot be loaded at version 9.9.9"),
        ("huggingface:mnist", "names no data set"),
        ("../mnist", "names no data set"),
        ("", "names no data set"),
    ],
)
def test_a_name_that_cannot_be_opened_is_one_line(argument, error):
    with pytest.raises(InputError, match=error) as found:
        builder_of(argument, f"tfds:{argument}")
    assert "\n" not in str(found.value)
