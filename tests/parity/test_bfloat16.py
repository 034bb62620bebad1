"""Computing in bfloat16 with float32 parameters gives the logits of float32, within 3 % of their norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tlj


def relative_error(low, high):
    low, high = (np.asarray(logits, np.float64) for logits in (low, high))
    error = np.linalg.norm(low - high) / np.linalg.norm(high)
    print(f"figure: relative error {error:.1e}")  # shown by pytest -rP
    return error


@pytest.mark.parametrize(
    "name",
    [
        "vit_gelu",
        "npz_big_vision_gap",
        "resnet_bottleneck",
        "cifar_padded",
        "bert_gelu",
        "bert_three_types",
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_logits_in_bfloat16_agree_with_float32(name, golden, loaded):
    low = loaded(name, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(low.variables)} == {jnp.dtype("float32")}
    error = relative_error(low(golden(name).inputs), golden(name).reference["logits"])
    # Zero would mean that it was not computed in bfloat16.
    assert 1e-5 < error <= 3e-2


def test_features_of_minilm_in_bfloat16_agree_with_float32(shared_data, golden):
    source = shared_data("pretrained/all-MiniLM-L6-v2")
    ids = golden("bert_gelu").inputs
    low, high = (tlj.load(source, pool="mean", dtype=dtype)(ids) for dtype in ("bfloat16", "float32"))
    assert 1e-5 < relative_error(low, high) <= 3e-2
