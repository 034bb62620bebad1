"""Low-rank adapters: what they compute, what they cost, and what they leave alone."""

import functools
import math

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.freezing.modes import behave_as
from tlj.freezing.phases import FROZEN, Group, Layout, make_phase
from tlj.models.bert import BERTSpec
from tlj.models.lora import ROOT, Adapters, adapted, adapter_shapes, init_adapters, merge_adapters, split_adapters
from tlj.models.registry import build
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.streams import key

VIT = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=2, heads=2, mlp_width=24)
BERT = BERTSpec(num_classes=3, vocabulary=50, width=16, depth=2, heads=2, mlp_width=24, positions=6)
RESNET = ResNetSpec(
    num_classes=3, image_size=8, stem="cifar", stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 16)
)
LAYERS = ("query", "key", "value", "out", "up", "down")
ONE, TWO, ALL = Adapters(3, targets=("up",)), Adapters(2, alpha=3.0), Adapters(4, targets=LAYERS)


@functools.cache
def params_of(spec):
    """Random everywhere and well away from zero, so that no branch is silent."""
    params = jax.jit(build(spec).init)(key(0, "backbone_init"), spec.example(1))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: np.asarray(leaf) + rng.normal(0, 0.2, leaf.shape).astype(np.float32), params)


@functools.cache
def inputs_of(spec):
    rng = np.random.default_rng(1)
    if spec is VIT:
        return rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
    return {"input_ids": rng.integers(0, 50, (4, 6)).astype(np.int32)}


@functools.cache
def random_adapters(spec, adapters):
    """Adapters of which both matrices are random, and large enough to show."""
    shapes, rng = adapter_shapes(params_of(spec), adapters), np.random.default_rng(2)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)


def new_adapters(spec, adapters):
    return init_adapters(key(0, "backbone_init"), adapter_shapes(params_of(spec), adapters))


def logits_of(spec, params, tree=None, adapters=None, *, dtype="float32"):
    def forward(params, tree, inputs):
        with adapted(tree, adapters):
            return build(spec, dtype).apply({"params": params}, inputs)

    return np.asarray(jax.jit(forward)(params, tree, inputs_of(spec)))


def leaves_of(tree) -> dict:
    return traverse_util.flatten_dict(tree, sep="/")


def test_the_adapters_of_a_vit_stand_at_the_paths_of_its_layers_with_their_shapes():
    shapes = leaves_of(adapter_shapes(params_of(VIT), Adapters(3, targets=("query", "down"))))
    assert {path: leaf.shape for path, leaf in shapes.items() if "/block1/" in path} == {
        "backbone/block1/attention/query/a": (16, 3),
        "backbone/block1/attention/query/b": (3, 16),
        "backbone/block1/mlp/down/a": (24, 3),
        "backbone/block1/mlp/down/b": (3, 16),
    }
    assert len(shapes) == 2 * 4
    assert {leaf.dtype for leaf in shapes.values()} == {jnp.dtype("float32")}


def test_shapes_follow_from_shapes_alone():
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params_of(BERT))
    assert adapter_shapes(abstract, ALL) == adapter_shapes(params_of(BERT), ALL)


@pytest.mark.parametrize("spec", [VIT, BERT], ids=["vit", "bert"])
@pytest.mark.parametrize("adapters", [ONE, TWO, ALL], ids=["mlp", "query_value", "all"])
def test_merged_adapters_give_the_logits_of_adapters_beside_the_model(spec, adapters):
    params, tree = params_of(spec), random_adapters(spec, adapters)
    beside = logits_of(spec, params, tree, adapters)
    merged = merge_adapters({**params, ROOT: tree}, adapters)
    assert jax.tree.map(np.shape, merged) == jax.tree.map(np.shape, params)
    np.testing.assert_allclose(logits_of(spec, merged), beside, atol=1e-5)
    assert np.abs(beside - logits_of(spec, params)).max() > 1e-2


@pytest.mark.parametrize("target", LAYERS)
def test_each_target_adapts_its_own_kernel_and_no_other(target):
    adapters = Adapters(2, targets=(target,))
    params, tree = params_of(VIT), random_adapters(VIT, adapters)
    before, after = leaves_of(params), leaves_of(merge_adapters({**params, ROOT: tree}, adapters))
    fused = {"query": 0, "key": 1, "value": 2}
    for path in before:
        change = after[path] - before[path]
        name = path.split("/")[-2]
        if path.endswith("query_key_value/kernel") and target in fused:
            others = [part for part in range(3) if part != fused[target]]
            assert np.abs(change[:, fused[target]]).min(axis=1).max() > 0
            assert not change[:, others].any()
        else:
            assert change.any() == (name == target and path.endswith("/kernel")), path
    np.testing.assert_allclose(logits_of(VIT, merge_adapters({**params, ROOT: tree}, adapters)),
                               logits_of(VIT, params, tree, adapters), atol=1e-5)  # fmt: skip


