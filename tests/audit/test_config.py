"""The audit of the data that a config names."""

import pathlib

import numpy as np
import PIL.Image
import pytest

import tlj
from tlj import config as configuration
from tlj.audit.config import audit_config
from tlj.errors import InputError

CHECKPOINTS = pathlib.Path(__file__).parents[1] / "golden/checkpoints"


def audited(**changes):
    return audit_config(configuration.merge(configuration.default(), changes).to_dict())[0]


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(24):
        folder = tmp_path / "photographs" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        size = (20, 10 + index)
        PIL.Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{index}.png")
    return f"folder:{tmp_path}/photographs"


def test_images_are_held_against_the_size_of_the_model(photographs):
    assert audited(data={"source": photographs})["images"]["below_model_size"] is None
    sized = audited(data={"source": photographs}, model={"settings": {"image_size": 12}})["images"]
    assert (sized["model_size"], sized["below_model_size"]) == (12, pytest.approx(2 / 24))
    checkpoint = tlj.load(CHECKPOINTS / "vit_gelu")
    held = audited(data={"source": photographs}, model={"source": str(CHECKPOINTS / "vit_gelu")})["images"]
    assert held["model_size"] == checkpoint.spec.image_size


def test_a_class_that_training_lacks_is_a_finding_and_no_reason_to_stop(photographs, tmp_path):
    (tmp_path / "photographs/c").mkdir()
    PIL.Image.new("RGB", (20, 20)).save(tmp_path / "photographs/c/only.png")
    splits = {"train": "all[:30%]", "test": "all[30%:]"}
    for train, test in (splits.values(), reversed(splits.values())):
        report = audited(data={"source": f"{photographs}/", "train": train, "test": test})
        absent = {row["split"]: row["absent"] for row in report["splits"]}
        assert sorted(absent.values()) == [[], ["c"]]


def test_text_is_counted_in_words_until_there_is_a_tokenizer(tmp_path):
    lines = [f"{'good fine film ' * (i % 7 + 1)}{i}\t{i % 2}" for i in range(30)]
    (tmp_path / "t.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "fine", "film"]
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    data = {"source": f"tsv:{tmp_path}/t.tsv"}
    assert audited(data=data)["texts"]["unit"] == "words"
    report = audited(data={**data, "text": {"tokenizer": str(tmp_path), "length": 10}})
    assert report["texts"]["unit"] == "tokens"
    assert report["texts"]["truncated"] > 0


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_labels_that_are_no_classes_are_refused(task):
    with pytest.raises(InputError, match=f"config.task: an audit knows labels that are one class.*{task} are not; set"):
        audited(task=task, data={"source": "csv:somewhere.csv"})
