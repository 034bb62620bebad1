import dataclasses

import jax
import numpy as np
import pytest

from tlj.models.activations import Activations
from tlj.models.bert import BERTSpec
from tlj.models.registry import build
from tlj.models.resnet import ResNetSpec
from tlj.models.shapes import initialisation
from tlj.models.vit import ViTSpec

SPECS = {
    "vit": ViTSpec(num_classes=3, image_size=8, patch_size=4, width=8, depth=2, heads=2, pool="pooler"),
    "resnet": ResNetSpec(3, 16, stem="imagenet", stem_width=4, block="basic", stage_depths=(1, 2), stage_widths=(4, 8)),
    "bert": BERTSpec(num_classes=3, vocabulary=20, positions=6, width=8, depth=2, heads=2, pool="mean"),
}


def inputs_of(spec):
    rng = np.random.default_rng(0)
    if isinstance(spec, BERTSpec):
        mask = (np.arange(6) < np.array([6, 3, 1])[:, None]).astype(np.int32)
        return {"input_ids": rng.integers(1, 20, (3, 6)).astype(np.int32), "attention_mask": mask}
    return rng.standard_normal((3, *spec.input_shape)).astype(np.float32)


@pytest.mark.parametrize("family", SPECS)
def test_a_model_goes_on_from_any_depth_that_it_stopped_at(family):
    spec = SPECS[family]
    module, inputs = build(spec), inputs_of(spec)
    variables = initialisation(spec)(jax.random.key(1))
    mask = inputs["attention_mask"] if family == "bert" else None

    def logits_and_those_from_each_depth(variables, inputs):
        found = [module.apply(variables, inputs)]
        for depth in range(spec.depth):
            values = module.apply(variables, inputs, stop=depth)
            found.append(module.apply(variables, Activations(values, mask, depth)))
        features = build(dataclasses.replace(spec, num_classes=0)).apply(variables, inputs)
        return [*found, module.apply(variables, Activations(features, None, spec.depth))]

    whole, *others = jax.jit(logits_and_those_from_each_depth)(variables, inputs)
    assert len(others) == spec.depth + 1
    for logits in others:
        np.testing.assert_allclose(logits, whole, rtol=1e-5, atol=1e-6)


def test_what_stands_below_is_not_asked_for():
    spec = SPECS["vit"]
    params = initialisation(spec)(jax.random.key(1))["params"]
    upper = {
        "head": params["head"],
        "backbone": {n: p for n, p in params["backbone"].items() if n not in ("embedding", "block0")},
    }
    values = np.ones((2, 5, 8), np.float32)
    logits = jax.eval_shape(lambda p: build(spec).apply({"params": p}, Activations(values, None, 1)), upper)
    assert logits.shape == (2, 3)
