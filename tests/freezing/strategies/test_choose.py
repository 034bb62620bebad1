"""Strategies of one phase: what they train."""

import pytest

from tlj.freezing.phases import FROZEN, Layout
from tlj.freezing.settings import Timing
from tlj.freezing.strategies import parse_strategy
from tlj.models.lora import Adapters
from tlj.training.setup import model_layout

HEAD = {"head/kernel", "head/bias"}


@pytest.fixture
def chosen(layout):
    """Returns the paths of each group of a strategy, and checks that nothing is left out."""

    def groups(text: str, on: Layout = layout) -> dict[str, set[str]]:
        (phase,) = parse_strategy(text).phases(on, Timing(steps=10))
        assert phase.start == 0
        assert set(phase.label_of) == set(on.depths)
        names = {group.name for group in phase.groups}
        assert names == set(phase.label_of.values()) - {FROZEN}
        return {name: {path for path, label in phase.labels if label == name} for name in names}

    return groups


@pytest.fixture
def depths(layout):
    """Returns the paths of the backbone at some depths."""
    return lambda *wanted: {path for path, depth in layout.depths.items() if depth in wanted}


@pytest.mark.parametrize("text", ["full", "scratch"])
def test_full_and_scratch_train_everything(chosen, layout, text):
    assert chosen(text) == {"head": HEAD, "backbone": set(layout.depths) - HEAD}


def test_linear_probe_trains_the_head_alone(chosen):
    assert chosen("linear_probe") == {"head": HEAD}


@pytest.mark.parametrize("k", [1, 2, 3])
def test_last_blocks_train_the_last_k_blocks_the_final_norm_and_the_head(chosen, depths, k):
    assert chosen(f"last_blocks:{k}") == {"head": HEAD, "backbone": depths(*range(4 - k, 4))}
    assert "backbone/norm/scale" in chosen(f"last_blocks:{k}")["backbone"]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_first_blocks_train_the_first_k_blocks_and_the_head_and_not_the_embedding(chosen, depths, k):
    assert chosen(f"first_blocks:{k}") == {"head": HEAD, "backbone": depths(*range(1, k + 1))}


@pytest.mark.parametrize(("text", "expected"), [("0-0", (1,)), ("1-2", (2, 3)), ("0-2", (1, 2, 3))])
def test_blocks_are_counted_from_zero_with_both_ends(chosen, depths, text, expected):
    assert chosen(f"blocks:{text}") == {"head": HEAD, "backbone": depths(*expected)}


@pytest.mark.parametrize("n", [1, 2])
def test_copies_are_frozen_or_trained_and_the_rest_is_a_group_of_its_own(chosen, depths, layout, n):
    copied, reset = depths(*range(n + 1)), depths(*range(n + 1, 4))
    assert chosen(f"copy_freeze:{n}") == {"head": HEAD, "reset": reset}
    assert chosen(f"copy_train:{n}") == {"head": HEAD, "reset": reset, "copied": copied}


def test_with_every_block_copied_nothing_but_the_head_is_new(chosen, layout):
    assert chosen("copy_freeze:3") == {"head": HEAD}
    assert chosen("copy_train:3") == {"head": HEAD, "copied": set(layout.depths) - HEAD}


def test_bias_only_trains_every_bias_those_of_norms_too_and_the_head(chosen):
    biases = {"backbone/norm/bias", *(f"backbone/block{i}/bias" for i in range(3))}
    assert chosen("bias_only") == {"head": HEAD, "biases": biases}


def test_norm_only_trains_scales_and_biases_of_norms_and_the_head(chosen):
    norms = {"backbone/norm/scale", "backbone/norm/bias", *(f"backbone/block{i}/norm/scale" for i in range(3))}
    assert chosen("norm_only") == {"head": HEAD, "norms": norms}


@pytest.mark.parametrize("family", ["vit", "resnet", "bert"])
def test_on_real_models_a_bias_is_a_bias_and_a_norm_a_norm(chosen, layouts, family):
    layout = layouts[family]
    assert chosen("norm_only", layout)["norms"] == layout.norms
    assert chosen("bias_only", layout)["biases"] == {
        path for path in layout.depths if path.endswith("bias") and not path.startswith("head/")
    }


def test_lora_trains_its_adapters_and_the_head(chosen, layouts, specs):
    layout = model_layout(specs["vit"], Adapters(2))
    found = chosen("lora:2", layout)
    assert found.keys() == {"head", "lora"}
    assert found["head"] == HEAD
    assert found["lora"] == {path for path in layout.depths if path.startswith("lora/")} != set()
    # An adapter is as deep as what it adapts.
    assert layout.depths["lora/backbone/block1/attention/query/a"] == layouts["vit"].depths[
        "backbone/block1/attention/query_key_value/kernel"
    ]  # fmt: skip


def test_lora_on_a_model_without_dense_layers_is_refused(refusal, specs):
    error = refusal(model_layout, specs["resnet"], Adapters(2))
    assert error.what == "lora adapts dense layers, and the backbone of this model has none"
    assert error.where == "config.strategy"
    assert error.do == "use another strategy, for example last_blocks:1 or norm_only, or a transformer"


def refused(refusal, layout, text):
    return refusal(parse_strategy(text).phases, layout, Timing(steps=10))


@pytest.mark.parametrize("name", ["last_blocks", "first_blocks", "copy_freeze", "copy_train"])
@pytest.mark.parametrize(("count", "nearest"), [(0, 1), (4, 3), (99, 3)])
def test_more_blocks_than_there_are_or_none_are_refused_with_the_nearest(refusal, layout, name, count, nearest):
    error = refused(refusal, layout, f"{name}:{count}")
    assert error.what == f"{name}:{count} on a model of 3 blocks"
    assert (error.where, error.nearest) == ("config.strategy", f"{name}:{nearest}")
    assert error.do == "give a number of blocks that the model has"


@pytest.mark.parametrize(
    ("ends", "nearest"), [("2-1", "1-2"), ("0-3", "0-2"), ("7-9", "2-2"), ("9-0", "0-2"), ("3-1", "1-2")]
)
def test_ends_out_of_range_or_swapped_are_refused_with_the_nearest(refusal, layout, ends, nearest):
    error = refused(refusal, layout, f"blocks:{ends}")
    assert error.what == f"blocks:{ends} on a model of 3 blocks"
    assert (error.where, error.nearest) == ("config.strategy", f"blocks:{nearest}")
    assert error.do == "blocks are counted from 0 to 2"
    parse_strategy(error.nearest).phases(layout, Timing(steps=10))


@pytest.mark.parametrize(("text", "kind"), [("bias_only", "biases"), ("norm_only", "norms")])
def test_a_kind_of_parameter_that_the_backbone_lacks_is_refused_whatever_the_head_has(refusal, text, kind):
    bare = Layout({"backbone/block0/kernel": 1, "head/kernel": 2, "head/bias": 2, "head/norm/scale": 2}, blocks=1)
    error = refused(refusal, bare, text)
    assert error.what == f"{text} on a model whose backbone has no {kind}"
    assert (error.where, error.do) == ("config.strategy", "use another strategy")
