"""BERT."""

import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from tlj.errors import InputError
from tlj.models.bert import BERT, BERTSpec
from tlj.models.registry import build
from tlj.streams import key

TINY = BERTSpec(num_classes=3, vocabulary=50, width=16, depth=2, heads=2, positions=12, types=3)
LENGTH, REAL = 10, 7
# Large enough to be seen.
EPSILON = 0.1


@functools.cache
def variables_of(spec: BERTSpec):
    """Random everywhere: a bias or a norm in the wrong place must show."""
    shapes = jax.eval_shape(build(spec).init, key(0, "backbone_init"), spec.example(1))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0.2, 0.3, size=leaf.shape).astype(np.float32), shapes)


@functools.cache
def program_of(spec: BERTSpec, dtype: str = "float32"):
    return jax.jit(build(spec, dtype).apply)


def logits_of(spec: BERTSpec, inputs: dict[str, np.ndarray], dtype: str = "float32") -> np.ndarray:
    return np.asarray(program_of(spec, dtype)(variables_of(spec), inputs))


@pytest.fixture(scope="module")
def inputs():
    """Four sequences of seven real tokens and three of padding, of two segments."""
    rng = np.random.default_rng(0)
    mask = np.tile(np.arange(LENGTH) < REAL, (4, 1)).astype(np.int32)
    ids = rng.integers(1, 50, (4, LENGTH)).astype(np.int32) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": rng.integers(0, 3, ids.shape).astype(np.int32)}


def layer_norm(x: np.ndarray, params) -> np.ndarray:
    normalised = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON)
    return normalised * params["scale"] + params["bias"]


def dense(x: np.ndarray, params) -> np.ndarray:
    return x @ params["kernel"] + params["bias"]


def block(x: np.ndarray, real: np.ndarray, params) -> np.ndarray:
    projected = np.einsum("bli,ipo->bplo", x, params["attention"]["query_key_value"]["kernel"])
    projected = projected + params["attention"]["query_key_value"]["bias"][:, None]
    heads = projected.reshape(*projected.shape[:3], 2, 8)
    scores = np.einsum("bqhd,bkhd->bhqk", heads[:, 0], heads[:, 1]) / np.sqrt(8)
    weights = np.exp(scores) * real[:, None, None, :]
    weights = weights / weights.sum(-1, keepdims=True)
    mixed = np.einsum("bhqk,bkhd->bqhd", weights, heads[:, 2]).reshape(x.shape)
    x = layer_norm(x + dense(mixed, params["attention"]["out"]), params["attention_norm"])
    hidden = dense(x, params["mlp"]["up"])
    hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
    return layer_norm(x + dense(hidden, params["mlp"]["down"]), params["mlp_norm"])


