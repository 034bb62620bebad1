import pytest

from tlj.training.cached.extract import depths_of
from tlj.training.cached.run import from_activations
from tlj.training.together.sameness import shapes_vary, together_key


def key(setup):
    return together_key(setup, setup.phases[0])


@pytest.mark.parametrize(
    "changes",
    [{"seed": 3}, {"label_budget": 60}, {"optimizer": {"learning_rate": 0.3, "weight_decay": 0.0}}, {"steps": 30},
     {"optimizer": {"warmup": "1 steps"}}, {"strategy": "full", "init": "scratch"}],
)  # fmt: skip
def test_runs_that_differ_in_numbers_alone_are_trained_together(tiny_run, changes):
    assert key(tiny_run(**changes)) == key(tiny_run())


@pytest.mark.parametrize(
    "changes",
    [{"strategy": "linear_probe", "init": "scratch"}, {"global_batch_size": 8}, {"data": {"augment": {"shift": 2}}},
     {"data": {"balance": "loss"}}, {"optimizer": {"name": "sgd"}}, {"dtype": "bfloat16"}, {"steps_per_call": 2},
     {"on_nan": "skip"}],
)  # fmt: skip
def test_runs_of_other_programs_are_not(tiny_run, changes):
    assert key(tiny_run(**changes)) != key(tiny_run())


def test_batches_of_several_lengths_are_of_other_shapes_for_another_seed(tiny_run, monkeypatch):
    setup, other, same = tiny_run(), tiny_run(seed=1), tiny_run(optimizer={"learning_rate": 0.3})
    assert not shapes_vary(setup)
    monkeypatch.setattr(type(setup.source), "kind", "text", raising=False)
    monkeypatch.setattr(type(setup.training_reader), "by_length", True)
    assert shapes_vary(setup)
    assert key(setup) != key(other)
    assert key(setup) == key(same)


def test_features_of_texts_of_all_lengths_are_of_one_shape(tiny_run, monkeypatch):
    changes = {"strategy": "linear_probe", "init": "scratch", "data": {"augment": {"shift": 0}}}
    setup, other = (
        from_activations(setup, depths_of(setup)[0])
        for setup in (tiny_run(**changes, cache={"activations": "float32"}, seed=seed) for seed in (0, 1))
    )
    monkeypatch.setattr(type(setup.source), "kind", "text", raising=False)
    assert not shapes_vary(setup)
    assert key(setup) == key(other)
