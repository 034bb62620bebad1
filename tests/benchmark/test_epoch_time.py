"""An epoch of sentences, by how its batches are made."""

import numpy as np
import pytest

from tlj import config as configuration
from tlj.benchmark import epoch_time
from tlj.benchmark.epoch_time import WAYS, WHOLE, format_epochs, measure_epochs, read_epoch, widened
from tlj.benchmark.windows import Windows
from tlj.errors import InputError

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film")
# Two thirds are short: 3 words, and 12.
LENGTHS = [3, 3, 12] * 16


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentences")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    lines = [f"{'film ' * length}\t{index % 2}" for index, length in enumerate(LENGTHS)]
    (folder / "train.tsv").write_text("sentence\tlabel\n" + "\n".join(lines) + "\n")
    changes = {
        "model": {"family": "bert", "settings": {"width": 8, "depth": 1, "heads": 1, "positions": 64}},
        "data": {
            "source": f"tsv:{folder}", "test_fraction": 0.25, "validation_fraction": 0.25,
            "text": {"tokenizer": str(folder), "length": 32, "buckets": 2},
        },
        "strategy": "linear_probe", "init": "scratch", "global_batch_size": 4, "workdir": str(folder),
    }  # fmt: skip
    return configuration.merge(configuration.default(), changes)


def test_a_batch_is_padded_to_the_length_and_means_the_same():
    batch = {"input_ids": np.ones((2, 3), np.int32), "attention_mask": np.ones((2, 3), np.int32), "label": np.zeros(2)}
    wide = widened(batch, 5, 7)
    assert wide["input_ids"].tolist() == [[1, 1, 1, 7, 7]] * 2
    assert wide["attention_mask"].tolist() == [[1, 1, 1, 0, 0]] * 2
    assert wide["label"] is batch["label"]


def test_every_way_has_the_batches_of_one_epoch(config):
    epochs = {way: read_epoch(config, way) for way in WAYS}
    # 48 sentences, less a quarter for the test, less a quarter for validation: 27 in batches of 4.
    assert {sum(epoch.counts.values()) for epoch in epochs.values()} == {6}
    assert epochs[WHOLE].tokens == 6 * 4 * 32
    assert epochs["padded"].tokens < epochs[WHOLE].tokens
    assert epochs["buckets"].tokens < epochs["padded"].tokens
    assert [len(epochs[way].counts) for way in ("buckets", "padded", WHOLE)] == [2, 1, 1]


def test_an_epoch_is_its_shapes_weighted_by_how_often_they_occur(config, monkeypatch):
    def take_turns(steppers, windows):
        sizes = [stepper._batch["input_ids"].size for stepper in steppers]
        # A token takes a second, and in the second round everything takes three times as long.
        return [Windows(np.array([1.0, 3.0]) * size, 20) for size in sizes]

    monkeypatch.setattr(epoch_time, "take_turns", take_turns)
    measured = measure_epochs(config, ("buckets", "padded", WHOLE), 2)
    tokens = {way: read_epoch(config, way).tokens for way in ("buckets", "padded", WHOLE)}
    for row in measured["rows"]:
        assert row["window_s"] == [tokens[row["way"]], 3 * tokens[row["way"]]] == [row["tokens"], 3 * row["tokens"]]
        sooner = tokens[WHOLE] / tokens[row["way"]]
        assert row["times_sooner"] == {"median": sooner, "low": sooner, "high": sooner}
        assert sum(count for _, _, count, _ in row["shapes"]) == row["steps"] == 6
    buckets, padded, whole = measured["rows"]
    assert buckets["flops"] < padded["flops"] < whole["flops"]
    lines = format_epochs(measured).splitlines()
    assert lines[0].startswith("an epoch of 6 steps, linear_probe, batch 4, float32, cpu, ")
    assert lines[4].split()[:7] == ["padded", "to", "the", "length", "1", "1.000", "1.000"]
    assert "1.00 times" in lines[4]


def test_what_is_no_epoch_of_sentences_is_refused(config, tiny_config):
    with pytest.raises(InputError, match="config.data.source: digits:5-9 holds no sentences"):
        read_epoch(tiny_config("w"), "buckets")
    with pytest.raises(InputError, match="config.global_batch_size: 27 examples are not one batch"):
        read_epoch(configuration.merge(config, {"global_batch_size": 28}), "buckets")
