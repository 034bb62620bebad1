"""The tokenizer of a model goes with it: from its source into a run, and from the run to what is made of it."""

import json
import shutil

import pytest

import tlj
from tlj.errors import InputError
from tlj.pretrained.identity import content_identity
from tlj.pretrained.runs import read_run
from tlj.training.loop import Surroundings, train_run

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]


@pytest.fixture(scope="module")
def trained(families, set_up_run, programs):
    """Trains a tiny BERT for three steps: ``trained(directory, source="")``."""

    def train(directory, source=""):
        model = {"family": "bert"} | ({"source": str(source)} if source else {"settings": families["bert"]})
        changes = {
            **{"model": model, "data": {"source": "synthetic_text:8x4"}, "strategy": "full" if source else "scratch"},
            **{"steps": 3, "global_batch_size": 8, "label_budget": 40, "evaluate": {"every": 0}},
        }
        directory.mkdir(exist_ok=True)
        train_run(set_up_run(changes), directory, "hash", Surroundings(programs))
        return directory

    return train


@pytest.fixture(scope="module")
def source(trained, tmp_path_factory):
    """A run that is a source with a tokenizer."""
    run = trained(tmp_path_factory.mktemp("source"))
    (run / "tokenizer").mkdir()
    (run / "tokenizer/vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["model"]["preprocessing"]["tokenizer"] = content_identity([run / "tokenizer/vocab.txt"])
    (run / "manifest.json").write_text(json.dumps(manifest))
    return run


@pytest.fixture(scope="module")
def run(trained, source, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"), source)


def test_a_run_carries_the_tokenizer_of_its_source(run, source):
    assert (run / "tokenizer/vocab.txt").read_bytes() == (source / "tokenizer/vocab.txt").read_bytes()
    found, expected = read_run(run), read_run(source)
    assert found.preprocessing == expected.preprocessing
    assert found.preprocessing.tokenizer == content_identity(found.files.values())
    assert found.files == {"vocab.txt": run / "tokenizer/vocab.txt"}


def test_a_loaded_run_has_the_tokenizer_without_its_source(run, tmp_path):
    alone = shutil.copytree(run, tmp_path / "alone")
    model = tlj.load(alone)
    assert model.tokenizer("a b A")["input_ids"] == [2, 5, 6, 5, 3]
    assert model.tokenizer is model.tokenizer
    assert model(dict(model.tokenizer(["a b", "b"], padding=True, return_tensors="np"))).shape == (2, 4)


def test_a_run_whose_tokenizer_was_tampered_with_is_no_source(run, tmp_path):
    tampered = shutil.copytree(run, tmp_path / "tampered")
    (tampered / "tokenizer/vocab.txt").write_text("".join(f"{word}\n" for word in [*WORDS[:5], "b", "a"]))
    with pytest.raises(InputError, match="tokenizer: the files of the tokenizer have the hash"):
        tlj.load(tampered)
    shutil.rmtree(tampered / "tokenizer")
    with pytest.raises(InputError, match="the files of the tokenizer are missing"):
        tlj.load(tampered)


def test_a_finished_run_that_is_asked_for_again_copies_nothing(run, source, trained):
    before = (run / "tokenizer").stat().st_mtime_ns
    trained(run, source)
    assert (run / "tokenizer").stat().st_mtime_ns == before


def test_a_resumed_run_copies_nothing(run, source, trained, tmp_path):
    resumed = shutil.copytree(run, tmp_path / "resumed")
    (resumed / "summary.json").unlink()
    before = (resumed / "tokenizer").stat()
    trained(resumed, source)
    after = (resumed / "tokenizer").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert (resumed / "summary.json").exists()


def test_a_run_from_before_there_were_tokenizers_loads_without_one(source, tmp_path):
    old = shutil.copytree(source, tmp_path / "old")
    shutil.rmtree(old / "tokenizer")
    manifest = json.loads((old / "manifest.json").read_text())
    for name in ("tokenizer", "padding"):
        del manifest["model"]["preprocessing"][name]
    (old / "manifest.json").write_text(json.dumps(manifest))
    model = tlj.load(old)
    assert (model.preprocessing.tokenizer, model.preprocessing.padding) == ("", 0)
    with pytest.raises(InputError, match="no tokenizer travels with this model"):
        model.tokenizer  # noqa: B018
