import pytest

from tlj.training.together.sameness import order_key, shapes_vary, together_key


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


def test_runs_of_one_seed_and_budget_read_the_same(tiny_run):
    assert order_key(tiny_run(optimizer={"learning_rate": 0.3}, steps=50)) == order_key(tiny_run())
    assert order_key(tiny_run(seed=1)) != order_key(tiny_run())
    assert order_key(tiny_run(label_budget=60)) != order_key(tiny_run())


def test_batches_of_several_lengths_are_of_other_shapes_for_another_seed(tiny_run, monkeypatch):
    setup, other, same = tiny_run(), tiny_run(seed=1), tiny_run(optimizer={"learning_rate": 0.3})
    assert not shapes_vary(setup)
    monkeypatch.setattr(type(setup.source), "kind", "text", raising=False)
    monkeypatch.setattr(type(setup.training_reader), "by_length", True)
    assert shapes_vary(setup)
    assert key(setup) != key(other)
    assert key(setup) == key(same)
