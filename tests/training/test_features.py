import dataclasses

import jax
import numpy as np
import pytest

from tlj.data.text import TextPreprocessing
from tlj.models.bert import BERTSpec
from tlj.models.registry import build
from tlj.models.shapes import model_shapes
from tlj.pretrained.initialise import initial_variables
from tlj.training.features import extract_features, make_feature_step
from tlj.training.inputs import evaluation_inputs
from tlj.training.programs import Programs, count_compilations


def drawn(shapes, seed=0):
    """Variables with weights and statistics that no init gives, on the host."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.uniform(0.05, 0.3, leaf.shape).astype(np.float32), dict(shapes))


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_features_are_what_the_head_reads_and_the_mean_of_what_leaves_every_block(tiny_run, family):
    setup, programs, examples = tiny_run(family, evaluate={"batch_size": 16}), Programs(), np.arange(5, 42)
    variables = drawn(model_shapes(setup.spec))
    found = extract_features(setup, programs, variables, examples)

    def by_hand(variables, inputs):
        return setup.module.apply(variables, inputs, train=False, capture_intermediates=True, mutable=["intermediates"])

    inputs = evaluation_inputs(setup.reader.batch(examples), setup.preprocessing)
    logits, captured = jax.jit(by_hand)(variables, inputs)
    head = variables["params"]["head"]
    np.testing.assert_allclose(found.pooled @ head["kernel"] + head["bias"], logits, rtol=1e-3, atol=1e-4)
    captured = captured["intermediates"]["backbone"]
    assert len(found.blocks) == setup.spec.depth + 1
    for block, name in zip(found.blocks, ("embedding", "block0", "block1"), strict=True):
        output = np.asarray(captured[name]["__call__"][0])
        means = output.mean(axis=tuple(range(1, output.ndim - 1)))
        np.testing.assert_allclose(block, means, rtol=1e-3, atol=1e-4)


def test_one_program_serves_every_seed_init_and_budget(tiny_run):
    programs, examples = Programs(), np.arange(20)
    setups = [tiny_run(label_budget=10), tiny_run(seeds=(4,), label_budget=40, strategy="linear_probe", init="scratch")]
    states = [initial_variables("scratch", setup.spec, None, seed)[0] for seed, setup in enumerate(setups)]
    with count_compilations() as compiled:
        found = [
            extract_features(setup, programs, state, examples) for setup, state in zip(setups, states, strict=True)
        ]
    assert compiled == {"feature_step": 1}
    assert not np.allclose(found[0].pooled, found[1].pooled)
    again = extract_features(setups[0], programs, states[0], examples)
    np.testing.assert_array_equal(again.pooled, found[0].pooled)


def test_padding_is_no_part_of_the_mean_of_a_text():
    spec = BERTSpec(num_classes=2, vocabulary=20, positions=8, width=8, depth=1, heads=2, pool="mean")
    step = jax.jit(make_feature_step(spec, "float32", TextPreprocessing(8, 20, 0)))
    variables = drawn(model_shapes(spec))
    ids = np.array([[5, 6, 7, 0, 0], [5, 6, 7, 8, 9]], np.int32)
    batch = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int32)}
    other = {**batch, "input_ids": np.where(ids > 0, ids, 13).astype(np.int32)}
    params = {"backbone": variables["params"]["backbone"]}
    columns = np.asarray(step(params, {}, batch))
    # Pooled features, the embedding and one block.
    assert columns.shape == (2, 3 * spec.width)
    np.testing.assert_allclose(columns, step(params, {}, other), rtol=1e-5)
    module = build(dataclasses.replace(spec, num_classes=0))
    short = jax.jit(lambda v, x: module.apply(v, x))({"params": params}, {"input_ids": ids[:1, :3]})
    np.testing.assert_allclose(columns[:1, : spec.width], short, rtol=1e-4)
    # Mean pooling takes the very tokens that leave the last block.
    np.testing.assert_allclose(columns[:, -spec.width :], columns[:, : spec.width], rtol=1e-5)
