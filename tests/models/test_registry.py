"""Families by name, their sizes and their depths."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import traverse_util

from tlj.errors import InputError
from tlj.models.bert import BERTSpec
from tlj.models.registry import FAMILIES, build, depth_of, family_of, make_spec
from tlj.models.resnet import ResNetSpec
from tlj.models.shapes import model_shapes
from tlj.models.vit import ViTSpec
from tlj.streams import key

SPECS = {
    "vit": ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=12, heads=2),
    "resnet": ResNetSpec(
        num_classes=3, image_size=8, stem="cifar", stem_width=8, stage_depths=(5, 6), stage_widths=(4, 4)
    ),
    "bert": BERTSpec(num_classes=3, vocabulary=50, width=16, depth=3, heads=2, positions=8),
}


@pytest.mark.parametrize(
    ("path", "depth"),
    [
        ("backbone/embedding/patch/kernel", 0),
        ("backbone/block0/mlp/up/kernel", 1),
        ("backbone/block1/mlp/up/kernel", 2),
        ("backbone/block11/mlp/up/kernel", 12),
        ("backbone/norm/scale", 12),
        ("backbone/embedding/word/embedding", 0),
        ("backbone/pooler/kernel", 12),
        ("head/bias", 13),
    ],
)
def test_depth_counts_from_the_embedding_to_the_head(path, depth):
    assert depth_of(path, blocks=12) == depth


@pytest.mark.parametrize("family", FAMILIES)
def test_every_depth_of_a_family_has_parameters(family):
    spec = SPECS[family]
    paths = traverse_util.flatten_dict(model_shapes(spec)["params"], sep="/")
    depths = {FAMILIES[family].depth_of(path, spec.depth) for path in paths}
    assert depths == set(range(spec.depth + 2))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_spec_finds_its_family_and_its_module(family):
    assert family_of(SPECS[family]) is FAMILIES[family]
    module = build(SPECS[family])
    assert module.num_classes == 3
    assert module.backbone.spec == SPECS[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_spec_comes_back_from_what_a_file_says_of_it(family):
    written = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(SPECS[family]).items()
    }
    assert make_spec(family, written) == SPECS[family]


def test_sizes_of_the_data_win_over_settings():
    assert make_spec("vit", {"num_classes": 7, "width": 24}, num_classes=5) == ViTSpec(num_classes=5, width=24)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_example_goes_into_the_model(family):
    spec = SPECS[family]
    example = spec.example(2)
    module = build(spec)
    shapes = jax.eval_shape(lambda inputs: module.init_with_output(key(0, "backbone_init"), inputs)[0], example)
    assert shapes.shape == (2, 3)


def test_a_family_takes_images_or_text():
    assert {name: family.preprocessing.kind for name, family in FAMILIES.items()} == {
        "vit": "images",
        "resnet": "images",
        "bert": "text",
    }


def test_padding_may_be_the_first_token_id():
    assert make_spec("bert", {"padding": 0}).padding == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_may_have_no_classes(family):
    spec = make_spec(family, dataclasses.asdict(SPECS[family]), num_classes=0)
    shapes = model_shapes(spec)["params"]
    assert set(shapes) == {"backbone"}
    assert jax.tree.map(jnp.shape, shapes["backbone"]) == jax.tree.map(
        jnp.shape, model_shapes(SPECS[family])["params"]["backbone"]
    )


@pytest.mark.parametrize("name", ["qkv_bias", "class_token", "mlp_dropout"])
def test_what_is_true_or_false_is_no_number_and_no_text(name):
    settings = {"pool": "mean", name: False}
    assert getattr(make_spec("vit", settings), name) is False
    for value in (0, 1, "false", None):
        with pytest.raises(InputError, match=f"settings.{name}: {name} = {value!r} is not true or false"):
            make_spec("vit", {**settings, name: value})


def test_the_dropout_of_the_head_of_bert_is_that_of_the_model_unless_told():
    rates = {None: 0.3, 0: 0.0, 0.1: 0.1}
    found = {rate: build(make_spec("bert", {"dropout": 0.3, "head_dropout": rate})).dropout for rate in rates}
    assert found == rates
    for rate in (1.0, -0.1, "none", True):
        with pytest.raises(InputError, match="head_dropout = .* is not a number from 0 to below 1"):
            make_spec("bert", {"head_dropout": rate})


def test_whole_numbers_are_taken_for_rates():
    assert make_spec("vit", {"dropout": 0}).dropout == 0.0


def test_an_unknown_family_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"config\.model\.family.*'resnt'.*did you mean 'resnet'"):
        make_spec("resnt", {})


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(
        InputError, match=r"settings\.patchsize: vit has no setting 'patchsize'; did you mean 'patch_size'"
    ):
        make_spec("vit", {"patchsize": 4})


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("vit", {"width": "wide"}),
        ("vit", {"width": 48.0}),
        ("vit", {"depth": True}),
        ("vit", {"depth": -1}),
        ("vit", {"pool": 1}),
        ("vit", {"dropout": None}),
        ("vit", {"num_classes": None}),
        ("resnet", {"stage_depths": 3}),
    ],
)
def test_a_value_of_another_type_is_refused(family, settings):
    ((name, value),) = settings.items()
    with pytest.raises(InputError, match=f"settings.{name}: {name} = {value!r} is not "):
        make_spec(family, settings)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("vit", {"patch_size": 0}),
        ("vit", {"num_classes": -1}),
        ("vit", {"attention_dropout": 1}),
        ("resnet", {"first_stage_stride": 0}),
        ("vit", {"heads": 0}),
        ("vit", {"width": 0}),
        ("vit", {"dropout": 1.5}),
        ("vit", {"stochastic_depth": -0.1}),
        ("resnet", {"stem_width": 0}),
        ("bert", {"padding": -1}),
        ("bert", {"attention_dropout": 1.0}),
        ("bert", {"vocabulary": 0}),
        ("bert", {"epsilon": 0.0}),
        ("resnet", {"stage_depths": (1, 1), "stage_widths": (4, "8")}),
        ("resnet", {"stage_depths": (), "stage_widths": ()}),
    ],
)
def test_a_size_that_no_model_can_have_is_refused(family, settings):
    with pytest.raises(InputError):
        make_spec(family, settings)


def equations(program):
    """All equations of a program and of those in it."""
    for equation in program.eqns:
        yield equation
        for parameter in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_in_bfloat16_statistics_softmax_and_logits_are_float32_and_products_are_not(
    family, train, random_spec, random_variables, random_inputs
):
    spec = random_spec(family, 2)
    variables, inputs, rngs = random_variables(spec), random_inputs(spec, 4), {"dropout": key(0, "dropout")}

    def forward(variables, inputs):
        module = build(spec, "bfloat16")
        return module.apply(variables, inputs, train=train, mutable=["batch_stats"], rngs=rngs)

    program = jax.make_jaxpr(forward)(variables, inputs)
    logits, *statistics = program.out_avals
    assert {value.dtype for value in (logits, *statistics)} == {jnp.dtype("float32")}
    took = {}
    for equation in equations(program.jaxpr):
        took.setdefault(equation.primitive.name, []).append({str(value.aval.dtype) for value in equation.invars})
    # Sums and means, the largest score, exponentials, and one over a deviation: of norms, softmax and pooling.
    for name in ("reduce_sum", "reduce_max", "exp", "rsqrt"):
        assert not any("bfloat16" in types for types in took.get(name, [])), name
    assert took["rsqrt"]
    assert family == "resnet" or took["exp"]
    products = took.get("dot_general", []) + took.get("conv_general_dilated", [])
    # The head alone is not of the backbone; BERT's mean over tokens would be the other.
    assert [types for types in products if types != {"bfloat16"}] == [{"float32"}]


@pytest.mark.parametrize("family", FAMILIES)
def test_in_bfloat16_parameters_and_their_gradients_are_float32(family, random_spec, random_inputs):
    spec = random_spec(family, 1)
    module, inputs = build(spec, "bfloat16"), random_inputs(spec, 2)
    variables = jax.eval_shape(module.init, key(0, "backbone_init"), inputs)

    def loss(params):
        changed = {**variables_like(variables), "params": params}
        logits, _ = module.apply(
            changed, inputs, train=True, mutable=["batch_stats"], rngs={"dropout": key(0, "dropout")}
        )
        return (logits**2).sum()

    def variables_like(shapes):
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    gradients = jax.eval_shape(jax.grad(loss), variables["params"])
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, gradients))} == {jnp.dtype("float32")}


def test_the_mapped_axis_is_for_norms_over_the_batch_alone(random_spec):
    assert build(random_spec("resnet", 1), axis_name="device").backbone.axis_name == "device"
    for family in ("vit", "bert"):
        spec = random_spec(family, 1)
        assert build(spec, axis_name="device") == build(spec)
