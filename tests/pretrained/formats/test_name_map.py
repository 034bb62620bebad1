"""Which arrays of a checkpoint make which leaves of a model, in both directions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlj.pretrained.formats.name_map import LAYOUTS, Entry, Module, entries

SHAPES = {
    "params/stem/kernel": (7, 5, 3, 4),
    "params/norm/scale": (4,),
    "params/norm/bias": (4,),
    "batch_stats/norm/mean": (4,),
    "batch_stats/norm/var": (4,),
    "params/qkv/kernel": (6, 3, 8),
    "params/qkv/bias": (3, 8),
    "params/out/kernel": (8, 6),
    "params/word/embedding": (9, 6),
    "params/token": (1, 1, 6),
}
MODULES = (
    Module("stem", ("stem.conv",), "conv"),
    Module("norm", ("stem.bn",), "batch_norm"),
    Module("qkv", ("attention.q", "attention.k", "attention.v"), "dense"),
    Module("out", ("attention.out",), "dense", ("attention/out_proj",)),
    Module("word", ("words",), "table"),
    Module("token", ("cls_token",), "leaf"),
)


def named(layout: str) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries(MODULES, SHAPES, layout)}


def test_names_are_spelt_as_each_layout_spells_them():
    torch, flax = named("torch"), named("flax")
    assert torch["params/stem/kernel"].names == ("stem.conv.weight",)
    assert flax["params/stem/kernel"].names == ("stem/conv/kernel",)
    assert torch["batch_stats/norm/var"].names == ("stem.bn.running_var",)
    assert flax["batch_stats/norm/var"].names == ("stem/bn/var",)
    assert torch["params/norm/scale"].names == ("stem.bn.weight",)
    assert flax["params/norm/scale"].names == ("stem/bn/scale",)
    assert torch["params/qkv/bias"].names == ("attention.q.bias", "attention.k.bias", "attention.v.bias")
    assert flax["params/out/kernel"].names == ("attention/out_proj/kernel",)
    assert (torch["params/word/embedding"].names, flax["params/word/embedding"].names) == (
        ("words.weight",),
        ("words/embedding",),
    )
    assert torch["params/token"].names == flax["params/token"].names == ("cls_token",)


def test_torch_files_hold_matrices_and_convolutions_in_another_order_of_axes():
    torch = named("torch")
    assert torch["params/stem/kernel"].stored_shape == (4, 3, 7, 5)
    assert torch["params/qkv/kernel"].stored_shape == (8, 6)
    assert torch["params/out/kernel"].stored_shape == (6, 8)
    assert named("flax")["params/out/kernel"].stored_shape == (8, 6)


def test_a_matrix_of_torch_acts_as_ours_does():
    rng = np.random.default_rng(0)
    weights, x = [rng.normal(size=(8, 6)) for _ in range(3)], rng.normal(size=(2, 6))
    ours = named("torch")["params/qkv/kernel"].from_stored(weights)
    np.testing.assert_allclose(np.einsum("bi,ipo->bpo", x, ours), np.stack([x @ w.T for w in weights], axis=1))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("path", list(SHAPES))
def test_out_and_in_again_gives_every_leaf_back(layout, path):
    entry = named(layout)[path]
    leaf = np.random.default_rng(0).normal(size=SHAPES[path]).astype(np.float32)
    stored = entry.to_stored(leaf)
    assert [array.shape for array in stored] == [entry.stored_shape] * len(entry.names)
    np.testing.assert_array_equal(entry.from_stored(stored), leaf)


@given(heads=st.sampled_from([1, 2, 4, 8]), seed=st.integers(0, 2**16))
def test_npz_files_may_keep_the_heads_apart(heads, seed):
    rng, entry = np.random.default_rng(seed), named("npz")
    parts = [rng.normal(size=(6, heads, 8 // heads)) for _ in range(3)]
    kernel = entry["params/qkv/kernel"]
    assert all(kernel.fits(part.shape, "npz") for part in parts)
    np.testing.assert_array_equal(kernel.from_stored(parts)[:, 1], parts[1].reshape(6, 8))
    out = rng.normal(size=(heads, 8 // heads, 6))
    assert entry["params/out/kernel"].fits(out.shape, "npz")
    assert entry["params/qkv/bias"].fits((heads, 8 // heads), "npz")


def test_the_right_number_of_values_in_a_wrong_shape_does_not_fit():
    npz, torch = named("npz"), named("torch")
    assert not npz["params/qkv/kernel"].fits((4, 3, 4), "npz")
    assert not npz["params/qkv/kernel"].fits((48,), "npz")
    assert not npz["params/norm/scale"].fits((2, 2, 1), "npz")
    assert not torch["params/out/kernel"].fits((8, 6), "torch")
    assert not torch["params/qkv/kernel"].fits((6, 2, 4), "torch")


def test_a_bias_that_the_model_does_not_have_gets_no_entry_and_a_leaf_that_no_module_names_is_a_mistake():
    without = {path: shape for path, shape in SHAPES.items() if path != "params/qkv/bias"}
    assert "params/qkv/bias" not in {entry.path for entry in entries(MODULES, without, "torch")}
    with pytest.raises(KeyError, match="lacks params/other/kernel"):
        entries(MODULES, {**SHAPES, "params/other/kernel": (2, 2)}, "torch")
