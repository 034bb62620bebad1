"""tlj's step is told to do the work of a peer's."""

import pathlib

import pytest
from flax import traverse_util

from tlj import config as configuration
from tlj.benchmark.peers.same_work import own_overrides
from tlj.benchmark.plan import weightless
from tlj.errors import InputError
from tlj.freezing.phases import FROZEN
from tlj.training.setup import set_up, variable_shapes

CONFIG = str(pathlib.Path(__file__).parents[3] / "configs" / "step_time.py")


def setup_of(model, train):
    resolved, base = weightless(configuration.load(f"{CONFIG}:{model}", own_overrides(model, train, 4, "bfloat16")))
    return set_up(resolved, base, needs_source=False)


def trained(setup):
    return {path for path, label in setup.phases[0].labels if label != FROZEN}


def test_the_update_is_adamw_without_a_bound_on_the_gradients():
    config = setup_of("minilm", "all").config
    assert (config["optimizer"]["name"], config["optimizer"]["clip_norm"]) == ("adamw", 0)
    assert (config["global_batch_size"], config["dtype"]) == (4, "bfloat16")


def test_the_pooler_of_a_bert_trains_with_the_head_and_all_else_is_frozen():
    assert trained(setup_of("minilm", "head")) == {
        "head/kernel", "head/bias", "backbone/pooler/kernel", "backbone/pooler/bias",
    }  # fmt: skip


def test_a_vit_trains_its_head_alone():
    assert trained(setup_of("vit_s16", "head")) == {"head/kernel", "head/bias"}


def test_the_last_four_blocks_train_with_pooler_and_head():
    paths = trained(setup_of("minilm", "last4"))
    assert {path.split("/")[1] for path in paths if path.startswith("backbone/")} == {
        "block2", "block3", "block4", "block5", "pooler",
    }  # fmt: skip


def test_everything_trains_where_everything_should():
    setup = setup_of("minilm", "all")
    assert trained(setup) == set(traverse_util.flatten_dict(variable_shapes(setup.spec)["params"], sep="/"))


def test_a_minilm_has_the_parameters_of_the_real_one():
    # 22.7 million in the checkpoint, and a head for ten classes.
    shapes = traverse_util.flatten_dict(variable_shapes(setup_of("minilm", "all").spec)["params"])
    assert sum(leaf.size for leaf in shapes.values()) == 22_713_216 + 10 * 384 + 10


def test_dropout_is_that_of_transformers():
    bert, vit = setup_of("minilm", "all").spec, setup_of("vit_s16", "all").spec
    assert (bert.dropout, bert.attention_dropout, bert.head_dropout) == (0.1, 0.1, None)
    assert (vit.dropout, vit.attention_dropout) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("model", "train", "problem"),
    [
        ("vit_s16", "heads", "--train: unknown choice 'heads'; did you mean 'head'?"),
        ("resnet50", "last4", "--train: the peers have no last blocks of resnet50"),
    ],
)
def test_what_a_peer_does_not_know_is_refused(model, train, problem):
    with pytest.raises(InputError) as error:
        own_overrides(model, train, 8, "float32")
    assert str(error.value).startswith(problem)
