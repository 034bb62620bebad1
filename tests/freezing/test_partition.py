"""Phases label every parameter once, and trees are split and merged by the labels."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import traverse_util
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.freezing.partition import FROZEN, Group, Layout, label_tree, make_phase, merge, split

LAYOUT = Layout(
    {"backbone/embedding/kernel": 0, "backbone/block0/kernel": 1, "head/kernel": 2, "head/bias": 2}, blocks=1
)
LABELS = {
    "backbone/embedding/kernel": FROZEN,
    "backbone/block0/kernel": "backbone",
    "head/kernel": "head",
    "head/bias": "head",
}
GROUPS = (Group("backbone"), Group("head"))


def test_a_phase_knows_the_label_of_every_path_and_what_trains():
    phase = make_phase(LABELS, GROUPS, LAYOUT)
    assert phase.label_of == LABELS
    assert phase.trained == ("backbone/block0/kernel", "head/bias", "head/kernel")
    assert phase.group("head") is GROUPS[1]
    assert LAYOUT.head == 2


def test_everything_that_is_wrong_with_a_label_table_is_listed_at_once():
    labels = {
        "backbone/block0/kernel": "tail",
        "head/kernel": "head",
        "backbone/block7/kernel": FROZEN,
        "backbone/block8/kernel": "head",
    }
    groups = (Group("head", norm_mode="sometimes"), Group("backbone"), Group("backbone"), Group(FROZEN))
    with pytest.raises(InputError) as caught:
        make_phase(labels, groups, LAYOUT)
    message = str(caught.value)
    for problem in (
        "no label for backbone/embedding/kernel",
        "no label for head/bias",
        "backbone/block7/kernel is no parameter",
        "backbone/block8/kernel is no parameter",
        "backbone/block0/kernel has the unknown label 'tail'",
        "group 'backbone' has no parameters",
        "group 'head' has the unknown norm mode 'sometimes'",
        "a group is named 'frozen'",
        "two groups share a name",
    ):
        assert problem in message


def test_digest_follows_labels_and_groups_and_not_the_order_they_were_given_in():
    phase = make_phase(LABELS, GROUPS, LAYOUT)
    assert make_phase(dict(reversed(LABELS.items())), GROUPS, LAYOUT).digest == phase.digest
    others = [
        make_phase({**LABELS, "backbone/embedding/kernel": "backbone"}, GROUPS, LAYOUT),
        make_phase(LABELS, (Group("backbone", dropout=False), Group("head")), LAYOUT),
        make_phase(LABELS, (Group("backbone", norm_mode="frozen"), Group("head")), LAYOUT),
        make_phase(LABELS, (Group("backbone", learning_rate=0.1), Group("head")), LAYOUT),
    ]
    assert len({phase.digest, *(other.digest for other in others)}) == 5


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
    phase = make_phase(LABELS, GROUPS, LAYOUT)
    params = traverse_util.unflatten_dict(dict.fromkeys(LABELS, 0.0), sep="/")
    assert label_tree(params, phase) == {
        "backbone": {"embedding": {"kernel": FROZEN}, "block0": {"kernel": "backbone"}},
        "head": {"kernel": "head", "bias": "head"},
    }


def test_a_phase_cannot_be_changed():
    phase = make_phase(LABELS, GROUPS, LAYOUT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        phase.start = 5
