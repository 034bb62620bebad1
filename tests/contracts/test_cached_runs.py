"""A run that starts from cached activations is the run that computes them at every step, up to its last bits."""

import json

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.runs import read_variables
from tlj.training.cached import start
from tlj.training.cached.run import CachedRun
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.programs import Programs
from tlj.training.run_files import read_metrics, read_predictions

SHIFTED = {"evaluate": {"shifts": ("low=digits:5-6",)}}
PLAIN = {"data": {"augment": {"shift": 0}}, "steps": 7, "log": {"every": 2}, "evaluate": {"every": 3}}
CACHED = {"cache": {"activations": "float32"}}


def summary_of(directory):
    return json.loads((directory / "summary.json").read_text())


def assert_same_run(one, other):
    rows = [read_metrics(directory / "metrics.jsonl") for directory in (one, other)]
    losses = [[row.get("loss", row.get("validation_loss")) for row in of_run] for of_run in rows]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5, atol=1e-6)
    for split, (logits, _) in read_predictions(one / "predictions.parquet").items():
        theirs = read_predictions(other / "predictions.parquet")[split][0]
        np.testing.assert_allclose(logits, theirs, rtol=1e-4, atol=1e-5)
    (ours, _), (theirs, _) = (read_variables(directory) for directory in (one, other))
    assert {kind: flat(ours[kind]).keys() for kind in ours} == {kind: flat(theirs[kind]).keys() for kind in theirs}
    for path, leaf in flat(ours["params"]).items():
        if path.endswith("query_key_value/bias"):
            # Softmax does not feel a bias of the keys: its gradient is rounding, which Adam scales up.
            continue
        np.testing.assert_allclose(leaf, flat(theirs["params"])[path], rtol=1e-3, atol=1e-4, err_msg=path)


def flat(tree):
    from flax import traverse_util

    return traverse_util.flatten_dict(tree, sep="/")


@pytest.mark.parametrize(("family", "strategy", "depth"), [("vit", "last_blocks:1", 1), ("resnet", "linear_probe", 2)])
def test_a_cached_run_is_the_run(transfer, programs, tmp_path, family, strategy, depth):
    for name, changes in (("plain", {}), ("cached", CACHED)):
        setup = transfer(family, strategy, PLAIN, SHIFTED, changes)
        train_run(setup, tmp_path / name, "hash", Surroundings(programs))
    assert_same_run(tmp_path / "plain", tmp_path / "cached")
    plain, cached = summary_of(tmp_path / "plain"), summary_of(tmp_path / "cached")
    told = cached["cost"]["cached"]
    (kept,) = told["kept"]
    assert (kept["depth"], kept["examples"]) == (
        depth,
        sum(plain[f"{part}_examples"] for part in ("train", "validation", "test")),
    )
    assert told["relative_flops"] < 0.8
    # Without the cache, up to what the compiler simplifies.
    assert cached["flops"]["training_total"] == pytest.approx(plain["flops"]["training_total"], rel=0.1)
    assert "cached" not in plain["cost"]


def stopped_after(steps, programs):
    taken = []

    def on_step(count):
        taken.append(count)
        if sum(taken) == steps:
            shared.stop.set()

    shared = Surroundings(programs, on_step=on_step)
    return shared


def test_a_boundary_moves_down_as_depths_thaw_and_a_run_goes_on_with_or_without_the_cache(transfer, programs, tmp_path):
    every = {**PLAIN, "checkpoint": {"every": 1}, "optimizer": {"ema": 0.5}}
    plain, cached = (transfer("vit", "gradual:2", every, changes) for changes in ({}, CACHED))
    assert CachedRun(cached, programs).depths == (2, 1, None, None)
    train_run(plain, tmp_path / "plain", "hash", Surroundings(programs))
    # Phases begin at 2, 4 and 6: cut in the first, in the second, and in the third, which has no boundary any more.
    for setup, steps in ((cached, 1), (plain, 2), (cached, 2)):
        with pytest.raises(StoppedError):
            train_run(setup, tmp_path / "other", "hash", stopped_after(steps, programs))
    train_run(cached, tmp_path / "other", "hash", Surroundings(programs))
    assert_same_run(tmp_path / "plain", tmp_path / "other")


