import re

import pytest

from tlj.errors import InputError
from tlj.models.lora import Adapters
from tlj.training.setup import model_layout, set_up


def changed(config, **changes):
    """A config with changes over it, those of ``model`` key by key."""
    return {**config, **changes, "model": {**config["model"], **changes.get("model", {})}}


OF_SOURCE = {"family": "vit", "source": "source", "settings": {}}


def test_the_test_split_and_the_budget_share_no_example(tiny_run):
    split = tiny_run().split
    assert not set(split.test) & (set(split.train) | set(split.validation))
    assert len(split.train) + len(split.validation) == 40


def test_classes_and_image_size_come_from_the_data(tiny_run):
    spec = tiny_run().spec
    assert (spec.num_classes, spec.image_size, spec.width) == (5, 8, 16)


def test_a_source_decides_the_model_and_its_preprocessing(comparison, tiny_run):
    config = changed(tiny_run().config, strategy="full", model=OF_SOURCE)
    setup = set_up(config, comparison[0])
    assert (setup.spec.width, setup.init) == (16, "pretrained")
    assert setup.preprocessing == setup.pretrained.preprocessing


def test_arm_and_twin_have_one_model_and_preprocessing(comparison, tiny_run):
    arm, twin = (
        set_up(changed(tiny_run().config, strategy=strategy, model=OF_SOURCE), comparison[0])
        for strategy in ("full", "scratch")
    )
    assert (arm.spec, arm.preprocessing, arm.augmentation) == (twin.spec, twin.preprocessing, twin.augmentation)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"family": "vti", "source": "", "settings": {}}}, "did you mean 'vit'?"),
        ({"model": {"family": "vit", "source": "sauce", "settings": {}}}, "nothing here: sauce"),
        ({"model": {"family": "vit", "source": "source", "settings": {"width": 32}}}, "width = 16, not 32"),
        ({"model": {"family": "resnet", "source": "source", "settings": {}}}, "a vit, not a resnet"),
        ({"model": {"preprocessing": {"meen": [0, 0, 0]}}}, "the preprocessing of vit has no setting 'meen'"),
        ({"model": {"source": "source", "settings": {}, "preprocessing": {"image_size": 16}}},
         "the preprocessing of vit has no setting 'image_size'"),
        ({"strategy": "full"}, "needs a model source"),
        ({"strategy": "scratch:3"}, "scratch takes nothing"),
        ({"label_budget": 10**6}, "the pool has 538"),
        ({"parallel": {"mode": "pmap", "fsdp": 2}}, "fsdp 2 with pmap"),
        ({"parallel": {"mode": "jit", "fsdp": 7}}, "fsdp 7 does not divide"),
        ({"init": "mean_vra"}, "did you mean 'mean_var'?"),
        ({"strategy": "gradual:9", "init": "scratch"}, "gradual:9 reaches the embedding after 27 steps"),
        ({"strategy": "blocks:1-0", "init": "scratch"}, "did you mean 'blocks:0-1'?"),
        ({"strategy": "copy_train:1", "init": "scratch"}, "cannot start from init 'scratch'"),
        ({"strategy": "full+l2_sp", "init": "scratch"}, "use init pretrained or mean_var"),
        ({"strategy": "lora:99", "init": "scratch"}, "did you mean 'lora:16'?"),
        ({"strategy": "lora:2", "init": "scratch", "lora": {"alpha": 1.0, "targets": ["quer"]}},
         "did you mean 'query'?"),
        ({"groups": {"haed": {"dropout": False}}},
         "config.groups.haed: the strategy has no group 'haed'; did you mean 'head'?"),
        ({"groups": {"frozen": {"weight_decay": 0.1}}}, "config.groups.frozen: weight_decay of what is frozen"),
        ({"strategy": "rules", "init": "scratch"}, "config.rules: strategy 'rules' without rules"),
        ({"rules": [["head/.*", "head"], [".*", "frozen"]]}, "the strategy is 'scratch', which reads no rules"),
        ({"strategy": "rules", "init": "scratch", "rules": [["head/.*", "a.b"], [".*", "frozen"]]},
         "'a.b' is no name for a group"),
        ({"strategy": "linear_probe+l2_sp", "init": "pretrained", "model": {"family": "vit", "source": "source",
          "settings": {}}}, "'linear_probe+l2_sp' trains nothing that came from the source"),
        ({"strategy": "rules", "init": "scratch", "rules": [["haed/.*", "head"], [".*", "frozen"]]},
         "config.rules: 'haed/.*' matches no parameter"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is_compiled(comparison, tiny_run, changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        set_up(changed(tiny_run().config, **changes), comparison[0])


@pytest.mark.parametrize(("strategy", "what"), [("lora:2", "lora adapts dense layers, and the backbone of this model")])
def test_a_resnet_has_no_dense_layers_to_adapt(tiny_run, strategy, what):
    with pytest.raises(InputError, match=what):
        tiny_run("resnet", strategy=strategy, init="scratch")


def test_l2_sp_takes_the_place_of_weight_decay_and_pulls_what_was_loaded(comparison, tiny_run):
    config = changed(tiny_run().config, model=OF_SOURCE)
    full = set_up({**config, "strategy": "full+l2_sp:0.3:0.02"}, comparison[0])
    assert {group.weight_decay for group in full.phases[0].groups} == {0.0}
    assert (full.settings.l2_sp.alpha, full.settings.l2_sp.beta) == (0.3, 0.02)
    assert set(full.settings.l2_sp.loaded) == {p for p in full.phases[0].label_of if p.startswith("backbone/")}
    copied = set_up({**config, "strategy": "copy_train:1+l2_sp"}, comparison[0])
    assert copied.copied == 1
    assert set(copied.settings.l2_sp.loaded) == {p for p, label in copied.phases[0].labels if label == "copied"}
    assert set_up({**config, "strategy": "full"}, comparison[0]).settings.l2_sp is None


def test_adapters_are_those_of_the_strategy_and_of_the_config(tiny_run):
    setup = tiny_run(strategy="lora:2", init="scratch", lora={"alpha": 4.0, "targets": ("value", "up")})
    assert setup.settings.adapters == Adapters(2, 4.0, ("value", "up"))
    trained = set(setup.phases[0].trained)
    assert trained - {"head/kernel", "head/bias"} == {
        f"lora/backbone/block{i}/{layer}/{leaf}"
        for i in (0, 1)
        for layer in ("attention/value", "mlp/up")
        for leaf in "ab"
    }
    assert tiny_run().settings.adapters is None


def test_a_setup_says_what_it_is_a_control_for(tiny_run):
    assert tiny_run().control == ""
    assert tiny_run(strategy="linear_probe", init="scratch").control == "random features"


def test_the_layout_knows_the_modules_with_running_statistics(tiny_run):
    assert model_layout(tiny_run().spec).statistics == ()
    statistics = model_layout(tiny_run("resnet").spec).statistics
    assert "backbone/embedding/norm" in statistics
    assert {f"{module}/scale" for module in statistics} <= model_layout(tiny_run("resnet").spec).norms