@pytest.mark.parametrize("pool", ["pooler", "first", "mean"])
def test_logits_are_those_of_the_paper_recomputed_with_numpy(inputs, pool):
    spec = dataclasses.replace(TINY, depth=1, pool=pool, epsilon=EPSILON)
    params = jax.tree.map(lambda leaf: leaf.astype(np.float64), variables_of(spec)["params"])
    backbone, embedding = params["backbone"], params["backbone"]["embedding"]
    tokens = (
        embedding["word"]["embedding"][inputs["input_ids"]]
        + embedding["position"]["embedding"][:LENGTH]
        + embedding["type"]["embedding"][inputs["token_type_ids"]]
    )
    tokens = block(layer_norm(tokens, embedding["norm"]), inputs["attention_mask"], backbone["block0"])
    features = tokens[:, :REAL].mean(axis=1) if pool == "mean" else tokens[:, 0]
    if pool == "pooler":
        features = np.tanh(dense(features, backbone["pooler"]))
    else:
        assert "pooler" not in backbone
    expected = dense(features, params["head"])
    np.testing.assert_allclose(logits_of(spec, inputs), expected, rtol=1e-4, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 1e-2


@pytest.mark.parametrize("pool", ["pooler", "mean"])
def test_padding_changes_nothing(inputs, pool):
    spec = dataclasses.replace(TINY, pool=pool)
    cut = {name: values[:, :REAL] for name, values in inputs.items()}
    padded = {name: np.pad(values, ((0, 0), (0, 2))) for name, values in inputs.items()}
    np.testing.assert_allclose(logits_of(spec, cut), logits_of(spec, inputs), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits_of(spec, padded), logits_of(spec, inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", ["pooler", "mean"])
def test_what_stands_under_the_padding_is_irrelevant(inputs, pool):
    spec = dataclasses.replace(TINY, pool=pool)
    other = {name: values.copy() for name, values in inputs.items()}
    other["input_ids"][:, REAL:], other["token_type_ids"][:, REAL:] = 33, 2
    np.testing.assert_array_equal(logits_of(spec, other), logits_of(spec, inputs))
    everything_real = {**other, "attention_mask": np.ones_like(other["attention_mask"])}
    assert np.abs(logits_of(spec, everything_real) - logits_of(spec, inputs)).max() > 1e-3


@pytest.mark.parametrize("pool", ["pooler", "mean"])
def test_every_real_token_its_place_and_its_segment_matter(inputs, pool):
    spec, expected = dataclasses.replace(TINY, pool=pool), logits_of(dataclasses.replace(TINY, pool=pool), inputs)
    for place in range(REAL):
        word, segment = inputs["input_ids"].copy(), inputs["token_type_ids"].copy()
        word[:, place] = word[:, place] % 49 + 1
        segment[:, place] = (segment[:, place] + 1) % 3
        for changed in ({"input_ids": word}, {"token_type_ids": segment}):
            assert np.all(np.abs(logits_of(spec, {**inputs, **changed}) - expected).max(-1) > 1e-4)
    swapped = inputs["input_ids"].copy()
    swapped[:, [1, 2]] = swapped[:, [2, 1]]
    assert np.abs(logits_of(spec, {**inputs, "input_ids": swapped}) - expected).max() > 1e-4


@pytest.mark.parametrize("pool", ["pooler", "mean"])
def test_without_a_mask_every_token_is_real_the_padding_id_too_and_without_types_all_are_of_the_first(inputs, pool):
    spec = dataclasses.replace(TINY, pool=pool)
    ones, zeros = np.ones_like(inputs["attention_mask"]), np.zeros_like(inputs["token_type_ids"])
    full = {**inputs, "attention_mask": ones, "token_type_ids": zeros}
    assert np.any(inputs["input_ids"] == spec.padding)
    found = logits_of(spec, {"input_ids": inputs["input_ids"]})
    np.testing.assert_allclose(found, logits_of(spec, full), rtol=1e-5, atol=1e-6)
    assert np.abs(found - logits_of(spec, {**inputs, "token_type_ids": zeros})).max() > 1e-3


def test_the_mask_may_be_true_and_false(inputs):
    boolean = {**inputs, "attention_mask": inputs["attention_mask"].astype(bool)}
    np.testing.assert_array_equal(logits_of(TINY, boolean), logits_of(TINY, inputs))


def test_an_output_does_not_depend_on_its_batch_mates(inputs):
    alone = np.concatenate([logits_of(TINY, {n: v[i : i + 1] for n, v in inputs.items()}) for i in range(4)])
    np.testing.assert_allclose(logits_of(TINY, inputs), alone, rtol=1e-5, atol=1e-5)


def test_a_sequence_of_padding_alone_has_finite_logits():
    inputs = {"input_ids": np.zeros((2, 4), np.int32), "attention_mask": np.zeros((2, 4), np.int32)}
    for pool in ("pooler", "mean"):
        assert np.isfinite(logits_of(dataclasses.replace(TINY, pool=pool), inputs)).all()


def test_the_default_is_bert_base_with_its_published_number_of_parameters():
    shapes = jax.eval_shape(BERT(BERTSpec()).init, key(0, "backbone_init"), BERTSpec().example(1))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == 109_482_240


def test_bfloat16_is_for_computing_and_parameters_stay_float32(inputs):
    model = build(TINY, "bfloat16")
    own = jax.jit(model.init)(key(0, "backbone_init"), inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    apply = {dtype: jax.jit(build(TINY, dtype).apply) for dtype in ("float32", "bfloat16")}
    logits, exact = apply["bfloat16"](own, inputs), apply["float32"](own, inputs)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, exact, atol=2e-3)
    assert not np.array_equal(logits, exact)
    for pool in ("pooler", "mean"):
        spec = dataclasses.replace(TINY, pool=pool)
        np.testing.assert_allclose(logits_of(spec, inputs, "bfloat16"), logits_of(spec, inputs), atol=0.15)


def dropouts_of(spec: BERTSpec, inputs, train: bool) -> dict[str, float]:
    """Share of the values that each active dropout sets to zero, by its module path."""
    found = {}

    def record(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if isinstance(context.module, nn.Dropout) and context.module.rate and not kwargs["deterministic"]:
            found["/".join(context.module.path)] = float(np.mean((result == 0) & (args[0] != 0)))
        return result

    with nn.intercept_methods(record):
        build(spec).apply(variables_of(TINY), inputs, train=train, rngs={"dropout": key(0, "dropout")})
    return found


def test_dropout_stands_after_the_embedding_on_every_branch_and_weight_and_on_the_features(inputs):
    many = {name: np.tile(values, (16, 1)) for name, values in inputs.items()}
    spec = dataclasses.replace(TINY, dropout=0.2, attention_dropout=0.4)
    found = dropouts_of(spec, many, train=True)
    rates = {"backbone/embedding/Dropout_0": 0.2, "head_dropout": 0.2}
    for i in range(2):
        rates |= {f"backbone/block{i}/Dropout_0": 0.2, f"backbone/block{i}/Dropout_1": 0.2}
        # What is dropped are factors of the weights: of padding, too, where weights are zero.
        rates |= {f"backbone/block{i}/attention/Dropout_0": 0.4}
    assert found == {path: pytest.approx(rate, abs=0.05) for path, rate in rates.items()}


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_the_head_may_have_a_dropout_of_its_own(inputs, rate):
    many = {name: np.tile(values, (16, 1)) for name, values in inputs.items()}
    found = dropouts_of(dataclasses.replace(TINY, dropout=0.2, head_dropout=rate), many, train=True)
    assert found["backbone/embedding/Dropout_0"] == pytest.approx(0.2, abs=0.05)
    assert found.get("head_dropout", 0.0) == pytest.approx(rate, abs=0.08)


def test_a_model_without_classes_returns_its_features(inputs):
    spec = dataclasses.replace(TINY, num_classes=0)
    assert set(variables_of(spec)["params"]) == {"backbone"}
    features = logits_of(spec, inputs)
    assert features.shape == (4, 16)
    head = variables_of(TINY)["params"]["head"]
    expected = {"params": {"backbone": variables_of(spec)["params"]["backbone"], "head": head}}
    np.testing.assert_allclose(dense(features, head), build(TINY).apply(expected, inputs), rtol=1e-5, atol=1e-5)


def test_without_attention_dropout_the_weights_are_not_dropped(inputs):
    found = dropouts_of(dataclasses.replace(TINY, attention_dropout=0.0), inputs, train=True)
    assert not any("attention" in path for path in found)
    assert found


def test_evaluation_needs_no_random_numbers_and_ignores_dropout(inputs):
    assert not dropouts_of(TINY, inputs, train=False)
    plain = dataclasses.replace(TINY, dropout=0.0, attention_dropout=0.0)
    np.testing.assert_array_equal(logits_of(TINY, inputs), logits_of(plain, inputs))
    logits = build(plain).apply(variables_of(TINY), inputs, train=True)
    np.testing.assert_allclose(logits, logits_of(TINY, inputs), rtol=1e-5, atol=1e-5)


def test_more_tokens_than_positions_are_refused():
    with pytest.raises(InputError, match="13 tokens, but the model has 12 positions"):
        logits_of(TINY, {"input_ids": np.ones((1, 13), np.int32)})


def test_an_example_is_of_the_greatest_length_and_real():
    example = TINY.example(3)
    assert {name: (values.shape, values.dtype) for name, values in example.items()} == {
        "input_ids": ((3, 12), jnp.int32),
        "attention_mask": ((3, 12), jnp.int32),
    }
    assert np.all(example["attention_mask"] == 1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (dict(heads=7), "heads 7 does not divide width 768"),
        (dict(pool="max"), "unknown pool 'max'.*use one of first, mean, pooler"),
        (dict(activation="swish"), "unknown activation 'swish'.*gelu, gelu_tanh, relu"),
        (dict(padding=30522), "padding 30522 is not one of 30522 token ids"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        BERTSpec(**sizes)
