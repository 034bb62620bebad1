from tlj.training.read_order import order_key, padding_share, token_shapes


def test_runs_of_one_seed_and_budget_read_the_same(tiny_run):
    assert order_key(tiny_run(optimizer={"learning_rate": 0.3}, steps=50)) == order_key(tiny_run())
    assert order_key(tiny_run(seed=1)) != order_key(tiny_run())
    assert order_key(tiny_run(label_budget=60)) != order_key(tiny_run())


def test_cached_runs_of_another_start_read_other_features(tiny_run):
    cached = {"strategy": "linear_probe", "cache": {"activations": "float32"}, "data": {"augment": {"shift": 0}}}
    drawn, other = tiny_run(init="scratch", **cached), tiny_run(init="scratch", optimizer={"name": "sgd"}, **cached)
    assert order_key(drawn) == order_key(other)
    plain = {**cached, "cache": {"activations": "none"}}
    # From inputs both read the same pixels.
    assert order_key(tiny_run(init="scratch", **plain)) == order_key(tiny_run(**{**plain, "strategy": "scratch"}))
    assert order_key(drawn) != order_key(tiny_run(init="scratch", **plain))


def test_what_follows_from_the_order_is_told_once_for_runs_that_read_the_same(tiny_run, monkeypatch):
    one, other, shorter = tiny_run(), tiny_run(optimizer={"learning_rate": 0.3}), tiny_run(seed=5)
    rows = {"input_ids": one.split.train[:8].reshape(2, 4), "attention_mask": one.split.train[:8].reshape(2, 4) * 0 + 1}
    asked = []

    class Batches:
        def __init__(self, name):
            self.name = name

        def __getitem__(self, step):
            asked.append(self.name)
            mask = rows["attention_mask"].copy()
            mask[0, 2:] = 0
            return {**rows, "attention_mask": mask}

    for name, setup in (("one", one), ("other", other), ("shorter", shorter)):
        monkeypatch.setitem(setup.__dict__, "batches", Batches(name))
    assert [padding_share(setup) for setup in (one, other, shorter)] == [0.25] * 3
    assert set(asked) == {"one", "shorter"}
    assert token_shapes(one, 3) == token_shapes(other, 3) == ((2, 4),) * 3
    assert "other" not in asked