def test_the_update_is_alpha_over_rank_times_the_product():
    adapters = Adapters(2, alpha=3.0, targets=("up",))
    params, tree = params_of(VIT), random_adapters(VIT, adapters)
    pair = tree["backbone"]["block1"]["mlp"]["up"]
    merged = merge_adapters({**params, ROOT: tree}, adapters)
    change = merged["backbone"]["block1"]["mlp"]["up"]["kernel"] - params["backbone"]["block1"]["mlp"]["up"]["kernel"]
    np.testing.assert_allclose(change, 1.5 * pair["a"] @ pair["b"], atol=1e-6)


def test_merging_keeps_the_kind_and_the_type_of_arrays():
    params = {**params_of(VIT), ROOT: random_adapters(VIT, ALL)}
    of_jax = merge_adapters(jax.tree.map(jnp.asarray, params), ALL)
    of_numpy = merge_adapters(params, ALL)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(of_jax))
    assert all(type(leaf) is np.ndarray and leaf.dtype == np.float32 for leaf in jax.tree.leaves(of_numpy))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), of_jax, of_numpy)
    half = merge_adapters(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params), ALL)
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("spec", [VIT, BERT], ids=["vit", "bert"])
def test_new_adapters_start_at_the_base_model_bit_for_bit(spec, dtype):
    # Operation by operation: a compiler that sees another program may round a sum in another place.
    module, variables, tree = build(spec, dtype), {"params": params_of(spec)}, new_adapters(spec, ALL)
    with adapted(tree, ALL):
        start = module.apply(variables, inputs_of(spec))
    np.testing.assert_array_equal(start, module.apply(variables, inputs_of(spec)))
    merged = merge_adapters({**params_of(spec), ROOT: tree}, ALL)
    jax.tree.map(np.testing.assert_array_equal, merged, params_of(spec))
    compiled = logits_of(spec, params_of(spec), tree, ALL)
    np.testing.assert_allclose(compiled, logits_of(spec, params_of(spec)), atol=1e-6)


def test_new_adapters_are_uniform_within_one_over_the_root_of_the_inputs_and_zero():
    pair = {"a": jax.ShapeDtypeStruct((400, 8), jnp.float32), "b": jax.ShapeDtypeStruct((8, 4), jnp.float32)}
    drawn = leaves_of(init_adapters(key(0, "backbone_init"), {"wide": {"up": pair}}))
    a = drawn["wide/up/a"]
    assert np.abs(a).max() <= 0.05
    assert np.std(a) == pytest.approx(0.05 / math.sqrt(3), rel=0.05)
    assert np.mean(a) == pytest.approx(0, abs=0.003)
    assert not drawn["wide/up/b"].any()


def test_a_layer_starts_from_the_same_values_whatever_else_is_adapted():
    few, many = leaves_of(new_adapters(VIT, Adapters(4))), leaves_of(new_adapters(VIT, ALL))
    assert few.keys() < many.keys()
    for path, leaf in few.items():
        np.testing.assert_array_equal(leaf, many[path])
    drawn = [leaf.tobytes() for path, leaf in many.items() if path.endswith("/a")]
    assert len(set(drawn)) == len(drawn)


def gradients_of(spec, adapters, tree):
    def loss_of(tree):
        with adapted(tree, adapters):
            return jnp.square(build(spec).apply({"params": params_of(spec)}, inputs_of(spec))).sum()

    return leaves_of(jax.jit(jax.grad(loss_of))(tree))


@pytest.mark.parametrize("spec", [VIT, BERT], ids=["vit", "bert"])
def test_the_gradient_reaches_every_adapter(spec):
    gradients = gradients_of(spec, ALL, random_adapters(spec, ALL))
    assert gradients.keys() == leaves_of(random_adapters(spec, ALL)).keys()
    assert {path for path, leaf in gradients.items() if not np.abs(leaf).max() > 1e-6} == set()
    # At the start a step moves b alone: the gradient of a is a product with b.
    new = gradients_of(spec, ALL, new_adapters(spec, ALL))
    assert {path[-1] for path, leaf in new.items() if np.abs(leaf).max() > 1e-6} == {"b"}


