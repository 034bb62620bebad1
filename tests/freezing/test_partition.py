"""Trees are split and merged by the labels of a phase."""

import jax
import numpy as np
from flax import traverse_util
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.freezing.partition import label_tree, merge, split
from tlj.freezing.phases import FROZEN, Group, Layout, make_phase

LAYOUT = Layout(
    {"backbone/embedding/kernel": 0, "backbone/block0/kernel": 1, "head/kernel": 2, "head/bias": 2}, blocks=1
)
LABELS = {
    "backbone/embedding/kernel": FROZEN,
    "backbone/block0/kernel": "backbone",
    "head/kernel": "head",
    "head/bias": "head",
}


@st.composite
def trees(draw):
    """A nested tree of arrays with a phase that freezes any of it but something."""
    name = st.sampled_from("abcdef")
    paths = draw(st.sets(st.tuples(name, name, name), min_size=1, max_size=12))
    flat = {"/".join(path): np.float32(draw(st.floats(width=32))) for path in sorted(paths)}
    labels = {path: draw(st.sampled_from([FROZEN, "one", "two"])) for path in flat}
    labels[next(iter(labels))] = "one"
    groups = [Group(name) for name in ("one", "two") if name in labels.values()]
    layout = Layout(dict.fromkeys(flat, 0), blocks=1)
    return traverse_util.unflatten_dict(flat, sep="/"), make_phase(labels, groups, layout)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(trees())
def test_merge_undoes_split_bit_by_bit(case):
    params, phase = case
    merged = merge(*split(params, phase))
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    for ours, theirs in zip(jax.tree.leaves(merged), jax.tree.leaves(params), strict=True):
        # Bytes, so that -0.0 and NaN count as what they are.
        assert ours.tobytes() == theirs.tobytes()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(trees())
def test_each_leaf_is_in_the_half_that_its_label_says_and_in_no_other(case):
    params, phase = case
    trainable, frozen = (traverse_util.flatten_dict(half, sep="/") for half in split(params, phase))
    for path, label in phase.labels:
        assert (trainable[path] is None) == (label == FROZEN)
        assert (frozen[path] is None) != (label == FROZEN)
    assert len(jax.tree.leaves(split(params, phase)[0])) == len(phase.trained)


def test_labels_take_the_structure_of_the_parameters():
    phase = make_phase(LABELS, (Group("backbone"), Group("head")), LAYOUT)
    params = traverse_util.unflatten_dict(dict.fromkeys(LABELS, 0.0), sep="/")
    assert label_tree(params, phase) == {
        "backbone": {"embedding": {"kernel": FROZEN}, "block0": {"kernel": "backbone"}},
        "head": {"kernel": "head", "bias": "head"},
    }
