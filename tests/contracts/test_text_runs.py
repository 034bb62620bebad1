"""Runs on sentences in a table: tokenised once, batched by length, reproducible, and open about padding."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tlj.errors import InputError
from tlj.training.loop import Surroundings, train_run
from tlj.training.programs import Programs

GOOD, BAD, PLAIN = ("good", "fine", "great"), ("bad", "dull", "poor"), ("the", "film", "was", "a", "very", "plot")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def sentences(count, seed):
    rng = np.random.default_rng(seed)
    lines = ["sentence\tlabel\tkind"]
    for index in range(count):
        words = [*rng.choice(PLAIN, rng.integers(1, 12)), rng.choice(GOOD if index % 2 else BAD)]
        lines.append(f"{' '.join(rng.permutation(words))}\t{index % 2}\t{'ab'[index % 3 == 0]}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    (folder / "train.tsv").write_text(sentences(90, 0))
    (folder / "dev.tsv").write_text(sentences(31, 1))
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in (*SPECIAL, *GOOD, *BAD, *PLAIN)))
    return folder


@pytest.fixture(scope="module")
def on_text(set_up_run, table, tokenizer):
    """Sets up a tiny run on the sentences: ``on_text({"steps": 5}, batching="packed")``."""

    def make(*changes, **text):
        settings = {"width": 16, "depth": 1, "heads": 2, "positions": 16, "dropout": 0.0, "attention_dropout": 0.0}
        run = {
            "model": {"family": "bert", "settings": settings},
            "data": {
                "source": f"tsv:{table}", "test": "dev", "columns": {"group": "kind"},
                "text": {"tokenizer": str(tokenizer), "buckets": 4, **text},
            },
            "strategy": "scratch", "steps": 12, "global_batch_size": 8,
            "log": {"every": 4}, "evaluate": {"batch_size": 8},
        }  # fmt: skip
        return set_up_run(run, *changes)

    return make


def test_a_run_on_sentences_compiles_one_step_per_length_and_tells_what_was_padding(on_text, tmp_path):
    setup, programs = on_text(), Programs()
    summary = train_run(setup, tmp_path, "hash", Surroundings(programs))
    lengths = json.loads((tmp_path / "manifest.json").read_text())["data"]["sequence_lengths"]
    assert 1 < len(lengths) <= 4
    steps = [key for key in programs._programs if key[0] == "step"]
    assert 1 < len(steps) <= len(lengths)
    shapes = [setup.batches[step]["input_ids"].shape for step in range(12)]
    real = sum(int(setup.batches[step]["attention_mask"].sum()) for step in range(12))
    padded = 1 - real / sum(rows * length for rows, length in shapes)
    assert summary["input"]["padding_share"] == pytest.approx(padded)
    assert {length for _, length in shapes} <= set(lengths)


def test_flops_are_those_of_the_batches_that_were_trained_on(on_text, programs, tmp_path):
    setup = on_text()
    summary = train_run(setup, tmp_path, "hash", Surroundings(programs))
    flops = {key[-1]: program.flops for key, program in programs._programs.items() if key[0] == "step"}
    lengths = [setup.batches[step]["input_ids"].shape for step in range(12)]
    of = {{name: shape for name, shape, _ in shapes}.get("input_ids"): value for shapes, value in flops.items()}
    assert summary["flops"]["training_total"] == sum(of[shape] for shape in lengths)


def test_groups_travel_into_the_predictions_in_the_order_of_the_examples(on_text, programs, tmp_path):
    setup = on_text()
    train_run(setup, tmp_path, "hash", Surroundings(programs))
    found = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    order = np.concatenate([setup.split.validation, setup.split.test])
    assert found["id"] == [setup.source.ids[i] for i in order]
    assert found["group"] == [setup.source.groups[i] for i in order]
    assert set(found["group"]) == {"a", "b"}


@pytest.mark.parametrize("batching", ["packed", "padded"])
def test_every_way_of_batching_learns_and_tests_the_same_examples(on_text, programs, tmp_path, batching):
    setup = on_text(batching=batching)
    summary = train_run(setup, tmp_path, "hash", Surroundings(programs))
    assert 0 <= summary["input"]["padding_share"] < 1
    assert summary["test_examples"] == 31
    assert np.isfinite(summary["metrics"]["test_loss"])


def test_packed_and_padded_batches_teach_the_same(on_text, programs, tmp_path):
    losses = {}
    for batching in ("packed", "padded"):
        summary = train_run(on_text(batching=batching), tmp_path / batching, "hash", Surroundings(programs))
        losses[batching] = [summary["metrics"]["train_loss"], summary["metrics"]["test_loss"]]
    np.testing.assert_allclose(losses["packed"], losses["padded"], rtol=1e-4)


def test_the_tokenizer_travels_with_the_run_and_predicts_later(on_text, programs, table, tmp_path):
    from tlj import config as configuration
    from tlj.training.predict import predict

    train_run(on_text(), tmp_path / "run", "hash", Surroundings(programs))
    config = configuration.merge(configuration.default(), {"data": {"source": f"tsv:{table}"}}).to_dict()
    predicted = predict(tmp_path / "run", config, tmp_path / "p.parquet", part="dev")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert predicted.examples == 31
    assert predicted.metrics["loss"] == pytest.approx(summary["metrics"]["test_loss"], rel=1e-5)


@pytest.mark.parametrize(("length", "kept"), [(7, 7), (0, 16)])
def test_what_a_model_predicts_later_is_cut_where_its_own_text_was(on_text, programs, table, tmp_path, length, kept):
    from tlj import config as configuration
    from tlj.training.predict import predict

    train_run(on_text(length=length), tmp_path / "run", "hash", Surroundings(programs))
    config = configuration.merge(configuration.default(), {"data": {"source": f"tsv:{table}"}}).to_dict()
    predict(tmp_path / "run", config, tmp_path / "p.parquet", part="dev")
    own, later = (
        pq.read_table(file).to_pydict() for file in (tmp_path / "run/predictions.parquet", tmp_path / "p.parquet")
    )
    of = dict(zip(own["id"], own["logits"], strict=True))
    np.testing.assert_allclose(later["logits"], [of[name] for name in later["id"]], atol=1e-6)
    # The most that the model takes, not the longest text that it happened to see.
    assert json.loads((tmp_path / "run/manifest.json").read_text())["model"]["preprocessing"]["length"] == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"text": {"tokenizer": ""}}}, "holds text, and there is no tokenizer"),
        ({"data": {"text": {"tokenizer": "nowhere"}}}, "no tokenizer in 'nowhere'"),
        ({"data": {"text": {"length": 17}}}, "17 tokens, but the model has 16 positions"),
        ({"data": {"text": {"length": 2}}}, "2 tokens hold no text between the special ones"),
        ({"data": {"augment": {"flip": True}}}, "config.data.augment.flip"),
        ({"model": {"settings": {"vocabulary": 10}}}, "the model knows 10 token ids, the tokenizer has 17"),
        ({"model": {"family": "vit", "settings": {}}}, "vit takes images"),
    ],
)
def test_what_cannot_be_done_with_text_is_one_clear_line(on_text, changes, message):
    with pytest.raises(InputError, match=message):
        on_text(changes)
