import pytest

from tlj.errors import InputError
from tlj.freezing.phases import Plateau


def test_a_plateau_needs_validation_during_training(tiny_run):
    with pytest.raises(InputError, match="nothing is validated during training") as caught:
        tiny_run(strategy="lp_ft", init="scratch", evaluate={"every": 0})
    assert caught.value.where == "config.evaluate.every"
    phases = tiny_run(
        strategy="lp_ft", init="scratch", plateau={"patience": 5, "min_delta": 0.01}, evaluate={"every": 2}
    ).phases
    assert phases[1].start == Plateau(patience=5, min_delta=0.01)


def test_groups_take_the_configs_optimizer_and_what_it_says_of_them(tiny_run):
    setup = tiny_run(
        optimizer={"name": "lamb", "learning_rate": 0.4, "weight_decay": 0.2, "schedule": "rsqrt", "warmup": "3 steps"},
        groups={"head": {"optimizer": "sgd", "learning_rate_factor": 0.5, "decays": "all", "warmup": "0 steps"}},
    )
    backbone, head = setup.phases[0].groups
    assert (backbone.optimizer, backbone.learning_rate, backbone.weight_decay) == ("lamb", 0.4, 0.2)
    assert (backbone.schedule, backbone.schedule_steps, backbone.warmup_steps) == ("rsqrt", 24, 3)
    assert (head.optimizer, head.learning_rate, head.decays, head.warmup_steps) == ("sgd", 0.2, "all", 0)
    assert (head.weight_decay, head.schedule) == (0.2, "rsqrt")


@pytest.mark.parametrize(
    # 40 labels, a fifth of them for validation: 32 train, in batches of 16.
    ("warmup", "steps"), [("1 epoch", 2), ("2.5 epochs", 5), ("0.6 epochs", 2), ("33 examples", 3), ("7 steps", 7)],
)  # fmt: skip
def test_a_warm_up_in_epochs_counts_the_examples_that_train(tiny_run, warmup, steps):
    setup = tiny_run(optimizer={"warmup": warmup}, groups={"head": {"warmup": "1 epoch"}})
    assert len(setup.split.train) == 32
    assert {group.name: group.warmup_steps for group in setup.phases[0].groups} == {"backbone": steps, "head": 2}