def test_the_gradient_of_an_adapter_is_the_chain_rule_on_the_merged_kernel():
    tree, params = random_adapters(VIT, TWO), params_of(VIT)

    def loss_of(tree):
        merged = merge_adapters({**jax.tree.map(jnp.asarray, params), ROOT: tree}, TWO)
        return jnp.square(build(VIT).apply({"params": merged}, inputs_of(VIT))).sum()

    expected, found = leaves_of(jax.jit(jax.grad(loss_of))(tree)), gradients_of(VIT, TWO, tree)
    for path, leaf in expected.items():
        np.testing.assert_allclose(found[path], leaf, atol=1e-5 * np.abs(leaf).max(), rtol=1e-4, err_msg=path)


def test_adapters_compute_in_the_type_of_the_layer():
    params, tree = params_of(VIT), random_adapters(VIT, ALL)
    types = {}

    def record(next_call, args, kwargs, context):
        output = next_call(*args, **kwargs)
        if isinstance(output, jax.Array):
            types["/".join(context.module.path)] = output.dtype
        return output

    def forward(params, tree):
        with nn.intercept_methods(record), adapted(tree, ALL):
            return build(VIT, "bfloat16").apply({"params": params}, inputs_of(VIT))

    def equations(jaxpr):
        for equation in jaxpr.eqns:
            yield equation
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                yield from equations(inner)

    program = jax.make_jaxpr(forward)(params, tree).jaxpr
    products = [
        [operand.aval.dtype for operand in e.invars] for e in equations(program) if e.primitive.name == "dot_general"
    ]
    assert types["backbone/block0/mlp/up"] == types["backbone/block0/attention/query_key_value"] == jnp.bfloat16
    # Each block has four products with kernels, two of attention, and of the adapters four and three times two; the
    # head alone multiplies in float32.
    assert len(products) == VIT.depth * (4 + 2 + 10) + 1
    assert [operands for operands in products if operands != [jnp.bfloat16] * 2] == [[jnp.float32] * 2]
    exact = logits_of(VIT, params, tree, ALL)
    assert np.abs(logits_of(VIT, params, tree, ALL, dtype="bfloat16") - exact).max() < 0.1 * np.abs(exact).max()


def test_adapters_compose_with_frozen_modes_in_either_order():
    spec = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=2, heads=2, mlp_width=24, dropout=0.5)
    params, tree = params_of(VIT), random_adapters(VIT, TWO)
    paths = leaves_of({**params, ROOT: tree})
    layout = Layout(dict.fromkeys(paths, 0), 2)
    labels = {path: "lora" if path.startswith(f"{ROOT}/") else FROZEN for path in paths}
    phase = make_phase(labels, [Group("lora", dropout=False)], layout)

    def forward(contexts):
        def logits(params, tree):
            first, second = contexts(tree)
            with first, second:
                return build(spec).apply(
                    {"params": params}, inputs_of(VIT), train=True, rngs={"dropout": key(0, "dropout")}
                )

        return np.asarray(jax.jit(logits)(params, tree))

    expected = logits_of(VIT, params, tree, TWO)
    np.testing.assert_array_equal(forward(lambda tree: (behave_as(phase), adapted(tree, TWO))), expected)
    np.testing.assert_array_equal(forward(lambda tree: (adapted(tree, TWO), behave_as(phase))), expected)


def test_nothing_is_left_behind_outside_of_the_context():
    params, tree = params_of(VIT), random_adapters(VIT, TWO)
    before = logits_of(VIT, params)
    with adapted(tree, TWO):
        assert np.abs(build(VIT).apply({"params": params}, inputs_of(VIT)) - before).max() > 1e-2
    with pytest.raises(RuntimeError), adapted(tree, TWO):
        raise RuntimeError
    np.testing.assert_array_equal(logits_of(VIT, params), before)


@pytest.mark.parametrize("tree", [None, {}])
def test_no_adapters_adapt_nothing(tree):
    params = params_of(VIT)
    np.testing.assert_array_equal(logits_of(VIT, params, tree, TWO), logits_of(VIT, params))
    with adapted(tree, None):
        pass
    assert split_adapters(params) == (params, {})
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, merge_adapters(params, TWO), params))


def test_splitting_takes_the_adapters_out_of_the_tree():
    params, tree = params_of(VIT), random_adapters(VIT, TWO)
    model, adapters = split_adapters({**params, ROOT: tree})
    assert model.keys() == {"backbone", "head"}
    assert adapters == tree


# Products with the weights dominate, as they do in ViT-B/16.
PROPORTIONED = ViTSpec(num_classes=10, image_size=64, patch_size=8, width=192, depth=4, heads=3)


