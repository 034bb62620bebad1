import jax
import numpy as np
import pytest

from tlj.models.registry import build
from tlj.models.vit import ViTSpec
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.published_head import published_head

SPEC = ViTSpec(num_classes=1, image_size=4, patch_size=2, width=8, depth=1, heads=2)


@pytest.fixture(scope="module")
def model():
    """Parameters with a head that init does not give, and a function from spec and parameters to outputs."""
    variables, _ = initial_variables("scratch", SPEC, None, 0)
    params = jax.tree.map(np.asarray, dict(variables["params"]))
    params["head"] = {"kernel": np.linspace(-1, 1, 8, dtype=np.float32)[:, None], "bias": np.float32([0.3])}
    images = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype(np.float32)

    def outputs(spec, params):
        return np.asarray(build(spec).apply({"params": params}, images))

    return params, outputs


def test_one_logit_becomes_two_whose_first_is_zero(model):
    params, outputs = model
    spec, published = published_head(SPEC, params, "binary", None)
    assert spec.num_classes == 2
    z = outputs(SPEC, params)
    np.testing.assert_array_equal(outputs(spec, published)[:, 0], np.zeros(5))
    np.testing.assert_allclose(outputs(spec, published)[:, 1:], z, rtol=1e-5, atol=1e-6)
    assert params["head"]["bias"].shape == (1,)


def test_outputs_come_in_the_unit_of_the_labels(model):
    params, outputs = model
    spec, published = published_head(SPEC, params, "regression", {"mean": 40.0, "deviation": 7.5})
    assert spec == SPEC
    np.testing.assert_allclose(outputs(spec, published), outputs(SPEC, params) * 7.5 + 40, rtol=1e-5)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_every_other_head_is_published_as_it_is(model, task):
    params, _ = model
    assert published_head(SPEC, params, task, None) == (SPEC, params)


def test_a_model_without_a_head_stays_without(model):
    params, _ = model
    assert published_head(SPEC, {"backbone": params["backbone"]}, "binary", None)[1].keys() == {"backbone"}