WORDS = ["good", "bad", "dull", "great", "slow", "warm", "cold", "long", "short", "fine"]


@pytest.fixture(scope="module")
def on_text(set_up_run, tmp_path_factory):
    """Sets up a tiny run on sentences of many lengths, whose backbone is drawn."""
    folder = tmp_path_factory.mktemp("text")
    rng = np.random.default_rng(0)
    rows = [f"{' '.join(rng.choice(WORDS, rng.integers(1, 14)))}\t{i % 2}" for i in range(70)]
    (folder / "train.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")

    def make(*changes, **text):
        settings = {"width": 16, "depth": 2, "heads": 2, "positions": 16}
        data = {"source": f"tsv:{folder}", "text": {"tokenizer": str(folder), "buckets": 2, **text}}
        run = {"model": {"family": "bert", "settings": settings}, "data": data, "init": "scratch",
               "steps": 4, "global_batch_size": 8, "log": {"every": 2}, "evaluate": {"batch_size": 16}}  # fmt: skip
        return set_up_run(run, *changes)

    return make


@pytest.mark.parametrize(("strategy", "batching"), [("last_blocks:1", "buckets"), ("linear_probe", "packed")])
def test_a_cached_run_on_text_is_the_run(on_text, programs, tmp_path, strategy, batching):
    for name, changes in (("plain", {}), ("cached", CACHED)):
        setup = on_text({"strategy": strategy}, changes, batching=batching)
        train_run(setup, tmp_path / name, "hash", Surroundings(programs))
    assert_same_run(tmp_path / "plain", tmp_path / "cached")
    (kept,) = summary_of(tmp_path / "cached")["cost"]["cached"]["kept"]
    # Nothing is kept of padding.
    tokens = setup.reader.lengths if strategy == "last_blocks:1" else np.ones(70)
    assert kept["bytes"] == tokens.sum() * 16 * 4


def test_packed_text_below_its_pooling_is_refused(on_text):
    with pytest.raises(InputError, match="packed text has no row for each example"):
        on_text({"strategy": "last_blocks:1"}, CACHED, batching="packed")


def test_runs_share_what_they_start_from_and_leave_it_as_it_is(transfer, programs, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "_starts", start._Starts())
    read, reads = start.start_variables, []
    monkeypatch.setattr(start, "start_variables", lambda setup: reads.append(setup) or read(setup))
    changes = [PLAIN, CACHED, {"checkpoint": {"keep": "trainable"}, "steps": 2}]
    for seed in range(2):
        setup = transfer("vit", "last_blocks:1", *changes, {"seed": seed})
        train_run(setup, tmp_path / str(seed), "hash", Surroundings(programs))
    assert len(reads) == 1
    shared = start.shared_start(setup)
    fresh, _ = read(setup)
    for path, leaf in shared.variables["params"].items():
        np.testing.assert_array_equal(leaf, flat(fresh["params"])[path])
    heads = [flat(read_variables(tmp_path / name)[0]["params"])["head/kernel"] for name in "01"]
    assert not np.allclose(*heads)


def test_views_are_fixed_and_drawn_anew_by_seed_and_step(from_scratch, tmp_path):
    views = {
        "cache": {"activations": "float32", "views": 2},
        "data": {"augment": {"shift": 1}},
        "strategy": "linear_probe",
    }
    one, other = (from_scratch("vit", PLAIN, views, {"init": "scratch", "seed": 3, "steps": 4}) for _ in range(2))
    programs = Programs()
    run = CachedRun(one, programs)
    batches = [run.setup(0).batches[step] for step in range(4)]
    again = CachedRun(other, programs).setup(0).batches
    for step, batch in enumerate(batches):
        np.testing.assert_array_equal(batch["activations"], again[step]["activations"])
        np.testing.assert_array_equal(batch["label"], one.batches[step]["label"])
    assert len({row.tobytes() for batch in batches for row in batch["activations"]}) > len(one.split.train) / 2
    # Evaluation reads the examples as they are, which no shift by nought needs to be among the views.
    plain = run.setup(0).reader.batch(one.split.train[:4])["activations"]
    assert np.isfinite(plain).all()
    assert [key[0] for key in programs._programs].count("activations") == 2