def step_flops(adapters, *, all_gradients=False) -> float:
    """Floating-point operations of a loss and its gradients, as the compiler counts them."""
    module, images = build(PROPORTIONED), jax.ShapeDtypeStruct(PROPORTIONED.example(8).shape, jnp.float32)
    params = jax.eval_shape(module.init, key(0, "backbone_init"), PROPORTIONED.example(1))["params"]

    def loss_of(trained, params, images):
        tree = trained["adapters"] if adapters else None
        with adapted(tree, adapters):
            return jnp.square(module.apply({"params": trained.get("params", params)}, images)).mean()

    trained = {"adapters": adapter_shapes(params, adapters)} if adapters else {"params": params}
    if all_gradients:
        trained["params"] = params
    compiled = jax.jit(jax.value_and_grad(loss_of)).lower(trained, params, images).compile()
    return compiled.cost_analysis()["flops"]


def test_a_step_over_adapters_computes_no_gradient_of_the_frozen_kernels():
    full = step_flops(None)
    # Two thirds of a step are the forward pass and the backward pass to activations; the lowest block needs only part
    # of the latter, and the adapters themselves cost a little.
    assert 0.6 < step_flops(Adapters(4)) / full < 0.69
    assert step_flops(Adapters(4), all_gradients=True) / full > 1.0


def test_a_rank_or_alpha_out_of_range_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"config\.strategy: lora of rank 0 .*; did you mean 'lora:1'.*from 1 to 16"):
        adapter_shapes(params_of(VIT), Adapters(0))
    with pytest.raises(InputError, match=r"rank 17 on a layer of 16 inputs and 24 outputs, .*/mlp/up; .*'lora:16'"):
        adapter_shapes(params_of(VIT), Adapters(17, targets=("up",)))
    for alpha in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match=rf"config\.lora\.alpha: alpha {alpha} is not a number above 0"):
            adapter_shapes(params_of(VIT), Adapters(2, alpha=alpha))


def test_a_target_that_no_layer_is_called_is_refused_with_the_names_there_are():
    names = "down, key, out, query, up, value"
    with pytest.raises(InputError, match=rf"lora\.targets: .*'quary'; did you mean 'query'.*use some of {names}"):
        adapter_shapes(params_of(VIT), Adapters(2, targets=("value", "quary")))
    # Neither the head, nor a convolution, nor a fused projection as a whole, nor an embedding.
    for target in ("head", "patch", "query_key_value", "word"):
        with pytest.raises(InputError, match=f"no dense layer of this backbone is called '{target}'"):
            adapter_shapes(params_of(VIT if target == "patch" else BERT), Adapters(2, targets=(target,)))
    with pytest.raises(InputError, match="use some of"):
        adapter_shapes(params_of(VIT), Adapters(2, targets=()))


def test_a_backbone_of_convolutions_cannot_be_adapted():
    with pytest.raises(InputError, match=r"config\.strategy: lora adapts dense layers.*has none; use another strategy"):
        adapter_shapes(jax.eval_shape(build(RESNET).init, jax.random.key(0), RESNET.example(1))["params"], Adapters(2))


def test_adapters_of_another_model_are_not_merged():
    tree = random_adapters(ViTSpec(**{**vars(VIT), "depth": 3}), TWO)
    with pytest.raises(
        InputError, match=r"lora: adapters of layers .*block2/attention/query, .*block2/attention/value;"
    ):
        merge_adapters({**params_of(VIT), ROOT: tree}, TWO)


def test_settings_that_were_read_from_a_file_are_the_same_settings():
    read = Adapters(2, 16.0, ["query", "value"])
    assert read == Adapters(2)
    assert hash(read) == hash(Adapters(2))


@settings(max_examples=25, deadline=None)
@given(rank=st.integers(-2, 20), targets=st.lists(st.sampled_from(LAYERS), min_size=1, unique=True))
def test_every_rank_up_to_the_smallest_layer_fits_every_choice_of_targets(rank, targets):
    adapters = Adapters(rank, targets=tuple(targets))
    if not 1 <= rank <= 16:
        with pytest.raises(InputError, match="did you mean 'lora:1"):
            adapter_shapes(params_of(VIT), adapters)
        return
    shapes = adapter_shapes(params_of(VIT), adapters)
    flat = leaves_of(shapes)
    assert {path.split("/")[-2] for path in flat} == set(targets)
    assert len(flat) == 2 * VIT.depth * len(targets)
    assert all(leaf.shape[path.endswith("/a")] == rank for path, leaf in flat.items())
    tree = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    jax.tree.map(np.testing.assert_array_equal, merge_adapters({**params_of(VIT), ROOT: tree}, adapters),
                 params_of(VIT))  # fmt: skip
