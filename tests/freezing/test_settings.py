"""Complete groups: what the strategy says, what the config says of a group, and what norms then do."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.freezing.phases import FROZEN, Group, Layout, make_phase
from tlj.freezing.settings import apply_settings

LAYOUT = Layout(
    {
        "backbone/embedding/kernel": 0,
        "backbone/block0/kernel": 1,
        "backbone/block0/norm/scale": 1,
        "backbone/block0/norm/bias": 1,
        "head/kernel": 2,
    },
    blocks=1,
    statistics=("backbone/block0/norm",),
)
LABELS = {path: "head" if depth == 2 else "backbone" if depth else FROZEN for path, depth in LAYOUT.depths.items()}
DEFAULTS = Group(
    "", learning_rate=0.2, weight_decay=0.1, optimizer="adamw", schedule="cosine", schedule_steps=50, warmup_steps=5
)
NORM = {"backbone/block0/norm/scale", "backbone/block0/norm/bias"}


def complete(of_groups=None, backbone=None, labels=None, defaults=DEFAULTS):
    groups = [backbone or Group("backbone"), Group("head")]
    phase = make_phase(labels or LABELS, groups, LAYOUT, start=0)
    return apply_settings((phase,), LAYOUT, defaults, of_groups or {})[0]


def test_what_nothing_is_said_of_is_that_of_the_optimizer():
    phase = complete()
    assert phase.labels == tuple(sorted(LABELS.items()))
    assert phase.groups == tuple(dataclasses.replace(DEFAULTS, name=name) for name in ("backbone", "head"))


def test_the_config_wins_over_the_strategy_and_the_strategy_over_the_defaults():
    backbone = Group("backbone", schedule="linear", weight_decay=0.3, warmup_steps=0)
    group = complete({"backbone": {"schedule": "rsqrt", "optimizer": "sgd"}}, backbone).group("backbone")
    assert (group.schedule, group.weight_decay, group.warmup_steps) == ("rsqrt", 0.3, 0)
    assert (group.optimizer, group.schedule_steps) == ("sgd", 50)
    assert complete({"backbone": {"schedule": "rsqrt"}}, backbone).group("head").schedule == "cosine"


def test_a_zero_that_is_said_is_not_taken_for_nothing_said():
    group = complete({"head": {"weight_decay": 0.0, "warmup_steps": 0, "dropout": False}}).group("head")
    assert (group.weight_decay, group.warmup_steps, group.dropout) == (0.0, 0, False)


def test_the_rate_is_the_configured_one_times_the_factor():
    phase = complete({"head": {"learning_rate_factor": 3.0}}, Group("backbone", learning_rate_factor=0.25))
    assert {group.name: group.learning_rate for group in phase.groups} == {
        "backbone": pytest.approx(0.05),
        "head": pytest.approx(0.6),
    }


def test_settings_hold_for_a_group_in_every_phase_that_has_it():
    probe = make_phase({p: "head" if d == 2 else FROZEN for p, d in LAYOUT.depths.items()}, [Group("head")], LAYOUT)
    both = make_phase(LABELS, [Group("backbone"), Group("head")], LAYOUT, start=9)
    phases = apply_settings((probe, both), LAYOUT, DEFAULTS, {"head": {"optimizer": "lion"}})
    assert [phase.group("head").optimizer for phase in phases] == ["lion", "lion"]
    assert [phase.start for phase in phases] == [0, 9]


def test_settings_of_a_group_that_no_phase_has_are_refused_with_the_nearest(refusal):
    error = refusal(complete, {"backbon": {"dropout": False}})
    assert error.what == "the strategy has no group 'backbon'"
    assert (error.where, error.nearest) == ("config.groups.backbon", "backbone")
    assert error.do == "use one of backbone, frozen, head"


@pytest.mark.parametrize(
    ("of_frozen", "what"),
    [
        ({"learning_rate_factor": 0.1}, "learning_rate_factor of what is frozen"),
        ({"weight_decay": 0.0, "norm_mode": "adapt"}, "weight_decay of what is frozen"),
        ({"dropout": True}, "dropout of what is frozen"),
        ({"norm_mode": "train"}, "norm_mode 'train' of what is frozen"),
    ],
)
def test_settings_of_what_is_frozen_that_make_no_sense_are_refused(refusal, of_frozen, what):
    error = refusal(complete, {FROZEN: of_frozen})
    assert (error.what, error.where) == (what, "config.groups.frozen")
    assert error.do == "set norm_mode to adapt or frozen, or train a group"


@pytest.mark.parametrize(("mode", "adapting"), [("adapt", ("backbone/block0/norm",)), ("frozen", ())])
def test_norms_of_a_group_that_does_not_train_them_are_frozen(mode, adapting):
    phase = complete({"backbone": {"norm_mode": mode}})
    assert {path for path, label in phase.labels if label == FROZEN} == NORM | {"backbone/embedding/kernel"}
    assert phase.adapting == adapting
    assert phase.label_of["backbone/block0/kernel"] == "backbone"


def test_norms_of_what_is_frozen_adapt_where_the_config_says_so_and_no_others():
    frozen_block = {path: "head" if depth == 2 else FROZEN for path, depth in LAYOUT.depths.items()}
    frozen_block["backbone/embedding/kernel"] = "backbone"
    assert complete({FROZEN: {"norm_mode": "adapt"}}, labels=frozen_block).adapting == ("backbone/block0/norm",)
    assert complete({FROZEN: {"norm_mode": "frozen"}}, labels=frozen_block).adapting == ()
    # This norm belongs to a group that trains it.
    assert complete({FROZEN: {"norm_mode": "adapt"}}).adapting == ()


def test_a_group_that_would_be_left_without_parameters_is_refused(refusal):
    labels = {path: "backbone" if path in NORM else "head" if depth == 2 else FROZEN
              for path, depth in LAYOUT.depths.items()}  # fmt: skip
    error = refusal(complete, {"backbone": {"norm_mode": "adapt"}}, labels=labels)
    assert error.what == "group 'backbone' holds norms alone, and its norm mode is 'adapt'"
    assert error.where == "config.groups.backbone.norm_mode"
    assert error.do == "use norm mode 'train', or another strategy"


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate_factor": st.floats(1e-3, 10),
        "weight_decay": st.floats(0, 1),
        "decays": st.sampled_from(["kernels", "all"]),
        "optimizer": st.sampled_from(["adamw", "sgd", "lamb", "lion"]),
        "schedule": st.sampled_from(["constant", "rsqrt"]),
        "warmup_steps": st.integers(0, 9),
        "norm_mode": st.sampled_from(["frozen", "adapt", "train"]),
        "dropout": st.booleans(),
    },
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SETTINGS, SETTINGS, st.sampled_from([{}, {"norm_mode": "adapt"}]))
def test_complete_groups_are_left_as_they_are(backbone, head, frozen):
    phase = complete({"backbone": backbone, "head": head, **({FROZEN: frozen} if frozen else {})})
    assert all(getattr(group, field.name) is not None for group in phase.groups for field in dataclasses.fields(Group))
    assert apply_settings((phase,), LAYOUT, DEFAULTS, {}) == (phase,)


def test_norms_without_statistics_cannot_adapt(refusal):
    phase = make_phase(LABELS, [Group("backbone"), Group("head")], LAYOUT)
    still = dataclasses.replace(LAYOUT, statistics=())
    error = refusal(apply_settings, (phase,), still, DEFAULTS, {"backbone": {"norm_mode": "adapt"}})
    assert "this model keeps none" in error.what
    assert error.where == "config.groups.backbone.norm_mode"
