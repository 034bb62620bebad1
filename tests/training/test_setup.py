import re

import pytest

from tlj.errors import InputError
from tlj.training.setup import set_up


def test_the_test_split_and_the_budget_share_no_example(tiny_run):
    split = tiny_run().split
    assert not set(split.test) & (set(split.train) | set(split.validation))
    assert len(split.train) + len(split.validation) == 40


def test_classes_and_image_size_come_from_the_data(tiny_run):
    spec = tiny_run().spec
    assert (spec.num_classes, spec.image_size, spec.width) == (5, 8, 16)


def test_a_source_decides_the_model_and_its_preprocessing(comparison, tiny_run):
    config = {**tiny_run().config, "strategy": "full", "model": {"family": "vit", "source": "source", "settings": {}}}
    setup = set_up(config, comparison[0])
    assert (setup.spec.width, setup.init) == (16, "pretrained")
    assert setup.preprocessing == setup.pretrained.preprocessing


def test_arm_and_twin_have_one_model_and_preprocessing(comparison, tiny_run):
    model = {"family": "vit", "source": "source", "settings": {}}
    arm, twin = (
        set_up({**tiny_run().config, "strategy": strategy, "model": model}, comparison[0])
        for strategy in ("full", "scratch")
    )
    assert (arm.spec, arm.preprocessing, arm.augmentation) == (twin.spec, twin.preprocessing, twin.augmentation)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"family": "vti", "source": "", "settings": {}}}, "did you mean 'vit'?"),
        ({"model": {"family": "vit", "source": "sauce", "settings": {}}}, "no run of tlj here"),
        ({"model": {"family": "vit", "source": "source", "settings": {"width": 32}}}, "the config describes"),
        ({"model": {"family": "resnet", "source": "source", "settings": {}}}, "resnet has no setting"),
        ({"strategy": "full"}, "needs a model source"),
        ({"strategy": "scratch:3"}, "takes 0 whole number(s)"),
        ({"label_budget": 10**6}, "the pool has 538"),
        ({"parallel": {"mode": "pmap", "fsdp": 1}}, "unknown mode 'pmap'"),
        ({"parallel": {"mode": "jit", "fsdp": 7}}, "fsdp 7 does not divide"),
        ({"init": "mean_vra"}, "did you mean 'mean_var'?"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_compiled(comparison, tiny_run, changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        set_up({**tiny_run().config, **changes}, comparison[0])
