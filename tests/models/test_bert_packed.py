"""BERT over rows that several examples share: what it gives is what it gives for each of them alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.data.text import TextPreprocessing
from tlj.data.tokens.packed_reader import PackedReader
from tlj.data.tokens.padded_reader import PaddedReader
from tlj.data.tokens.token_file import Tokens
from tlj.models.bert import BERTSpec
from tlj.models.registry import build
from tlj.streams import key
from tlj.training.inputs import evaluation_inputs

TINY = BERTSpec(num_classes=3, vocabulary=50, width=16, depth=1, heads=2, positions=12)
LENGTHS = np.array([5, 12, 1, 3, 7, 2, 9, 4])
PREPROCESSING = TextPreprocessing(12, 50)


def tokens_of(pairs: bool) -> Tokens:
    random, count = np.random.default_rng(0), int(LENGTHS.sum())
    second = LENGTHS // 2 if pairs else LENGTHS
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    return Tokens(random.integers(1, 50, count).astype(np.uint16), offsets, second, LENGTHS, pairs, 50)


@functools.cache
def inputs_of(pairs: bool):
    """One batch of eight examples, padded and packed."""
    padded = PaddedReader(np.arange(8) % 3, tokens_of(pairs), PREPROCESSING, 1)
    indices = np.array([3, 0, 1, 2, 7, 6, 5, 4])
    batches = [reader.batch(indices) for reader in (padded, PackedReader(padded, 1))]
    assert len(batches[1]["input_ids"]) == 4
    return tuple(evaluation_inputs(batch, PREPROCESSING) for batch in batches)


def test_a_packed_batch_goes_in_without_labels_and_without_a_mask():
    names = {"input_ids", "segment_ids", "position_ids", "example_row", "example_start", "example_length"}
    assert set(inputs_of(False)[1]) == names
    assert set(inputs_of(True)[1]) == {*names, "token_type_ids"}


@functools.cache
def variables_of(spec: BERTSpec):
    shapes = jax.eval_shape(build(spec).init, key(0, "backbone_init"), spec.example(1))
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.normal(0, 0.5, size=leaf.shape).astype(np.float32), shapes)


@functools.cache
def program_of(spec: BERTSpec):
    return jax.jit(build(spec).apply)


def logits_and_gradients(spec: BERTSpec, inputs):
    def loss(variables, inputs):
        logits = build(spec).apply(variables, inputs)
        # Each example weighs otherwise, so that none can stand for another.
        return jnp.sum(jnp.sin(logits) * jnp.arange(1, 9)[:, None]), logits

    gradients, logits = jax.jit(jax.grad(loss, has_aux=True))(variables_of(spec), inputs)
    return np.asarray(logits), jax.tree.leaves(gradients)


@pytest.mark.parametrize(("pool", "pairs"), [("pooler", True), ("first", False), ("mean", True)])
def test_logits_and_gradients_are_those_of_the_padded_batch(pool, pairs):
    spec = dataclasses.replace(TINY, pool=pool)
    (expected, gradients), (found, found_gradients) = (
        logits_and_gradients(spec, inputs) for inputs in inputs_of(pairs)
    )
    assert found.shape == (8, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.5
    largest = max(np.abs(leaf).max() for leaf in gradients)
    for one, other in zip(found_gradients, gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * largest)


@pytest.mark.parametrize("pool", ["pooler", "mean"])
def test_an_example_depends_on_no_other_of_its_row_nor_on_what_stands_under_the_padding(pool):
    spec = dataclasses.replace(TINY, pool=pool)
    packed = inputs_of(False)[1]
    expected = np.asarray(program_of(spec)(variables_of(spec), packed))
    owner = np.full(packed["input_ids"].shape, -1)
    for example in range(8):
        row, start, length = (packed[f"example_{name}"][example] for name in ("row", "start", "length"))
        owner[row, start : start + length] = example
    for example in (-1, 1, 6):
        ids = np.where(owner == example, packed["input_ids"] % 49 + 1, packed["input_ids"])
        found = np.asarray(program_of(spec)(variables_of(spec), {**packed, "input_ids": ids}))
        others = np.arange(8) != example
        np.testing.assert_array_equal(found[others], expected[others])
        assert example == -1 or np.abs(found[example] - expected[example]).max() > 1e-3


def test_examples_come_in_the_order_that_the_batch_says():
    packed = inputs_of(True)[1]
    swapped = {name: v[::-1] if name.startswith("example_") else v for name, v in packed.items()}
    found, expected = (program_of(TINY)(variables_of(TINY), inputs) for inputs in (swapped, packed))
    np.testing.assert_array_equal(found[::-1], expected)


def test_in_training_weights_between_examples_stay_zero_under_dropout():
    """Attention written out for its dropout has the same mask."""
    spec = dataclasses.replace(TINY, dropout=0.0, attention_dropout=0.3, head_dropout=0.0)
    packed = inputs_of(False)[1]
    rngs = {"dropout": key(0, "dropout")}
    model = build(spec)
    expected = model.apply(variables_of(TINY), packed, train=True, rngs=rngs)
    ids = packed["input_ids"].copy()
    row, start = packed["example_row"][0], packed["example_start"][0]
    ids[row, start] = ids[row, start] % 49 + 1
    found = model.apply(variables_of(TINY), {**packed, "input_ids": ids}, train=True, rngs=rngs)
    np.testing.assert_array_equal(found[1:], expected[1:])
    assert np.abs(found[0] - expected[0]).max() > 1e-4
    assert np.abs(expected - model.apply(variables_of(TINY), packed)).max() > 1e-3
