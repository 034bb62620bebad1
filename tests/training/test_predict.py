"""What a trained model says of labelled data."""

import pathlib
import types

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest

from tlj import config as configuration
from tlj.data.fixed import ImagesInMemory
from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.training.predict import Predicted, labels_of_model, predict


def on(source, **changes):
    return configuration.merge(configuration.default(), {"data": {"source": source}, **changes}).to_dict()


@pytest.fixture(scope="module")
def run(comparison):
    workdir, _ = comparison
    return workdir / "runs/full/40/0"


def by_id(file):
    table = pq.read_table(file).to_pydict()
    return {name: rest for name, *rest in zip(table["id"], table["label"], table["logits"], strict=True)}


def test_predictions_on_the_data_of_a_run_are_those_that_the_run_wrote(run, tmp_path):
    predicted = predict(run, on("digits:5-9"), tmp_path / "p.parquet")
    ours, theirs = by_id(tmp_path / "p.parquet"), by_id(run / "predictions.parquet")
    assert predicted.examples == len(ours) > len(theirs)
    for name, (label, logits) in theirs.items():
        assert ours[name][0] == label
        np.testing.assert_allclose(ours[name][1], logits, rtol=1e-4, atol=1e-5)
    right = [np.argmax(logits) == label for label, logits in ours.values()]
    assert predicted.metrics["accuracy"] == np.mean(right)


def test_a_part_may_be_chosen_and_is_named_in_the_file(run, tmp_path):
    predicted = predict(run, on("digits:5-9"), tmp_path / "p.parquet", part="all[:10%]")
    table = pq.read_table(tmp_path / "p.parquet").to_pydict()
    assert predicted.examples == len(table["id"]) == round(0.1 * 896)
    assert set(table["split"]) == {"all[:10%]"}


def test_data_with_fewer_classes_is_labelled_as_the_model_numbers_them(run, tmp_path):
    predicted = predict(run, on("digits:7-9"), tmp_path / "p.parquet")
    assert {label for label, _ in by_id(tmp_path / "p.parquet").values()} == {2, 3, 4}
    assert predicted.metrics["accuracy"] > 1 / 3


def test_a_table_may_lack_classes_of_the_model_and_have_but_one(run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    for index, image in enumerate(pixels):
        PIL.Image.fromarray(image).save(tmp_path / f"{index}.png")
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{index}.png,7\n" for index in range(3)))
    predicted = predict(run, on(f"csv:{tmp_path}/t.csv"), tmp_path / "p.parquet")
    assert predicted.examples == 3
    assert [label for label, _ in by_id(tmp_path / "p.parquet").values()] == [2, 2, 2]
    (tmp_path / "u.csv").write_text("image,label\n0.png,7\n1.png,4\n")
    with pytest.raises(InputError, match="u.csv, row 3, 1.png: the label 4 is not one of the 5 classes 5, 6, 7, 8, 9"):
        predict(run, on(f"csv:{tmp_path}/u.csv"), tmp_path / "q.parquet")


def test_a_folder_may_lack_classes_of_the_model_too(run, tmp_path):
    (tmp_path / "data/9").mkdir(parents=True)
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "data/9/0.png")
    assert predict(run, on(f"folder:{tmp_path}/data"), tmp_path / "p.parquet").examples == 1
    assert [label for label, _ in by_id(tmp_path / "p.parquet").values()] == [4]
    (tmp_path / "data/3").mkdir()
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "data/3/0.png")
    with pytest.raises(InputError, match="unknown class '3'"):
        predict(run, on(f"folder:{tmp_path}/data/"), tmp_path / "q.parquet")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digits:0-9", "digits:0-9 has 5 of 10 classes that the model has not: 0, 1, 2, 3, 4"),
        ("synthetic:16x5", "classes that the model has not"),
        ("synthetic_text:8x4", "vit takes images, synthetic_text:8x4 holds text"),
    ],
)
def test_data_that_the_model_was_not_made_for_is_refused_in_one_line(run, tmp_path, source, message):
    with pytest.raises(InputError) as refused:
        predict(run, on(source), tmp_path / "p.parquet")
    assert message in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_labels_follow_names_and_not_places():
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    preprocessing = Preprocessing(8, (0.5,) * 3, (0.5,) * 3)
    source = ImagesInMemory("s", ("b", "a"), pixels, np.array([0, 1, 0], np.int32), ("0", "1", "2"), preprocessing)
    assert labels_of_model(source, ("a", "b", "c"), "run").tolist() == [1, 0, 1]
    with pytest.raises(InputError, match="does not tell its classes"):
        labels_of_model(source, (), "run")


def test_sets_are_put_into_the_columns_of_the_model_and_numbers_stay():
    sets = types.SimpleNamespace(name="s", classes=("b", "a"), labels=np.array([[1, 0], [1, 1]], np.int8))
    assert labels_of_model(sets, ("a", "b", "c"), "run").tolist() == [[0, 1, 0], [1, 1, 0]]
    numbers = types.SimpleNamespace(name="s", classes=(), labels=np.array([0.5, 2], np.float32))
    assert labels_of_model(numbers, (), "run") is numbers.labels


def test_what_came_out_is_told_by_its_main_metric_first_and_as_json_without_what_is_no_number():
    predicted = Predicted(1200, "regression", {"loss": 0.25, "rmse": 0.5, "r2": None, "pearson": float("nan")})
    assert str(predicted) == "1,200 examples: rmse 0.5000, loss 0.2500, pearson nan"
    assert predicted.to_json() == {"examples": 1200, "loss": 0.25, "rmse": 0.5, "r2": None, "pearson": None}


def test_a_model_of_many_outputs_is_not_read_as_one_of_numbers(tmp_path):
    data = tmp_path / "t.csv"
    data.write_text("image,label\n0.png,1.5\n1.png,2\n")
    vit = pathlib.Path(__file__).parents[1] / "golden/checkpoints/vit_gelu"
    with pytest.raises(InputError, match="outputs, which is too many for regression; set config.task to what they say"):
        predict(vit, on(f"csv:{data}", task="regression"), tmp_path / "p.parquet")
